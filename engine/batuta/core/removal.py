"""Giving a dataset up: forgetting it and leaving the data, or deleting what batuta made."""

from dataclasses import dataclass

from batuta.core import refusals
from batuta.core.draft import Decision
from batuta.core.plan_input import HeadRelation, Orphan, PlanInput, is_named
from batuta.core.reasons import Why, reason
from batuta.model.change import Effect
from batuta.model.diagnostic import Diagnostic
from batuta.model.observed import DestinationState
from batuta.model.plan import Blocked, Delete, Preconditions, Release, Target
from batuta.model.resource import DeletionPolicy, HistorySpec
from batuta.model.state import ResourceRecord
from batuta.model.tier import Tier

_TIERS = {tier.value: tier for tier in Tier}


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One dataset to give up, with or without a document."""

    target: Target
    preconditions: Preconditions
    destination: DestinationState | tuple[Diagnostic, ...]
    record: ResourceRecord | None
    head: HeadRelation | None


def orphaned(given: PlanInput, orphan: Orphan, *, in_use: bool) -> Decision:
    """Return what becomes of a resource whose document is gone.

    Its data stays unless the log recorded `deletionPolicy: Delete`, or its deletion was asked
    for. With `in_use` another dataset has its destination now, and nothing is deleted.
    """
    record, state = orphan.record, orphan.destination
    gone = Removal(
        target=Target(
            resource=record.address,
            destination=record.destination,
            destination_platform=record.destination_platform,
            history=HistorySpec(),
            origin=record.origin,
            tier=_TIERS.get(record.facts.tier),
            tier_derived=record.facts.tier_derived,
        ),
        preconditions=Preconditions(
            head=state.head if isinstance(state, DestinationState) else None,
            revision=record.revision,
            manifest=record.manifest,
            policies=given.policies(record.address.partition("/")[2]),
            prices=given.prices,
        ),
        destination=state,
        record=record,
        head=orphan.head,
    )
    asked = given.asked
    if in_use or is_named(asked.release, record.address):
        return release(gone, Why.RELEASE if not in_use else Why.DOCUMENT_GONE)
    if is_named(asked.destroy, record.address):
        return removed(gone, Why.DESTROY)
    facts = record.facts
    if isinstance(state, DestinationState) and state.snapshot is not None:
        facts = state.snapshot.entry.facts
    if facts.deletion_policy == DeletionPolicy.DELETE.value:
        return removed(gone, Why.DOCUMENT_GONE)
    return release(gone, Why.DOCUMENT_GONE)


def release(gone: Removal, why: Why) -> Decision:
    """Forget the dataset; its data and its log stay."""
    return Decision(
        action=Release(target=gone.target, preconditions=gone.preconditions, reasons=(reason(why),))
    )


def removed(gone: Removal, why: Why) -> Decision:
    """Delete the dataset's files, listed one by one, where batuta made them and may."""
    state = gone.destination
    if not isinstance(state, DestinationState):
        unread = (refusals.not_read(gone.target.resource, gone.target.locations),)
        return _barred(gone, Why.UNREADABLE if state else Why.NOT_READ, state or unread)
    if state.condition in {"absent", "empty"}:
        return release(gone, Why.ALREADY_GONE)
    stops = _why_not(gone, state)
    if stops is not None:
        return _barred(gone, stops[0], (stops[1],))
    snapshot = state.snapshot
    paths = tuple(sorted(part.path for part in snapshot.parts)) if snapshot else ()
    action = Delete(
        target=gone.target,
        preconditions=gone.preconditions,
        reasons=(reason(why),),
        effect=Effect.LOSES,
        paths=paths,
        history=state.history,
        rows=snapshot.rows if snapshot else None,
    )
    gone_files = len(paths) + len(state.history)
    return Decision(action=action, files_gone=gone_files if why is Why.DOCUMENT_GONE else 0)


def _why_not(gone: Removal, state: DestinationState) -> tuple[Why, Diagnostic] | None:
    address, place, snapshot = gone.target.resource, gone.target.destination, state.snapshot
    if state.condition == "foreign":
        return Why.FOREIGN, refusals.foreign(address, place, state)
    if snapshot is None:
        return Why.DESTINATION_DRIFT, refusals.damaged(address, place, state)
    if gone.head is not None and gone.head in {"older", "foreign"}:
        return Why.ROLLBACK, refusals.rollback(address, place, gone.head)
    if snapshot.entry.resource != address:
        return Why.OTHER_OWNER, refusals.not_its_own(address, place, snapshot.entry.resource)
    owners = {snapshot.entry.owner, gone.record.owner if gone.record else snapshot.entry.owner}
    if owners != {"Created"}:
        return Why.OTHER_OWNER, refusals.not_imported(address, place)
    recorded = gone.record is not None and gone.record.facts.protect
    if snapshot.entry.facts.protect or recorded:
        return Why.PROTECTED, refusals.protected(address, gone.target.locations)
    return None


def _barred(gone: Removal, why: Why, diagnostics: tuple[Diagnostic, ...]) -> Decision:
    return Decision(
        action=Blocked(
            target=gone.target,
            preconditions=gone.preconditions,
            reasons=(reason(why),),
            effect=Effect.LOSES,
            diagnostics=diagnostics,
        )
    )
