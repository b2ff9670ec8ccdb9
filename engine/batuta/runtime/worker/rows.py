"""Rows of a partition in the shape of the output: read, renamed, filled, cast, filtered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batuta.model.arrow import to_arrow
from batuta.model.connector import PartitionReader
from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.format import Batch, Format
from batuta.model.log import UnitRef
from batuta.model.table import Column, TableSchema
from batuta.model.transfer import Input, Partition, Position, Segment
from batuta.runtime.mover_read import confirm, open_input
from batuta.runtime.worker.views import filtered


class ShapedBatch(NamedTuple):
    """Rows in the output's schema, the unit they came from, and where reading goes on."""

    rows: pa.RecordBatch
    unit: UnitRef | None
    next: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How source columns become output columns: (source, output) pairs and both schemas.

    A column of the output without a pair is written as nulls.
    """

    columns: tuple[tuple[str, str], ...]
    source: TableSchema
    output: TableSchema


def shaped(
    partition: Partition,
    after: Position | None,
    shape: Shape,
    formats: Mapping[str, Format],
    reader: PartitionReader | None,
) -> Iterator[ShapedBatch]:
    """Yield the rows of `partition` from `after` on, in order, in the output's schema.

    Raises:
        ConnectorError: what the format or connector raised; WRK210, a value does not fit the
            output's type (permanent).
    """
    target = to_arrow(shape.output)
    if reader is not None:
        for read in reader.read(partition, after):
            rows = _shape(read.rows, (), shape, target)
            yield ShapedBatch(rows, None, read.next or Position(len(partition.segments), "end"))
        return
    if not partition.segments:
        return
    assert partition.format is not None
    opener = formats[partition.format].reader
    assert opener is not None
    decoder = opener()
    first = after.segment if after else 0
    for index in range(first, len(partition.segments)):
        segment = partition.segments[index]
        resume = after if after is not None and index == first and after.position else None
        start = resume.position if resume else segment.start
        row = resume.row if resume else 0
        stored, columns = _stored(segment, shape)
        with open_input(segment.input) as file:
            batches = decoder.batches(
                file, start=start, end=segment.end, columns=columns, schema=stored,
                options=dict(partition.options),
            )  # fmt: skip
            for batch in _unmoved(batches, segment.input):
                kept = _without(batch.rows, segment, segment.first_row + row)
                row += batch.rows.num_rows
                rows = _shape(kept, segment.constants, shape, target, dict(segment.renames))
                yield ShapedBatch(rows, segment.unit, Position(index, batch.next, row))


def _unmoved(batches: Iterator[Batch], source: Input) -> Iterator[Batch]:
    """Pass on what was read of an input that is still the planned one.

    What a decoder says of a file that changed under it is not what went wrong.
    """
    while True:
        try:
            batch = next(batches, None)
        except ConnectorError:
            confirm(source)
            raise
        confirm(source)
        if batch is None:
            return
        yield batch


def _stored(segment: Segment, shape: Shape) -> tuple[TableSchema, Sequence[str]]:
    """The columns as stored in this input (types as the whole source has them), and which to read."""
    renames = dict(segment.renames)
    constants = {name for name, _ in segment.constants}
    by_name = {column.name: column for column in shape.source.columns}
    if segment.schema is not None:
        own = segment.schema.columns
    else:
        back = {new: old for old, new in segment.renames}
        own = tuple(
            Column(back.get(c.name, c.name), c.type, c.nullable)
            for c in shape.source.columns
            if c.name not in constants
        )
    stored = tuple(
        Column(c.name, by_name[renames.get(c.name, c.name)].type, c.nullable)
        if renames.get(c.name, c.name) in by_name
        else c
        for c in own
    )
    needed = {source for source, _ in shape.columns} - constants
    wanted = [c.name for c in stored if renames.get(c.name, c.name) in needed]
    return TableSchema(stored), wanted


def _without(rows: pa.RecordBatch, segment: Segment, first: int) -> pa.RecordBatch:
    """Leave out rows whose ordinals in the input are deleted."""
    if not segment.drop_rows or rows.num_rows == 0:
        return rows
    gone = np.asarray(segment.drop_rows, dtype=np.int64)
    here = gone[np.searchsorted(gone, first) : np.searchsorted(gone, first + rows.num_rows)]
    if len(here) == 0:
        return rows
    keep = np.ones(rows.num_rows, dtype=bool)
    keep[here - first] = False
    return filtered(rows, pa.array(keep))


def _shape(
    rows: pa.RecordBatch,
    constants: tuple[tuple[str, str | None], ...],
    shape: Shape,
    target: pa.Schema,
    renames: Mapping[str, str] | None = None,
) -> pa.RecordBatch:
    have = {
        (renames or {}).get(name, name): rows.column(i) for i, name in enumerate(rows.schema.names)
    }
    fixed = dict(constants)
    source_of = {output: source for source, output in shape.columns}
    arrays: list[pa.Array] = []
    for field in target:
        source = source_of.get(field.name)
        if source in have:
            arrays.append(_cast(have[source], field, field.name))
        elif source in fixed and fixed[source] is not None:
            value = pa.scalar(fixed[source]).cast(field.type)
            arrays.append(pa.repeat(value, rows.num_rows))
        else:
            arrays.append(pa.nulls(rows.num_rows, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def _cast(array: pa.Array, field: pa.Field, name: str) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not field.nullable and array.null_count:
        raise _unfit(name, f"it holds {array.null_count} nulls, which the wanted schema forbids")
    if array.type == field.type:
        return array
    try:
        return pc.cast(array, field.type, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _unfit(name, str(error).splitlines()[0]) from error


def _unfit(name: str, why: str) -> ConnectorError:
    return ConnectorError(
        Diagnostic(
            code="WRK210",
            summary="A value does not fit the wanted type",
            detail=f"Column {name}: {why}.",
            fix="Change the column's type in `source.schema`, or take the source's new schema "
            "(onDrift: Apply).",
        ),
        kind=Failure.PERMANENT,
    )
