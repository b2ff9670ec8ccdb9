"""`batuta runs`: what was applied, when and by whom."""

from difflib import get_close_matches

import click

from batuta.cli import flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import tables

_MOST = 100_000
"""Of so many runs the nearest is looked for."""


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
        return 0
    steps = engine.steps(run)
    known = [] if steps else [each.id for each in engine.runs(_MOST)]
    if not steps and run not in known:
        near = get_close_matches(run, known, n=1)
        return flow.refuse(app, refusals.no_such_run(run, near))
    app.out.write(tables.steps(app.out.page, steps))
    return 0
