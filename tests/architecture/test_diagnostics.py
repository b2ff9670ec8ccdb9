"""Every diagnostic code has a page for `batuta explain`, and every page has a code."""

import ast
import re

from tests.architecture.house import ENGINE, python_files

CODE = re.compile(r"[A-Z]{3}[0-9]{3}")
PAGES = ENGINE / "cli" / "pages"


def _codes() -> set[str]:
    return {
        node.value
        for path in python_files("engine")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and CODE.fullmatch(node.value)
    }


def _pages() -> set[str]:
    return {page.stem for page in PAGES.glob("*.md")}


def test_every_code_has_a_page() -> None:
    assert sorted(_codes() - _pages()) == []


def test_every_page_has_a_code() -> None:
    assert sorted(_pages() - _codes()) == []


def test_a_page_names_its_code_first() -> None:
    strange = [
        page.name
        for page in sorted(PAGES.glob("*.md"))
        if not page.read_text().startswith(f"# {page.stem}")
    ]

    assert strange == []
