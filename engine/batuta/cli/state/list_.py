"""`batuta state list`: one row for each resource that was applied."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import tables


@click.command("list")
@workspace_options
@pass_app
def command(app: App) -> int:
    """List every resource that batuta remembers.

    \b
    Example:
        batuta state list --env prod
    """
    engine = app.open(connect=False, declared=True)
    app.out.write(tables.records(app.out.page, engine.records()))
    return 0
