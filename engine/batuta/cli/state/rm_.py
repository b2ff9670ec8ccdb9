"""`batuta state rm`: forgets one resource; the next plan reads its log again."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.state.mv_ import address
from batuta.cli.state.surgery import perform
from batuta.cli.typed import typed


@click.command("rm")
@click.argument("name")
@workspace_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def command(app: App, name: str, yes: bool) -> int:
    """Remove one resource from the state. Its data and its log stay.

    \b
    Example:
        batuta state rm orders
    """
    engine = app.open(connect=False)
    return perform(
        app,
        typed(app, "state", "rm", name),
        lambda write: engine.remove_state(address(name), write=write),
        yes=yes,
    )
