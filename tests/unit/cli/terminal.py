"""An app on streams that a test can read, with or without a person who answers."""

import io
from collections.abc import Iterable
from pathlib import Path

from batuta.cli.app import App
from batuta.cli.views.page import UNICODE, Page
from batuta.cli.views.screen import Screen


def app_in(folder: Path, answers: Iterable[str] | None = None) -> App:
    """Return an app whose streams are texts; `answers` are what a person types, None: nobody."""
    typed = None if answers is None else iter(answers)
    return App(
        out=_screen(),
        err=_screen(),
        folder=folder,
        answer=None if typed is None else lambda: next(typed, ""),
    )


def _screen() -> Screen:
    return Screen(io.StringIO(), Page(width=100, glyphs=UNICODE))


def written(screen: Screen) -> str:
    """Return what was written to a screen so far."""
    assert isinstance(screen.stream, io.StringIO)
    return screen.stream.getvalue()
