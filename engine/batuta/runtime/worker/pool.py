"""Worker processes of the driver: started on demand, one request at a time, replaced on failure.

A worker that dies (a signal, an abort in a native reader) or stops making progress is reported
with the request's name and thrown away; the driver never shares its fate. Workers that wait are
kept by their posting; where there is no room, one that nobody waits for makes room.
"""

import os
import select
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from batuta.model.diagnostic import BatutaError, ConnectorError, Diagnostic, Failure
from batuta.runtime.clock import monotonic_s
from batuta.runtime.worker.posting import Errand, Posting, Role
from batuta.runtime.worker.warden import Warden, Worker
from batuta.runtime.worker.wire import Limits, Reply, Request, receive, send

_ALIVE = 2  # workers that live, for each that may work at once
_PASSED_OVER = 16  # times that others are served first because a fitting worker is at hand
_LOOK_S = 0.2
T = TypeVar("T")


class Cancelled(Exception):
    """The run was asked to stop; the request's worker was ended."""


@dataclass(eq=False)
class _Waiting:
    errand: Errand
    passed_over: int = 0


@dataclass
class WorkerPool:
    """Up to `size` workers at work; `ask` may be called from any number of threads.

    As many again may wait: an action needs a control worker and a data worker in turn.
    `stall_s` is how long a worker may go without a word before it is taken for hung.
    `heard` is told of each request's dataset, and the level at which its worker is confined.
    """

    size: int = field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)))
    limits: Limits = field(default_factory=Limits)
    stall_s: float = 300.0
    stop: threading.Event = field(default_factory=threading.Event)
    heard: Callable[[str, str], None] = lambda _dataset, _level: None
    warden: Warden = field(init=False)

    def __post_init__(self) -> None:
        self.warden = Warden(limits=self.limits)
        self._changed = threading.Condition()
        self._idle: list[Worker] = []  # the one that waits longest first
        self._queue: list[_Waiting] = []
        self._busy = 0
        self._newest: dict[Role, Posting] = {}  # what was started last of each role

    def ask(
        self, request: Request, name: str, told: Callable[[Reply], None], errand: Errand
    ) -> None:
        """Run one request to its end, handing each reply to `told`.

        Raises:
            ConnectorError: what the worker raised; WRK201, it died or hung (permanent).
            BatutaError: EGR2xx, no worker could be started for the errand.
            Cancelled: `stop` was set.
        """
        worker = self._take(errand)
        keep = False
        try:
            if worker is None:
                worker = self.warden.start(errand)
            worker.serve(errand)
            errand.stood(worker.choice)
            self.heard(errand.dataset, worker.choice.level.value)
            try:
                keep = self._converse(worker, request, name, told)
            finally:
                keep = worker.settle() and keep and not worker.stopped
                _refuse(worker)
        finally:
            self._give_back(worker, keep=keep)

    def answer(self, request: Request, name: str, errand: Errand) -> bytes:
        """Run one request to its end and return the payload that answers it; raises as `ask`."""
        return answer_of(lambda told: self.ask(request, name, told, errand), payload, name)

    def close(self) -> None:
        """End all idle workers."""
        self._end(lambda _worker: True)

    def end_ways(self) -> None:
        """End idle workers that have a way out: it is their run's."""
        self._end(lambda worker: worker.door is not None)

    def _end(self, chosen: Callable[[Worker], bool]) -> None:
        with self._changed:
            ended = [worker for worker in self._idle if chosen(worker)]
            self._idle = [worker for worker in self._idle if worker not in ended]
        for worker in ended:
            worker.end()

    # -- who works next -----------------------------------------------------------------------

    def _take(self, errand: Errand) -> Worker | None:
        """Wait for a turn; return the worker that serves, None where one is to be started."""
        waiting = _Waiting(errand)
        with self._changed:
            self._queue.append(waiting)
            try:
                while True:
                    if self.stop.is_set():
                        raise Cancelled
                    if self._busy < self.size:
                        fitting = self._fitting(errand)
                        if fitting is not None or self._has_room(waiting):
                            self._busy += 1
                            self._pass_over(waiting)
                            if fitting is None:
                                self._newest[errand.posting.role] = errand.posting
                            return fitting
                    self._changed.wait(_LOOK_S)
            finally:
                self._queue.remove(waiting)

    def _fitting(self, errand: Errand) -> Worker | None:
        for worker in reversed(self._idle):
            if worker.posting == errand.posting:
                self._idle.remove(worker)
                if worker.sees(errand.uses):
                    return worker
                worker.end()
        return None

    def _has_room(self, waiting: _Waiting) -> bool:
        """True where a worker may be started; one that nobody else waits for is ended for it.

        Work of one kind goes through its folders in order, so the first to be ended is one that
        stands in other folders of the same kind: nobody will ask for it again. Where somebody
        still does, that one goes first.
        """
        alive, posting = self._busy + len(self._idle), waiting.errand.posting
        if alive < self.size:
            return True
        wanted = [w.errand.posting for w in self._queue if w is not waiting]
        unwanted = [worker for worker in self._idle if worker.posting not in wanted]
        behind = [worker for worker in self._idle if posting.is_elsewhere(worker.posting)]
        ended = next((worker for worker in behind if worker in unwanted), None)
        if ended is None:
            patient = waiting.passed_over < _PASSED_OVER
            if behind and patient:
                return False
            if alive < _ALIVE * self.size:
                return True
            ended = next(iter(unwanted if patient else self._idle), None)
        if ended is None:
            return False
        self._idle.remove(ended)
        ended.end()
        return True

    def _pass_over(self, served: _Waiting) -> None:
        for waiting in self._queue:
            if waiting is served:
                return
            waiting.passed_over += 1

    def _give_back(self, worker: Worker | None, *, keep: bool) -> None:
        if worker is not None and (not keep or self._is_left(worker.posting)):
            worker.end()
            worker = None
        with self._changed:
            self._busy -= 1
            if worker is not None:
                self._idle.append(worker)
            self._changed.notify_all()

    def _is_left(self, posting: Posting) -> bool:
        """True where work of this kind has gone on to other folders, with workers enough there."""
        with self._changed:
            newest = self._newest.get(posting.role, posting)
            wanted = any(waiting.errand.posting == posting for waiting in self._queue)
            enough = self._busy + len(self._idle) > self.size
            return enough and not wanted and newest.is_elsewhere(posting)

    # -- one request --------------------------------------------------------------------------

    def _converse(
        self, worker: Worker, request: Request, name: str, told: Callable[[Reply], None]
    ) -> bool:
        # What `told` raises is its own: a pipe that broke there is not the worker's death.
        self._put(worker, request, name)
        while True:
            reply = self._next(worker, name)
            if reply.fault is not None:
                fault = reply.fault
                if fault.diagnostic.code == "WRK202":  # its heap is full of what failed
                    worker.kill()
                raise ConnectorError(
                    fault.diagnostic, kind=fault.kind, retry_after_s=fault.retry_after_s
                )
            if reply.crash is not None:
                raise trouble(name, f"a fault of batuta stopped it ({reply.crash})")
            told(reply)
            if reply.end:
                return True

    def _put(self, worker: Worker, request: Request, name: str) -> None:
        worker.channel.settimeout(self.stall_s)  # a message may stop half-way too
        try:
            send(worker.channel, request)
        except TimeoutError as error:
            raise self._stalled(name) from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _died(worker, name) from error

    def _next(self, worker: Worker, name: str) -> Reply:
        deadline = monotonic_s() + self.stall_s  # of the whole message: it may come in drips
        try:
            body = receive(worker.channel, lambda: self._await(worker, name, deadline))
        except ValueError as error:
            raise trouble(name, "it began a message that is too long for one") from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _died(worker, name) from error
        if body is None:
            raise _died(worker, name)
        return decoded(body, Reply, name)

    def _await(self, worker: Worker, name: str, deadline: float) -> None:
        """Wait until something is there to be read.

        Also where something always is: a worker that never lets anybody wait can be stopped.
        """
        while True:
            if self.stop.is_set():
                raise Cancelled
            if monotonic_s() > deadline:
                raise self._stalled(name)
            if select.select([worker.channel], [], [], _LOOK_S)[0]:
                return

    def _stalled(self, name: str) -> ConnectorError:
        return trouble(name, f"it made no progress for {self.stall_s:.0f} seconds and was ended")


