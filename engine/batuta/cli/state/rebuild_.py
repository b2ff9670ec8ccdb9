"""`batuta state rebuild`: the state anew, from the manifests and the datasets' logs."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.state.surgery import perform
from batuta.cli.typed import typed


@click.command("rebuild")
@workspace_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def command(app: App, yes: bool) -> int:
    """Make the state anew from the manifests and the datasets' own logs.

    \b
    Example:
        batuta state rebuild
    """
    engine = app.open()
    return perform(
        app,
        typed(app, "state", "rebuild"),
        lambda write: engine.rebuild_state(write=write),
        yes=yes,
    )
