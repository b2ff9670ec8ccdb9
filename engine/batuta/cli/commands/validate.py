"""`batuta validate`: all manifests, read and checked; no platform is contacted."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import of_diagnostics
from batuta.cli.options import workspace_options
from batuta.cli.typed import typed
from batuta.cli.views import diagnostics, figures

_SHOWN = 5


@click.command("validate")
@workspace_options
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print what was found.",
)
@pass_app
def command(app: App, as_format: str) -> int:
    """Check all manifests and show everything that is wrong with them, in one run.

    \b
    Example:
        batuta validate --env prod
    """
    engine = app.open(connect=False, declared=True)
    found = engine.validate()
    if as_format == "json":
        app.out.verbatim(diagnostics.document(found.diagnostics) + "\n")
        return of_diagnostics(found.diagnostics)
    app.out.write(diagnostics.view(app.out.page, found.diagnostics, app.source))
    code = of_diagnostics(found.diagnostics)
    if code == 0 and found.desired is not None:
        datasets = figures.counted(len(found.desired.datasets), "dataset")
        app.out.say(f"{figures.counted(found.files, 'file')} valid, {datasets}")
    if passed := engine.loader.passed_by():
        shown = ", ".join(passed[:_SHOWN]) + (", ..." if passed[_SHOWN:] else "")
        app.out.say(f"not read: {shown} (name it .yaml, or add it to `manifests` of the Workspace)")
    offline = typed(app, "plan", "--refresh=none")
    allowed = f"what tiers and egress policies allow (offline as well: {offline})"
    unchecked = (*found.unchecked, allowed)
    app.out.say(f"not checked ({len(unchecked)}):")
    for each in unchecked:
        app.out.say(f"  {each}")
    return code
