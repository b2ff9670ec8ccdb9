"""A transfer from several sources: each is opened, listed and read as if it were alone.

Without a key every stream becomes parts of its own, side by side and from checkpoint to
checkpoint as in any transfer; with one, a single task reads them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from batuta.core.selection import source_text
from batuta.core.uniting import Input as Joined
from batuta.core.uniting import inputs_of, numbered, unnumbered
from batuta.model.canonical import digest
from batuta.model.dataset import DatasetStore
from batuta.model.observed import SourceState, Unit, states_of
from batuta.model.resource import Origin, SourcePart, SourceSpec
from batuta.model.table import TableSchema
from batuta.model.transfer import (
    ChunkReceipt,
    ConvertTask,
    CopyTask,
    Input,
    Partition,
    Segment,
    UnitePart,
    UniteTask,
)
from batuta.runtime.retry import retrying
from batuta.runtime.state.store import put_chunk
from batuta.runtime.transfer import Staged, TransferRun, levels_of, without_keys
from batuta.runtime.worker.pool import decoded
from batuta.runtime.worker.wire import Access, PartitionsRequest, Reply, Request, TaskRequest

# The name of no column: what has it as its source is written as nulls.
_ABSENT = "\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One place that can be read: through a worker with `access`, or through its log here."""

    spec: SourceSpec
    access: Access | None = None
    inner: Access | None = None
    local: DatasetStore | None = None


Open = Callable[[SourcePart], Opened]


