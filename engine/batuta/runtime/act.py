"""One action of a plan, done: bytes into staging, the log entry, and what the state then says."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import batuta
from batuta.core.reasons import Why
from batuta.core.selection import source_text
from batuta.core.units import reconcile
from batuta.model.canonical import Json
from batuta.model.dataset import DatasetStore
from batuta.model.diagnostic import BatutaError, CommitConflict, Diagnostic
from batuta.model.event import ActionProgress, Event, Retrying
from batuta.model.log import Head, LogEntry, Part, SourceRef, UnitRef, cursor_text
from batuta.model.observed import SourceState, Unit
from batuta.model.plan import Delete, NoOp, Plan, Relabel, Release, Target, TransferAction
from batuta.model.resource import OnSourceDelete
from batuta.model.state import ResourceRecord
from batuta.model.transfer import CopyItem, UploadItem, UploadTask
from batuta.runtime.clock import now_utc, wall_s
from batuta.runtime.merging import MergeRun
from batuta.runtime.observe import Observer, Seen
from batuta.runtime.retry import retrying
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Need, goes_on_unenforced
from batuta.runtime.staging import clear, remove_empty, take_over, tidy
from batuta.runtime.state.labels import label_writes
from batuta.runtime.state.store import (
    StateStore,
    Write,
    drop_resource,
    drop_transfer,
    put_resource,
)
from batuta.runtime.transfer import Staged, TransferRun
from batuta.runtime.uniting import UniteRun
from batuta.runtime.witness import Confined, Witness
from batuta.runtime.worker.posting import Errand
from batuta.runtime.worker.wire import Reply, Request, TaskRequest

_UPLOADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ActResult:
    """What to write into the state once the action is done, and what to report."""

    writes: list[Write]
    head: Head | None = None
    staging: Path | None = None
    bytes_read: int = 0
    rows: int | None = None
    files: int = 0
    enforced: bool = False
    level: str | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What an action's entry says beside what the plan said."""

    source: SourceRef | None
    added: tuple[Part, ...] = ()
    removed: tuple[str, ...] = ()
    rows: int | None = None
    owner: Literal["Created", "Imported"] = "Created"


