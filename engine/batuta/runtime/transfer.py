"""One transfer: from the units that must be read to part files that lie durable in staging.

Tasks run side by side in data workers. Each chunk is checkpointed after its file is durable,
so that a run that died goes on where it stopped; work is found again by the transfer's id,
which says nothing of the run.
"""

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import msgspec

from batuta.model.address import Address
from batuta.model.canonical import digest
from batuta.model.connector import Source
from batuta.model.dataset import DatasetStore
from batuta.model.log import Part
from batuta.model.observed import Cut, SourceState, Unit
from batuta.model.plan import Transfer, TransferAction
from batuta.model.table import TableSchema
from batuta.model.transfer import (
    ChunkReceipt,
    ConvertTask,
    CopyItem,
    CopyTask,
    Input,
    Partition,
    is_staged_name,
    part_id,
)
from batuta.runtime.errands import Errands
from batuta.runtime.registry import formats
from batuta.runtime.retry import retrying
from batuta.runtime.sandbox.levels import Choice
from batuta.runtime.staging import taken
from batuta.runtime.state.store import StateStore, put_chunk, put_transfer
from batuta.runtime.worker.pool import WorkerPool, answer_of, decoded, payload, trouble
from batuta.runtime.worker.wire import (
    Access,
    CutsRequest,
    PartitionsRequest,
    Reply,
    Request,
    TaskRequest,
)

