"""Forks workers from a process that has imported everything, instead of starting Python anew.

    python -m tests.acceptance.nursery FD

forks what is asked for over the socket FD until that is closed. A test starts half a dozen
workers, and one that is exec'ed costs half a second of a slow core for imports. Only
`subprocess.Popen` of the warden is replaced: what is forked runs the code that stands in the same
argv, with the same environment and the channel as its only descriptor, in a session of its own.
It has no walls, so its level must be *advisory*; tests of walls do without a nursery.

Whoever has a nursery has no threads, is the parent of all workers, and hears of their end; it
never ends one that a case has left, before it has said so.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session

import batuta
from batuta.cli.main import main
from batuta.connectors.aws import client
from batuta.manifest import adapters, kinds
from batuta.runtime.sandbox import levels
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Choice
from batuta.runtime.worker import warden
from tests.acceptance.engines import prepare_workers, set_sizes

_MOST_BYTES = 1 << 16
_CODE = 4
"""Where the code stands in the argv of a worker: after the interpreter and its two options."""
_NUMBER = struct.Struct("<i")


of_module: socket.socket | None = None
"""The way to the nursery of the tests that run now, None where they do without one."""


@dataclass
class Nursery:
    """The launcher's side: the workers that it forked and that have not ended yet."""

    _ends: dict[int, tuple[int, socket.socket]] = field(default_factory=dict)
    """Of each worker, by the descriptor of its process: its number, and who hears of its end."""

    def tend(self, child: int, asked: socket.socket) -> int:
        """Fork what a child asks for until the child ends; return its exit code, or -signal."""
        ended = os.pidfd_open(child)
        try:
            while True:
                watched: list[Any] = [ended, asked, *self._ends]
                ready, _, _ = select.select(watched, [], [])
                self._reap(ready)
                if ended in ready:
                    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if asked in ready:
                    self._fork(asked)
        finally:
            os.close(ended)

    def serve(self, asked: socket.socket) -> None:
        """Fork what is asked for until nobody is there to ask; then end what is left."""
        while True:
            watched: list[Any] = [asked, *self._ends]
            ready, _, _ = select.select(watched, [], [])
            self._reap(ready)
            if asked in ready and not self._fork(asked):
                break
        self.end()

    def left(self, wait_s: float) -> list[int]:
        """Return the workers that still run after `wait_s` seconds at the most."""
        while self._ends:
            ready, _, _ = select.select([*self._ends], [], [], wait_s)
            if not ready:
                break
            self._reap(ready)
        return [number for number, _ in self._ends.values()]

    def end(self) -> None:
        """End what is left, so that the next case begins with nothing."""
        for process in self._ends:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        self.left(wait_s=10.0)

    def _reap(self, ready: Sequence[Any]) -> None:
        for process in [one for one in ready if one in self._ends]:
            number, told = self._ends.pop(process)
            code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
            with told, contextlib.suppress(OSError):  # a dead driver does not hear it
                told.sendall(_NUMBER.pack(code))
            os.close(process)

    def _fork(self, asked: socket.socket) -> bool:
        """Fork one worker; False where nobody asks any more."""
        body, passed, _, _ = socket.recv_fds(asked, _MOST_BYTES, 2)
        if not body:
            return False
        channel, told = passed
        wanted = json.loads(body)  # here, where one that was cut off ends the nursery and no child
        number = os.fork()
        if number == 0:
            _become(wanted, channel)
        os.close(channel)
        process = os.pidfd_open(number)
        self._ends[process] = number, socket.socket(fileno=told)
        with contextlib.suppress(OSError):  # the driver may be dead by now
            socket.send_fds(self._ends[process][1], [_NUMBER.pack(number)], [process])
        return True


