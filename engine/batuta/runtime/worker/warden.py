"""Starts workers for their postings: behind the walls of the level that each needs.

What is started sees the folders that it was posted to, the interpreter, and no way out but the
listener that the run's gateway serves. Where a tier goes on without walls, an ordinary process
is started, and its level says so.
"""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import batuta
from batuta.model.diagnostic import BatutaError
from batuta.runtime.mover_request import Proxy
from batuta.runtime.sandbox import levels, places
from batuta.runtime.sandbox.confinement import (
    Confined,
    Confinement,
    GatewayHandle,
    Level,
    launch,
)
from batuta.runtime.sandbox.levels import Choice
from batuta.runtime.worker.gate import Gate, Refusal
from batuta.runtime.worker.posting import Errand, Posting, Role
from batuta.runtime.worker.wire import Limits

if TYPE_CHECKING:
    from batuta.runtime.egress.session import Door
    from batuta.runtime.egress.station import WorkerIdentity

ROOT = str(Path(batuta.__file__).resolve().parent.parent)
WORKER_CODE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.dont_write_bytecode = True; "
    "from batuta.runtime.worker.main import main; main()"
)
_PASSED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "SYSTEMROOT")
_numbers = itertools.count(1)

Identity = tuple[int, int] | None


@dataclass(eq=False, kw_only=True)
class Worker:
    """A running worker. `seen` says which file each of its paths was when it started."""

    process: "subprocess.Popen[bytes] | Confined"
    channel: socket.socket
    posting: Posting
    choice: Choice
    seen: Mapping[str, Identity]
    name: str
    door: "Door | None" = None
    refusals: list[Refusal] = field(default_factory=list)

    def fits(self, errand: Errand) -> bool:
        """True where it was posted to such work and still sees what the errand is about."""
        return self.posting == errand.posting and self.sees(errand.uses)

    def sees(self, paths: Sequence[str]) -> bool:
        """True where these paths are what they were; a mount shows what was there, not the name."""
        return all(path in self.seen and identity_of(path) == self.seen[path] for path in paths)

    def kill(self) -> None:
        """End it without waiting; the channel stays, so that whoever waits on it learns of it."""
        with contextlib.suppress(OSError):
            self.process.kill()

    def refused(self, refusal: Refusal) -> None:
        """Hear of a connection that was refused; where the policy says so, that is its end."""
        self.refusals.append(refusal)
        if self.posting.stop:
            with contextlib.suppress(OSError):
                self.channel.shutdown(socket.SHUT_RDWR)

    @property
    def stopped(self) -> bool:
        """True where a refused connection is its end."""
        return self.posting.stop and bool(self.refusals)

    def settle(self) -> bool:
        """Wait until all that it tried has a verdict; False where it is to be ended."""
        return self.door is None or self.door.settle(drain=self.posting.stop)

    def serve(self, errand: Errand) -> None:
        """Work for an errand from now on."""
        if self.door is not None:
            self.door.assign(_identity(errand, self.name))

    def end(self) -> None:
        """Kill and reap; then its way out is closed."""
        self.kill()
        self.channel.close()
        self.process.wait()
        if self.door is not None:
            self.door.close()


