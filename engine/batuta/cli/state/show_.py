"""`batuta state show NAME`: all that is recorded of one resource."""

import difflib

import click

from batuta.cli import flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import tables


@click.command("show")
@click.argument("name")
@workspace_options
@pass_app
def command(app: App, name: str) -> int:
    """Show what is recorded of one resource, its columns included.

    \b
    Example:
        batuta state show orders
    """
    engine = app.open(connect=False, declared=True)
    found = {record.address: record for record in engine.records()}
    address = name if name in found else f"Dataset/{name}"
    if address not in found:
        near = difflib.get_close_matches(address, found, n=3)
        return flow.refuse(app, refusals.no_such_record(name, near))
    app.out.write(tables.record(app.out.page, found[address]))
    return 0
