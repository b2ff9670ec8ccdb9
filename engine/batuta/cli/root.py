"""The tree of commands. A command's module is imported when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

import batuta

if TYPE_CHECKING:
    from batuta.cli.app import App


class Invocation:
    """What Click carries for one invocation: the app, once something has needed it."""

    def __init__(self, app: "App | None" = None) -> None:
        self.app = app


class LazyGroup(click.Group):
    """A group that knows its commands by the module each of them lives in."""

    def __init__(self, name: str, modules: Mapping[str, str], help_text: str) -> None:
        super().__init__(
            name, help=help_text, invoke_without_command=True, callback=_help_when_alone
        )
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which help shows them."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None where there is none of that name."""
        if (module := self._modules.get(cmd_name)) is None:
            return None
        found: click.Command = importlib.import_module(module).command
        return found


def _help_when_alone() -> int:
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    return 0


_TOP = (
    "init", "validate", "fmt", "render", "plan", "apply", "drift", "runs", "audit", "doctor",
    "release", "destroy", "import", "explain", "schema",
)  # fmt: skip

root = LazyGroup(
    "batuta",
    {
        **{name: f"batuta.cli.commands.{name.replace('import', 'import_')}" for name in _TOP},
        "data": "batuta.cli.data",
        "state": "batuta.cli.state",
        "egress": "batuta.cli.egress",
        "label": "batuta.cli.label",
        "keys": "batuta.cli.keys",
        "lock": "batuta.cli.lock",
    },
    """Plan and apply for data sovereignty.

    Manifests say which datasets are wanted, where, and under which tier. `plan` shows what
    would move, what it costs, what drifted and what policy says; `apply` does it.

    \b
    Example:
        batuta init && batuta plan && batuta apply
    """,
)
click.version_option(batuta.__version__, prog_name="batuta", message="%(prog)s %(version)s")(root)
