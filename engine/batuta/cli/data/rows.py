"""Rows that a worker has rendered, on their way to a screen: text, an Arrow stream or a table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from batuta.cli.views.page import shorten, table
from batuta.cli.views.screen import Screen

if TYPE_CHECKING:
    from batuta.runtime.worker.wire import Style

_CELL = 60
_ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
"""What an Arrow stream ends with: a message without content."""


class _Cells(NamedTuple):
    header: list[str]
    rows: list[list[str]]


class Writer(Protocol):
    """Takes the pieces of one dataset as they come; `end` is called where all came."""

    def take(self, piece: bytes) -> None:
        """Write a piece, or keep it for the end."""
        ...

    def end(self) -> None:
        """Write what is left."""
        ...


@dataclass
class Text:
    """Writes text as it comes: CSV and JSON Lines."""

    screen: Screen

    def take(self, piece: bytes) -> None:
        """Write a piece, which never ends inside of a character."""
        self.screen.stream.write(piece.decode(errors="replace"))

    def end(self) -> None:
        """Nothing is left."""


@dataclass
class Bytes:
    """Writes an Arrow IPC stream to the bytes below the text stream."""

    screen: Screen
    begun: bool = False

    def take(self, piece: bytes) -> None:
        """Write a piece as it is."""
        self.begun = True
        self.screen.stream.buffer.write(piece)

    def end(self) -> None:
        """End the stream; without its end a reader takes it for one that broke off."""
        if self.begun:
            self.screen.stream.buffer.write(_ARROW_END)


@dataclass
class Table:
    """Writes all rows under each other at the end; long values are shortened."""

    screen: Screen
    header: list[str] = field(default_factory=list)
    shown: list[list[str]] = field(default_factory=list)

    def take(self, piece: bytes) -> None:
        """Keep the cells."""
        glyphs = self.screen.page.glyphs
        from batuta.runtime.worker.pool import decoded

        cells = decoded(piece, _Cells, "the rows")
        self.header = cells.header
        self.shown += [[shorten(cell, _CELL, glyphs) for cell in row] for row in cells.rows]

    def end(self) -> None:
        """Lay them out."""
        page, header = self.screen.page, self.header
        lines = table(page, header, self.shown)
        if not lines and header:
            lines = table(page, header, [[""] * len(header)])[:1]
        self.screen.write(lines)
        self.screen.say(f"({len(self.shown):,} rows)")


WRITERS: "dict[str, tuple[Style, Callable[[Screen], Writer]]]" = {
    "csv": ("csv", Text),
    "jsonl": ("jsonl", Text),
    "arrow": ("arrow", Bytes),
    "table": ("cells", Table),
}
"""How rows are rendered for each format, and what takes them then."""
