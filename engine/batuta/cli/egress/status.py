"""`batuta egress status`: per dataset its policy, its level here, and what was refused so far."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import egress


@click.command("status")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "json", "prometheus"]),
    default="text",
    show_default=True,
    help="prometheus is for a textfile collector; alert on batuta_egress_refused_total.",
)
@workspace_options
@pass_app
def command(app: App, as_format: str) -> int:
    """Show for each dataset its tier, policy, open hosts, level, and connections in the log.

    Levels are tried on this machine; nothing else is contacted.

    \b
    Example:
        batuta egress status
        batuta egress status --format prometheus > /var/lib/node_exporter/batuta.prom
    """
    asked = app.open().egress
    found, own = asked.status(), asked.own()
    match as_format:
        case "json":
            app.out.verbatim(egress.status_json(found, own))
        case "prometheus":
            app.out.verbatim(egress.status_metrics(found, own))
        case _:
            app.out.write(egress.status(app.out.page, found, own))
    return 0
