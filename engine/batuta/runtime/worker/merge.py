"""Rows merged by key: parts that hold a changed key are written anew, the others are kept.

The changed rows are held in memory (they are bounded, or the task is refused with the figure);
the parts are streamed. Keys are compared as values, column by column, without a Python object
per value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batuta.model.arrow import to_arrow
from batuta.model.canonical import digest
from batuta.model.connector import PartitionReader
from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.format import Format
from batuta.model.log import Part
from batuta.model.table import Column, TableSchema
from batuta.model.transfer import ChunkReceipt, MergeTask, part_id
from batuta.runtime.mover import open_input
from batuta.runtime.worker.convert import Progress, write_part
from batuta.runtime.worker.cursor import highest_of
from batuta.runtime.worker.rows import Shape, shaped
from batuta.runtime.worker.share import Share
from batuta.runtime.worker.views import filtered, taken, unviewed

_DELETE = "delete"
Codes = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """The distinct keys of a table, as one code per row; finds which rows of others match.

    `steps` holds, for each column, the pairs (code so far, place of the value) that occur. They
    are numbered anew after each column, so that no code grows beyond the square of the rows.
    """

    names: tuple[str, ...]
    values: tuple[pa.Array, ...]
    steps: "tuple[Codes, ...]"
    codes: "Codes"

    @staticmethod
    def of(table: pa.Table, names: tuple[str, ...]) -> "KeyIndex":
        """Index the rows of `table` by `names`."""
        values = tuple(pc.unique(unviewed(table.column(name))) for name in names)
        steps: list[Codes] = []
        code = np.zeros(table.num_rows, dtype=np.int64)
        for name, distinct in zip(names, values, strict=True):
            pairs, code = np.unique(
                code * (len(distinct) + 1) + _places(table, name, distinct), return_inverse=True
            )
            steps.append(pairs)
        return KeyIndex(names, values, tuple(steps), np.unique(code))

    def encode(self, rows: pa.Table) -> "Codes":
        """Return one code per row, -1 where its key is not in the index."""
        code = np.zeros(rows.num_rows, dtype=np.int64)
        known = np.ones(rows.num_rows, dtype=bool)
        for name, distinct, pairs in zip(self.names, self.values, self.steps, strict=True):
            place = _places(rows, name, distinct)
            wanted = code * (len(distinct) + 1) + np.maximum(place, 0)
            code = np.searchsorted(pairs, wanted)
            at = np.minimum(code, max(len(pairs) - 1, 0))
            known &= (place >= 0) & (pairs[at] == wanted if len(pairs) else False)
            code = np.where(known, at, 0)
        code[~known] = -1
        return code

    def hits(self, rows: pa.Table) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Return which rows have a key of the index."""
        return self.encode(rows) >= 0


def _places(rows: pa.Table, name: str, distinct: pa.Array) -> "Codes":
    """Return where each value of a column stands among `distinct`, -1 where it does not."""
    found = pc.index_in(unviewed(rows.column(name)), value_set=distinct)
    places: Codes = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return places


def merge(
    task: MergeTask,
    formats: Mapping[str, Format],
    reader: PartitionReader | None,
    told: Progress,
    memory_bytes: int,
) -> Iterator[ChunkReceipt]:
    """Yield one receipt per part that was rewritten or added, the last with the kept parts.

    Raises:
        ConnectorError: permanent. WRK211 a null key; WRK212 more changed rows than fit; WRK213
            a key that is not unique, where no feed says which rows changed.
    """
    changes = _changes(task, formats, reader, told, memory_bytes)
    newest = _newest(changes, task)
    cursor = highest_of(changes.column(task.cursor), task.since) if task.cursor else None
    if task.change_column is not None and task.keeps_gone:
        newest = filtered(newest, pc.not_equal(newest.column(task.change_column), _DELETE))
    index = KeyIndex.of(newest, task.key)
    kept: list[str] = []
    chunk = 0
    met = np.zeros(0, dtype=np.int64)
    for item in task.parts:
        met, here = _met(task, item.input.key, index, formats, met)
        if not here:
            kept.append(item.input.key)
            continue
        survivors = _left(task, item.input.key, index, formats, task.schema.names)
        part = _write(task, item.input.key, survivors, formats)
        if part.rows:
            yield ChunkReceipt(task=task.id, chunk=chunk, files=(part,))
            chunk += 1
    upserts = newest
    if task.change_column is not None:
        alive = pc.not_equal(newest.column(task.change_column), _DELETE)
        upserts = filtered(newest, alive).drop_columns([task.change_column])
    files: tuple[Part, ...] = ()
    if upserts.num_rows:
        files = (_write(task, "", iter(upserts.to_batches()), formats),)
    yield ChunkReceipt(
        task=task.id, chunk=chunk, files=files, done=True, kept=tuple(kept), cursor=cursor
    )


