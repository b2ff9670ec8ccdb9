"""What a killed run left behind, put right by the next command of any kind.

For each action that has an intent and no outcome the destination's log decides: if it shows
the commit, the outcome is written now; if not, the checkpointed chunks stay for the next run.
Either way the dataset's own recovery finishes moves and sweeps what nothing names.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from batuta.model.dataset import DatasetStore
from batuta.model.diagnostic import BatutaError
from batuta.model.log import LogEntry, Snapshot
from batuta.model.state import ResourceRecord, RunRecord, StepRecord
from batuta.runtime.clock import now_utc
from batuta.runtime.staging import clear, remove_empty
from batuta.runtime.state.labels import label_writes
from batuta.runtime.state.store import (
    StateStore,
    Write,
    drop_resource,
    drop_transfer,
    put_resource,
    put_run,
    put_step,
)

OpenDataset = Callable[[str, str | None, str], DatasetStore]
"""Opens what lies at an address, on a Platform, for a resource."""


def recover(store: StateStore, open_dataset: OpenDataset) -> tuple[str, ...]:
    """Finish or undo what dead runs left; return one sentence for each thing done.

    The caller holds the lease, so no run in the list is alive. A destination that cannot be
    opened now is left for a later command.
    """
    told: list[str] = []
    for run in store.unfinished_runs():
        finished = True
        for step in store.steps(run.id):
            if step.status == "intent":
                finished &= _settle(store, run, step, open_dataset, told)
        if finished:
            ended = replace(run, status="dead", ended_at=now_utc())
            store.write([put_run(ended)])
            told.append(f"Run {run.id} had died; what it finished is kept.")
    return tuple(told)


def _settle(
    store: StateStore,
    run: RunRecord,
    step: StepRecord,
    open_dataset: OpenDataset,
    told: list[str],
) -> bool:
    where = step.detail if isinstance(step.detail, Mapping) else {}
    if step.step in ("release", "delete"):
        return _settle_removal(store, run, step, open_dataset, told)
    staging = {i: s for i, r, s in store.transfers() if r == step.action}
    try:
        dataset = open_dataset(str(where["destination"]), _text(where.get("platform")), step.action)
        committed = _commit_of(dataset, run, step)
        # What is not committed yet is taken up by the next run; the rest is finished here.
        alive = [] if committed else [Path(folder).name for folder in staging.values()]
        told.extend(dataset.recover(frozenset(alive)))
    except BatutaError:
        return False
    if committed is None:
        store.write([put_step(replace(step, status="failed"))])
        return True
    writes: list[Write] = [put_resource(_record(store, committed, step, where, run))]
    # What brings no files may have given those that are there another label.
    writes += label_writes(committed.entry, committed.entry.added or committed.parts)
    for transfer in staging:
        writes.extend(drop_transfer(transfer))
    head = committed.head
    detail = {**where, "head": head.digest, "version": head.version}
    writes.append(put_step(replace(step, status="done", detail=detail)))
    for folder in staging.values():  # before the write: after it nobody would know of them
        clear(Path(folder))
        remove_empty(Path(folder).parent)
    store.write(writes)
    told.append(f"{step.action} had been committed; its outcome is recorded now.")
    return True


def _settle_removal(
    store: StateStore,
    run: RunRecord,
    step: StepRecord,
    open_dataset: OpenDataset,
    told: list[str],
) -> bool:
    """A deletion that the log tells of is finished; one that had not begun is planned again."""
    where = step.detail if isinstance(step.detail, Mapping) else {}
    gone = step.step == "release"
    if step.step == "delete":
        try:
            dataset = open_dataset(
                str(where["destination"]), _text(where.get("platform")), step.action
            )
            begun = dataset.deletion()
            if begun is not None and _is_of(begun.entry, run, step):
                dataset.delete(begun.entry, begun.head)
                told.append(f"{step.action} was being deleted; the rest of it is deleted now.")
                begun = None
            gone = begun is None and dataset.observe().condition in {"absent", "empty", "foreign"}
        except BatutaError:
            return False
    writes = [put_step(replace(step, status="done" if gone else "failed"))]
    if gone:
        writes.insert(0, drop_resource(step.action))
    store.write(writes)
    return True


def _commit_of(dataset: DatasetStore, run: RunRecord, step: StepRecord) -> Snapshot | None:
    """Return the dataset as the dead run committed it, None where it did not.

    Somebody with another state may have committed on top of it since.
    """
    snapshot = dataset.snapshot()
    if snapshot is None or _is_of(snapshot.entry, run, step):
        return snapshot
    mine = (entry.version for entry in dataset.entries() if _is_of(entry, run, step))
    version = max(mine, default=None)
    return None if version is None else dataset.snapshot(version)


def _is_of(entry: LogEntry, run: RunRecord, step: StepRecord) -> bool:
    return entry.plan == run.plan and entry.resource == step.action


def _record(
    store: StateStore,
    snapshot: Snapshot,
    step: StepRecord,
    where: Mapping[str, object],
    run: RunRecord,
) -> ResourceRecord:
    before = store.resource(step.action)
    return ResourceRecord(
        address=step.action, revision=(before.revision if before else 0) + 1,
        destination=str(where["destination"]), destination_platform=_text(where.get("platform")),
        origin=str(where.get("origin", "Manifest")), owner=snapshot.entry.owner,
        head=snapshot.head, facts=snapshot.entry.facts, label=snapshot.entry.label,
        run=run.id, plan=snapshot.entry.plan, manifest=str(where.get("manifest", "")),
    )  # fmt: skip


def _text(value: object) -> str | None:
    return None if value is None else str(value)
