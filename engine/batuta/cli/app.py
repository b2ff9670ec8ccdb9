"""What every command is handed: the two screens, the terminal's answers, and the engine.

The engine is imported when a command opens it, so that help and version stay quick.
"""

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from batuta.cli.root import Invocation
from batuta.cli.views.page import Line
from batuta.cli.views.screen import Screen, screen_of

if TYPE_CHECKING:
    from batuta.runtime.engine import Engine

P = ParamSpec("P")


@dataclass
class App:
    """One invocation. `answer` reads a line that a person typed; None where there is no person.

    Reports go to `out`, everything else (progress, questions, errors) to `err`.
    """

    out: Screen
    err: Screen
    folder: Path
    answer: Callable[[], str] | None = None
    environment: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    command: str = "batuta"
    single: str | None = None
    engine: "Engine | None" = None

    @property
    def can_ask(self) -> bool:
        """True where a person sits at the terminal; nowhere else is anything ever asked."""
        return self.answer is not None

    def open(self, *, connect: bool = True, declared: bool = False, keeps: bool = True) -> "Engine":
        """Open the workspace around the current folder, and say what was recovered there.

        Without `keeps` a command that needs no workspace leaves no state where none was.

        Raises:
            BatutaError: the workspace cannot be opened; the diagnostics say why. CLI113: with
                `declared`, there is none.
        """
        from batuta.cli.refusals import no_workspace
        from batuta.model.diagnostic import BatutaError
        from batuta.runtime.engine import Engine, WorkspaceOptions

        options = WorkspaceOptions(
            folder=self.folder,
            environment=self.environment,
            variables=dict(self.variables),
            actor=actor(),
            single=self.single,
            keeps=keeps,
            command=self.command,
        )
        # Kept before the manifests are read: an error in them is shown with its line.
        opened = self.engine = Engine.open(options, connect=False)
        if declared and not opened.in_workspace:
            raise BatutaError(no_workspace(str(self.folder)))
        if connect:
            _ = opened.desired
        for sentence in opened.recover():
            self.err.say(sentence)
        return opened

    def close(self) -> None:
        """Close the engine, if one was opened; a second call does nothing."""
        opened, self.engine = self.engine, None
        if opened is not None:
            opened.close()

    def source(self, file: str) -> str | None:
        """Return the text of a manifest for an excerpt, None where it is not known."""
        return None if self.engine is None else self.engine.source_text(file)

    def ask(self, question: list[Line], prompt: str) -> str:
        """Show a question and return what was typed, in lower case; empty at the end of input."""
        if self.answer is None:
            return ""
        self.err.write(question)
        self.err.ask(prompt)
        return self.answer().strip().lower()

    def agrees(self, question: list[Line], prompt: str) -> bool:
        """Ask a y/N question; anything but yes is no."""
        return self.ask(question, f"{prompt} [y/N]:") in {"y", "yes"}


def actor() -> str:
    """Return who runs this, for the record: the CI's actor where there is one, else the user."""
    for name in ("BATUTA_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no name belongs to.
        return f"uid {os.getuid()}"


def app_on_terminal() -> App:
    """Return the app of this process's standard streams."""
    asks = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    return App(
        out=screen_of(sys.stdout),
        err=screen_of(sys.stderr),
        folder=Path.cwd(),
        answer=sys.stdin.readline if asks else None,
    )


def app_of(context: click.Context) -> App:
    """Return the invocation's app; made at the first call."""
    invocation: Invocation = context.find_root().obj
    if invocation.app is None:
        invocation.app = app_on_terminal()
    return invocation.app


def pass_app(command: Callable[Concatenate[App, P], int]) -> Callable[P, int]:
    """Hand a command the app as its first argument."""

    def with_app(*args: P.args, **kwargs: P.kwargs) -> int:
        context = click.get_current_context()
        app = app_of(context)
        app.command = context.command_path
        return command(app, *args, **kwargs)

    return update_wrapper(with_app, command)


def option_callback(
    change: Callable[[App, Any], None],
) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a Click callback that applies an option's value to the app."""

    def apply(context: click.Context, _option: click.Parameter, value: Any) -> None:
        if value not in (None, False, ()):
            change(app_of(context), value)

    return apply
