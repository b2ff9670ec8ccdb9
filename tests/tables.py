"""Tables that people read and tests execute: Markdown, one table below each heading."""

from pathlib import Path

TIERS = Path(__file__).parent / "cases" / "tiers"

Row = dict[str, str]


def table(path: Path, heading: str) -> list[Row]:
    """Return the rows of the table below a heading of the second level, by the names of columns.

    Raises:
        LookupError: There is no such heading, or no table below it, or a row is not as wide as
            the heading row.
    """
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    if not any(line == f"## {heading}" for line in lines):
        raise LookupError(f"{path.name} has no heading {heading!r}")
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("## "):
            break
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    if len(rows) < 3 or any(len(row) != len(rows[0]) for row in rows):
        raise LookupError(f"{path.name} has no even table below {heading!r}")
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def headings(path: Path) -> list[str]:
    """Return the headings of the second level, in order."""
    text = path.read_text(encoding="utf-8")
    return [line[3:] for line in text.splitlines() if line.startswith("## ")]