def _changes(
    task: MergeTask,
    formats: Mapping[str, Format],
    reader: PartitionReader | None,
    told: Progress,
    memory_bytes: int,
) -> pa.Table:
    output = task.schema
    columns = task.columns
    if task.change_column is not None:
        output = TableSchema((*output.columns, Column(task.change_column, "string")))
        columns = (*columns, (task.change_column, task.change_column))
    shape = Shape(columns=columns, source=task.source_schema, output=output)
    batches: list[pa.RecordBatch] = []
    size = 0
    share = Share.of(task.partitions)
    for partition in task.partitions:
        for batch in shaped(partition, None, shape, formats, reader):
            rows = _wanted(batch.rows, task)
            told(rows.num_rows, share.next(batch.rows.num_rows))
            batches.append(rows)
            size += rows.nbytes
            if size > memory_bytes:
                raise _refused(
                    "WRK212", "Too many changed rows to merge in memory",
                    f"The rows that changed take more than {memory_bytes:,} bytes.",
                    "Take them over once as a Snapshot: batuta plan --resync NAME",
                )  # fmt: skip
    told(0, share.rest())
    table = pa.Table.from_batches(batches, schema=to_arrow(output))
    for name in task.key:
        if table.column(name).null_count:
            raise _refused(
                "WRK211", "A key is null",
                f"Column {name} is a key and holds {table.column(name).null_count} nulls.",
                "Choose key columns that are never null in `incremental.key`.",
            )  # fmt: skip
    return table


def _wanted(rows: pa.RecordBatch, task: MergeTask) -> pa.RecordBatch:
    """Leave out rows before the cursor."""
    if task.cursor is None or task.since is None:
        return rows
    column = rows.column(rows.schema.get_field_index(task.cursor))
    bound = pa.scalar(task.since).cast(column.type)
    if task.lookback_s:
        bound = pc.subtract(bound, pa.scalar(task.lookback_s, pa.duration("s")))
    bound = bound.cast(column.type, safe=False)  # a date goes back by whole days
    return filtered(rows, pc.fill_null(pc.greater_equal(column, bound), True))


def _newest(changes: pa.Table, task: MergeTask) -> pa.Table:
    """Keep the last word on each key. Without a feed two rows of one key are no two words."""
    if changes.num_rows == 0:
        return changes
    everything = KeyIndex.of(changes, task.key)
    code = everything.encode(changes)
    if task.change_column is None:
        if len(everything.codes) < changes.num_rows:
            raise _not_unique(task)
        return changes
    by_key = np.argsort(code, kind="stable")
    last = np.append(code[by_key][1:] != code[by_key][:-1], True)
    return taken(changes, pa.array(np.sort(by_key[last])))


def _met(
    task: MergeTask,
    path: str,
    index: KeyIndex,
    formats: Mapping[str, Format],
    met: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> "tuple[np.ndarray[tuple[int], np.dtype[np.int64]], bool]":
    """Return the index's keys met in parts so far, and whether this one holds any of them."""
    found = [index.encode(rows) for rows in _part_rows(task, path, formats, task.key)]
    codes = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    here = codes[np.isin(codes, index.codes) & (codes >= 0)]
    both = np.concatenate([met, here])
    if task.change_column is None and len(np.unique(both)) < len(both):
        raise _not_unique(task)
    return both, len(here) > 0


def _not_unique(task: MergeTask) -> ConnectorError:
    return _refused(
        "WRK213", "The key is not unique",
        f"More than one row has the same {', '.join(task.key)}.",
        "Add columns to `incremental.key` until no two rows share it.",
    )  # fmt: skip


def _left(
    task: MergeTask,
    path: str,
    index: KeyIndex,
    formats: Mapping[str, Format],
    names: tuple[str, ...],
) -> Iterator[pa.RecordBatch]:
    schema = to_arrow(task.schema)
    for rows in _part_rows(task, path, formats, names):
        left = filtered(rows, pa.array(~index.hits(rows)))
        yield from left.select(list(names)).cast(schema).to_batches()


def _part_rows(
    task: MergeTask, path: str, formats: Mapping[str, Format], names: tuple[str, ...]
) -> Iterator[pa.Table]:
    item = next(i for i in task.parts if i.input.key == path)
    opener = formats[task.part_format].reader
    assert opener is not None
    with open_input(item.input) as file:
        for batch in opener().batches(
            file, start=None, end=None, columns=list(names), schema=task.schema, options={}
        ):
            yield pa.Table.from_batches([batch.rows])


def _write(
    task: MergeTask, name: str, rows: Iterator[pa.RecordBatch], formats: Mapping[str, Format]
) -> Part:
    # A part is told by all that decides its rows: what was merged, and into which parts.
    into = [task.since, [p.id for p in task.partitions], [p.input.key for p in task.parts]]
    identity = part_id(task.source_version, f"merge:{digest(into)}:{name}", 0, task.output.digest)
    place = f"{task.staging}/{identity}"
    return write_part(rows, place, task.output, to_arrow(task.schema), formats)


def _refused(code: str, summary: str, detail: str, fix: str) -> ConnectorError:
    diagnostic = Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
    return ConnectorError(diagnostic, kind=Failure.PERMANENT)
