"""`batuta egress explain`: why one host is open or closed to one dataset."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit
from batuta.cli.options import workspace_options
from batuta.cli.views import egress


@click.command("explain")
@click.argument("host")
@click.option("--dataset", required=True, metavar="NAME", help="Whose workers are asked about.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: that of HOST, or 443.")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write the answer.",
)
@workspace_options
@pass_app
def command(app: App, host: str, dataset: str, port: int | None, as_format: str) -> int:
    """Say whether workers of a dataset may connect to HOST, which rule says so, in which line.

    Nothing is contacted and no name is looked up. The exit code is 14 where the host is closed.

    \b
    Example:
        batuta egress explain s3.lake.test --dataset orders
        batuta egress explain 127.0.0.1:8333 --dataset orders
    """
    from batuta.runtime.egress_view import split_port

    try:
        split_port(host)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="HOST") from error
    found = app.open().egress.explain(host, dataset, port)
    if as_format == "json":
        app.out.verbatim(egress.explanation_json(found))
    else:
        app.out.write(egress.explanation(app.out.page, found, app.source))
    return Exit.OK if found.allowed else Exit.SOVEREIGNTY
