"""`batuta data log`: the commits of a dataset."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import tables


@click.command("log")
@click.argument("dataset")
@workspace_options
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@pass_app
def command(app: App, dataset: str, limit: int | None) -> int:
    """List the commits of DATASET (a name or a path), newest first.

    \b
    Example:
        batuta data log orders --limit 10
    """
    app.single = dataset  # outside a workspace each place has a state of its own
    engine = app.open(keeps=False)
    entries = sorted(engine.dataset_log(dataset), key=lambda e: e.version, reverse=True)
    app.out.write(tables.log(app.out.page, entries[:limit]))
    return 0
