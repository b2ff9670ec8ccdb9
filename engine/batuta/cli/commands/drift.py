"""`batuta drift`: what was recorded against what is there now; nothing is planned."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit, of_diagnostics, with_refusals
from batuta.cli.options import workspace_options
from batuta.cli.views import tables
from batuta.cli.views.progress import listeners


@click.command("drift")
@workspace_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 11 where there is drift.")
@pass_app
def command(app: App, detailed_exitcode: bool) -> int:
    """Compare sources, destinations and logs with what was last recorded.

    \b
    Example:
        batuta drift --detailed-exitcode
    """
    engine = app.open()
    with listeners(app.err, None) as listen:
        found = engine.drift(listen)
    app.out.write(tables.drift(app.out.page, found))
    closed = of_diagnostics(d for f in found if f.kind == "policy" for d in f.diagnostics)
    if closed is not Exit.OK:
        return closed
    code = Exit.DRIFT if found and detailed_exitcode else Exit.OK
    return with_refusals(code, engine.refused)
