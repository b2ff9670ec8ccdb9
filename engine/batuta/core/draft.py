"""From a decision to an action: what is drafted passes the gates, then becomes immutable."""

from dataclasses import dataclass, replace

from batuta.core import gates, refusals
from batuta.core.case import Case, World, ends_of, preconditions, target
from batuta.core.reasons import Why, reason
from batuta.core.shape import Shape
from batuta.core.tiers import keeps_secret, trusts
from batuta.core.transfer_plan import Reading, cost_of, transfer_of, volume_of
from batuta.model.change import Change, Effect
from batuta.model.cost import CostEstimate
from batuta.model.decision import APPROVAL_KINDS, APPROVAL_USED, Approval, content_digest
from batuta.model.diagnostic import Diagnostic, Location
from batuta.model.log import Facts, Label
from batuta.model.observed import states_of
from batuta.model.plan import (
    Action,
    Append,
    Blocked,
    Convert,
    Create,
    EvolveSchema,
    Move,
    NoOp,
    Preconditions,
    Reason,
    Relabel,
    Replace,
    Transfer,
    Volume,
)
from batuta.model.resource import Dataset
from batuta.model.tier import Tier

Kind = type[Create | Append | Replace | EvolveSchema | Convert | Relabel | Move]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An action and what else is worth saying. `files_gone` counts files that nothing replaces."""

    action: Action
    diagnostics: tuple[Diagnostic, ...] = ()
    files_gone: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An action before the gates. `reading` is None where no bytes move."""

    case: Case
    kind: Kind
    facts: Facts
    label: Label
    whys: tuple[Why, ...]
    effect: Effect
    reading: Reading | None
    shaped: Shape | None
    changes: tuple[Change, ...] = ()
    notes: tuple[Diagnostic, ...] = ()
    approvals: tuple[Approval, ...] = ()


def finish(draft: Draft, extra: tuple[Diagnostic, ...]) -> Decision:
    """Return the drafted action, or Blocked where a gate is closed; `extra` are warnings."""
    case, reading, source = draft.case, draft.reading, draft.case.source
    mixed = _mixed_label(draft)
    if mixed is not None:
        return Decision(action=stop(case, Why.SOVEREIGNTY, (mixed,), changes=draft.changes))
    if reading is None or source is None:
        return Decision(action=_relabel(draft), diagnostics=extra + draft.notes)
    transfer = transfer_of(case, source, draft.shaped, draft.label, reading)
    volume = volume_of(case, source, reading, copy=transfer.copy)
    loss = gates.Loss.of(case, draft.shaped, reading)
    effect = Effect.LOSES if loss.any else draft.effect
    closed = (
        gates.data_loss(case, loss)
        or gates.budget(case, volume)
        or gates.space(case, volume)
    )  # fmt: skip
    if closed is not None:
        why, found = closed
        return Decision(
            action=_blocked_draft(draft, (why, *draft.whys), (found,), (effect, volume)),
            diagnostics=extra,
        )
    action = _moving(draft, transfer, (effect, volume, cost_of(case, volume)), loss)
    warnings = extra + draft.notes + gates.unknown_price(case)
    return Decision(action=action, diagnostics=warnings, files_gone=len(reading.vanished))


def stop(
    case: Case,
    why: Why,
    diagnostics: tuple[Diagnostic, ...],
    *,
    changes: tuple[Change, ...] = (),
    question: str | None = None,
) -> Blocked:
    """Return a Blocked action for the case."""
    return Blocked(
        target=target(case.dataset),
        preconditions=preconditions(case.world, case.dataset, case.observation),
        reasons=(reason(why, _first_place(diagnostics)),),
        changes=changes,
        diagnostics=diagnostics,
        question=question,
    )


def stop_unseen(world: World, dataset: Dataset) -> Blocked:
    """Return a Blocked action for a dataset that was not looked at."""
    given, touched = world.input, target(dataset)
    found = refusals.not_read(dataset.address, touched.locations)
    return Blocked(
        target=touched,
        preconditions=Preconditions(
            manifest=dataset.manifest_digest,
            policies=given.policies(dataset.name),
            prices=given.prices,
        ),
        reasons=(reason(Why.NOT_READ),),
        diagnostics=(found,),
    )


def stop_closed(world: World, dataset: Dataset, refused: tuple[Diagnostic, ...]) -> Blocked:
    """Return a Blocked action for a dataset for which nothing may be contacted."""
    unseen = stop_unseen(world, dataset)
    first = refused[0].code
    why = Why.SOVEREIGNTY
    if first.startswith("PLN"):
        why = Why.NOT_POSSIBLE
    if first.startswith("EGR"):
        why = Why.ENFORCEMENT if first == "EGR201" else Why.EGRESS
    reasons = (reason(why, _first_place(refused)),)
    return replace(unseen, reasons=reasons, diagnostics=refused)


def calm(
    case: Case, why: Why, *, adopt: bool = False, changes: tuple[Change, ...] = ()
) -> NoOp:  # fmt: skip
    """Return a NoOp for the case."""
    return NoOp(
        target=target(case.dataset),
        preconditions=preconditions(case.world, case.dataset, case.observation),
        reasons=(_CALM[why] if why in _CALM else reason(why),),
        changes=changes,
        adopt_state=adopt,
    )


_CALM = {why: reason(why) for why in (Why.UNCHANGED, Why.STATE_BEHIND)}


