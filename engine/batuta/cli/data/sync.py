"""`batuta data sync`: a one-dataset manifest, planned and applied.

No transfer logic lives here. The command builds the manifest that the user could have written
and hands it to the same two calls as `batuta plan` and `batuta apply`.
"""

from typing import TYPE_CHECKING

import click

from batuta.cli import flow
from batuta.cli.app import App, pass_app
from batuta.cli.exit import of_plan, with_refusals
from batuta.cli.options import drift_option, egress_option, loss_option, workspace_options
from batuta.cli.typed import typed
from batuta.cli.views import questions

if TYPE_CHECKING:
    from batuta.model.resource import DriftPolicy
    from batuta.runtime.engine import Engine


@click.command("sync")
@click.argument("source")
@click.argument("destination")
@workspace_options
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["ald", "parquet", "arrow", "files"]),
    help="Write this format. Default: what DESTINATION has; else ald for a table's address "
    "(delta+...), files (byte for byte) for folders, prefixes and single files.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and its cost; change nothing.")
@click.option("--print-manifest", is_flag=True, help="Print the manifest behind this and stop.")
@click.option("--yes", is_flag=True, help="Agree to the cost. Data loss has to be allowed as well.")
@egress_option
@click.option("--resync", is_flag=True, help="Read everything anew, and mend what is spoilt there.")
@loss_option
@drift_option
@pass_app
def command(
    app: App,
    source: str,
    destination: str,
    as_format: str | None,
    dry_run: bool,
    print_manifest: bool,
    yes: bool,
    egress: str | None,
    resync: bool,
    allow_data_loss: tuple[str, ...],
    on_drift: "DriftPolicy | None",
) -> int:
    """Bring what is at SOURCE to DESTINATION, going on where an interrupted run stopped.

    Asks only where money, data or a drifted schema is at stake; without a terminal each of
    these stops it. It needs no workspace.

    \b
    Example:
        batuta data sync delta+data/orders ./local/orders/
        batuta data sync s3://bucket/dataset/ ./local/data/ --dry-run
        batuta data sync s3://bucket/dataset/ ./local/data/ --egress lake-plain
    """
    from batuta.runtime.planning import PlanRequest

    app.single = destination
    engine = app.open(connect=False, keeps=not (dry_run or print_manifest))
    text = _document(engine, source, destination, as_format, egress)
    if print_manifest:
        app.out.verbatim(_whole_manifest(engine, text))
        return 0
    dataset = engine.loader.single(text)
    flags: list[str] = []
    for flag, value in (("--format", as_format), ("--egress", egress)):
        flags += [flag, value] if value else []
    words = typed(
        app, "data", "sync", source, destination,
        *flags, *(["--resync"] if resync else []),
        on_drift=on_drift, allow_data_loss=allow_data_loss, yes=yes,
    )  # fmt: skip
    request = PlanRequest(
        single=dataset, on_drift=on_drift, allow_data_loss=allow_data_loss,
        resync=(dataset.name,) if resync else (),
    )  # fmt: skip
    if dry_run:
        envelope = flow.make(app, engine, request)
        flow.show(app, envelope, words, allowed=allow_data_loss)
        if not app.can_ask or not envelope.plan.has_changes:
            return with_refusals(of_plan(envelope.plan), engine.refused)
        question = questions.cost(app.err.page, envelope.plan)
        if not app.agrees(question, "   Proceed with sync?"):
            return with_refusals(of_plan(envelope.plan), engine.refused)
        app.close()
        engine = app.open(connect=False)
    consent = flow.Consent(
        command=words, yes=yes or dry_run, allow_data_loss=allow_data_loss, asks_always=False
    )
    return flow.plan_and_apply(app, engine, request, consent, flow.Run(resume=words))


def _document(
    engine: "Engine", source: str, destination: str, as_format: str | None, egress: str | None
) -> str:
    """Return the document behind the command; a format that nobody names is the recorded one."""
    from batuta.manifest.shorthand import command_document, documents_text

    spec = {"egress": egress} if egress else None
    try:
        text = documents_text(command_document(source, destination, format=as_format, spec=spec))
        if as_format is not None:
            return text
        kept = engine.datasets.recorded_format(engine.loader.single(text))
        return documents_text(command_document(source, destination, format=kept, spec=spec))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="DESTINATION") from error


def _whole_manifest(engine: "Engine", text: str) -> str:
    """Return the document with the Platforms that the vendor's defaults stand in for."""
    from batuta.manifest.shorthand import documents_text, platform_document

    implicit = [p for p in engine.loader.platforms(text) if p.implicit and p.type != "local"]
    return "---\n".join([*(documents_text(platform_document(p)) for p in implicit), text])
