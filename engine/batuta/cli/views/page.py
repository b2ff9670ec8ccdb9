"""What a view writes on: lines of styled spans, a width, and the glyphs that can be shown.

Views build lines without colour codes. `Screen` adds them last, after it has made every span
safe to print, so that the text is the same with and without colour, and so that a column name
or a server's message can never move the cursor or recolour what stands around it.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """A run of text in one style; the empty style is the terminal's own."""

    text: str
    style: str = ""


Line = tuple[Span, ...]

RED, GREEN, YELLOW, CYAN, BOLD, DIM = "31", "32", "33", "36", "1", "2"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The few characters that have an ASCII fallback."""

    arrow: str = "→"
    ellipsis: str = "…"
    dot: str = "·"
    rule: str = "━"
    moved: str = "»"
    warning: str = "⚠️ "


UNICODE = Glyphs()
ASCII = Glyphs(arrow="->", ellipsis="...", dot="|", rule="-", moved=">>", warning="!")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How much room there is. `width` None means: as wide as it takes, as in a log or a pipe.

    `exact` asks for figures to the last byte and lists to the last name.
    """

    width: int | None = None
    glyphs: Glyphs = UNICODE
    exact: bool = False


def line(*parts: str | Span) -> Line:
    """Return one line made of plain strings and spans."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


BLANK: Line = ()


def plain(lines: Iterable[Line]) -> str:
    """Return the lines as text without any style, made safe, with a newline after each."""
    return "".join("".join(safe(span.text) for span in each).rstrip() + "\n" for each in lines)


def safe(text: str) -> str:
    """Return `text` with control characters, bidirectional overrides and surrogates escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _shows(c) else c.encode("unicode_escape").decode() for c in text)


def _shows(character: str) -> bool:
    # Zs other than the plain blank is kept; Cf is not, but for the joiners that scripts need.
    category = unicodedata.category(character)
    return category not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in "\u200c\u200d\ufe0f"


def cells(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or character in "\u200c\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, room: int, glyphs: Glyphs) -> str:
    """Return `text` cut at the end to at most `room` columns, with an ellipsis where it was cut."""
    if cells(text) <= room:
        return text
    return _take(text, max(room - len(glyphs.ellipsis), 0)) + glyphs.ellipsis


def _take(text: str, room: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += _cells(character)
        if used > room:
            return text[:index]
    return text


def fold(text: str, room: int | None) -> list[str]:
    """Break `text` at blanks into pieces of at most `room` columns; None keeps it whole.

    A word that is longer than the room is cut. Newlines in the text are kept.
    """
    if room is None:
        return text.splitlines() or [""]
    return [piece for part in text.splitlines() or [""] for piece in _fold(part, max(room, 8))]


def _fold(text: str, room: int) -> list[str]:
    pieces: list[str] = []
    current = ""
    for word in text.split(" "):
        rest = word
        if current and cells(current) + 1 + cells(rest) <= room:
            current = f"{current} {rest}"
            continue
        if current:
            pieces.append(current)
        while cells(rest) > room:
            head = _take(rest, room) or rest[0]
            pieces.append(head)
            rest = rest[len(head) :]
        current = rest
    pieces.append(current)
    return pieces


def prose(
    page: Page, text: str, *, indent: int = 0, label: str = "", style: str = ""
) -> list[Line]:
    """Return a paragraph that starts with `label` and hangs below it."""
    hang = indent + cells(label)
    room = None if page.width is None else page.width - hang
    pieces = fold(text, room)
    first = line(" " * indent, Span(label, style), pieces[0])
    return [first, *(line(" " * hang, piece) for piece in pieces[1:])]


def strong(lines: Iterable[Line]) -> list[Line]:
    """Return lines in bold, whatever styles they had."""
    return [(Span("".join(span.text for span in each), BOLD),) for each in lines]


def table(
    page: Page, header: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0
) -> list[Line]:
    """Return a table with its columns under each other; nothing where there are no rows.

    Where the page is too narrow the widest columns are broken over lines, at blanks as long as
    that is enough; no cell is dropped.
    """
    if not rows:
        return []
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(cells, column)) for column in columns]
    if page.width is not None:
        room = page.width - indent - 2 * (len(widths) - 1)
        widths = _squeeze(widths, room, [_longest_word(column) for column in columns])
    lines = [_row(header, widths, indent, DIM)]
    for row in rows:
        pieces = [fold(cell, width) for cell, width in zip(row, widths, strict=True)]
        for at in range(max(len(p) for p in pieces)):
            cells_at = [p[at] if at < len(p) else "" for p in pieces]
            lines.append(_row(cells_at, widths, indent))
    return lines


def entries(page: Page, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Line]:
    """Return a table, or where that would cut words, each row as a paragraph that names its cells."""
    columns = list(zip(header, *rows, strict=True))
    floor = sum(_longest_word(column) for column in columns) + 2 * (len(columns) - 1)
    if page.width is None or floor <= page.width:
        return table(page, header, rows)
    lines: list[Line] = []
    for row in rows:
        named = [f"{name} {cell}" for name, cell in zip(header, row, strict=True) if cell]
        text = f" {page.glyphs.dot} ".join(named[1:])
        lines += prose(page, text, label=f"{named[0]}  ", style=BOLD) if named else []
    return lines


def _longest_word(texts: Iterable[str]) -> int:
    return max(cells(word) for text in texts for word in text.split(" "))


def _squeeze(widths: list[int], room: int, floors: Sequence[int]) -> list[int]:
    """Take columns from the widest until the table fits, but leave each at least 8.

    Words are cut only where breaking at blanks is not enough.
    """
    widths = list(widths)
    for least in (floors, [0] * len(floors)):
        while sum(widths) > room:
            slack = [w if w > max(8, floor) else 0 for w, floor in zip(widths, least, strict=True)]
            if not any(slack):
                break
            widths[slack.index(max(slack))] -= 1
    return widths


def _row(row: Sequence[str], widths: Sequence[int], indent: int, style: str = "") -> Line:
    padded = [cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)]
    return (Span(" " * indent), Span("  ".join(padded).rstrip(), style))
