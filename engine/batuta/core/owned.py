"""Whether the destination is ours to change, and what ends the matter before any comparison."""

import hashlib

from batuta.core import refusals
from batuta.core.case import Case, preconditions, target
from batuta.core.draft import Decision, stop
from batuta.core.reasons import Why
from batuta.core.removal import Removal, release, removed
from batuta.model.diagnostic import typed_again
from batuta.model.resource import Dataset, Origin


def barred(case: Case) -> Decision | None:
    """Return the action where the source need not even be looked at; None where it must be."""
    asked = case.world.input.asked
    if case.asked(asked.destroy) or case.asked(asked.release):
        return _given_up(case, destroy=case.asked(asked.destroy))
    record, state, dataset = case.observation.record, case.destination, case.dataset
    resync = case.asked(asked.resync)
    if state.condition == "foreign":
        found = refusals.foreign(dataset.address, str(dataset.destination), state)
        return Decision(action=stop(case, Why.FOREIGN, (found,)))
    if state.condition in {"absent", "empty"} and record is not None:
        lost = not case.moved and not resync
        return (
            Decision(action=stop(case, Why.DESTINATION_DRIFT, (refusals.gone(dataset),)))
            if lost
            else None
        )
    return _log_bars(case, resync=resync)


def is_taken_over(case: Case) -> bool:
    """True where the log names another resource, whose data this one may go on with."""
    snapshot = case.snapshot
    return snapshot is not None and snapshot.entry.resource != case.dataset.address


def _log_bars(case: Case, *, resync: bool) -> Decision | None:
    state, dataset, head = case.destination, case.dataset, case.observation.head
    place = str(dataset.destination)
    snapshot = case.snapshot
    if head is not None and head in {"older", "foreign"} and not case.moved:
        found = refusals.rollback(dataset.address, place, head)
        return Decision(action=stop(case, Why.ROLLBACK, (found,)))
    if state.condition == "damaged" and not (resync and snapshot is not None):
        typed = dataset.origin is Origin.COMMAND
        found = refusals.damaged(dataset.address, place, state, typed=typed)
        problems = typed_again(state.problems) if typed else state.problems
        return Decision(action=stop(case, Why.DESTINATION_DRIFT, (found, *problems)))
    if snapshot is not None and is_taken_over(case) and not _may_take_over(case):
        found = refusals.other_resource(dataset, snapshot.entry.resource)
        return Decision(action=stop(case, Why.OTHER_OWNER, (found,)))
    return None


def _may_take_over(case: Case) -> bool:
    """True after `state mv`, where asked, and for data of a one-line command to this place."""
    snapshot, dataset = case.snapshot, case.dataset
    known = case.observation.record is not None and case.observation.head in {"same", "descendant"}
    if known or case.asked(case.world.input.asked.adopt):
        return True
    return snapshot is not None and goes_on_with(dataset, snapshot.entry.resource)


def goes_on_with(dataset: Dataset, resource: str) -> bool:
    """True where a log of `resource` is the dataset's without anybody saying so.

    That is its own, and, for one of the manifests, that of a one-line command to this place.
    """
    if resource == dataset.address:
        return True
    if dataset.origin is not Origin.MANIFEST:
        return False
    bare = str(dataset.destination).rstrip("/")
    endings = tuple(
        f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}" for text in (bare, f"{bare}/")
    )
    return resource.endswith(endings)


def _given_up(case: Case, *, destroy: bool) -> Decision:
    dataset = case.dataset
    gone = Removal(
        target=target(dataset),
        preconditions=preconditions(case.world, dataset, case.observation),
        destination=case.destination,
        record=case.observation.record,
        head=case.observation.head,
    )
    decision = removed(gone, Why.DESTROY) if destroy else release(gone, Why.RELEASE)
    note = refusals.document_stays(dataset, "made again" if destroy else "taken up again")
    return Decision(action=decision.action, diagnostics=(*decision.diagnostics, note))
