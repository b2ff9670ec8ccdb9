"""`batuta state mv`: a resource under another name, so that a rename moves no data."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.state.surgery import perform
from batuta.cli.typed import typed


@click.command("mv")
@click.argument("old")
@click.argument("new")
@workspace_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def command(app: App, old: str, new: str, yes: bool) -> int:
    """Record OLD under the name NEW; use it after renaming a document.

    \b
    Example:
        batuta state mv orders sales-orders
    """
    engine = app.open(connect=False)
    return perform(
        app,
        typed(app, "state", "mv", old, new),
        lambda write: engine.move_state(address(old), address(new), write=write),
        yes=yes,
    )


def address(name: str) -> str:
    """Return the resource's address for a bare name."""
    return name if "/" in name else f"Dataset/{name}"
