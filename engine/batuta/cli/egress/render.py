"""`batuta egress render`: the policies as rules that an administrator can install elsewhere."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import egress


@click.command("render")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "nftables", "kubernetes", "squid"]),
    default="text",
    show_default=True,
    help="text is for reading; the others are rules, and say in comments what they cannot express.",
)
@click.option("--dataset", metavar="NAME", help="Only for this one. Default: all together.")
@workspace_options
@pass_app
def command(app: App, as_format: str, dataset: str | None) -> int:
    """Print what workers may reach, for people or as a second layer of defence.

    The gateway of each run is the first layer and needs none of this. No rule is put in force.

    \b
    Example:
        batuta egress render --dataset orders
        batuta egress render --format nftables > /etc/nftables.d/batuta.nft
    """
    view = app.open().egress
    if as_format == "text":
        app.out.write(egress.policies(app.out.page, view.policies(dataset)))
    else:
        app.out.verbatim(view.rendered(as_format, dataset))
    return 0