def _become(wanted: Mapping[str, Any], channel: int) -> None:
    """Be a process that was just started: nothing of the launcher's, then the code of its argv."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        os.environ.clear()
        os.environ.update(wanted["env"])
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.dup2(channel, wanted["channel"])
        os.closerange(3, wanted["channel"])
        os.closerange(wanted["channel"] + 1, os.sysconf("SC_OPEN_MAX"))
        sys.argv = ["-c", *wanted["argv"][_CODE:]]
        exec(wanted["argv"][_CODE - 1], {"__name__": "__main__"})
        code = 0
    finally:
        os._exit(code)


class Forked:
    """A forked worker, as the driver knows it: what `subprocess.Popen` is to an exec'ed one."""

    def __init__(
        self, asked: socket.socket, argv: Sequence[str], *, pass_fds: Sequence[int],
        env: Mapping[str, str], **_as_always: object,
    ) -> None:  # fmt: skip
        (channel,) = pass_fds
        body = json.dumps({"argv": argv, "env": dict(env), "channel": channel}).encode()
        self._told, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(asked, [body], [channel, theirs.fileno()])
        number, (self._process,), _, _ = socket.recv_fds(self._told, _NUMBER.size, 1)
        (self.pid,) = _NUMBER.unpack(number)
        self.returncode: int | None = None

    def kill(self) -> None:
        """Send SIGKILL; nothing happens where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; return the exit code, or -signal. TimeoutError where it is late."""
        if self.returncode is None:
            self._told.settimeout(timeout_s)
            (self.returncode,) = _NUMBER.unpack(self._told.recv(_NUMBER.size))
            self._told.close()
            os.close(self._process)
        return self.returncode


def popen(asked: socket.socket) -> Any:
    """Return what stands in for `subprocess` in the warden: its workers are forked."""

    def started(argv: Sequence[str], **named: Any) -> Forked:
        return Forked(asked, argv, **named)

    return SimpleNamespace(Popen=started, DEVNULL=subprocess.DEVNULL)


def run(
    asked: socket.socket,
    arguments: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    timeout_s: float,
    before: str = "",
) -> "subprocess.CompletedProcess[str]":
    """Run the program in a forked process with forked workers; return how it ended.

    `before` is code that is run in it first; then both streams are one, as in `Space.run`.

    Raises:
        subprocess.TimeoutExpired: It was ended.
    """
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "out" if before else "err")
        code = "from tests.acceptance.nursery import be_program; be_program()"
        argv = ["python", "-c", code, str(asked.fileno()), str(folder), str(out), str(err), before]
        process = Forked(asked, ["", *argv, *arguments], pass_fds=[asked.fileno()], env=env)
        try:
            ended = process.wait(timeout_s)
        except TimeoutError:
            process.kill()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s) from None
        texts = [path.read_text("utf-8", errors="replace") for path in (out, err)]
    return subprocess.CompletedProcess(list(arguments), ended, *texts)


def be_program() -> None:
    """Be the program: in a folder, with the streams that argv names and nobody at the keyboard."""
    channel, folder, out, err, before, *arguments = sys.argv[1:]
    without_walls(socket.socket(fileno=int(channel)))
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
        for number in (1, 2)
    )
    code = 1
    try:
        exec(before, {"set_sizes": set_sizes, "prepare_workers": prepare_workers})
        code = main(arguments)
    except BaseException:  # noqa: BLE001 - the process ends here, and says why
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def without_walls(asked: socket.socket) -> None:
    """Fork the workers of this process; a level with walls would start a process to put them up."""
    levels.choose = advisory  # type: ignore[assignment]  # it takes less and gives the same
    setattr(warden, "subprocess", popen(asked))  # noqa: B010 - a name that it only uses


def advisory(*_need: object) -> Choice:
    """Choose the level without walls, whatever is needed."""
    return Choice(level=Level.ADVISORY)


def prepare() -> None:
    """Import and build once what each worker would otherwise."""
    for name in ("pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "s3fs", "wasmtime"):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(batuta.__path__, "batuta."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    for kind in kinds.KINDS:
        adapters.adapter(kind)
    _describe_s3()
    gc.freeze()  # a collection in a child would copy every page that it looks at


def _describe_s3() -> None:
    """Read the vendor's description of S3 into what all clients share; no thread, no request."""
    session = botocore.session.Session()
    session.register_component("data_loader", client._loader())
    session.set_credentials("none", "none")
    session.create_client("s3", region_name="us-east-1")


if __name__ == "__main__":
    prepare()
    with socket.socket(fileno=int(sys.argv[1])) as way:
        Nursery().serve(way)
