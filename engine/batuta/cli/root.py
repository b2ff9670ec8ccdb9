"""The tree of commands. A command's module is imported when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

import batuta

if TYPE_CHECKING:
    from batuta.cli.app import App


# Longer than any first sentence: none is cut off.
_WHOLE = 400


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that is not there is refused with the nearest that is."""
        if args and not args[0].startswith("-") and args[0] not in self._modules:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self._modules, n=1)
            hint = f" Did you mean `{ctx.command_path} {near[0]}`?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the whole first sentence of each, over several lines if need be."""
        rows = [
            (name, found.get_short_help_str(_WHOLE))
            for name in self._modules
            if (found := self.get_command(ctx, name)) is not None and not found.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


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
