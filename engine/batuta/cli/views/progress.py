"""Progress of a run: bars at a terminal, lines in a log, events as JSON lines in a file.

Each is a listener for the engine's events. Events come from several threads, so each listener
has a lock of its own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import BinaryIO, Protocol, Self, assert_never

import msgspec

from batuta.cli.views import figures
from batuta.cli.views.page import Page
from batuta.cli.views.report import is_blocked, result
from batuta.cli.views.screen import Screen
from batuta.model.event import (
    ActionFinished,
    ActionProgress,
    ActionStarted,
    ConnectionRefused,
    Event,
    Observing,
    Retrying,
    RunReport,
    RunStarted,
)

HEARTBEAT_S = 10.0


class Listener(Protocol):
    """Hears events between entering and leaving."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __call__(self, event: Event) -> None:
        """Take note of one event; may be called from any thread."""
        ...


class Together:
    """Several listeners as one."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def __enter__(self) -> Self:
        for each in self._listeners:
            each.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in reversed(self._listeners):
            each.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        """Pass the event to each in turn."""
        for each in self._listeners:
            each(event)


class EventFile:
    """Writes each event as one line of JSON and flushes it, so that a reader can follow."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __call__(self, event: Event) -> None:
        """Write the event's line."""
        row = msgspec.json.encode(event) + b"\n"
        with self._lock:
            self._file.write(row)
            self._file.flush()


class LogLines:
    """A line for each finished dataset, and one at least every ten seconds while work goes on."""

    def __init__(
        self,
        screen: Screen,
        *,
        every_s: float = HEARTBEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._started = self._said = clock()
        self._status = _Status()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._started = self._said = self._clock()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __call__(self, event: Event) -> None:
        """Say the event's line, if it deserves one."""
        with self._lock:
            self._status.hear(event)
            if text := spoken(self._screen.page, event):
                self._say(text)

    def _beat(self) -> None:
        while not self._stop.wait(self._until_due()):
            with self._lock:
                if self._until_due() <= 0:
                    spent = figures.seconds(self._clock() - self._started)
                    self._say(
                        f"still working after {spent}: {self._status.text(self._screen.page)}"
                    )

    def _until_due(self) -> float:
        return max(self._said + self._every_s - self._clock(), 0)

    def _say(self, text: str) -> None:
        self._said = self._clock()
        self._screen.say(text)


class _Status:
    """How far everything is, for the line of a heartbeat."""

    def __init__(self) -> None:
        self._actions = self._finished = 0
        self._observing = "starting"
        self._running: dict[str, tuple[int, int]] = {}

    def hear(self, event: Event) -> None:
        match event:
            case Observing():
                self._observing = f"looked at {event.done:,} of {event.total:,}, now {event.what}"
            case RunStarted():
                self._actions = event.actions
            case ActionStarted():
                self._running[event.address] = (0, event.total_bytes)
            case ActionProgress():
                total = self._running.get(event.address, (0, 0))[1]
                self._running[event.address] = (event.bytes_done, total)
            case ActionFinished():
                self._running.pop(event.address, None)
                self._finished += 1
            case Retrying() | ConnectionRefused() | RunReport():
                pass
            case _:
                assert_never(event)

    def text(self, page: Page) -> str:
        if not self._actions:
            return self._observing
        running = [_far(page, name, *far) for name, far in list(self._running.items())[:4]]
        more = f" and {len(self._running) - 4:,} more" if len(self._running) > 4 else ""
        tail = f"; {', '.join(running)}{more}" if running else ""
        return f"{self._finished:,} of {self._actions:,} done{tail}"


def _far(page: Page, name: str, done: int, total: int) -> str:
    if not total:
        return f"{name} {figures.size(page, done)}"
    share = min(100 * done // total, 100)
    return f"{name} {share} % of {figures.size(page, total)}"


def spoken(page: Page, event: Event) -> str | None:
    """Return the line that an event deserves in a log, None for none."""
    match event:
        case RunStarted():
            resumes = f", resumes {event.resumes}" if event.resumes else ""
            return f"run {event.run}: {figures.counted(event.actions, 'action')}{resumes}"
        case Retrying():
            wait = figures.seconds(event.wait_s)
            return f"{event.address}: try {event.attempt} failed, again in {wait}: {event.reason}"
        case ConnectionRefused():
            return f"{event.dataset}: {refused(event)}" if event.dataset else refused(event)
        case ActionFinished(status="done", action="no-op"):
            return None
        case ActionFinished(status="done"):
            return f"{event.address}: {event.action} done, {result(page, event)}"
        case ActionFinished():
            codes = ", ".join(d.code for d in event.diagnostics)
            because = f" because of {event.because_of}" if event.because_of else ""
            what = f"{event.action} {event.status}{because}"
            what = "blocked, so not begun" if is_blocked(event) else what
            return f"{event.address}: {what}" + (f" ({codes})" if codes else "")
        case Observing() | ActionStarted() | ActionProgress() | RunReport():
            return None
        case _:
            assert_never(event)


def refused(event: ConnectionRefused) -> str:
    """Return what was refused to a worker, or to batuta itself, and by which rule."""
    place = f"{event.host}:{event.port}" if event.host else "what it asked for"
    by = f" by {event.rule} ({event.line})" if event.rule else ""
    whose = "a worker's" if event.dataset else "batuta's own"
    return f"{whose} connection to {place} was refused{by} ({event.code})"


def listeners(screen: Screen, events: BinaryIO | None) -> Listener:
    """Return what listens to a run: bars or log lines on `screen`, and the file of events."""
    from batuta.cli.views.bars import Bars

    shown: Listener = (
        Bars(screen.stream, screen.page, colour=screen.colour)
        if screen.interactive
        else LogLines(screen)
    )
    chosen: Sequence[Listener] = [shown, *([EventFile(events)] if events else [])]
    return Together(*chosen)