def payload(reply: Reply) -> bytes | None:
    """Return what most requests are answered with."""
    return reply.payload


def answer_of(
    ask: Callable[[Callable[[Reply], None]], None], pick: Callable[[Reply], T | None], name: str
) -> T:
    """Return what the last reply that has it answered, of those that `ask` tells of.

    Raises:
        ConnectorError: WRK201, none has it; and whatever `ask` raises.
    """
    found: list[T] = []

    def told(reply: Reply) -> None:
        if (answer := pick(reply)) is not None:
            found.append(answer)

    ask(told)
    if not found:
        raise trouble(name, "it ended without an answer")
    return found[-1]


def decoded(body: bytes, type_: type[T], name: str) -> T:
    """Return what a worker sent as what it has to be.

    Raises:
        ConnectorError: WRK201, it is something else.
    """
    try:
        return msgspec.msgpack.decode(body, type=type_)
    except msgspec.MsgspecError as error:
        raise trouble(name, "what it sent is no answer") from error


def _refuse(worker: Worker) -> None:
    """Fail what was done by a worker that is to end at its first refused connection.

    Finishing before the verdict does not help it: everything that it tried has one by now.
    """
    if worker.stopped:
        raise BatutaError(worker.refusals[0].diagnostic)


def _died(worker: Worker, name: str) -> ConnectorError:
    code = worker.process.wait()
    if code < 0:
        return trouble(name, f"it was ended by {_signal_name(-code)}")
    return trouble(name, f"it ended with exit code {code}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one, which a worker can choose to end itself with
        return f"signal {number}"


def trouble(name: str, what: str) -> ConnectorError:
    """Return WRK201: the worker that handled `name` cannot be gone on with."""
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