def _mixed_label(draft: Draft) -> Diagnostic | None:
    snapshot = draft.case.snapshot
    tier, label = Tier(draft.facts.tier), draft.label
    region = ends_of(draft.case.world, draft.case.dataset)[-1].region
    here = not label.residency or region in label.residency
    if snapshot is None or (keeps_secret(tier, label) and trusts(tier, label) and here):
        return None
    kept = snapshot.entry.label
    return refusals.kept_label(
        draft.case.dataset,
        f"({kept.confidentiality}, {kept.integrity})",
        f"so that together they are ({label.confidentiality}, {label.integrity})"
        + (f" and may lie in {', '.join(label.residency)}" if label.residency else ""),
    )


def _reasons(draft: Draft, whys: tuple[Why, ...]) -> tuple[Reason, ...]:
    place = draft.case.dataset.place
    return tuple(reason(why, place(_PLACES[why]) if why in _PLACES else ()) for why in whys)


_PLACES = {
    Why.ABSENT: "spec.destination",
    Why.SOURCE_EDITED: "spec.source",
    Why.SCHEMA_DRIFT: "spec.onDrift",
    Why.SCHEMA_EDITED: "spec.source.columns",
    Why.FORMAT_EDITED: "spec.format",
    Why.SETTINGS_EDITED: "spec.formatOptions",
    Why.DESTINATION_EDITED: "spec.destination",
    Why.TIER_CHANGED: "spec.tier",
    Why.FACTS_EDITED: "spec",
    Why.LABEL_CHANGED: "spec.source",
    Why.OVER_BUDGET: "spec.budget",
    Why.NO_SPACE: "spec.destination",
    Why.PROTECTED: "spec.protect",
}


def _relabel(draft: Draft) -> Relabel:
    case = draft.case
    return Relabel(
        target=target(case.dataset),
        preconditions=preconditions(case.world, case.dataset, case.observation),
        reasons=_reasons(draft, draft.whys),
        changes=draft.changes,
        source=case.dataset.source,
        facts=draft.facts,
        label=draft.label,
        decisions=_kept_decisions(draft),
    )


def _kept_decisions(draft: Draft) -> tuple[tuple[str, str], ...]:
    """Decisions about rows that stay hold on: the newest entry has them all, with new ones."""
    snapshot = draft.case.snapshot
    before = snapshot.entry.decisions if snapshot is not None else ()
    kept = [(kind, text) for kind, text in before if kind in APPROVAL_KINDS]
    return tuple(dict.fromkeys([*kept, *_used(draft)]))


def _used(draft: Draft) -> tuple[tuple[str, str], ...]:
    """The decisions that this commit rests on: those it uses now, and those it used before."""
    standing = draft.case.observation.standing if draft.approvals or _rests(draft) else ()
    return tuple((APPROVAL_USED, a.text) for a in (*standing, *draft.approvals))


def _rests(draft: Draft) -> bool:
    """True where the source's rows are those that the standing decisions are about."""
    source = draft.case.source
    if not draft.case.observation.standing or source is None:
        return False
    found = {content_digest(tuple((u.key, u.version) for u in s.units)) for s in states_of(source)}
    return any(a.content in found for a in draft.case.observation.standing)


def _moving(
    draft: Draft,
    transfer: Transfer,
    weight: tuple[Effect, Volume, CostEstimate],
    loss: gates.Loss,
) -> Action:
    case, kind = draft.case, draft.kind
    effect, volume, cost = weight
    decisions = draft.shaped.decisions if draft.shaped else ()
    decisions = (*decisions, *dict.fromkeys(_used(draft)))
    if loss.needs_leave:
        decisions = (*decisions, ("data-loss", "allowed"))
    if kind is Relabel:
        return _relabel(draft)
    record = case.observation.record
    # Every kind of transfer has these fields; a Move alone has one more.
    common = {
        "target": target(case.dataset),
        "preconditions": preconditions(case.world, case.dataset, case.observation),
        "reasons": _reasons(draft, draft.whys),
        "changes": draft.changes,
        "effect": effect,
        "volume": volume,
        "cost": cost,
        "decisions": decisions,
        "transfer": transfer,
        "facts": draft.facts,
        "label": draft.label,
    }
    if kind is Move and record is not None:
        common["origin_destination"] = record.destination
    return kind(**common)  # type: ignore[arg-type]


def _blocked_draft(
    draft: Draft,
    whys: tuple[Why, ...],
    diagnostics: tuple[Diagnostic, ...],
    weight: tuple[Effect, Volume],
) -> Blocked:
    case = draft.case
    effect, volume = weight
    return Blocked(
        target=target(case.dataset),
        preconditions=preconditions(case.world, case.dataset, case.observation),
        reasons=_reasons(draft, whys),
        changes=draft.changes,
        effect=effect,
        volume=volume,
        cost=cost_of(case, volume),
        diagnostics=diagnostics,
        question="data-loss" if whys[0] is Why.DATA_LOSS else None,
    )


def blocked_instead(action: Action, why: Why, diagnostic: Diagnostic) -> Blocked:
    """Return `action` as one that cannot be done, with all that the plan shows of it."""
    return Blocked(
        target=action.target,
        preconditions=action.preconditions,
        reasons=(reason(why, diagnostic.locations), *action.reasons),
        changes=action.changes,
        effect=action.effect,
        volume=action.volume,
        cost=action.cost,
        diagnostics=(diagnostic,),
    )


def _first_place(diagnostics: tuple[Diagnostic, ...]) -> tuple[Location, ...]:
    return diagnostics[0].locations if diagnostics else ()
