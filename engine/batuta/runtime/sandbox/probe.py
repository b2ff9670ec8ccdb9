"""Which levels this machine gives: found by starting a tiny worker at each and letting it try.

No version is compared and no setting believed. A part that a level can do without is taken away
and noted where its step fails; a level whose worker gets out, or cannot work, is not given.
"""

import contextlib
import json
import os
import select
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from batuta.model.diagnostic import BatutaError
from batuta.runtime.sandbox import kernel, landlock, request
from batuta.runtime.sandbox.confinement import (
    GATEWAY_PORT,
    LAYERS_OF,
    REQUIRED_OF,
    Confinement,
    GatewayHandle,
    Level,
    SetupFailed,
    launch,
    nft_program,
)
from batuta.runtime.sandbox.filtered import dial_to

_ANSWER_WAIT_S = 20.0

# Each line of the answer is True where the attempt succeeded.
_TINY = """
import json, os, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
port, secret, source, staging = json.loads(sys.argv[2])
def tried(attempt):
    try:
        attempt()
        return True
    except OSError:
        return False
def write(folder):
    with open(os.path.join(folder, "probe"), "w") as file:
        file.write("x")
def connect(kind):
    with socket.socket(socket.AF_INET, kind) as made:
        made.settimeout(5)
        made.connect(("127.0.0.1", port))
        made.sendall(b"probe")
channel.sendall(json.dumps({
    "tcp": tried(lambda: connect(socket.SOCK_STREAM)),
    "udp": tried(lambda: connect(socket.SOCK_DGRAM)),
    "unix": tried(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)),
    "vsock": tried(lambda: socket.socket(40, socket.SOCK_STREAM)),
    "elsewhere": tried(lambda: open(secret)),
    "source": tried(lambda: open(source)),
    "overwrite": tried(lambda: open(source, "a")),
    "staging": tried(lambda: write(staging)),
    "scratch": tried(lambda: write(os.environ["TMPDIR"])),
}).encode())
"""
_WORKS = frozenset({"source", "staging", "scratch"})
_WORDS = {
    "tcp": "a TCP connection",
    "udp": "a UDP socket",
    "unix": "a unix socket",
    "vsock": "a vsock socket",
    "elsewhere": "reading a file that was not named",
    "source": "reading the source",
    "overwrite": "writing to the source",
    "staging": "writing to staging",
    "scratch": "writing to its scratch folder",
}


NO_NFT = "nft is not installed"
"""Why nftables is missing where it is its tool that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What trying one level gave.

    `layers` are those that stood; `lost` says for each that could not be put up why. `step`,
    `errno` and `reason` say why the level is not given; they are empty where it is.
    """

    given: bool
    layers: frozenset[str] = frozenset()
    lost: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    step: str = ""
    errno: int = 0
    reason: str = ""


@cache
def finding(level: Level) -> Finding:
    """Try a level, once for this process."""
    return try_level(level)


def layers_here(level: Level) -> frozenset[str]:
    """Return the layers with which a level stands here.

    Raises:
        SetupFailed: EGR202, this machine does not give the level.
    """
    found = finding(level)
    if not found.given:
        raise SetupFailed(level, found.step, found.errno, found.reason)
    return found.layers


def try_level(level: Level) -> Finding:
    """Start a tiny worker at a level and return what came of it."""
    if level is Level.ADVISORY:
        return Finding(given=True)
    if sys.platform != "linux" or not kernel.supported():
        here = f"{sys.platform} on {os.uname().machine}"
        return Finding(given=False, step="system", reason=f"this is {here}")
    lost = _absent(level)
    while True:
        layers = LAYERS_OF[level] - lost.keys()
        if missing := REQUIRED_OF[level] & lost.keys():
            step = min(missing)
            return Finding(given=False, step=step, reason=lost[step])
        try:
            breach = _breach(level, layers)
        except SetupFailed as failed:
            if failed.step in layers - REQUIRED_OF[level]:
                lost[failed.step] = failed.text
                continue
            return Finding(
                given=False, step=failed.step, errno=failed.errno, reason=failed.text,
                lost=MappingProxyType(lost),
            )  # fmt: skip
        except BatutaError as error:
            breach = error.diagnostics[0].detail
        except OSError as error:
            breach = f"the supervisor's own part failed: {error.strerror}"
        if breach is not None:
            return Finding(given=False, step="probe", reason=breach, layers=layers)
        return Finding(given=True, layers=layers, lost=MappingProxyType(lost))


def _absent(level: Level) -> dict[str, str]:
    """Layers of which it is known without a try that they are not there."""
    lost = {}
    wanted = LAYERS_OF[level]
    if request.LANDLOCK in wanted and not landlock.abi():
        lost[request.LANDLOCK] = "the kernel has no Landlock, or it is switched off"
    if request.NFTABLES in wanted and nft_program() is None:
        lost[request.NFTABLES] = NO_NFT
    return lost


def _breach(level: Level, layers: frozenset[str]) -> str | None:
    """Start the tiny worker; return what it could do and must not, or could not and must."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="batuta-probe-")))
        for name in ("secret", "source"):
            (folder / name).write_text(name)
        (folder / "staging").mkdir()
        way, outer = None, None
        if level is not Level.SEALED:
            outer = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            host, port = outer.getsockname()
            way = GatewayHandle(dial=dial_to((host, port)))
        paths = [str(folder / name) for name in ("secret", "source", "staging")]
        confinement = Confinement(
            level=level, read_paths=(paths[1],), write_paths=(paths[2],), gateway=way, layers=layers
        )
        asked = json.dumps([GATEWAY_PORT, *paths])
        answer, listener_got = stack.enter_context(_ran(confinement, asked, outer))
    if answer is None:
        return "the worker ended without an answer"
    done = {name for name, succeeded in answer.items() if succeeded}
    works = _WORKS | {"tcp"} if way is not None else _WORKS
    if failed := works - done:
        return f"{_WORDS[min(failed)]} did not work"
    if got_out := done - works:
        return f"{_WORDS[min(got_out)]} was possible"
    if way is not None and not listener_got:
        return "a connection did not end at the gateway"
    return None


@contextlib.contextmanager
def _ran(
    confinement: Confinement, asked: str, outer: socket.socket | None
) -> Iterator[tuple[dict[str, bool] | None, bool]]:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            argv = [sys.executable, "-I", "-S", "-c", _TINY, str(theirs.fileno()), asked]
            worker = launch(argv, theirs.fileno(), confinement)
        try:
            ours.settimeout(_ANSWER_WAIT_S)
            gateway = worker.listener or outer
            body = _body(ours)
            # The backlog holds the connection although nobody has accepted it yet.
            arrived = gateway is not None and bool(select.select([gateway], [], [], 0)[0])
            yield (json.loads(body) if body else None), arrived
        finally:
            worker.kill()
            worker.wait()
            if worker.listener is not None:
                worker.listener.close()


def _body(channel: socket.socket) -> bytes:
    try:
        return channel.recv(65536)
    except (TimeoutError, ConnectionResetError):
        return b""