Renew = Callable[[Address, str | None], tuple[Access, Access | None]]
Progress = Callable[[int, int, int], None]
Retold = Callable[[int, float, str], None]
_COPY_FILES = 256
_COPY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What a transfer made: parts in row order with their staging files, and what stays.

    `levels` are those at which the workers were confined that made it.
    """

    parts: tuple[Part, ...]
    files: tuple[tuple[str, str], ...]
    kept: tuple[str, ...] | None = None
    cursor: str | None = None
    bytes_read: int = 0
    levels: frozenset[str] = frozenset()


@dataclass(kw_only=True)
class TransferRun:
    """One transfer under way. `told` hears (bytes, rows, files) done so far.

    `published` is the dataset's own folder, where staged files are renamed into it.
    """

    action: TransferAction
    state: SourceState
    units: Sequence[Unit]
    access: Access | None
    inner: Access | None
    upstream: DatasetStore | None
    published: Path | None = None
    staging: Path
    store: StateStore
    pool: WorkerPool
    errands: Errands
    renew: Renew
    told: Progress
    retold: Retold
    decoded_bytes: int = 0
    decoded_done_bytes: int = 0
    done_bytes: int = 0
    done_rows: int = 0
    done_files: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def by_key(self) -> dict[str, Unit]:
        """The units, found by their keys."""
        return {unit.key: unit for unit in self.units}

    @cached_property
    def id(self) -> str:
        """Names the work itself: the same work of another run has the same id."""
        transfer = self.action.transfer
        head = self.action.preconditions.head
        return digest(
            [
                self.action.target.resource, self.action.target.destination,
                head.digest if head else None, transfer.source_version, transfer.output.digest,
                [list(pair) for pair in transfer.columns], transfer.scope, transfer.copy,
                msgspec.to_builtins(transfer.incremental), transfer.since,
                self.action.facts.on_source_delete,
                [unit.key for unit in self.units],
            ]
        )[:32]  # fmt: skip

    def run(self) -> Staged:
        """Do what is left to do and return all that is staged.

        Raises:
            ConnectorError: the first failure; what was finished stays checkpointed.
            Cancelled: somebody asked to stop; likewise.
        """
        self.staging.mkdir(parents=True, exist_ok=True)
        self.store.write([put_transfer(self.id, self.action.target.resource, str(self.staging))])
        earlier = self._still_there(self.store.chunks(self.id))
        return self._staging_of(earlier)

    def _staging_of(self, earlier: dict[str, list[ChunkReceipt]]) -> Staged:
        """Do what the earlier receipts do not say to be done."""
        if self.action.transfer.copy:
            tasks: Sequence[CopyTask | ConvertTask] = self._copies()
        else:
            tasks = self._conversions()
        receipts = self._all(tasks, earlier)
        return self._staged(tasks, receipts)

    # -- what there is to do ------------------------------------------------------------------

    def _ask_source(self, want: str, units: Sequence[Unit]) -> bytes:
        transfer = self.action.transfer
        assert transfer.source.address is not None
        # Asked anew: in a long run the keys of its beginning may have ended.
        access = self.renew(transfer.source.address, transfer.source.platform)
        look = self.errands.control(self._dataset, transfer.source, access)
        request = PartitionsRequest(
            spec=transfer.source, access=look.access, inner=look.inner,
            state=replace(self.state, units=()) if want == "inputs" else self.state,
            units=tuple(units), target_bytes=transfer.output.target_bytes,
            want="inputs" if want == "inputs" else "partitions",
        )  # fmt: skip
        name = f"the list of {self.action.target.resource}"
        return retrying(
            lambda: self.pool.answer(Request(partitions=request), name, look.errand),
            self.pool.stop,
            self.retold,
        )

    @property
    def _dataset(self) -> str:
        return self.action.target.resource.partition("/")[2]

    def _serve(self, request: Request, name: str, told: Callable[[Reply], None]) -> None:
        """Have a data worker serve a request; its receipts are marked with how it is confined."""
        standing: list[Choice] = []

        def heard(reply: Reply) -> None:
            if reply.receipt is not None:
                self._check(reply.receipt, name)
                marked = replace(reply.receipt, level=standing[-1].level.value)
                reply = replace(reply, receipt=marked)
            told(reply)

        errand = replace(self.errands.data(self.action), stood=standing.append)
        self.pool.ask(request, name, heard, errand)

    def _check(self, receipt: ChunkReceipt, name: str) -> None:
        """Take a worker's word for what it staged only where that can be one of its own files.

        Raises:
            ConnectorError: WRK201.
        """
        copy = self.action.transfer.copy
        for part in receipt.files:
            known = not copy or {unit.key for unit in part.units[:1]} & self.by_key.keys()
            if not known or not is_staged_name(part.path, copy=copy) or part.size_bytes < 0:
                raise trouble(name, "it told of a file that nobody asked for")

    def _listing(self, dataset: DatasetStore) -> Source:
        """Return a dataset as a source that lists here, and has a worker look into its parts."""
        return dataset.source(dict(formats()), self._cuts)

    def _cuts(self, format_name: str, source: Input) -> tuple[Cut, ...]:
        request = Request(cuts=CutsRequest(input=source, format=format_name))
        name = f"{source.key} for {self.action.target.resource}"
        answer = retrying(
            lambda: answer_of(lambda told: self._serve(request, name, told), payload, name),
            self.pool.stop,
            self.retold,
        )
        return decoded(answer, tuple[Cut, ...], self.action.target.resource)

    def _inputs(self, units: Sequence[Unit]) -> Sequence[Input]:
        if self.upstream is not None:
            return self._listing(self.upstream).inputs(self.state, units)
        listed = self._ask_source("inputs", units)
        return self.errands.inputs(decoded(listed, tuple[Input, ...], self.action.target.resource))

    def _partitions(self) -> Sequence[Partition]:
        transfer = self.action.transfer
        if not self.units:
            return ()
        if self.upstream is not None:
            return self._listing(self.upstream).partitions(
                transfer.source, self.state, self.units, transfer.output.target_bytes
            )
        listed = self._ask_source("partitions", self.units)
        return self.errands.partitions(
            decoded(listed, tuple[Partition, ...], self.action.target.resource)
        )

    def _copies(self) -> list[CopyTask]:
        version, output = self.action.transfer.source_version, self.action.transfer.output.digest
        tasks: list[CopyTask] = []
        batch: list[CopyItem] = []
        size = 0
        for unit in self.units:
            identity = part_id(version, f"{unit.key}@{unit.version}", 0, output)
            # Its address is signed when its turn comes: one of now may have expired by then.
            source = Input(key=unit.key, url="", size_bytes=unit.size_bytes, validator="")
            if batch and (len(batch) >= _COPY_FILES or size + unit.size_bytes > _COPY_BYTES):
                tasks.append(self._copy(batch))
                batch, size = [], 0
            batch.append(CopyItem(input=source, unit=unit.ref, name=identity, rows=unit.rows))
            size += unit.size_bytes
        if batch:
            tasks.append(self._copy(batch))
        return tasks

    def _copy(self, items: list[CopyItem]) -> CopyTask:
        return CopyTask(
            id=f"copy:{items[0].name}:{len(items)}", items=tuple(items), staging=str(self.staging)
        )

    def _conversions(self) -> list[ConvertTask]:
        transfer = self.action.transfer
        schema = self.action.facts.schema
        assert schema is not None
        partitions = self._partitions()
        if not partitions and not self._keeps_rows():
            partitions = (Partition(id="empty"),)
        return [
            ConvertTask(
                id=f"convert:{partition.id}", source_version=transfer.source_version,
                partition=partition, columns=transfer.columns,
                source_schema=source_schema(transfer), schema=schema,
                output=transfer.output, staging=str(self.staging),
                cursor=transfer.incremental.cursor if transfer.incremental else None,
            )
            for partition in partitions
        ]  # fmt: skip

    def _keeps_rows(self) -> bool:
        return self.action.transfer.scope == "units" and self.action.volume.units_kept > 0

    # -- doing it -----------------------------------------------------------------------------

    def _still_there(
        self, receipts: dict[str, list[ChunkReceipt]]
    ) -> dict[str, list[ChunkReceipt]]:
        """Keep, per task, the chunks from the first on whose staged files are whole."""
        kept: dict[str, list[ChunkReceipt]] = {}
        for task, chunks in receipts.items():
            for number, receipt in enumerate(chunks):
                if receipt.chunk != number or not all(self._is_whole(p) for p in receipt.files):
                    break
                kept.setdefault(task, []).append(receipt)
        return kept

    def _is_whole(self, part: Part) -> bool:
        """True where a chunk's file is in staging, or was published by a run that died then."""
        for folder in (self.staging, taken(self.staging)):
            try:
                return (folder / part.path).lstat().st_size == part.size_bytes
            except OSError:
                continue
        return self.published is not None and self._is_published(self.published, part)

    def _is_published(self, root: Path, part: Part) -> bool:
        # Hashed, because another version of the dataset may have this path and size.
        try:
            with (root / self._final(part).path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == part.sha256
        except OSError:
            return False

    def _all(
        self, tasks: Sequence[CopyTask | ConvertTask], earlier: dict[str, list[ChunkReceipt]]
    ) -> dict[str, list[ChunkReceipt]]:
        receipts = {task.id: list(earlier.get(task.id, [])) for task in tasks}
        self._expect(task.partition for task in tasks if isinstance(task, ConvertTask))
        for chunks in receipts.values():
            for receipt in chunks:
                self._count(receipt)
        left = [t for t in tasks if not (receipts[t.id] and receipts[t.id][-1].done)]
        if len(left) == 1:
            self._one(left[0], receipts[left[0].id])
            return receipts
        with ThreadPoolExecutor(max_workers=self.pool.size) as threads:
            futures: list[Future[None]] = [
                threads.submit(self._one, task, receipts[task.id]) for task in left
            ]
            finished, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            for future in waiting:
                future.cancel()
            for future in finished:
                future.result()
        return receipts

    def _one(self, task: CopyTask | ConvertTask, receipts: list[ChunkReceipt]) -> None:
        def told(reply: Reply) -> None:
            if reply.receipt is not None:
                self.store.write([put_chunk(self.id, reply.receipt)])
                if receipts and receipts[-1].chunk == reply.receipt.chunk:
                    receipts.pop()  # more of the same copy is durable now
                receipts.append(reply.receipt)
                self._count(reply.receipt)
            elif reply.bytes or reply.rows:
                self._moved(reply.bytes, reply.rows)

        tries = 0

        def attempt() -> None:
            nonlocal tries
            tries += 1
            if tries > 1 and isinstance(task, ConvertTask):
                request = Request(task=self._request(self._signed_anew(task), receipts))
            else:
                request = Request(task=self._request(task, receipts))
            self._serve(request, self._name(task), told)

        retrying(attempt, self.pool.stop, self.retold)

    def _request(
        self, task: CopyTask | ConvertTask, receipts: Sequence[ChunkReceipt]
    ) -> TaskRequest:
        if isinstance(task, CopyTask):
            fresh = self._inputs([self.by_key[item.unit.key] for item in task.items])
            items = tuple(
                replace(item, input=source) for item, source in zip(task.items, fresh, strict=True)
            )
            durable = receipts[-1].durable_bytes if receipts else 0
            return TaskRequest(copy=replace(task, items=items, resume_bytes=durable))
        resumed = task
        if receipts:
            last = receipts[-1]
            resumed = replace(task, after=last.next, chunk=last.chunk + 1)
        access, inner = (without_keys(end) for end in (self.access, self.inner))
        return TaskRequest(convert=resumed, access=access, inner=inner)

    def _signed_anew(self, task: ConvertTask) -> ConvertTask:
        """The task with fresh addresses: those of the last try may have expired."""
        keys = [segment.unit.key for segment in task.partition.segments]
        fresh = dict(zip(keys, self._inputs([self.by_key[key] for key in keys]), strict=True))
        segments = tuple(
            replace(segment, input=fresh[segment.unit.key]) for segment in task.partition.segments
        )
        return replace(task, partition=replace(task.partition, segments=segments))

    def _name(self, task: CopyTask | ConvertTask) -> str:
        if isinstance(task, CopyTask):
            return task.items[0].input.key
        segments = task.partition.segments
        return segments[0].input.key if segments else self.action.target.resource

    def _count(self, receipt: ChunkReceipt) -> None:
        with self.guard:
            self.done_files += len(receipt.files)
        self.told(self.done_bytes, self.done_rows, self.done_files)

    def _expect(self, partitions: Iterable[Partition]) -> None:
        """Say what workers will decode: they tell how far they are in it, plans count files."""
        self.decoded_bytes = sum(partition.size_bytes for partition in partitions)

    def _moved(self, size: int, rows: int) -> None:
        with self.guard:
            if self.decoded_bytes:
                self.decoded_done_bytes += size
                planned = self.action.volume.read_bytes * self.decoded_done_bytes
                self.done_bytes = planned // self.decoded_bytes
            else:
                self.done_bytes += size
            self.done_rows += rows
        self.told(self.done_bytes, self.done_rows, self.done_files)

    # -- what came out ------------------------------------------------------------------------

    def _staged(
        self, tasks: Sequence[CopyTask | ConvertTask], receipts: dict[str, list[ChunkReceipt]]
    ) -> Staged:
        parts: list[Part] = []
        files: list[tuple[str, str]] = []
        for task in tasks:
            for receipt in receipts[task.id]:
                for part in receipt.files:
                    final = self._final(part)
                    parts.append(final)
                    files.append((str(self.staging / part.path), final.path))
        read = sum(r.bytes_read for chunks in receipts.values() for r in chunks)
        told = {r.cursor for chunks in receipts.values() for r in chunks if r.cursor is not None}
        return Staged(
            parts=tuple(parts), files=tuple(files), bytes_read=read or self.done_bytes,
            cursor=self._highest(told),
            levels=levels_of(r for chunks in receipts.values() for r in chunks),
        )  # fmt: skip

    def _highest(self, told: Collection[str]) -> str | None:
        """The highest cursor, compared as values of its column."""
        rule, schema = self.action.transfer.incremental, self.action.facts.schema
        if len(told) < 2 or rule is None or schema is None:
            return next(iter(told), None)
        column = next(column for column in schema.columns if column.name == rule.cursor)
        try:
            return highest(told, column.type)
        except ValueError as error:
            resource = self.action.target.resource
            raise trouble(resource, "a cursor that it told of is no value") from error

    def _final(self, part: Part) -> Part:
        """The part under its name in the dataset; copies are staged under their id alone."""
        if not self.action.transfer.copy:
            return part
        if self.action.facts.format == "files":
            return replace(part, path=part.units[0].key)
        suffix = Path(part.units[0].key).suffix or f".{self.action.facts.format}"
        return replace(part, path=f"part-{part.path}{suffix}")


def levels_of(receipts: Iterable[ChunkReceipt]) -> frozenset[str]:
    """Return the levels at which the workers behind these receipts were confined."""
    return frozenset(receipt.level for receipt in receipts)


def highest(texts: Collection[str], type_: str) -> str:
    """Return the highest of values that are spelled as text, compared as values of `type_`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from batuta.model.arrow import type_of

    values = pa.array(texts, pa.string()).cast(type_of(type_))
    return str(pc.max(values).cast(pa.string()).as_py())


def without_keys(access: Access | None) -> Access | None:
    """Return what a data worker gets of an access: its addresses are signed, so it needs no key."""
    return None if access is None else replace(access, secrets={})


def source_schema(transfer: Transfer) -> TableSchema:
    """The schema of the source of a table's transfer."""
    assert transfer.source_schema is not None
    return transfer.source_schema
