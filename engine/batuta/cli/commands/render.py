"""`batuta render`: the documents as batuta understands them, and where each value is from."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import of_diagnostics
from batuta.cli.options import workspace_options
from batuta.cli.views import diagnostics


@click.command("render")
@workspace_options
@pass_app
def command(app: App) -> int:
    """Print all documents after overlays, variables and defaults, with each value's origin.

    \b
    Example:
        batuta render --env prod
    """
    from batuta.manifest.render import render, rendered_text

    engine = app.open(connect=False, declared=True)
    resolution = engine.loader.explained()
    app.out.verbatim(rendered_text(render(resolution)))
    app.err.write(diagnostics.view(app.err.page, resolution.diagnostics, app.source))
    return of_diagnostics(resolution.diagnostics)
