"""Budgets: 300 lines a file and 40 a function aimed at; these limits never passed."""

import ast

import pytest

from tests.architecture.house import python_files, shown

FILE_LINES = 500
FUNCTION_LINES = 60
NO_NAMES = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

FILES = python_files("engine", "tests")


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    words = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - words


def test_no_file_is_too_long() -> None:
    sizes = {shown(path): len(path.read_text().splitlines()) for path in FILES}

    assert {name: size for name, size in sizes.items() if size > FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{shown(path)}:{node.lineno} {node.name}: {_lines(node)}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _lines(node) > FUNCTION_LINES
    ]

    assert too_long == []


def test_no_module_is_named_after_nothing() -> None:
    named = {path for path in FILES if {path.stem, path.parent.name} & NO_NAMES}

    assert sorted(map(shown, named)) == []


def test_the_rules_see_files() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("def f():\n    return 1\n", 2),
        ('def f():\n    """Say.\n\n    More.\n    """\n    return 1\n', 2),
    ],
)
def test_a_docstring_does_not_count(text: str, lines: int) -> None:
    function = ast.parse(text).body[0]

    assert isinstance(function, ast.FunctionDef)
    assert _lines(function) == lines
