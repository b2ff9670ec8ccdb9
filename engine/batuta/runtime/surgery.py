"""Changes of the state itself: shown as before and after, made only when asked twice."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from batuta.core.case import same_place
from batuta.core.owned import goes_on_with
from batuta.core.refusals import other_resource, rollback
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.log import Snapshot
from batuta.model.resource import Dataset
from batuta.model.state import ResourceRecord
from batuta.runtime.observe import Observer
from batuta.runtime.state.labels import forgotten, label_writes
from batuta.runtime.state.store import StateStore, Write, drop_resource, put_resource

_ROLLED_BACK = ("older", "foreign")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSurgery:
    """Lines that describe the state as it is and as it would be; `problems` were left out."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    writes: tuple[Write, ...]
    problems: tuple[Diagnostic, ...] = ()


def line(record: ResourceRecord) -> str:
    """Describe a record in one line."""
    return (
        f"{record.address}  {record.destination}  version {record.head.version} "
        f"({record.head.digest[:12]})  {record.facts.format}  {record.facts.tier}"
    )


def rebuild(datasets: Iterable[Dataset], observer: Observer, store: StateStore) -> StateSurgery:
    """Work out the records from the destinations' logs and the manifests.

    A record of a resource that no manifest describes is kept: its log may be elsewhere. A log
    of another resource is not taken over, and one that may have been rolled back is not
    believed: both are among the problems, with the way that says so. Labels of contents and used
    decisions that the state has forgotten come back, also where no record differs.
    """
    before = {record.address: record for record in store.resources()}
    after = dict(before)
    problems: list[Diagnostic] = []
    labels: list[Write] = []
    for dataset in datasets:
        try:
            snapshot = observer.store(dataset).snapshot()
        except BatutaError as error:
            problems.extend(error.diagnostics)
            continue
        if snapshot is None:
            continue
        old = before.get(dataset.address)
        if (problem := _not_taken(dataset, snapshot, old, observer, store)) is not None:
            problems.append(problem)
            continue
        labels += label_writes(snapshot.entry, snapshot.parts)
        if old is not None and old.head == snapshot.head:
            continue
        after[dataset.address] = ResourceRecord(
            address=dataset.address, revision=(old.revision if old else 0) + 1,
            destination=str(dataset.destination),
            destination_platform=dataset.destination_platform, origin=dataset.origin,
            owner=snapshot.entry.owner, head=snapshot.head, facts=snapshot.entry.facts,
            label=snapshot.entry.label, run="rebuild", plan=snapshot.entry.plan,
            manifest=dataset.manifest_digest,
        )  # fmt: skip
    records = (put_resource(r) for a, r in after.items() if before.get(a) != r)
    of_contents, of_decisions = forgotten(store, labels)
    return StateSurgery(
        before=_lines(before),
        after=(*_lines(after), *_counted(len(of_contents), len(of_decisions))),
        writes=(*records, *of_contents, *of_decisions),
        problems=tuple(problems),
    )


def _counted(labels: int, decisions: int) -> list[str]:
    """Say what the state comes to remember beside its records: no line where it knows all."""
    found = [f"labels of {labels} file{'s' * (labels != 1)}"] if labels else []
    return found + ([f"{decisions} used decision{'s' * (decisions != 1)}"] if decisions else [])


def _not_taken(
    dataset: Dataset,
    snapshot: Snapshot,
    old: ResourceRecord | None,
    observer: Observer,
    store: StateStore,
) -> Diagnostic | None:
    """Return why the log at the dataset's destination is not believed; None where it is."""
    place = str(dataset.destination)
    if old is None or not same_place(old.destination, dataset.destination):
        owner = snapshot.entry.resource
        return None if goes_on_with(dataset, owner) else other_resource(dataset, owner)
    if snapshot.head.digest in store.accepted_heads(place):
        return None
    relation = observer.store(dataset).relation(old.head)
    return rollback(dataset.address, place, relation) if relation in _ROLLED_BACK else None


def move(old: str, new: str, store: StateStore) -> StateSurgery:
    """Give a record another address; the data stays where it is.

    Raises:
        BatutaError: STA104 no such record; STA105 the new address is taken.
    """
    before = {record.address: record for record in store.resources()}
    record = _known(before, old)
    target = new if "/" in new else f"Dataset/{new}"
    if target in before:
        raise BatutaError(
            Diagnostic(
                code="STA105", summary="The state has that resource already",
                detail=f"{target} is recorded.", fix="Choose another name, or remove it first.",
            )
        )  # fmt: skip
    moved = replace(record, address=target, revision=record.revision + 1)
    after = {a: r for a, r in before.items() if a != record.address} | {target: moved}
    writes = (drop_resource(record.address), put_resource(moved))
    return StateSurgery(before=_lines(before), after=_lines(after), writes=writes)


def remove(address: str, store: StateStore) -> StateSurgery:
    """Forget a record; the data and its log stay, and the next plan reads the log again.

    Raises:
        BatutaError: STA104 no such record.
    """
    before = {record.address: record for record in store.resources()}
    record = _known(before, address)
    after = {a: r for a, r in before.items() if a != record.address}
    return StateSurgery(
        before=_lines(before), after=_lines(after), writes=(drop_resource(record.address),)
    )


def _known(records: dict[str, ResourceRecord], name: str) -> ResourceRecord:
    for address in (name, f"Dataset/{name}"):
        if address in records:
            return records[address]
    raise BatutaError(
        Diagnostic(
            code="STA104",
            summary="The state has no such resource",
            detail=f"Nothing is recorded under {name}.",
            fix="List what is there: batuta state list",
        )
    )


def _lines(records: dict[str, ResourceRecord]) -> tuple[str, ...]:
    return tuple(line(records[address]) for address in sorted(records))
