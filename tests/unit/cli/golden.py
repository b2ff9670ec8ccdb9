"""Golden text: what a view shows, kept in `tests/data/views/` and read in review.

`BATUTA_TESTS_ACCEPT=1` writes the files anew; a test that wrote one fails, so that no run that
rewrites what it compares with can pass for a green one.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data" / "views"


def check(name: str, text: str) -> None:
    path = FOLDER / name
    there = path.read_text(encoding="utf-8") if path.is_file() else None
    if there == text:
        return
    if os.environ.get("BATUTA_TESTS_ACCEPT") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == there, f"{name} is not as accepted"