@dataclass
class Warden:
    """Starts workers. `limits` are the bounds that each puts on itself, `gate` is the way out."""

    limits: Limits = field(default_factory=Limits)
    gate: Gate | None = None

    def start(self, errand: Errand) -> Worker:
        """Start a worker for an errand's posting.

        Raises:
            BatutaError: EGR201, the level that it needs cannot be had; EGR202, it could not be
                put up; EGR203, a path that the errand needs cannot be opened. Nothing runs.
        """
        posting = errand.posting
        choice = levels.choose(posting.need)
        if choice.enforced:
            for path in errand.uses:
                places.check([path] if os.path.exists(path) else [])
        seen = {path: identity_of(path) for path in (*posting.read, *posting.write)}
        name = f"{posting.role}-{next(_numbers)}"
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                start = _Start(posting, choice, theirs.fileno(), self.limits)
                process, door = self._started(start, errand, name, undo)
            undo.pop_all()
        worker = Worker(
            process=process, channel=ours, posting=posting, choice=choice, seen=seen, name=name,
            door=door,
        )  # fmt: skip
        if self.gate is not None and door is not None:
            self.gate.watch(name, worker.refused)
        return worker

    def _started(
        self, start: "_Start", errand: Errand, name: str, undo: contextlib.ExitStack
    ) -> "tuple[subprocess.Popen[bytes] | Confined, Door | None]":
        """Start a process, with the door in the wall that its level allows."""
        way, level = start.posting.way, start.choice.level
        if way is None:
            return start.process(None, None), None
        assert self.gate is not None, "a way out needs a run"
        from batuta.runtime.egress.gateway import LOOPBACK
        from batuta.runtime.egress.session import INSIDE

        gateway = self.gate.gateway
        mine: dict[str, Any] = {
            "worker": _identity(errand, name), "policy": way.policy, "whole": way.whole,
            "keeps": way.keeps,
            "credentials": way.credentials if start.choice.enforced else None,
        }  # fmt: skip
        handle: GatewayHandle | None = None
        if level is Level.ISOLATED:
            handle = GatewayHandle()
            inside = start.process(handle, Proxy(*INSIDE, str(gateway.ca_file)))
            assert isinstance(inside, Confined)
            assert inside.listener is not None
            undo.callback(inside.wait)
            undo.callback(inside.kill)
            return inside, gateway.serve(inside.listener, **mine)
        if level is Level.FILTERED:
            door = gateway.serve_private(**mine)
            undo.callback(door.close)
            handle = GatewayHandle(dial=door.dial)
        else:
            # Nothing holds such a worker to it; what goes this way is judged and in the log.
            door = gateway.serve(socket.create_server((LOOPBACK, 0), backlog=128), **mine)
            undo.callback(door.close)
        return start.process(handle, Proxy(*door.address, str(gateway.ca_file))), door


@dataclass(frozen=True, slots=True)
class _Start:
    """What a process is started with, whatever its way out."""

    posting: Posting
    choice: Choice
    channel: int
    limits: Limits

    def process(
        self, way: GatewayHandle | None, proxy: Proxy | None
    ) -> "subprocess.Popen[bytes] | Confined":
        argv = [
            sys.executable, "-I", "-c", WORKER_CODE, ROOT, str(self.channel),
            msgspec.json.encode(self.limits).decode(), msgspec.json.encode(proxy).decode(),
        ]  # fmt: skip
        env, read = environment(), self.posting.read
        if proxy is not None and proxy.ca_file is not None:
            from batuta.runtime.egress.session import client_environment

            env |= client_environment((proxy.host, proxy.port), proxy.ca_file)
            read = (*read, proxy.ca_file)
        if not self.choice.enforced:
            return subprocess.Popen(
                argv, pass_fds=(self.channel,), env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        confinement = Confinement(
            level=self.choice.level, layers=self.choice.layers, env=env, gateway=way,
            read_paths=tuple(_open(read)), write_paths=tuple(_open(self.posting.write)),
        )  # fmt: skip
        return launch(argv, self.channel, confinement)


def _identity(errand: Errand, worker: str) -> "WorkerIdentity":
    """Return whose connections a worker's are while it is on an errand.

    Budgets are a dataset's; those of an upload are for one pass.
    """
    from batuta.runtime.egress.station import WorkerIdentity

    once = f"#{next(_numbers)}" if errand.posting.role is Role.UPLOAD else ""
    return WorkerIdentity(
        action=errand.action, dataset=errand.dataset, worker=worker,
        budget=f"{errand.posting.role}:{errand.dataset}{once}",
    )  # fmt: skip


def environment() -> dict[str, str]:
    """Return the whole environment of a worker; HOME is there to spell paths with."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**passed, "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": os.path.expanduser("~")}


def identity_of(path: str) -> Identity:
    """Return which file a path names now, None where it names none that can be seen."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open(paths: Sequence[str]) -> Iterator[str]:
    """Yield the paths that can be opened: one that cannot is the trouble of its own dataset."""
    for path in paths:
        if os.path.exists(path):
            with contextlib.suppress(BatutaError):
                places.check([path])
                yield path
