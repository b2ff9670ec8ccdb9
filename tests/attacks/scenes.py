"""What a supervisor of the tests does, in a process of its own; `Internet.call` runs these."""

import ctypes
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from batuta.runtime.sandbox.confinement import (
    LAYERS_OF,
    Confined,
    Confinement,
    GatewayHandle,
    Level,
)
from batuta.runtime.sandbox.filtered import dial_to
from batuta.runtime.sandbox.places import PACKAGE_ROOT
from tests.attacks import probes, sinks
from tests.attacks.harness import run_in_worker

GROUPS = {
    "egress": probes.EGRESS,
    "escapes": probes.ESCAPES,
    "files": probes.FILES,
    "works": probes.WORKS,
    "clients": probes.CLIENTS,
}
_SECRET = ctypes.create_string_buffer(b"SECRET!!")


def control() -> list[str]:
    """Reach the evil sink as the supervisor, so that later silence means something."""
    reached = []
    for address in ((sinks.EVIL, 443), (sinks.EVIL, 80), (sinks.EVIL_6, 80), (sinks.METADATA, 80)):
        with socket.create_connection(address, 5):
            reached.append(address[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.sendto(b"CONTROL", (sinks.EVIL, 443))
    return reached


def confinement(
    folder: Path, level: str, *, gateway: bool = False, without: list[str] | None = None,
    dial: Callable[[], socket.socket] | None = None,
) -> Confinement:  # fmt: skip
    """Return a confinement of the source and staging below `folder`."""
    chosen = Level(level)
    return Confinement(
        level=chosen,
        read_paths=(str(folder / "source"),),
        write_paths=(str(folder / "staging"),),
        gateway=GatewayHandle(dial=dial) if gateway else None,
        env={"LC_ALL": "C.UTF-8", "TZ": "UTC", "HTTPS_PROXY": "http://127.0.0.1:3128"},
        layers=LAYERS_OF[chosen] - set(without or ()),
    )


@contextmanager
def places() -> Iterator[Path]:
    """Yield a folder with a source, an empty staging, and secrets that anybody may read."""
    with tempfile.TemporaryDirectory(prefix="batuta-attacks-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for each in ("source", "staging", "secrets/.aws", "secrets/.kube"):
            (folder / each).mkdir(parents=True)
        (folder / "source" / "rows.csv").write_text("a\n1\n")
        for secret in (".aws/credentials", ".kube/config"):
            (folder / "secrets" / secret).write_text("SECRET")
        yield folder


class Neighbourhood:
    """What a host has that a worker must not reach: a port on loopback and path sockets."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.reached: list[str] = []
        self.path = str(folder / "docker.sock")
        self.abstract = f"batuta-attacks-{os.getpid()}"
        loopback = socket.create_server(("127.0.0.1", 0))
        self.port = loopback.getsockname()[1]
        stream, abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
        stream.bind(self.path)
        os.chmod(self.path, 0o777)
        abstract.bind("\0" + self.abstract)
        for name, opened in (("loopback", loopback), ("path", stream), ("abstract", abstract)):
            opened.listen(8)
            stack.enter_context(closing(opened))
            threading.Thread(target=self._serve, args=(name, opened), daemon=True).start()

    def _serve(self, name: str, opened: socket.socket) -> None:
        try:
            while True:
                with opened.accept()[0]:
                    self.reached.append(name)
        except OSError:
            return


def attempts(
    groups: list[str], level: str | None, gateway: bool = False,
    without: list[str] | None = None, names: list[str] | None = None, daemon_s: float = 0,
) -> dict[str, Any]:  # fmt: skip
    """Run groups of attempts in one worker; return their outcomes and what was reached here.

    `level` None: without any walls. At *filtered* connects come to a gateway that says nothing
    and counts them.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(places())
        near = Neighbourhood(stack, folder)
        # Inheritable, and already connected: an easy prize if it were passed on.
        prize = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        prize.connect(("127.0.0.1", 9))
        prize.set_inheritable(True)
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        dials: list[int] = []
        host, port = silent.getsockname()

        def dial() -> socket.socket:
            dials.append(1)
            opened = dial_to((host, port))()
            silent.accept()[0].close()
            return opened

        filled = {
            "host_port": near.port, "path_socket": near.path, "abstract": near.abstract,
            "supervisor": os.getpid(), "address": ctypes.addressof(_SECRET), "daemon_s": daemon_s,
            "staging": folder / "staging", "source": folder / "source" / "rows.csv",
            "folder": folder / "source", "secrets": folder / "secrets", "other_uid": 54321,
            "package": Path(PACKAGE_ROOT) / "batuta" / "__init__.py",
        }  # fmt: skip
        code: dict[str, str] = {}
        for group in groups:
            code |= probes.attempts(GROUPS[group], **filled)
        code = {name: text for name, text in code.items() if names is None or name in names}
        walls = None
        if level is not None:
            walls = confinement(folder, level, gateway=gateway, without=without, dial=dial)
        done = run_in_worker(code, walls, timeout_s=120)
        staged = sorted(p.name for p in (folder / "staging").iterdir())
    return {**done.document(), "reached": near.reached, "dials": len(dials), "staged": staged}


def gateway_round(level: str) -> dict[str, Any]:
    """Let a worker speak to a tiny gateway, blocking and with asyncio; return what both saw."""
    heard: list[str] = []
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        listener.settimeout(0.2)
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                heard.append(connection.recv(100).decode())
                connection.sendall(b"answer")

    def during(worker: Confined) -> None:
        if worker.listener is not None:
            threading.Thread(target=serve, args=(worker.listener,), daemon=True).start()

    code = probes.attempts(probes.GATEWAY)
    with places() as folder, socket.create_server(("127.0.0.1", 0)) as outer:
        threading.Thread(target=serve, args=(outer,), daemon=True).start()
        dial = dial_to(outer.getsockname()[:2])
        walls = confinement(folder, level, gateway=True, dial=dial)
        done = run_in_worker(code, walls, during=during)
        time.sleep(0.3)
        stop.set()
    return {**done.document(), "heard": heard}
