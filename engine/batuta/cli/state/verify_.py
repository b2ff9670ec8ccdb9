"""`batuta state verify`: whether the state agrees with itself and with the logs."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit, of_diagnostics
from batuta.cli.options import workspace_options
from batuta.cli.views import diagnostics


@click.command("verify")
@workspace_options
@pass_app
def command(app: App) -> int:
    """Check the state against itself and against the datasets' logs.

    \b
    Example:
        batuta state verify
    """
    engine = app.open(declared=True)
    found = engine.verify_state()
    if not found:
        app.out.say("The state agrees with itself and with the logs.")
        return Exit.OK
    app.out.write(diagnostics.view(app.out.page, found, app.source))
    return of_diagnostics(found)
