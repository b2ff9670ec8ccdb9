"""Diagnostics on the page: code and summary, the line with a caret, the detail, the fix."""

import json
from collections.abc import Callable, Iterable

from batuta.cli.views.page import BOLD, CYAN, RED, YELLOW, Line, Page, Span, cells, line, prose
from batuta.model.diagnostic import Diagnostic, Location, Severity

_LONGEST = 400
"""Characters of a line that are shown where the page has no width."""
NOT_REPEATED = "MAN125"
SourceText = Callable[[str], str | None]

_STYLES = {Severity.ERROR: RED, Severity.WARNING: YELLOW, Severity.NOTE: CYAN}
_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def no_source(_file: str) -> str | None:
    """The source of which no text is known."""
    return None


def arranged(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return each diagnostic once, by file and line; those without a place come first."""
    return sorted(dict.fromkeys(diagnostics), key=_place)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int, int, str, str]:
    place = diagnostic.locations[0] if diagnostic.locations else Location("", 0, 0)
    rank = _RANK[diagnostic.severity]
    return place.file, place.line, place.column, rank, diagnostic.code, diagnostic.detail


def view(page: Page, diagnostics: Iterable[Diagnostic], source: SourceText) -> list[Line]:
    """Return all diagnostics, an empty line between two, and a count where there are several."""
    found = arranged(diagnostics)
    lines: list[Line] = []
    shown = _without_secrets(found, source)
    for diagnostic in found:
        lines += one(page, diagnostic, shown)
        lines.append(())
    if len(found) > 1:
        lines.append(line(Span(count(found), BOLD)))
    return lines if len(found) > 1 else lines[:-1]


def _without_secrets(diagnostics: Iterable[Diagnostic], source: SourceText) -> SourceText:
    """Return `source` with the secrets that diagnostics point at taken out of every excerpt."""
    places = [place for d in diagnostics if d.code == NOT_REPEATED for place in d.locations]
    if not places:
        return source

    def masked(file: str) -> str | None:
        text = source(file)
        if text is None:
            return None
        rows = text.split("\n")
        for place in places:
            if place.file == file and 1 <= place.line <= len(rows):
                row, start = rows[place.line - 1], place.column - 1
                end = start + place.length if place.length else len(row)
                rows[place.line - 1] = row[:start] + "*" * len(row[start:end]) + row[end:]
        return "\n".join(rows)

    return masked


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """Return `2 errors, 1 warning`; empty for none."""
    found = list(diagnostics)
    parts = []
    for severity in Severity:
        number = sum(1 for d in found if d.severity is severity)
        if number:
            parts.append(f"{number} {severity.value}" + ("s" if number > 1 else ""))
    return ", ".join(parts)


def one(
    page: Page,
    diagnostic: Diagnostic,
    source: SourceText,
    *,
    indent: int = 0,
    owner: str | None = None,
) -> list[Line]:
    """Return one diagnostic, without an empty line after it; `owner` is named above it already."""
    tag = f"{diagnostic.severity.value}[{diagnostic.code}]"
    style = _STYLES[diagnostic.severity]
    blank = " " * indent
    lines = [line(blank, Span(tag, style), Span(f": {diagnostic.summary}", BOLD))]
    for place in diagnostic.locations:
        lines += excerpt(page, place, source, indent=indent, style=style)
    if diagnostic.address not in (None, owner) and str(diagnostic.address) not in diagnostic.detail:
        lines.append(line(blank, f"  resource: {diagnostic.address}"))
    lines += prose(page, diagnostic.detail, indent=indent + 2, label="detail: ")
    lines += _fix(page, diagnostic.fix, indent + 2)
    return lines


def _fix(page: Page, fix: str, indent: int) -> list[Line]:
    """Return the fix; a command to run (an indented line of it) stands alone and unbroken."""
    lines: list[Line] = []
    for at, part in enumerate(fix.splitlines()):
        if part.startswith("  "):
            lines.append(line(" " * (indent + 4), Span(part.strip(), BOLD)))
        else:
            lines += prose(page, part, indent=indent, label="fix: " if at == 0 else "     ")
    return lines


def excerpt(
    page: Page, place: Location, source: SourceText, *, indent: int = 0, style: str = RED
) -> list[Line]:
    """Return `--> file:line:column` and, where the text is known, the line with a caret."""
    blank = " " * indent
    lines = [line(blank, Span("  --> ", CYAN), str(place))]
    text = _line_of(place, source)
    if text is None:
        return lines
    number = str(place.line)
    margin = " " * len(number)
    room = _LONGEST if page.width is None else page.width - indent - len(number) - 5
    before, marked, shown = _window(text, place, room)
    return [
        *lines,
        line(blank, Span(f" {margin} |", CYAN)),
        line(blank, Span(f" {number} | ", CYAN), shown),
        line(blank, Span(f" {margin} | ", CYAN), " " * before, Span("^" * marked, style)),
    ]


def _line_of(place: Location, source: SourceText) -> str | None:
    text = source(place.file)
    if text is None or place.line < 1:
        return None
    # Not splitlines: it also breaks at characters that YAML and editors do not count as lines.
    start = 0
    for _ in range(place.line - 1):
        start = text.find("\n", start) + 1
        if start == 0:
            return None
    end = text.find("\n", start)
    return text[start : end if end >= 0 else None].rstrip("\r")


def _window(text: str, place: Location, room: int) -> tuple[int, int, str]:
    """Return columns before the caret, its length, and the part of the line that fits."""
    text = text.replace("\t", " ")
    start = min(max(place.column - 1, 0), len(text))
    end = min(start + max(place.length, 1), max(len(text), start + 1))
    offset = 0
    if len(text) > room:
        offset = max(0, min(start - room // 3, len(text) - room))
        text = text[offset : offset + room]
    start, end = start - offset, min(end - offset, max(len(text), start - offset + 1))
    return cells(text[:start]), max(cells(text[start:end]), 1), text


def document(diagnostics: Iterable[Diagnostic]) -> str:
    """Return the diagnostics as JSON text, one object with the list, as `--format json` shows."""
    found = arranged(diagnostics)
    return json.dumps({"diagnostics": [entry(d) for d in found]}, indent=2, ensure_ascii=False)


def entry(diagnostic: Diagnostic) -> dict[str, object]:
    """Return one diagnostic as a JSON object."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
        "fix": diagnostic.fix,
        "address": diagnostic.address,
        "locations": [
            {"file": p.file, "line": p.line, "column": p.column, "length": p.length}
            for p in diagnostic.locations
        ],
    }
