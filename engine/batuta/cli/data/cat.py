"""`batuta data cat`: the rows of a dataset, whole, at any version."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.pipe import close_quietly

if TYPE_CHECKING:
    import pyarrow as pa

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
    from batuta.cli.data import rows

    app.single = dataset  # outside a workspace each place has a state of its own
    engine = app.open()
    chosen = as_format or ("table" if app.out.interactive else "csv")
    if chosen == "table" and limit is None:
        limit = _TABLE_ROWS
    batches = first(engine.dataset_batches(dataset, version), limit)
    try:
        rows.WRITERS[chosen](app.out, batches)
        app.out.stream.flush()
    except BrokenPipeError:
        # The reader has all it wanted: that is no failure.
        close_quietly()
    return 0


def first(batches: "Iterator[pa.RecordBatch]", limit: int | None) -> "Iterator[pa.RecordBatch]":
    """Yield at most `limit` rows and read no further; at least one batch, for its columns."""
    left = limit
    for batch in batches:
        if left is None:
            yield batch
            continue
        yield batch.slice(0, left)
        left -= min(left, batch.num_rows)
        if left == 0:
            return
