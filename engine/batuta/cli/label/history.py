"""`batuta label history`: every label that a dataset had, and every decision about it."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import labels


@click.command("history")
@click.argument("path")
@workspace_options
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@pass_app
def command(app: App, path: str, limit: int | None) -> int:
    """List the entries of the log at PATH with their labels and decisions, newest first.

    \b
    Example:
        batuta label history ./out/orders/
    """
    app.single = path
    steps = app.open(keeps=False).labels.history(path)[::-1]
    app.out.write(labels.history(app.out.page, steps[:limit]))
    return 0
