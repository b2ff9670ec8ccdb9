"""`batuta data merge`: a dataset whose source is itself and another one, planned and applied.

Where the labels of the two do not go together the specification's question is asked at a
terminal; elsewhere the merge is refused.
"""

from typing import TYPE_CHECKING, assert_never

import click

from batuta.cli import flow
from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit, of_plan, with_refusals
from batuta.cli.label.approve import TIERS, record
from batuta.cli.options import egress_option, loss_option, workspace_options
from batuta.cli.typed import typed
from batuta.cli.views import labels, questions
from batuta.core.labels.flows import Choice
from batuta.model.plan import Blocked, Envelope, NoOp

if TYPE_CHECKING:
    from batuta.core.labels.flows import Way
    from batuta.runtime.engine import Engine
    from batuta.runtime.merge_sides import MergeConflict, MergeWish
    from batuta.runtime.planning import PlanRequest


@click.command("merge")
@click.argument("target")
@click.argument("source")
@workspace_options
@click.option("--on", multiple=True, metavar="COLUMN", help="Merge by this key. May be repeated.")
@click.option(
    "--conflict",
    type=click.Choice(["Fail", "First", "Last"]),
    help="With --on: whose row holds where both have a key. First is TARGET's. Default: Fail.",
)
@click.option("--tier", type=click.Choice(TIERS), help="The tier afterwards. Default: TARGET's.")
@click.option("--dry-run", is_flag=True, help="Show the plan; change nothing.")
@click.option("--print-manifest", is_flag=True, help="Print the manifest behind this and stop.")
@click.option("--yes", is_flag=True, help="Agree to the cost. Data loss has to be allowed as well.")
@egress_option
@loss_option
@pass_app
def command(
    app: App,
    target: str,
    source: str,
    on: tuple[str, ...],
    conflict: str | None,
    tier: str | None,
    dry_run: bool,
    print_manifest: bool,
    yes: bool,
    egress: str | None,
    allow_data_loss: tuple[str, ...],
) -> int:
    """Merge SOURCE into the dataset at TARGET: its rows are added, columns by name.

    With --on one row is kept for each key. The version before stays in TARGET's history. Typed
    again with an unchanged SOURCE it does nothing.

    \b
    Example:
        batuta data merge ./orders/ ./corrections/ --on id --conflict Last
    """
    from batuta.manifest.shorthand import documents_text
    from batuta.runtime.merge_sides import MergeWish, merge_documents

    if conflict is not None and not on:
        raise click.BadParameter("it needs a key: --on COLUMN", param_hint="--conflict")
    wish = MergeWish(
        target=target, source=source, on=on, conflict=conflict, tier=tier, egress=egress
    )
    app.single = target
    # A person may be asked, and what was decided is remembered whatever is done then.
    looks = print_manifest or (dry_run and not app.can_ask)
    engine = app.open(connect=False, keeps=not looks)
    words = _words(app, wish, allow_data_loss, yes=yes)
    if print_manifest:
        documents = merge_documents(engine.datasets, wish)
        app.out.verbatim(documents_text(documents[-1]))
        return Exit.OK
    settled = _planned(app, engine, wish, allow_data_loss)
    if isinstance(settled, Exit):
        return settled
    envelope, request = settled
    if dry_run:
        flow.show(app, envelope, words, allowed=allow_data_loss)
        return with_refusals(of_plan(envelope.plan), engine.refused)
    consent = flow.Consent(
        command=words, yes=yes, allow_data_loss=allow_data_loss, asks_always=False
    )
    return flow.plan_and_apply(app, engine, request, consent, flow.Run(resume=words))


def _planned(
    app: App, engine: "Engine", wish: "MergeWish", allow_data_loss: tuple[str, ...]
) -> "tuple[Envelope, PlanRequest] | Exit":
    """Plan what is to be merged; at a terminal, ask where the labels do not go together."""
    from batuta.manifest.shorthand import documents_text
    from batuta.runtime.merge_sides import find_conflict, merge_documents
    from batuta.runtime.planning import PlanRequest

    for document in merge_documents(engine.datasets, wish):
        dataset = engine.loader.single(documents_text(document))
        request = PlanRequest(single=dataset, allow_data_loss=allow_data_loss)
        envelope = flow.make(app, engine, request)
        if all(isinstance(action, NoOp) for action in envelope.plan.actions):
            return envelope, request
    if not (app.can_ask and _asks(envelope)):
        return envelope, request
    snapshot = engine.datasets.committed(wish.target).dataset.snapshot()
    assert snapshot is not None
    found = find_conflict(dataset, engine.observer, snapshot.entry.facts)
    if found is None:
        return envelope, request
    decided = _decide(app, engine, found, wish)
    return decided if isinstance(decided, Exit) else _planned(app, engine, decided, allow_data_loss)


def _asks(envelope: Envelope) -> bool:
    actions = envelope.plan.actions
    return any(isinstance(a, Blocked) and a.question == "sovereignty" for a in actions)


def _decide(
    app: App, engine: "Engine", found: "MergeConflict", wish: "MergeWish"
) -> "MergeWish | Exit":
    """Ask what to do; return what to plan next, or how it ends."""
    question = labels.conflict(app.err.page, found)
    while True:
        answer = app.ask(question, "   Choice:")[:1] or "q"
        way = found.way(answer)
        if way is not None:
            break
        question = questions.not_offered(answer, [each.choice for each in found.ways])
    match way.choice:
        case Choice.QUIT:
            app.err.say("Nothing was merged.")
            return Exit.SOVEREIGNTY
        case Choice.RESOURCE:
            names = ", ".join(way.inputs)
            app.err.say(f"Take {names} from an origin of {way.to} or better, then merge that.")
            return Exit.SOVEREIGNTY
        case Choice.DECLASSIFY | Choice.ENDORSE:
            return _record(app, engine, way, wish)
        case _:
            assert_never(way.choice)


def _record(app: App, engine: "Engine", way: "Way", wish: "MergeWish") -> "MergeWish | Exit":
    from dataclasses import replace

    from batuta.runtime.approvals import Grant

    app.err.ask("   Reason (it is recorded):")
    reason = app.answer().strip() if app.answer is not None else ""
    if not reason or way.to is None:
        app.err.say("Without a reason nothing is decided, and nothing was merged.")
        return Exit.SOVEREIGNTY
    declassify = way.choice is Choice.DECLASSIFY
    for name in way.inputs:
        grant = Grant(
            kind="declassify" if declassify else "endorse", tier=way.to, reason=reason, actor="",
            days=1,
        )  # fmt: skip
        app.err.write(record(app.err.page, engine, name, grant))
    # The target comes down with its data; where the source was endorsed it stays as it is.
    return replace(wish, tier=way.to.value) if declassify else wish


def _words(app: App, wish: "MergeWish", allowed: tuple[str, ...], *, yes: bool) -> str:
    words = ["data", "merge", wish.target, wish.source]
    for name in wish.on:
        words += ["--on", name]
    given = (("--conflict", wish.conflict), ("--tier", wish.tier), ("--egress", wish.egress))
    for flag, value in given:
        words += [flag, value] if value else []
    return typed(app, *words, allow_data_loss=allowed, yes=yes)
