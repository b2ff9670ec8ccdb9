"""`batuta lock show`: who may write the state at the moment."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import tables


@click.command("show")
@workspace_options
@pass_app
def command(app: App) -> int:
    """Show who holds the lock on the state, since when, and when it expires.

    \b
    Example:
        batuta lock show
    """
    engine = app.open(connect=False, declared=True)
    app.out.write(tables.lease(app.out.page, engine.lease()))
    return 0
