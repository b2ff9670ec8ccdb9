"""One row a key out of several sources: first the keys are read, then the rows that hold.

Keys of all sources are kept in memory, rows are not. Nothing is written before it is known
that no key stands twice where it may not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batuta.model.arrow import to_arrow
from batuta.model.connector import PartitionReader
from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.format import Format
from batuta.model.table import TableSchema
from batuta.model.transfer import ChunkReceipt, UnitePart, UniteTask, part_id
from batuta.runtime.worker.convert import Chunks, Progress, write_part
from batuta.runtime.worker.rows import Shape, ShapedBatch, shaped
from batuta.runtime.worker.share import Share
from batuta.runtime.worker.views import unviewed

Readers = Sequence[PartitionReader | None]
Codes: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"


@dataclass(frozen=True, slots=True)
class _Bench:
    """What reading needs besides the part."""

    formats: Mapping[str, Format]
    readers: Readers
    memory_bytes: int


def unite(
    task: UniteTask,
    formats: Mapping[str, Format],
    readers: Readers,
    told: Progress,
    memory_bytes: int,
) -> Iterator[ChunkReceipt]:
    """Yield a receipt for each part file; the last one says that it is done.

    Raises:
        ConnectorError: permanent. WRK211 a null key; WRK213 a key twice in one source; WRK215 in
            two sources, where that is a failure; WRK216 more keys than fit.
    """
    bench = _Bench(formats, readers, memory_bytes)
    keys = _keys(task, bench)
    codes = _codes(keys, task.key)
    winners = _winners(
        task, codes, 1 + max((int(own.max()) for own in codes if len(own)), default=-1)
    )
    del keys
    share = Share.of(partition for part in task.parts for partition in part.partitions)
    chunks = Chunks(_held(task, bench, codes, winners), task.output.target_bytes, told, share)
    chunk = 0
    schema = to_arrow(task.schema)
    while chunks.more or chunk == 0:
        name = part_id(task.source_version, task.id, chunk, task.output.digest)
        place = f"{task.staging}/{name}"
        part = write_part(chunks.chunk(), place, task.output, schema, formats)
        yield ChunkReceipt(task=task.id, chunk=chunk, files=(part,), done=not chunks.more)
        chunk += 1


def _keys(task: UniteTask, bench: _Bench) -> list[pa.Table]:
    """The keys of each source in the order of its rows."""
    by_name = {column.name: column for column in task.schema.columns}
    output = TableSchema(tuple(by_name[name] for name in task.key))
    found: list[pa.Table] = []
    size = 0
    for number, part in enumerate(task.parts):
        source_of = {output_name: source for source, output_name in part.columns}
        columns = tuple((source_of[name], name) for name in task.key)
        shape = Shape(columns=columns, source=part.source_schema, output=output)
        batches: list[pa.RecordBatch] = []
        for batch in _rows(part, shape, bench, number):
            size += batch.rows.nbytes
            if size > bench.memory_bytes:
                raise _refused(
                    "WRK216", "Too many keys to merge in memory",
                    f"The keys of all sources take more than {bench.memory_bytes:,} bytes.",
                    "Merge by a shorter key, or without a key.",
                )  # fmt: skip
            batches.append(batch.rows)
        table = pa.Table.from_batches(batches, schema=to_arrow(output))
        for name in task.key:
            if nulls := table.column(name).null_count:
                raise _refused(
                    "WRK211", "A key is null",
                    f"Column {name} of {part.name} is a key and holds {nulls} nulls.",
                    "Choose key columns that are never null.",
                )  # fmt: skip
        found.append(table)
    return found


def _codes(tables: Sequence[pa.Table], names: Sequence[str]) -> list[Codes]:
    """A number for each row of each table: equal keys have equal numbers, from 0 on.

    Renumbered after each column, so that no number grows beyond the square of the rows.
    """
    whole = pa.concat_tables(tables)
    code = np.zeros(whole.num_rows, dtype=np.int64)
    for name in names:
        column = unviewed(whole.column(name))
        values = pc.unique(column)
        place = pc.index_in(column, value_set=values).to_numpy().astype(np.int64)
        _, code = np.unique(code * (len(values) + 1) + place, return_inverse=True)
    ends = np.cumsum([table.num_rows for table in tables])[:-1]
    return np.split(code, ends)


def _winners(task: UniteTask, codes: Sequence[Codes], count: int) -> Codes:
    """For each key the number of the source whose row holds."""
    winners = np.full(count, -1, dtype=np.int64)
    for number, own in enumerate(codes):
        if len(np.unique(own)) < len(own):
            raise _refused(
                "WRK213", "The key is not unique",
                f"More than one row of {task.parts[number].name} has the same"
                f" {', '.join(task.key)}.",
                "Add columns to the key until no two rows of a source share it.",
            )  # fmt: skip
        taken = own[winners[own] >= 0]
        if len(taken) and task.conflict == "Fail":
            other = task.parts[int(winners[taken[0]])].name
            raise _refused(
                "WRK215", "Two sources of a merge have one key",
                f"{len(taken)} keys of {task.parts[number].name} are in {other} as well, or in"
                " another source before it.",
                f"Say whose rows hold: {_whose(task)}.",
            )  # fmt: skip
        fresh = own if task.conflict == "Last" else own[winners[own] < 0]
        winners[fresh] = number
    return winners


def _whose(task: UniteTask) -> str:
    if task.typed:
        return "`--conflict First` (the target's) or `--conflict Last`"
    return "`conflict: First` or `conflict: Last`"


def _held(
    task: UniteTask, bench: _Bench, codes: Sequence[Codes], winners: Codes
) -> Iterator[ShapedBatch]:
    """Yield the rows that hold, source by source."""
    for number, part in enumerate(task.parts):
        shape = Shape(columns=part.columns, source=part.source_schema, output=task.schema)
        row = 0
        for batch in _rows(part, shape, bench, number):
            own = codes[number][row : row + batch.rows.num_rows]
            row += batch.rows.num_rows
            rows = batch.rows.filter(pa.array(winners[own] == number))
            if rows.num_rows:
                yield ShapedBatch(rows, batch.unit, batch.next)


def _rows(part: UnitePart, shape: Shape, bench: _Bench, number: int) -> Iterator[ShapedBatch]:
    for partition in part.partitions:
        yield from shaped(partition, None, shape, bench.formats, bench.readers[number])


def _refused(code: str, summary: str, detail: str, fix: str) -> ConnectorError:
    diagnostic = Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
    return ConnectorError(diagnostic, kind=Failure.PERMANENT)
