"""A world with an internet in it, and code that runs in a worker of that world.

    with Internet() as internet:
        internet.call("tests.attacks.scenes:attempts", level="sealed", names=[...])
        assert internet.seen() == []

`call` runs a function as a supervisor inside; that one uses `run_in_worker`.
"""

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batuta.runtime.sandbox.confinement import Confined, Confinement, launch
from batuta.runtime.sandbox.places import PACKAGE_ROOT

ROOT = Path(__file__).resolve().parents[2]
SOMEBODY = 23_456  # a uid that no account of the machine has
_SETTLE_S = 0.3

_PROBE = """
import sys; sys.path.insert(0, sys.argv.pop(1)); sys.dont_write_bytecode = True
import errno, json, os, socket
from batuta.runtime.worker import main as _
from batuta.runtime.worker.limits import confine
channel = socket.socket(fileno=int(sys.argv[1]))
if os.path.exists("/proc/self/status"):
    confine(2 * 1024 * 1024 * 1024)
told = []
for name, code in json.loads(sys.argv[2]).items():
    given = {"channel": channel}
    try:
        exec(code, given)
        told.append([name, True, "", str(given.get("result", ""))])
    except OSError as error:
        told.append([name, False, errno.errorcode.get(error.errno, str(error.errno)), str(error)])
    except Exception as error:
        told.append([name, False, type(error).__name__, str(error)])
channel.sendall(json.dumps(told).encode() + b"\\n")
channel.shutdown(socket.SHUT_WR)
channel.recv(1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attempt came to: `done` where it raised nothing, else the name of the error."""

    name: str
    done: bool
    error: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What the attempts came to, in order; None where the worker ended before it could say."""

    outcomes: tuple[Outcome, ...] | None
    returncode: int

    def document(self) -> dict[str, Any]:
        """Return it for the way back from `Internet.call`."""
        return asdict(self)


def run_in_worker(
    code: str | dict[str, str],
    confinement: Confinement | None,
    *,
    during: Callable[[Confined], None] | None = None,
    timeout_s: float = 60,
) -> ProbeResult:
    """Run attempts by name in one worker; each may leave a `result`. None: without any walls.

    `during` is called when the worker runs, with its process (and its listener).
    """
    attempts = {"code": code} if isinstance(code, str) else code
    ours, theirs = socket.socketpair()
    argv = [
        sys.executable, "-I", "-c", _PROBE, PACKAGE_ROOT, str(theirs.fileno()),
        json.dumps(attempts),
    ]  # fmt: skip
    with ours:
        with theirs:
            worker: Any = (
                subprocess.Popen(argv, pass_fds=(theirs.fileno(),), stdout=subprocess.DEVNULL)
                if confinement is None
                else launch(argv, theirs.fileno(), confinement)
            )
        try:
            if during is not None:
                during(worker)
            told = _line(ours, timeout_s)
        finally:
            worker.kill()
            code_of_end = worker.wait()
            if confinement is not None and worker.listener is not None:
                worker.listener.close()
    outcomes = None
    if told:
        names = ("name", "done", "error", "text")
        rows = json.loads(told)
        outcomes = tuple(Outcome(**dict(zip(names, row, strict=True))) for row in rows)
    return ProbeResult(outcomes=outcomes, returncode=code_of_end)


def _line(channel: socket.socket, timeout_s: float) -> bytes:
    body = b""
    deadline = time.monotonic() + timeout_s
    while not body.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([channel], [], [], left)[0]:
            return b""
        with contextlib.suppress(ConnectionResetError):
            step = channel.recv(65536)
            if step:
                body += step
                continue
        return b""
    return body


class Internet:
    """Sinks on public addresses, in namespaces of their own, for as long as it is entered."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="batuta-internet-"))
        self.folder.chmod(0o755)
        self._world = subprocess.Popen(
            [sys.executable, "-m", "tests.attacks.world", str(self.folder)], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(),
        )  # fmt: skip
        assert self._world.stdout is not None
        said = self._world.stdout.readline()
        assert said, "the world was not made; its error is above"
        self.supervisor = int(json.loads(said)["supervisor"])
        self._read = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._world.communicate("")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def ca_file(self) -> Path:
        """The authority whose certificates the TLS sinks show."""
        return self.folder / "authority.pem"

    def command(self, target: str, *, uid: int | None = None, **arguments: Any) -> list[str]:
        """Return the command that runs `module:function` as a supervisor of this world."""
        who = "-" if uid is None else str(uid)
        driver = [sys.executable, "-m", "tests.attacks.driver", str(self.supervisor)]
        return [*driver, who, target, json.dumps(arguments)]

    def call(self, target: str, *, uid: int | None = None, **arguments: Any) -> Any:
        """Run `module:function` as a supervisor of this world; return what it returned."""
        return _said(self.command(target, uid=uid, **arguments))

    def seen(self) -> list[dict[str, Any]]:
        """Return what reached a sink since the last call, after a moment for what is under way."""
        time.sleep(_SETTLE_S)
        lines = (self.folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        new, self._read = lines[self._read :], len(lines)
        return [json.loads(line) for line in new]


def call_here(target: str, *, uid: int | None = None, **arguments: Any) -> Any:
    """Run `module:function` in a process of its own on this machine, without an internet."""
    who = "-" if uid is None else str(uid)
    driver = [sys.executable, "-m", "tests.attacks.driver", "-", who]
    return _said([*driver, target, json.dumps(arguments)])


def _said(command: list[str]) -> Any:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=_environment()
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-500:]
    return json.loads(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TMPDIR")}
    return {
        **kept,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{PACKAGE_ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def users() -> list[int | None]:
    """Return whom to run as: who runs the tests, and, where that is root, somebody else too."""
    return [None, SOMEBODY] if os.geteuid() == 0 else [None]
