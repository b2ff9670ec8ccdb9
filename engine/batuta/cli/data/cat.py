"""`batuta data cat`: the rows of a dataset, whole, at any version."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.pipe import close_quietly

_TABLE_ROWS = 50


@click.command("cat")
@click.argument("dataset")
@workspace_options
@click.option("--version", type=click.IntRange(min=0), help="The log version; default: the newest.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["csv", "jsonl", "arrow", "table"]),
    help="Default: table at a terminal (50 rows unless --limit says more), else csv.",
)
@pass_app
def command(
    app: App, dataset: str, version: int | None, limit: int | None, as_format: str | None
) -> int:
    """Print the rows of DATASET (a name or a path).

    \b
    Example:
        batuta data cat orders --version 3 --limit 100 --format jsonl
    """
    from batuta.cli.data.rows import WRITERS
    from batuta.runtime.showing import Wish

    app.single = dataset  # outside a workspace each place has a state of its own
    engine = app.open(keeps=False)
    chosen = as_format or ("table" if app.out.interactive else "csv")
    if chosen == "table" and limit is None:
        limit = _TABLE_ROWS
    style, writer_on = WRITERS[chosen]
    writer = writer_on(app.out)
    try:
        engine.datasets.show(dataset, Wish(style=style, version=version, limit=limit), writer.take)
        writer.end()
        app.out.stream.flush()
    except BrokenPipeError:
        # The reader has all it wanted: that is no failure.
        close_quietly()
    return 0
