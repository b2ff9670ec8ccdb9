"""`batuta runs`: what was applied, when and by whom."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import tables


@click.command("runs")
@click.argument("run", required=False, metavar="[RUN]")
@workspace_options
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs."
)
@pass_app
def command(app: App, run: str | None, limit: int) -> int:
    """List the last runs, or the journal of one RUN.

    \b
    Example:
        batuta runs --limit 5
    """
    engine = app.open(connect=False, declared=True)
    if run is None:
        app.out.write(tables.runs(app.out.page, engine.runs(limit)))
    else:
        app.out.write(tables.steps(app.out.page, engine.steps(run)))
    return 0
