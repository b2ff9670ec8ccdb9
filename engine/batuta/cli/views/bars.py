"""Progress bars at a terminal, drawn by rich, which is imported when a first bar is due."""

import threading
from typing import TYPE_CHECKING, Self, TextIO, assert_never

from batuta.cli.views import figures
from batuta.cli.views.page import Page, safe
from batuta.cli.views.progress import spoken
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

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_S = 1.0
_LOOKING = "looking at sources and destinations"


class Bars:
    """A bar for each dataset under way. Nothing is drawn for work of under a second."""

    def __init__(
        self, stream: TextIO, page: Page, *, colour: bool, quiet_s: float = QUIET_S
    ) -> None:
        self._stream = stream
        self._page = page
        self._colour = colour
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}
        self._before: list[Event] = []
        self._left = False
        # A clock of its own: the first event of a long look at a source may be its last.
        self._due = threading.Timer(quiet_s, self._start)
        self._due.daemon = True

    def __enter__(self) -> Self:
        self._due.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._due.cancel()
        with self._lock:
            self._left = True
            if self._progress is not None:
                self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Move the event's bar."""
        with self._lock:
            if self._progress is None:
                self._before.append(event)
            else:
                self._draw(self._progress, event)

    def _start(self) -> None:
        with self._lock:
            # The timer may have fired while the lock was held to leave.
            if self._left:
                return
            self._progress = _bars(self._stream, colour=self._colour)
            self._progress.start()
            self._task(self._progress, _LOOKING, 0)
            for event in self._before:
                self._draw(self._progress, event)
            self._before.clear()

    def _draw(self, progress: "Progress", event: Event) -> None:
        match event:
            case Observing():
                note = f"{event.done:,} of {event.total:,}, {safe(event.what)}"
                task = self._task(progress, _LOOKING, event.total)
                progress.update(task, completed=event.done, total=event.total, note=note)
            case ActionStarted():
                self._totals[event.address] = event.total_bytes
                self._task(progress, event.address, event.total_bytes)
            case ActionProgress():
                task = self._task(progress, event.address, self._totals.get(event.address, 0))
                rows = figures.rows(self._page, event.rows_done) if event.rows_done else ""
                size = figures.size(self._page, event.bytes_done)
                progress.update(task, completed=event.bytes_done, note=f"{size} {rows}".strip())
            case ActionFinished():
                if (done := self._tasks.pop(event.address, None)) is not None:
                    progress.remove_task(done)
                progress.console.print(_line(self._page, event), markup=False, highlight=False)
            case Retrying() | ConnectionRefused():
                text = spoken(self._page, event) or ""
                progress.console.print(safe(text), markup=False, highlight=False)
            case RunStarted() | RunReport():
                if (done := self._tasks.pop(_LOOKING, None)) is not None:
                    progress.remove_task(done)
            case _:
                assert_never(event)

    def _task(self, progress: "Progress", name: str, total: int) -> "TaskID":
        if name not in self._tasks:
            shown = safe(name)
            self._tasks[name] = progress.add_task(shown, total=total or None, note="")
        return self._tasks[name]


def _line(page: Page, event: ActionFinished) -> str:
    return safe(spoken(page, event) or "")


def _bars(stream: TextIO, *, colour: bool) -> "Progress":
    # rich is slow to import, and most commands end before a bar is due.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=stream, no_color=not colour, highlight=False, markup=False)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
