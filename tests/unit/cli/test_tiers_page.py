"""docs/reference/tiers.md has in its cells what tests/cases/tiers has written down."""

from pathlib import Path

import pytest

from batuta.cli.documents import pages
from batuta.model.tier import Tier
from tests.tables import TIERS, Row, table

TABLES = [
    ("platforms.md", "Platforms and networks", ("platform type", "network", *Tier, "note")),
    ("labels.md", "Data from one place to another", ("from a place of", *Tier)),
    ("labels.md", "Every label", ("confidentiality", "integrity", *Tier)),
    ("labels.md", "Merges", ("one", "other", "confidentiality", "integrity", "admitted by")),
    ("enforcement.md", "Levels that will do", ("tier", "ends", "levels")),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docs") / "tiers.md"
    path.write_text(pages()["tiers.md"], encoding="utf-8")
    return path


def _cells(rows: list[Row], columns: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {tuple(row[column] for column in columns) for row in rows}


@pytest.mark.parametrize(("written", "heading", "columns"), TABLES)
def test_the_page_says_what_is_written_down(
    page: Path, written: str, heading: str, columns: tuple[str, ...]
) -> None:
    here = {
        "Data from one place to another": "Where data may go",
        "Levels that will do": "Enforcement",
    }.get(heading, heading)
    assert _cells(table(TIERS / written, heading), columns) <= _all_rows(page, here, columns)


def _all_rows(page: Path, heading: str, columns: tuple[str, ...]) -> set[tuple[str, ...]]:
    text = page.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found: set[tuple[str, ...]] = set()
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
        if cells and set(columns) <= set(cells[0]):
            found |= {
                tuple(dict(zip(cells[0], c, strict=True))[n] for n in columns) for c in cells[2:]
            }
    return found
