"""Reading the egress log: all of it, as it grows, and whether it is still what was written."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batuta.model.diagnostic import Diagnostic, Location
from batuta.model.egress import NO_LINES, LogHead
from batuta.runtime.egress.anchors import Anchor, Anchors
from batuta.runtime.egress.audit import TAIL_BYTES, Row, digest_of, log_files, row_of

POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What `verify` found: how many lines, the last one, lines torn by a crash, and findings.

    `anchor` is the last anchor that the log holds: what was cut off behind it does not show.
    `missing` are those that it does not hold and that may be of another log.
    """

    rows: int
    head: LogHead
    torn: int
    findings: tuple[Diagnostic, ...]
    anchor: Anchor | None = None
    missing: tuple[Anchor, ...] = ()


def verify(path: Path, *, anchors: Iterable[Anchor] = ()) -> Verified:
    """Follow the chain through every file of the log at `path`.

    Args:
        anchors: Heads that were kept elsewhere, read before this is called: the log must hold
            them, or its end was cut off.

    Returns:
        No findings for a log that is whole, an empty or absent one too (unless there are anchors).
    """
    walk = _Walk(Anchors(anchors))
    workspace = path.absolute().parents[2]  # it lies in `.batuta/egress/`
    for file in _files(path):
        with file:
            content = file.read()
        place = Path(file.name).absolute().relative_to(workspace)
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line:
                walk.step(Location(str(place), number, 1), line)
    walk.finish(path)
    return Verified(
        rows=walk.rows, head=walk.head, torn=walk.torn, findings=tuple(walk.findings),
        anchor=walk.anchors.last, missing=walk.anchors.unsure,
    )  # fmt: skip


def head_of(path: Path) -> LogHead:
    """Return the last whole line of the log at `path`, which others may be writing, durable."""
    older, newest = _at_one_moment(path)
    if newest is not None:
        with newest:
            os.fdatasync(newest.fileno())
            if (head := _last_in(newest)) is not None:
                return head
    for each in reversed(older):
        with each.open("rb") as file:
            if (head := _last_in(file)) is not None:
                return head
    return NO_LINES


def _last_in(file: BinaryIO) -> LogHead | None:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL_BYTES))
    for line in reversed(file.read().split(b"\n")[:-1]):
        # The first of these may have begun earlier; then it is not a line.
        if (row := row_of(line)) is not None:
            return LogHead(row.n, digest_of(line))
    return None


class _Walk:
    """The state of one pass over the lines."""

    def __init__(self, anchors: Anchors) -> None:
        self.head = NO_LINES
        self.rows = self.torn = 0
        self.findings: list[Diagnostic] = []
        self.anchors = anchors
        self._broken: Location | None = None

    def step(self, where: Location, line: bytes) -> None:
        row = row_of(line)
        if row is None:
            self._unresolved()
            self._broken = where
            self._go_to(LogHead(self.head.n + 1, digest_of(line)))
            return
        if row.previous != self.head.digest or row.n != self.head.n + 1:
            self._changed(where, f"Line {row.n} does not follow line {self.head.n}.")
        elif self._broken is not None:
            if row.event == "torn":
                self.torn += 1
            else:
                self._unresolved()
        self._broken = None
        self.rows += 1
        self._go_to(LogHead(row.n, digest_of(line)))

    def _go_to(self, head: LogHead) -> None:
        self.head = head
        self.anchors.meet(head)

    def finish(self, path: Path) -> None:
        self._unresolved()
        self.findings += self.anchors.findings(path.name, self.head)

    def _unresolved(self) -> None:
        if self._broken is not None:
            self._changed(self._broken, "This line is not one that batuta wrote.")
            self._broken = None

    def _changed(self, where: Location, detail: str) -> None:
        self.findings.append(
            Diagnostic(
                code="EGR303",
                summary="The egress log was changed",
                detail=detail,
                fix="Compare it with a backup: a line was edited, removed, added or moved here.",
                locations=(where,),
            )
        )


def rows(path: Path) -> Iterator[Row]:
    """Yield every line of the log at `path`, oldest first; what is not a line is left out."""
    for lines in _files(path):
        with lines:
            for line in lines:
                if line.endswith(b"\n") and (row := row_of(line)) is not None:
                    yield row


def _files(path: Path, *, after: int = 0) -> Iterator[BinaryIO]:
    """Open the files of the log one by one, oldest first, as they were at one moment.

    The newest is opened before the others are listed: a rotation gives its name to another file,
    and its lines would be missed. Those that hold nothing after line `after` are left out.
    """
    older, newest = _at_one_moment(path)
    try:
        while len(older) > 1 and _starts_at(older[1]) <= after + 1:
            del older[0]
        for each in older:
            yield each.open("rb")
        if newest is not None:
            yield newest
    finally:
        if newest is not None:
            newest.close()


def _at_one_moment(path: Path) -> tuple[list[Path], BinaryIO | None]:
    while True:
        try:
            newest = path.open("rb")
        except FileNotFoundError:  # not begun yet, or a rotation is just giving its name away
            newest = None
        older = [file for file in log_files(path) if file != path]
        if _is_still(path, newest):
            return older, newest
        if newest is not None:
            newest.close()


def _is_still(path: Path, opened: BinaryIO | None) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return opened is None
    if opened is None:
        return False
    mine = os.fstat(opened.fileno())
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def follow(
    path: Path, *, stop: Callable[[], bool] = lambda: False, since: int = 0
) -> Iterator[Row]:
    """Yield the lines after number `since`, then new ones as they are written, through rotation.

    Ends when `stop` answers True; it is asked five times a second.
    """
    seen = since
    for row in rows(path):
        if row.n > seen:
            seen = row.n
            yield row
    while not stop():
        grew = False
        # A rotation renames the file that was being read, so all that is newer is looked for.
        for row in _newer(path, seen):
            seen, grew = row.n, True
            yield row
        if not grew:
            time.sleep(POLL_S)


def _newer(path: Path, seen: int) -> Iterator[Row]:
    for lines in _files(path, after=seen):
        with lines:
            lines.seek(_offset_of(lines, seen))
            for line in lines:
                if line.endswith(b"\n") and (row := row_of(line)) is not None and row.n > seen:
                    yield row


def _starts_at(file: Path) -> int:
    with file.open("rb") as lines:
        row = row_of(lines.readline())
    return row.n if row else 1 << 62


def _offset_of(lines: BinaryIO, seen: int) -> int:
    """Return where in a file a line not newer than `seen` starts, found by halving."""
    low, high = 0, os.fstat(lines.fileno()).st_size
    while high - low > 4096:
        middle = (low + high) // 2
        lines.seek(middle)
        lines.readline()
        start = lines.tell()
        row = row_of(lines.readline())
        if row is not None and row.n <= seen and start < high:
            low = start
        else:
            high = middle
    return low
