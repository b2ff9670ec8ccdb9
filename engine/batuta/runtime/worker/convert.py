"""A partition into part files: one chunk a file, durable before its receipt is sent."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from batuta.model.arrow import to_arrow
from batuta.model.connector import PartitionReader
from batuta.model.format import Format
from batuta.model.log import Part, UnitRef
from batuta.model.transfer import ChunkReceipt, ConvertTask, Output, Position, part_id
from batuta.runtime.worker.cursor import highest_of
from batuta.runtime.worker.rows import Shape, ShapedBatch, shaped
from batuta.runtime.worker.share import Share
from batuta.runtime.worker.sink import HashingFile

Progress = Callable[[int, int], None]
LABEL_KEY = b"batuta.label"


class Chunks:
    """Cuts a stream of batches into chunks; a chunk ends at the batch that reaches the target."""

    def __init__(
        self,
        batches: Iterator[ShapedBatch],
        target_bytes: int,
        told: Progress,
        share: Share,
        cursor: str | None = None,
    ) -> None:
        self._batches = batches
        self._share = share
        self._target_bytes = target_bytes
        self._told = told
        self._waiting: ShapedBatch | None = next(batches, None)
        self._cursor = cursor
        self.units: dict[UnitRef, None] = {}
        self.position: Position | None = None
        self.highest: str | None = None

    @property
    def more(self) -> bool:
        """True while at least one batch is left."""
        return self._waiting is not None

    def chunk(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of the next chunk; `units`, `position`, `highest` then speak of it."""
        self.units = {}
        self.highest = None
        size = 0
        while self._waiting is not None and size < self._target_bytes:
            batch = self._waiting
            if batch.unit is not None:
                self.units[batch.unit] = None
            self.position = batch.next
            size += batch.rows.nbytes
            if self._cursor is not None:
                at = batch.rows.schema.get_field_index(self._cursor)
                self.highest = highest_of(batch.rows.column(at), self.highest)
            rows = batch.rows.num_rows
            self._told(rows, self._share.next(rows, batch.next.segment))
            yield batch.rows
            self._waiting = next(self._batches, None)
        if self._waiting is None:
            self._told(0, self._share.rest())


def convert(
    task: ConvertTask,
    formats: Mapping[str, Format],
    reader: PartitionReader | None,
    told: Progress,
) -> Iterator[ChunkReceipt]:
    """Write the chunks of a partition into staging; yield a receipt for each durable file.

    Raises:
        ConnectorError: as reading and the output's format raise them.
    """
    shape = Shape(columns=task.columns, source=task.source_schema, output=task.schema)
    chunks = Chunks(
        shaped(task.partition, task.after, shape, formats, reader), task.output.target_bytes, told,
        Share.of((task.partition,), resumed=task.after is not None), task.cursor,
    )  # fmt: skip
    chunk = task.chunk
    first = task.after.segment + 1 if task.after else 0
    while chunks.more or chunk == 0:
        name = part_id(task.source_version, task.partition.id, chunk, task.output.digest)
        part = write_part(
            chunks.chunk(), f"{task.staging}/{name}", task.output, to_arrow(task.schema), formats
        )
        done = not chunks.more
        last = len(task.partition.segments) if done else _segment(chunks.position) + 1
        covered = [segment.unit for segment in task.partition.segments[first:last]]
        units = tuple(dict.fromkeys([*chunks.units, *covered]))
        first = last
        yield ChunkReceipt(
            task=task.id,
            chunk=chunk,
            files=(_with_units(part, units),),
            next=None if done else chunks.position,
            done=done,
            cursor=chunks.highest,
        )
        chunk += 1
    if task.chunk and chunk == task.chunk:
        yield ChunkReceipt(task=task.id, chunk=chunk, done=True)


def _segment(position: Position | None) -> int:
    return position.segment if position else -1


def write_part(
    batches: Iterator[pa.RecordBatch],
    place: str,
    output: Output,
    schema: pa.Schema,
    formats: Mapping[str, Format],
) -> Part:
    """Write one part file and make it durable; `place` is its folder and its id."""
    format_ = formats[output.format]
    assert format_.writer is not None
    if output.label:
        schema = schema.with_metadata({**(schema.metadata or {}), LABEL_KEY: output.label.encode()})
    folder, _, name = place.rpartition("/")
    path = f"part-{name}{format_.suffixes[0]}"
    sink = HashingFile(Path(folder) / path)
    try:
        rows = format_.writer().write(sink, schema, batches, dict(output.options))
        size, sha256 = sink.finish()
    finally:
        sink.close()
    return Part(path=path, size_bytes=size, sha256=sha256, rows=rows)


def _with_units(part: Part, units: tuple[UnitRef, ...]) -> Part:
    return Part(
        path=part.path, size_bytes=part.size_bytes, sha256=part.sha256, rows=part.rows, units=units
    )
