"""The pages behind `batuta explain`: one Markdown file a code, shipped with the package."""

import difflib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batuta.cli.views.page import BOLD, CYAN, Line, Page, Span, line, prose

_FENCE = re.compile(r"^(```.*?^```)[ \t]*$", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^\s*(?:[*-]|\d+\.) ")
PAGES = Path(__file__).parent / "pages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One page: `# CODE: summary`, then its Markdown."""

    code: str
    summary: str
    body: str


def pages() -> list[Explanation]:
    """Return all pages by code."""
    return [_read(path) for path in sorted(PAGES.glob("*.md"))]


def page(code: str) -> Explanation | None:
    """Return the page of a code, None where there is none. A code is never used as a path."""
    path = next((p for p in PAGES.glob("*.md") if p.stem == code), None)
    return None if path is None else _read(path)


def nearest(code: str) -> list[str]:
    """Return up to three codes that look like `code`."""
    return difflib.get_close_matches(code, [p.stem for p in PAGES.glob("*.md")], n=3)


def _read(path: Path) -> Explanation:
    head, _, body = path.read_text(encoding="utf-8").partition("\n")
    code, _, summary = head.removeprefix("# ").partition(": ")
    return Explanation(code=code.strip(), summary=summary.strip(), body=body.strip() + "\n")


def lines(page: Page, found: Explanation) -> list[Line]:
    """Return a page for the terminal: paragraphs folded, code as it is, list items on their own."""
    shown = [line(Span(f"{found.code}: {found.summary}", BOLD)), ()]
    for kind, text in _blocks(found.body):
        if kind == "code":
            shown += [line("    ", Span(row, CYAN)) for row in text.split("\n")]
        else:
            shown += prose(page, text)
        if kind != "item":
            shown.append(())
    return shown[:-1] if not shown[-1] else shown


def _blocks(body: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) for each paragraph, list item and block of code."""
    for part in _FENCE.split(body):
        if part.startswith("```"):
            yield "code", "\n".join(part.splitlines()[1:-1])
            continue
        for block in re.split(r"\n\s*\n", part.strip("\n")):
            rows = block.splitlines()
            if rows and all(row.startswith("    ") for row in rows):
                yield "code", textwrap.dedent(block)
            elif rows:
                yield from _prose_blocks(rows)


def _prose_blocks(rows: list[str]) -> Iterator[tuple[str, str]]:
    items = [at for at, row in enumerate(rows) if _ITEM.match(row)]
    starts = sorted({0, *items})
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        text = " ".join(row.strip() for row in rows[start:end])
        last = end == len(rows)
        yield ("item" if start in items and not last else "paragraph"), text
