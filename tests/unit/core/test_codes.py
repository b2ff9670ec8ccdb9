"""Every code that core can say has a page with the same summary, and one summary only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import batuta.core

ROOM = Path(next(iter(batuta.core.__path__)))
PAGES = ROOM.parent / "cli" / "pages"


def _said() -> Iterator[tuple[str, str]]:
    """Pairs of code and summary from every `Diagnostic(code=…, summary=…)` with plain texts."""
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                texts = {
                    k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)
                }
                if "code" in texts and "summary" in texts:
                    yield str(texts["code"]), str(texts["summary"])
    from batuta.core.stale import SUMMARIES

    yield from SUMMARIES.items()


def test_a_code_has_one_summary_and_a_page_that_repeats_it() -> None:
    summaries: dict[str, str] = {}
    for code, summary in _said():
        assert summaries.setdefault(code, summary) == summary
        first = (PAGES / f"{code}.md").read_text(encoding="utf-8").partition("\n")[0]
        assert first == f"# {code}: {summary}"
    assert len(summaries) > 40


def test_no_page_of_the_room_is_for_a_code_that_nobody_says() -> None:
    said = {code for code, _ in _said()}
    own = {p.stem for area in ("PLN1", "DRF1", "SOV1", "CST1") for p in PAGES.glob(f"{area}*.md")}
    assert {code for code in own - said if int(code[3:]) < 190} == set()