@dataclass
class Act:
    """Does single actions. `seen` is what the plan was made from, by dataset name."""

    plan: Plan
    plan_digest: str
    run_id: str
    observer: Observer
    store: StateStore
    seen: Mapping[str, Seen]
    scratch: Path
    witness: Witness
    listen: Callable[[Event], None]
    started: threading.Event = field(default_factory=threading.Event)
    _room: set[str] = field(default_factory=set)
    _made: list[str] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.observer.errands.gather_work(self.plan)

    # -- transfers ----------------------------------------------------------------------------

    def transfer(self, action: TransferAction) -> ActResult:
        """Move what the action says, commit it to the destination's log."""
        dataset = self._store_of(action.target)
        snapshot = None if action.kind == "move" else dataset.snapshot()
        state = self._source_state(action)
        current = snapshot.parts if snapshot else ()
        keep, units, gone = _scope(action, current, state)
        run = self._run(action, dataset, state, units, current)
        staged = run.run()
        if staged.kept is not None:
            keep = [part for part in current if part.path in set(staged.kept)]
            gone = [part for part in current if part.path not in set(staged.kept)]
        staged = self._take_over(run, staged)
        fresh = {part.path for part in staged.parts}
        entry = self._entry(
            action,
            _Done(
                source=SourceRef(
                    address=self.observer_address(action),
                    version=action.transfer.source_version,
                    platform=action.transfer.source.platform,
                    cursor=_cursor_of(action, staged),
                ),
                added=staged.parts,
                removed=tuple(p.path for p in gone if p.path not in fresh),
                rows=_rows([*keep, *staged.parts]),
                owner=snapshot.entry.owner if snapshot else "Created",
            ),
        )  # fmt: skip
        try:
            head, confined = self._commit(action, dataset, entry, staged)
        except CommitConflict:
            self._forget({run.id: str(run.staging)})  # no later run does the same work again
            raise
        _let_go(dataset, action)
        return ActResult(
            writes=[
                put_resource(self._record(action, entry, head)),
                *label_writes(entry, entry.added),
                *drop_transfer(run.id),
            ],
            head=head, staging=run.staging, bytes_read=staged.bytes_read, rows=entry.rows,
            files=len(staged.parts), enforced=confined.enforced,
            level=confined.level,
            detail={**_made(head), **confined.facts},
        )  # fmt: skip

    def _take_over(self, run: TransferRun, staged: Staged) -> Staged:
        """Take what was staged out of the workers' reach; nothing else is ever published."""
        names = [os.path.basename(local) for local, _ in staged.files]
        folder = str(take_over(run.staging, names))
        pairs = zip(names, staged.files, strict=True)
        files = tuple((os.path.join(folder, name), path) for name, (_, path) in pairs)
        return replace(staged, files=files)

    def _commit(
        self, action: TransferAction, dataset: DatasetStore, entry: LogEntry, staged: Staged
    ) -> tuple[Head, Confined]:
        base = action.preconditions.head
        mend = any(reason.code == Why.RESYNC for reason in action.reasons)
        levels = set(staged.levels)
        if not dataset.files.moves:
            dataset.announce(entry, base, staged.files, mend=mend)
            levels |= self._upload(action, dataset, staged)
            mend = False  # what was uploaded lies there now
        confined = Confined.of(levels)
        self.witness.committing(action, confined)
        return dataset.commit(entry, base, staged.files, mend=mend), confined

    def observer_address(self, action: TransferAction) -> str:
        """The canonical address of what was read."""
        source = action.transfer.source
        if source.merge:
            return source_text(source)
        return str(source.address) if source.address else f"dataset:{source.dataset}"

    def _source_state(self, action: TransferAction) -> SourceState:
        name = action.target.resource.partition("/")[2]
        seen = self.seen[name]
        assert seen.source is not None
        return seen.source

    def _run(
        self,
        action: TransferAction,
        dataset: DatasetStore,
        state: SourceState,
        units: Sequence[Unit],
        current: Sequence[Part],
    ) -> TransferRun:
        source = action.transfer.source
        access = inner = upstream = None
        if source.dataset is not None:
            upstream = self.observer.store(
                self.observer.datasets[source.dataset], action.target.resource.partition("/")[2]
            )
        elif source.address is not None:
            access, inner = self.observer.connections.access(
                source.address, source.platform, action.target.resource.partition("/")[2]
            )
        address = action.target.resource

        def told(size: int, rows: int, files: int) -> None:
            self.listen(
                ActionProgress(address=address, bytes_done=size, rows_done=rows, files_done=files)
            )

        def retold(attempt: int, wait_s: float, reason: str) -> None:
            self.listen(Retrying(address=address, attempt=attempt, wait_s=wait_s, reason=reason))

        run = TransferRun(
            action=action, state=state, units=units, access=access, inner=inner,
            upstream=upstream, staging=self.scratch, store=self.store,
            pool=self.observer.pool, errands=self.observer.errands,
            renew=self.observer.connections.access, told=told, retold=retold,
        )  # fmt: skip
        if source.merge:
            name = action.target.resource.partition("/")[2]
            run = UniteRun.of(run, lambda part: self.observer.opened(part, name))
        if action.transfer.scope in {"merge", "changes"}:
            run = MergeRun.of(
                run, self.observer.changes, _merge_inputs(dataset, current), action.facts.format
            )
        if dataset.files.moves:
            dataset.files.prepare()
            run.published = self._folder(dataset)
        run.staging = self.observer.errands.staging(action) / run.id
        run.staging.parent.mkdir(parents=True, exist_ok=True)
        self._room.add(str(run.staging.parent))
        self._make_room(action)
        self._clear(address, dataset, run)
        return run

    def _make_room(self, action: TransferAction) -> None:
        """Make the staging folders of what shares a worker with an action.

        One that cannot be made is the trouble of its own action.
        """
        with self._guard:
            for path, other in self.observer.errands.siblings(action).items():
                if path in self._room or os.path.isdir(path):
                    continue
                self._room.add(path)
                with suppress(BatutaError, OSError):
                    dataset = self._store_of(other.target)
                    if not os.path.lexists(folder := self._folder(dataset)):
                        self._made += [f"{folder}/_staging", str(folder)]
                    dataset.files.prepare()
                    Path(path).mkdir(exist_ok=True)

    def tidy(self) -> None:
        """Remove the folders in which nothing is staged any more, or never was."""
        remove_empty(*map(Path, self._room), *map(Path, self._made))
        tidy(self.scratch)

    def _folder(self, dataset: DatasetStore) -> Path:
        """Where a local dataset lies, whatever folder the command was typed in."""
        location = os.path.expanduser(dataset.files.location)
        return Path(os.path.abspath(self.observer.connections.root / location))

    def _clear(self, address: str, dataset: DatasetStore, run: TransferRun) -> None:
        """Clear away what dead runs left of other work on the same resource."""
        others = {i: s for i, r, s in self.store.transfers() if r == address and i != run.id}
        if not others:
            return
        dataset.recover(frozenset({run.id}))
        self._forget(others)

    def _forget(self, transfers: Mapping[str, str]) -> None:
        for folder in transfers.values():
            clear(Path(folder))
            self._room.add(str(Path(folder).parent))
        self.store.write([write for each in transfers for write in drop_transfer(each)])

    def _upload(self, action: TransferAction, dataset: DatasetStore, staged: Staged) -> set[str]:
        """Send staged files to the object store, under their final names, in upload workers.

        Returns:
            How those were confined. What is too long for one request goes out from here.
        """
        levels: set[str] = set()
        sizes = {part.path: part.size_bytes for part in staged.parts}
        for start in range(0, len(staged.files), _UPLOADS):
            pairs = staged.files[start : start + _UPLOADS]
            errand = replace(
                self.observer.errands.upload(
                    action, sum(sizes[path] for _, path in pairs), len(pairs)
                ),
                stood=lambda choice: levels.add(choice.level.value),
            )

            def attempt(
                pairs: tuple[tuple[str, str], ...] = pairs, errand: Errand = errand
            ) -> None:
                puts = dataset.files.upload_inputs(pairs)
                if puts is None:
                    refuse_from_here(action, errand.posting.need)
                    dataset.files.publish(pairs)
                    levels.add(Level.ADVISORY.value)
                    return
                items = tuple(
                    UploadItem(
                        name=Path(local).name, url=put.url, headers=put.headers,
                        size_bytes=sizes[path],
                    )
                    for (local, path), put in zip(pairs, puts, strict=True)
                )  # fmt: skip
                task = UploadTask(
                    id=f"upload:{pairs[0][1]}", items=items, staging=str(Path(pairs[0][0]).parent)
                )
                request = Request(task=TaskRequest(upload=task))
                self.observer.pool.ask(request, pairs[0][1], _ignore, errand)

            retrying(attempt, self.observer.pool.stop, self._retold(action.target.resource))
        return levels

    def _retold(self, address: str) -> Callable[[int, float, str], None]:
        def told(attempt: int, wait_s: float, reason: str) -> None:
            self.listen(Retrying(address=address, attempt=attempt, wait_s=wait_s, reason=reason))

        return told

    # -- actions without bytes ----------------------------------------------------------------

    def relabel(self, action: Relabel) -> ActResult:
        """Commit an entry that changes fields of the log alone."""
        dataset = self._store_of(action.target)
        snapshot = dataset.snapshot()
        assert snapshot is not None
        before = snapshot.entry
        entry = self._entry(
            action, _Done(source=before.source, owner=before.owner, rows=snapshot.rows)
        )
        self.witness.committing(action, Confined.of(()))
        head = dataset.commit(entry, action.preconditions.head, ())
        _let_go(dataset, action)
        return ActResult(
            writes=[
                put_resource(self._record(action, entry, head)),
                *label_writes(entry, snapshot.parts if entry.label != before.label else ()),
            ],
            head=head, rows=entry.rows, detail=_made(head),
        )  # fmt: skip

    def delete(self, action: Delete) -> ActResult:
        """Delete what batuta made, as it was when this was planned, and forget the resource."""
        dataset = self._store_of(action.target)
        found = dataset.deletion() or dataset.snapshot()
        base = action.preconditions.head
        assert base is not None
        forgets: list[Write] = [drop_resource(action.target.resource)]
        if found is None:  # somebody else has deleted it meanwhile
            return ActResult(writes=forgets)
        entry = replace(
            found.entry, version=0, parent=None, written_at=now_utc(), action=action.kind,
            batuta_version=batuta.__version__, plan=self.plan_digest, added=(), removed=(),
        )  # fmt: skip
        dataset.delete(entry, base)
        return ActResult(writes=forgets, files=len(action.paths) + len(action.history))

    def release(self, action: Release) -> ActResult:
        """Forget the resource; its data stays."""
        return ActResult(writes=[drop_resource(action.target.resource)])

    def adopt_state(self, action: NoOp) -> ActResult:
        """Bring the record up to what the destination's log shows."""
        dataset = self._store_of(action.target)
        snapshot = dataset.snapshot()
        assert snapshot is not None
        record = self._record(action, snapshot.entry, snapshot.head)
        # What the log says of labels and used decisions is news to a state that was lost.
        labels = label_writes(snapshot.entry, snapshot.parts)
        return ActResult(writes=[put_resource(record), *labels], head=snapshot.head)

    # -- shared -------------------------------------------------------------------------------

    def _store_of(self, target: Target) -> DatasetStore:
        return self.observer.store_at_text(
            target.destination, target.destination_platform, target.resource
        )

    def _entry(self, action: TransferAction | Relabel, done: "_Done") -> LogEntry:
        return LogEntry(
            version=0, parent=None, written_at=now_utc(), batuta_version=batuta.__version__,
            action=action.kind, resource=action.target.resource, owner=done.owner,
            plan=self.plan_digest, facts=action.facts, source=done.source, label=action.label,
            added=done.added, removed=done.removed, rows=done.rows, decisions=action.decisions,
        )  # fmt: skip

    def _record(
        self, action: TransferAction | Relabel | NoOp, entry: LogEntry, head: Head
    ) -> ResourceRecord:
        return ResourceRecord(
            address=action.target.resource, revision=action.preconditions.revision + 1,
            destination=action.target.destination,
            destination_platform=action.target.destination_platform,
            origin=action.target.origin, owner=entry.owner, head=head, facts=entry.facts,
            label=entry.label, run=self.run_id, plan=entry.plan,
            manifest=action.preconditions.manifest,
        )  # fmt: skip


