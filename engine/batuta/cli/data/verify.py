"""`batuta data verify`: hashes a dataset's files and log and says whether they are whole."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit, of_diagnostics
from batuta.cli.options import workspace_options
from batuta.cli.views import tables


@click.command("verify")
@click.argument("dataset")
@workspace_options
@click.option(
    "--accept-head",
    metavar="REASON",
    help="Accept a log that is older than the recorded one, and record why.",
)
@pass_app
def command(app: App, dataset: str, accept_head: str | None) -> int:
    """Hash every file and log entry of DATASET (a name or a path) and compare.

    \b
    Example:
        batuta data verify ./out/orders/
    """
    app.single = dataset  # outside a workspace each place has a state of its own
    engine = app.open(keeps=accept_head is not None)
    found = engine.verify_dataset(dataset, accept_head=accept_head)
    app.out.write(tables.verified(app.out.page, dataset, found))
    if found.ok:
        return Exit.OK
    code = of_diagnostics(found.problems)
    return Exit.ERROR if code is Exit.OK else code
