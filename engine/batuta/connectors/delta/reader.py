"""Reads the partitions that need more than renames and constants, and the change feed.

Runs in a data worker: it gets open addresses, no keys, and decodes Parquet through the format
it was handed. Rows come file by file in the order of the partition, the same on every run.
A position is the format's own, with the number of stored rows read of the segment before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batuta.connectors.delta.problems import problem
from batuta.connectors.delta.projection import project
from batuta.connectors.delta.types import Node, parse_schema
from batuta.connectors.delta.values import constant, unpack_ordinals
from batuta.model.connector import Connection, SourceBatch
from batuta.model.format import Batch, Reader
from batuta.model.transfer import Partition, Position, Segment

CHANGE = "_change"
FEED_TYPE = "_change_type"


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One segment to be read: what of it to leave out, and what `_change` says of its rows.

    `only` are the ordinals to be kept (None: all). `kinds` are values of the feed's own
    column; rows of other kinds are left out.
    """

    segment: Segment
    dropped: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    only: "np.ndarray[tuple[int], np.dtype[np.int64]] | None"
    kinds: tuple[str, ...]
    change: str | None


class DeltaReader:
    """Implements `model.connector.PartitionReader`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, partition: Partition, after: Position | None) -> Iterator[SourceBatch]:
        """Yield batches after `after` in the table's columns (and `_change` for a feed).

        Raises:
            ConnectorError: DLT106, a value does not fit the column's type; or the format's own.
        """
        spec = dict(partition.spec)
        nodes = parse_schema(str(spec["schema"]), mapped=bool(spec["mapped"]))
        stretches = _stretches(partition, spec)
        waiting: SourceBatch | None = None
        first = 0 if after is None else after.segment
        for index in range(first, len(stretches)):
            resume = after if after is not None and index == first else None
            for rows, position, row in self._read_one(stretches[index], nodes, resume):
                if waiting is not None:
                    yield waiting
                waiting = SourceBatch(rows, Position(index, position, row))
        if waiting is not None:
            yield SourceBatch(waiting.rows, None)

    def _read_one(
        self, stretch: _Stretch, nodes: Sequence[Node], after: Position | None
    ) -> Iterator[tuple[pa.RecordBatch, str, int]]:
        if self._connection.open_input is None:
            raise ValueError("a reader needs a way to open its inputs")
        segment = stretch.segment
        row, start = (0, segment.start) if after is None else (after.row, after.position)
        reader = _parquet(self._connection)
        with self._connection.open_input(segment.input) as file:
            found = reader.inspect(file, {}, {})
            stored = _stored_names(segment, nodes)
            wanted = [name for name in found.schema.names if name in stored.values()]
            if stretch.kinds:
                wanted.append(FEED_TYPE)
            batches = reader.batches(
                file,
                start=start,
                end=segment.end,
                columns=wanted,
                schema=found.schema,
                options={},
            )
            for batch in batches:
                rows = _form(batch, stretch, nodes, stored, segment.first_row + row)
                row += batch.rows.num_rows
                yield rows, batch.next, row


def _stretches(partition: Partition, spec: Mapping[str, Any]) -> list[_Stretch]:
    return [
        _Stretch(
            segment=segment,
            dropped=unpack_ordinals(part.get("drop", "")),
            only=unpack_ordinals(part["only"]) if "only" in part else None,
            kinds=tuple(part.get("kinds", ())),
            change=part.get("change"),
        )
        for segment, part in zip(partition.segments, spec["parts"], strict=True)
    ]


def _parquet(connection: Connection) -> Reader:
    make = connection.formats["parquet"].reader
    if make is None:
        raise ValueError("the Parquet format must be able to read")
    return make()


def _stored_names(segment: Segment, nodes: Sequence[Node]) -> dict[str, str]:
    """The table's names of columns that this file may hold, with their names in the file."""
    constants = {name for name, _ in segment.constants}
    renamed = {name: stored for stored, name in segment.renames}
    return {n.name: renamed.get(n.name, n.stored) for n in nodes if n.name not in constants}


def _form(
    batch: Batch, stretch: _Stretch, nodes: Sequence[Node], stored: Mapping[str, str], row: int
) -> pa.RecordBatch:
    rows = batch.rows
    kept = _kept(rows, stretch, row)
    constants = dict(stretch.segment.constants)
    columns = [_column(rows, node, stored.get(node.name), constants, stretch) for node in nodes]
    fields = [pa.field(n.name, n.type, n.nullable) for n in nodes]
    count = rows.num_rows
    if kept is not None:
        # After the columns have their types: Arrow cannot filter views, which some writers store.
        columns = [column.filter(pa.array(kept)) for column in columns]
        count = int(kept.sum())
    if stretch.change is not None:
        columns.append(constant(stretch.change, pa.string(), count))
        fields.append(pa.field(CHANGE, pa.string(), nullable=False))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _kept(
    rows: pa.RecordBatch, stretch: _Stretch, row: int
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]] | None":
    """Which rows of a batch that starts at stored row `row` are wanted; None: all of them."""
    kept = np.ones(rows.num_rows, dtype=np.bool_)
    kept[_within(stretch.dropped, row, rows.num_rows)] = False
    if stretch.only is not None:
        only = np.zeros(rows.num_rows, dtype=np.bool_)
        only[_within(stretch.only, row, rows.num_rows)] = True
        kept &= only
    if stretch.kinds:
        kinds = pc.is_in(rows.column(FEED_TYPE), pa.array(stretch.kinds, pa.string()))
        kept &= np.asarray(kinds.fill_null(False))
    return None if kept.all() else kept


def _within(
    ordinals: "np.ndarray[tuple[int], np.dtype[np.int64]]", row: int, count: int
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    low, high = np.searchsorted(ordinals, [row, row + count])
    return ordinals[low:high] - row


def _column(
    rows: pa.RecordBatch,
    node: Node,
    stored: str | None,
    constants: Mapping[str, str | None],
    stretch: _Stretch,
) -> pa.Array:
    if stored is None:
        return constant(constants[node.name], node.type, rows.num_rows)
    index = rows.schema.get_field_index(stored)
    if index < 0:
        return pa.nulls(rows.num_rows, node.type)
    try:
        return project(rows.column(index), node)
    except pa.ArrowInvalid as error:
        key = stretch.segment.unit.key
        raise problem("DLT106", f"{key}, column {node.name}: {error}.") from None