def _let_go(dataset: DatasetStore, action: TransferAction | Relabel) -> None:
    """Delete history that is too old, after the commit: what is refused does not undo that.

    The next apply that finds nothing to do tries again, and says what it is refused.
    """
    with suppress(BatutaError, OSError):
        dataset.expire(action.target.history, wall_s())


def _scope(
    action: TransferAction, current: Sequence[Part], state: SourceState
) -> tuple[list[Part], Sequence[Unit], list[Part]]:
    """Return (parts that stay, units to read, parts that go)."""
    if action.transfer.scope != "units":
        return [], state.units, list(current)
    choice = reconcile(tuple(current), state.units, OnSourceDelete(action.facts.on_source_delete))
    return list(choice.keep), choice.read, list(choice.remove)


def _cursor_of(action: TransferAction, staged: Staged) -> str | None:
    rule = action.transfer.incremental
    return cursor_text(rule.cursor if rule else None, staged.cursor)


def _merge_inputs(dataset: DatasetStore, current: Sequence[Part]) -> tuple[CopyItem, ...]:
    refs = [UnitRef(part.path, part.sha256) for part in current]
    inputs = dataset.files.inputs(
        [(part.path, part.size_bytes, ref) for part, ref in zip(current, refs, strict=True)]
    )
    return tuple(
        CopyItem(input=replace(source, key=part.path), unit=ref, name=part.path, rows=part.rows)
        for part, ref, source in zip(current, refs, inputs, strict=True)
    )


def _made(head: Head) -> dict[str, Json]:
    return {"head": head.digest, "version": head.version}


def _rows(parts: Sequence[Part]) -> int | None:
    counts = [part.rows for part in parts if part.rows is not None]
    return sum(counts) if len(counts) == len(parts) else None


def refuse_from_here(action: TransferAction, need: Need) -> None:
    """Refuse to send from outside of any wall what a declared tier wants behind one.

    Raises:
        BatutaError: EGR113.
    """
    if goes_on_unenforced(need):
        return
    raise BatutaError(
        Diagnostic(
            code="EGR113",
            summary="A file is too long for a worker to send",
            detail=f"{action.target.resource}: a file of more than 4 GiB goes out in parts, which"
            f" no worker behind walls does yet, and its tier {need.tier} wants that.",
            fix="Write shorter parts (`formatOptions`), split the file, or use tier Standard.",
        )
    )


def _ignore(reply: Reply) -> None:
    """Uploads report nothing but their end."""
