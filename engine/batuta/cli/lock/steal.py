"""`batuta lock steal`: takes the lock from a run that will not come back."""

import click

from batuta.cli import flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit
from batuta.cli.options import workspace_options
from batuta.cli.typed import typed
from batuta.cli.views import tables


@click.command("steal")
@workspace_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def command(app: App, yes: bool) -> int:
    """Take the lock from the run that holds it; that run can then write nothing any more.

    \b
    Example:
        batuta lock steal
    """
    engine = app.open(connect=False)
    held = engine.lease()
    app.out.write(tables.lease(app.out.page, held))
    if held is None:
        return Exit.OK
    if not yes:
        if not app.can_ask:
            return flow.refuse(app, refusals.nobody_to_ask(typed(app, "lock", "steal")))
        if not app.agrees([], "Take the lock?"):
            return Exit.CANCELLED
    engine.steal_lease()
    app.out.say("The lock is free.")
    return Exit.OK
