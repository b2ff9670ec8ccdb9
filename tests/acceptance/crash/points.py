"""The points at which a run may die: every call that makes something durable or visible.

The real functions are wrapped; each call is counted by kind, and the process is killed with
SIGKILL right before or right after the one that the spec names. Only the standard library is
imported here, since the worker runs this before anything else.
"""

import ctypes
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

DRIVER, WORKER = "driver", "worker"
_TOGETHER = "with its driver"
_LOOK_S = 0.002
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One call: the process it is made in, its kind, and which one of that kind it is, from 1."""

    process: str
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.process} {self.kind} {self.number}"


@dataclass(frozen=True, slots=True)
class Kill:
    """Where to die. `together` takes the driver along when a worker is killed."""

    point: Point
    when: str
    together: bool = False

    def __str__(self) -> str:
        return f"{self.when} {self.point}{' with its driver' if self.together else ''}"


@dataclass(frozen=True, slots=True)
class Spec:
    """What one run counts, into which file, and where it dies; `case` marks its workers.

    `driver` is the process that a worker without walls takes along, 0 where it cannot.
    """

    case: str
    trace: str
    kill: Kill | None = None
    driver: int = 0

    def text(self) -> str:
        """Return the spec as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Return the spec that `text` stands for."""
        found = json.loads(text)
        kill = found["kill"]
        if kill is not None:
            kill = Kill(Point(**kill["point"]), kill["when"], kill["together"])
        return cls(found["case"], found["trace"], kill, found["driver"])


class Counters:
    """Counts calls in one process and kills it where the spec says so."""

    def __init__(self, process: str, spec: Spec) -> None:
        self._process = process
        self._kill = spec.kill
        self._driver = spec.driver
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._trace = os.open(spec.trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def wrap(
        self, owner: Any, name: str, kind: str, counts: Callable[..., bool] | None = None
    ) -> None:
        """Put a counting function in the place of `owner.name`; `counts` says which calls count."""
        real = getattr(owner, name)

        def counted(*args: Any, **named: Any) -> Any:
            if counts is not None and not counts(*args, **named):
                return real(*args, **named)
            return self.pass_through(kind, lambda: real(*args, **named))

        setattr(owner, name, counted)

    def wrap_async(self, owner: Any, name: str, kind: str, counts: Callable[..., bool]) -> None:
        """Do the same for a coroutine, which ends in the thread that it began in."""
        real = getattr(owner, name)

        async def counted(*args: Any, **named: Any) -> Any:
            if not counts(*args, **named):
                return await real(*args, **named)
            point = self._next(kind)
            self._reach(point, BEFORE)
            answer = await real(*args, **named)
            self._reach(point, AFTER)
            return answer

        setattr(owner, name, counted)

    def pass_through(self, kind: str, work: Callable[[], Any]) -> Any:
        """Run `work` as the next call of `kind`."""
        point = self._next(kind)
        self._reach(point, BEFORE)
        answer = work()
        self._reach(point, AFTER)
        return answer

    def _next(self, kind: str) -> Point:
        with self._lock:
            self._counts[kind] += 1
            point = Point(self._process, kind, self._counts[kind])
            self._write(f"reached {point}")
        return point

    def _reach(self, point: Point, when: str) -> None:
        if self._kill is None or self._kill.point != point or self._kill.when != when:
            return
        self._write(f"killed {point}")
        if self._kill.together and self._driver:
            os.kill(self._driver, signal.SIGKILL)
        elif self._kill.together:
            # A confined worker cannot end its driver, who looks for this line and takes it along.
            self._write(_TOGETHER)
            os.kill(os.getpid(), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()  # another thread may be the one that the signal meets

    def _write(self, text: str) -> None:
        os.write(self._trace, f"{text}\n".encode())


def arm_driver(spec: Spec) -> None:
    """Count, and perhaps die, in this process: the driver's files, journal, lease and requests."""
    from aiobotocore.client import AioBaseClient

    from batuta.runtime.sandbox import confinement
    from batuta.runtime.state import lease, store
    from batuta.runtime.worker import pool, warden

    counters = Counters(DRIVER, spec)
    _arm_files(counters)
    counters.wrap(store.StateStore, "_commit", "journal", lambda _self, batch: bool(batch))
    counters.wrap(lease.LeaseKeeper, "__enter__", "lease")
    counters.wrap(lease.LeaseKeeper, "__exit__", "unlease")
    counters.wrap_async(AioBaseClient, "_make_api_call", "request", _writes)
    _arm_receipts(counters, pool.WorkerPool)
    warden.WORKER_CODE = worker_code(spec)
    real = confinement.launch

    def launch(argv: Any, channel: int, walls: Any) -> Any:
        """Let the worker see this module, and write its trace."""
        return real(
            argv, channel,
            replace(
                walls, read_paths=(*walls.read_paths, _HERE),
                write_paths=(*walls.write_paths, spec.trace),
            ),
        )  # fmt: skip

    setattr(warden, "launch", launch)  # noqa: B010 - a name that the module only uses
    if spec.kill is not None and spec.kill.together and not spec.driver:
        threading.Thread(target=_die_along, args=(spec.trace,), daemon=True).start()


def _die_along(trace: str) -> None:
    """End this process as soon as a worker says that it would have."""
    while True:
        with open(trace, encoding="utf-8") as file:
            if _TOGETHER in file.read():
                os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait(_LOOK_S)


# The folder itself, since a worker may list no folder above those that it may read.
_HERE = os.path.dirname(os.path.abspath(__file__))


def _writes(_client: Any, operation: str, *_more: Any, **_named: Any) -> bool:
    return not operation.startswith(("Get", "Head", "List"))


def worker_code(spec: Spec) -> str:
    """Return the code of a worker that counts, and perhaps dies, as the spec says."""
    return (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.dont_write_bytecode = True; "
        f"sys.path.insert(1, {_HERE!r}); import points; "
        f"points.arm_worker({spec.text()!r}); "
        "from batuta.runtime.worker.main import main; main()"
    )


def arm_worker(text: str) -> None:
    """Count, and perhaps die, in a worker: its files, its uploads, the receipts it sends."""
    from batuta.runtime import mover_put
    from batuta.runtime.worker import main

    counters = Counters(WORKER, Spec.parse(text))
    _arm_files(counters)
    counters.wrap(main, "send", "chunk", lambda _channel, reply: reply.receipt is not None)
    counters.wrap(mover_put, "send_file", "upload")


def _arm_files(counters: Counters) -> None:
    for name in ("fsync", "fdatasync", "link", "rename", "replace", "unlink"):
        counters.wrap(os, name, name)
    from batuta.runtime import mover_staging

    library = ctypes.CDLL(None, use_errno=True)

    def syncfs(fd: int) -> None:
        def sync() -> None:
            if library.syncfs(fd) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")

        counters.pass_through("syncfs", sync)

    mover_staging._syncfs = lambda: syncfs  # type: ignore[assignment]  # its cache is not needed


def _arm_receipts(counters: Counters, pool: Any) -> None:
    """Count chunks where their receipt has come and is about to be checkpointed."""
    real = pool.ask

    def ask(self: Any, request: Any, name: str, told: Callable[[Any], None], errand: Any) -> None:
        def heard(reply: Any) -> None:
            if reply.receipt is None:
                told(reply)
            else:
                counters.pass_through("chunk", lambda: told(reply))

        real(self, request, name, heard, errand)

    pool.ask = ask
