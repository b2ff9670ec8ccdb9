"""Drift: what the last commit recorded against what is there now; nothing is planned.

Three sides can move by themselves: the source's schema, the destination's files, and the log's
head behind the state's back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from batuta.core.diff import diff_schema
from batuta.core.selection import choose
from batuta.model.change import Change
from batuta.model.diagnostic import Diagnostic
from batuta.model.event import Event
from batuta.model.resource import Dataset
from batuta.model.state import ResourceRecord
from batuta.runtime.borders import Borders
from batuta.runtime.observe import Observer, Seen
from batuta.runtime.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """One drift: at the source (schema), at the destination (files), or of the log (head).

    `policy` is none: a tier or an egress policy forbids to look.
    """

    address: str
    kind: Literal["source", "destination", "log", "policy"]
    changes: tuple[Change, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def find_drift(
    datasets: Sequence[Dataset],
    observer: Observer,
    store: StateStore,
    borders: Borders,
    listen: Callable[[Event], None],
) -> tuple[DriftFinding, ...]:
    """Return all drift of datasets that were committed once, in order of name."""
    records = {record.address: record for record in store.resources()}
    closed = {d.name: why for d in datasets if (why := borders.of(d.name).refused)}
    seen = observer.look([d for d in datasets if d.name not in closed], listen)
    found: list[DriftFinding] = []
    for dataset in sorted(datasets, key=lambda d: d.name):
        if refused := closed.get(dataset.name, ()):
            address = dataset.address
            found.append(DriftFinding(address=address, kind="policy", diagnostics=refused))
        else:
            found.extend(_of(dataset, seen[dataset.name], records.get(dataset.address), observer))
    return tuple(found)


def _of(
    dataset: Dataset, seen: Seen, record: ResourceRecord | None, observer: Observer
) -> list[DriftFinding]:
    address = dataset.address
    destination = seen.destination
    if destination is None:
        return [
            DriftFinding(address=address, kind="destination", diagnostics=seen.destination_problems)
        ]
    found: list[DriftFinding] = []
    if destination.condition == "damaged":
        found.append(
            DriftFinding(address=address, kind="destination", diagnostics=destination.problems)
        )
    if record is not None and destination.head != record.head:
        finding = _of_log(dataset, record, observer)
        found.extend([finding] if finding is not None else [])
    snapshot = destination.snapshot
    if seen.source is None:
        if snapshot is not None:
            found.append(
                DriftFinding(address=address, kind="source", diagnostics=seen.source_problems)
            )
    elif snapshot is not None and snapshot.entry.facts.schema is not None and seen.source.schema:
        chosen = choose(dataset.source, seen.source.schema)
        changes = diff_schema(chosen.schema, snapshot.entry.facts.schema)
        if changes:
            found.append(DriftFinding(address=address, kind="source", changes=changes))
    return found


def _of_log(dataset: Dataset, record: ResourceRecord, observer: Observer) -> DriftFinding | None:
    if record.destination != str(dataset.destination):
        return None
    relation = observer.store(dataset).relation(record.head)
    if relation in ("same", "descendant"):
        return None
    detail = (
        f"The state remembers version {record.head.version} ({record.head.digest[:12]}); the log "
        + ("ends before it." if relation == "older" else "does not contain it.")
    )
    return DriftFinding(
        address=dataset.address,
        kind="log",
        diagnostics=(
            Diagnostic(
                code="DRF190",
                summary="The log was rolled back or replaced",
                detail=detail,
                fix=f"Look at `batuta data log {dataset.name}`; if it is meant to be so: batuta data verify "
                f"{dataset.name} --accept-head REASON",
                address=dataset.address,
            ),
        ),
    )
