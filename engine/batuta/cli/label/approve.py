"""`batuta label approve`: records the decision that data may be taken for less secret, or trusted."""

from typing import TYPE_CHECKING

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import labels

if TYPE_CHECKING:
    from batuta.cli.views.page import Line, Page
    from batuta.runtime.approvals import Grant
    from batuta.runtime.engine import Engine

TIERS = ("FullySovereign", "HybridSovereign", "PrivateCloud", "Standard")


@click.command("approve")
@click.argument("path")
@workspace_options
@click.option(
    "--to",
    "tier",
    required=True,
    type=click.Choice(TIERS),
    help="The confidentiality (with --endorse: the integrity) that the data is to have.",
)
@click.option("--reason", required=True, help="Why; it is kept in the log, signed.")
@click.option(
    "--endorse", is_flag=True, help="Raise the integrity after a review; else lower the secrecy."
)
@click.option(
    "--days",
    type=click.IntRange(min=1, max=90),
    default=30,
    show_default=True,
    help="How long the decision may wait to be used.",
)
@pass_app
def command(app: App, path: str, tier: str, reason: str, endorse: bool, days: int) -> int:
    """Decide about the data that is at PATH now: these rows and no others, once.

    Without --endorse the data is declassified: it may go to the tier that is named. With it the
    data is endorsed: a more sovereign place may take it in. The next apply that needs the
    decision uses it up. The same decision again, while it waits, records nothing.

    \b
    Example:
        batuta label approve ./public/ --to PrivateCloud --endorse --reason "reviewed, TICKET-7"
    """
    from batuta.runtime.approvals import Grant

    if not reason.strip():
        raise click.BadParameter("say why, in a few words", param_hint="--reason")
    app.single = path
    engine = app.open()
    grant = Grant(
        kind="endorse" if endorse else "declassify", tier=tier, reason=reason.strip(), actor="",
        days=days,
    )  # fmt: skip
    app.out.write(record(app.out.page, engine, path, grant))
    return 0


def record(page: "Page", engine: "Engine", path: str, grant: "Grant") -> "list[Line]":
    """Record a decision, unless the same one waits to be used; return what is said of it."""
    before = engine.labels.waiting(path, grant)
    approval = engine.approve(path, grant)
    return labels.approved(page, approval, before=before is not None and before.id == approval.id)
