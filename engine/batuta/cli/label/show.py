"""`batuta label show`: the label of a dataset, and what vouches for it."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit
from batuta.cli.options import workspace_options
from batuta.cli.views import labels


@click.command("show")
@click.argument("path")
@workspace_options
@pass_app
def command(app: App, path: str) -> int:
    """Show the label of the dataset at PATH (or of that name), and which tiers may take it in.

    \b
    Example:
        batuta label show ./out/orders/
    """
    app.single = path
    found = app.open(keeps=False).labels.show(path)
    app.out.write(labels.shown(app.out.page, found))
    return Exit.OK if found.holds else Exit.SOVEREIGNTY