@dataclass(kw_only=True)
class UniteRun(TransferRun):
    """One merge under way."""

    sources: Sequence[Opened]

    @staticmethod
    def of(run: TransferRun, open_source: Open) -> "UniteRun":
        """Return `run` as one that reads all sources of its action."""
        given = {field.name: getattr(run, field.name) for field in fields(TransferRun)}
        parts = run.action.transfer.source.merge
        return UniteRun(**given, sources=[open_source(part) for part in parts])

    @property
    def id(self) -> str:
        """Names the work itself; which sources, and which of them wins, are part of it."""
        return digest([super().id, source_text(self._spec)])[:32]

    def _staging_of(self, earlier: dict[str, list[ChunkReceipt]]) -> Staged:
        return self._by_key(earlier) if self._spec.on else super()._staging_of(earlier)

    @property
    def _spec(self) -> SourceSpec:
        return self.action.transfer.source

    @property
    def _states(self) -> Sequence[SourceState]:
        return states_of(self.state)

    @property
    def _output(self) -> TableSchema:
        schema = self.action.facts.schema
        assert schema is not None
        return schema

    def _joined(self) -> Sequence[Joined]:
        return inputs_of(self._spec, self._states)

    # -- without a key ------------------------------------------------------------------------

    def _conversions(self) -> list[ConvertTask]:
        transfer = self.action.transfer
        tasks: list[ConvertTask] = []
        for number, each in enumerate(self._joined()):
            units = [u for n, u in map(unnumbered, self.units) if n == number]
            assert each.state.schema is not None
            for partition in self._listed(number, units) if units else ():
                tasks.append(
                    ConvertTask(
                        id=f"convert:{number}:{partition.id}",
                        source_version=transfer.source_version,
                        partition=_numbered(number, partition), columns=self._columns(each),
                        source_schema=each.state.schema, schema=self._output,
                        output=transfer.output, staging=str(self.staging),
                    )
                )  # fmt: skip
        if not tasks and not self._keeps_rows():
            tasks.append(self._nothing())
        return tasks

    def _nothing(self) -> ConvertTask:
        """A table without rows is one part without rows."""
        transfer = self.action.transfer
        return ConvertTask(
            id="convert:empty", source_version=transfer.source_version,
            partition=Partition(id="empty"), columns=tuple((n, n) for n in self._output.names),
            source_schema=self._output, schema=self._output, output=transfer.output,
            staging=str(self.staging),
        )  # fmt: skip

    def _columns(self, each: Joined) -> tuple[tuple[str, str], ...]:
        source_of = {output: source for source, output in each.pairs}
        return tuple((source_of.get(name, _ABSENT), name) for name in self._output.names)

    def _request(
        self, task: CopyTask | ConvertTask, receipts: Sequence[ChunkReceipt]
    ) -> TaskRequest:
        request = super()._request(task, receipts)
        number = task.id.split(":")[1]
        if not number.isdigit():
            return request
        opened = self.sources[int(number)]
        access, inner = (without_keys(end) for end in (opened.access, opened.inner))
        return replace(request, access=access, inner=inner)

    def _inputs(self, units: Sequence[Unit]) -> Sequence[Input]:
        """Inputs for units of one source, by the names that the merge has for them."""
        if not units:
            return ()
        number, _ = unnumbered(units[0])
        plain = [unnumbered(unit)[1] for unit in units]
        opened, state = self.sources[number], self._states[number]
        if opened.local is not None:
            return self._listing(opened.local).inputs(state, plain)
        answer = self._ask_part(number, replace(state, units=()), plain, "inputs")
        return self.errands.inputs(decoded(answer, tuple[Input, ...], self.action.target.resource))

    # -- by key -------------------------------------------------------------------------------

    def _by_key(self, earlier: dict[str, list[ChunkReceipt]]) -> Staged:
        receipts = earlier.get("unite", [])
        if receipts and receipts[-1].done:
            for receipt in receipts:
                self._count(receipt)
        else:
            receipts = self._united()
        parts = [part for receipt in receipts for part in receipt.files]
        return Staged(
            parts=tuple(parts),
            files=tuple((str(self.staging / part.path), part.path) for part in parts),
            bytes_read=self.done_bytes,
            levels=levels_of(receipts),
        )

    def _united(self) -> list[ChunkReceipt]:
        receipts: list[ChunkReceipt] = []

        def told(reply: Reply) -> None:
            if reply.receipt is not None:
                self.store.write([put_chunk(self.id, reply.receipt)])
                receipts.append(reply.receipt)
                self._count(reply.receipt)
            elif reply.bytes or reply.rows:
                self._moved(reply.bytes, reply.rows)

        def attempt() -> None:
            receipts.clear()
            accesses = tuple(
                (without_keys(opened.access), without_keys(opened.inner)) for opened in self.sources
            )
            task = self._task()
            self._expect(partition for part in task.parts for partition in part.partitions)
            request = Request(task=TaskRequest(unite=task, accesses=accesses))
            self._serve(request, self.action.target.resource, told)

        retrying(attempt, self.pool.stop, self.retold)
        return receipts

    def _task(self) -> UniteTask:
        transfer, spec = self.action.transfer, self._spec
        parts = []
        for number, each in enumerate(self._joined()):
            assert each.state.schema is not None
            listed = self._listed(number, each.state.units)
            parts.append(
                UnitePart(
                    name=each.name, partitions=tuple(listed), columns=self._columns(each),
                    source_schema=each.state.schema,
                )
            )  # fmt: skip
        return UniteTask(
            id="unite", source_version=transfer.source_version, parts=tuple(parts),
            schema=self._output, key=spec.on, conflict=spec.conflict.value,
            typed=self.action.target.origin == Origin.COMMAND,
            output=transfer.output, staging=str(self.staging),
        )  # fmt: skip

    # -- one source ---------------------------------------------------------------------------

    def _listed(self, number: int, units: Sequence[Unit]) -> Sequence[Partition]:
        opened, state = self.sources[number], self._states[number]
        target_bytes = self.action.transfer.output.target_bytes
        if opened.local is not None:
            listing = self._listing(opened.local)
            return listing.partitions(opened.spec, state, units, target_bytes)
        answer = self._ask_part(number, state, units, "partitions")
        return self.errands.partitions(
            decoded(answer, tuple[Partition, ...], self.action.target.resource)
        )

    def _ask_part(self, number: int, state: SourceState, units: Sequence[Unit], want: str) -> bytes:
        opened = self.sources[number]
        assert opened.spec.address is not None
        access = self.renew(opened.spec.address, opened.spec.platform)
        look = self.errands.control(self._dataset, opened.spec, access)
        request = PartitionsRequest(
            spec=opened.spec, access=look.access, inner=look.inner, state=state,
            units=tuple(units), target_bytes=self.action.transfer.output.target_bytes,
            want="inputs" if want == "inputs" else "partitions",
        )  # fmt: skip
        name = self.action.target.resource
        return retrying(
            lambda: self.pool.answer(Request(partitions=request), name, look.errand),
            self.pool.stop,
            self.retold,
        )


def _numbered(number: int, partition: Partition) -> Partition:
    """The partition with its units named as the merge names them."""
    segments: tuple[Segment, ...] = tuple(
        replace(segment, unit=numbered(number, segment.unit)) for segment in partition.segments
    )
    return replace(partition, id=f"{number}:{partition.id}", segments=segments)
