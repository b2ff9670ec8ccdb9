"""Worker processes of the driver: started on demand, one request at a time, replaced on failure.

A worker that dies (a signal, an abort in a native reader) or stops making progress is reported
with the request's name and thrown away; the driver never shares its fate.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import batuta
from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.runtime.clock import monotonic_s
from batuta.runtime.worker.wire import Limits, Reply, Request, receive, send

_ROOT = str(Path(batuta.__file__).resolve().parent.parent)
_PASSED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "SYSTEMROOT")
WORKER_CODE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.dont_write_bytecode = True; "
    "from batuta.runtime.worker.main import main; main()"
)


class Cancelled(Exception):
    """The run was asked to stop; the request's worker was ended."""


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    channel: socket.socket

    def end(self) -> None:
        """Kill and reap."""
        with contextlib.suppress(OSError):
            self.process.kill()
        self.channel.close()
        self.process.wait()


@dataclass
class WorkerPool:
    """Up to `size` workers; `ask` may be called from any number of threads.

    `stall_s` is how long a worker may go without a word before it is taken for hung.
    """

    size: int = field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)))
    limits: Limits = field(default_factory=Limits)
    stall_s: float = 300.0
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._slots = threading.BoundedSemaphore(self.size)
        self._idle: list[_Worker] = []
        self._guard = threading.Lock()

    def ask(self, request: Request, name: str, told: Callable[[Reply], None]) -> None:
        """Run one request to its end, handing each reply to `told`.

        Raises:
            ConnectorError: what the worker raised; WRK201, it died or hung (permanent).
            Cancelled: `stop` was set.
        """
        with self._slots:
            worker = self._take()
            keep = False
            try:
                keep = self._converse(worker, request, name, told)
            finally:
                if keep:
                    with self._guard:
                        self._idle.append(worker)
                else:
                    worker.end()

    def close(self) -> None:
        """End all idle workers."""
        with self._guard:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _take(self) -> _Worker:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _start(self) -> _Worker:
        ours, theirs = socket.socketpair()
        environment = {k: os.environ[k] for k in _PASSED if k in os.environ}
        environment |= {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
        arguments = [
            sys.executable, "-I", "-c", WORKER_CODE, _ROOT, str(theirs.fileno()),
            msgspec.json.encode(self.limits).decode(),
        ]  # fmt: skip
        with theirs:
            process = subprocess.Popen(
                arguments, pass_fds=(theirs.fileno(),), env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        return _Worker(process, ours)

    def _converse(
        self, worker: _Worker, request: Request, name: str, told: Callable[[Reply], None]
    ) -> bool:
        try:
            send(worker.channel, request)
            while True:
                self._await(worker, name)
                body = receive(worker.channel)
                if body is None:
                    raise _died(worker, name)
                reply = msgspec.msgpack.decode(body, type=Reply)
                if reply.fault is not None:
                    fault = reply.fault
                    if fault.diagnostic.code == "WRK202":  # its heap is full of what failed
                        worker.process.kill()
                    raise ConnectorError(
                        fault.diagnostic, kind=fault.kind, retry_after_s=fault.retry_after_s
                    )
                if reply.crash is not None:
                    raise _trouble(name, f"a fault of batuta stopped it ({reply.crash})")
                told(reply)
                if reply.end:
                    return True
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _died(worker, name) from error

    def _await(self, worker: _Worker, name: str) -> None:
        deadline = monotonic_s() + self.stall_s
        if self.stop.is_set():  # asked here too: a worker that always has news never lets it wait
            raise Cancelled
        while not select.select([worker.channel], [], [], 0.2)[0]:
            if self.stop.is_set():
                raise Cancelled
            if monotonic_s() > deadline:
                raise _trouble(
                    name, f"it made no progress for {self.stall_s:.0f} seconds and was ended"
                )


def _died(worker: _Worker, name: str) -> ConnectorError:
    code = worker.process.wait()
    if code < 0:
        return _trouble(name, f"it was ended by {signal.Signals(-code).name}")
    return _trouble(name, f"it ended with exit code {code}")


def _trouble(name: str, what: str) -> ConnectorError:
    return ConnectorError(
        Diagnostic(
            code="WRK201",
            summary="A worker process failed",
            detail=f"The worker that handled {name} did not finish: {what}.",
            fix="The file may be damaged or hostile: check it with its own tools, or leave it "
            "out. Nothing was published.",
        ),
        kind=Failure.PERMANENT,
    )
