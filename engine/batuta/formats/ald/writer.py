"""Writes `.ald` files: layout A, or B where that was asked for or the table is too big for A.

Layout A states its sizes before its payload, so the payload is held until it is complete; the
sink is only appended to. Layout B streams: its chunks are written where the index will stand,
and are moved by the length of the index at the end, so its sink must be open for reading too.
"""

import io
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

import msgspec
import pyarrow as pa

from batuta.formats.ald import checksum, faults
from batuta.formats.ald.container import HEADER_A, HEADER_B, MAGIC, STREAMING, TABULAR, VERSION
from batuta.formats.ald.plain import plain_batch, plain_schema
from batuta.model.format import Options

LARGEST_A_BYTES = 64 * 1024 * 1024
"""The Arrow size up to which a table is written as A unless an option says otherwise."""

CHUNK_ROWS = 65_536
_CHUNK_BYTES = 64 * 1024 * 1024
_PIECE = 1024 * 1024
_FRAME_BYTES = 4 * 1024 * 1024
_U32 = 2**32 - 1
_U16 = 2**16 - 1
_METADATA = msgspec.msgpack.encode([None, None, None, [], None, None, None])
_CODES = {"none": 0, "zstd": 1, "zstd19": 2, "lz4": 3}


class _Settings(NamedTuple):
    layout: str | None
    compression: str

    def codec(self) -> pa.Codec | None:
        match self.compression:
            case "none":
                return None
            case "lz4":
                return pa.Codec("lz4")
            case name:
                return pa.Codec("zstd", compression_level=19 if name == "zstd19" else 3)


class AldWriter:
    """Writes one `.ald` file, unsigned and unencrypted."""

    def write(
        self,
        sink: BinaryIO,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        options: Options,
    ) -> int:
        """Write all batches and return the rows; an empty table is A with a batch of no rows.

        Raises:
            ConnectorError: an option is wrong (FMT145), a type cannot be written (FMT144), or
                layout A was asked for and the payload is over 4 GiB (FMT143).
        """
        settings = _settings(options)
        written = plain_schema(schema)
        stream = (plain_batch(batch, written) for batch in batches)
        if settings.layout == "B":
            return _write_b(sink, written, stream, settings)
        if settings.layout == "A" or settings.compression == "lz4":
            return _write_a(sink, written, stream, settings)
        held: list[pa.RecordBatch] = []
        held_bytes = 0
        for batch in stream:
            held.append(batch)
            held_bytes += batch.nbytes
            if held_bytes > LARGEST_A_BYTES:
                return _write_b(sink, written, chain(held, stream), settings)
        return _write_a(sink, written, iter(held), settings)


def _settings(options: Options) -> _Settings:
    layout = options.get("layout")
    compression = options.get("compression", "zstd")
    if layout not in {None, "A", "B"}:
        raise faults.bad_option(f"`layout: {layout}` is not known.")
    if compression not in _CODES:
        raise faults.bad_option(f"`compression: {compression}` is not known.")
    if layout == "B" and compression == "lz4":
        raise faults.bad_option("Layout B with lz4 cannot be read back by alimentar.")
    return _Settings(None if layout is None else str(layout), str(compression))


def _schema_block(schema: pa.Schema) -> bytes:
    block = io.BytesIO()
    with pa.ipc.new_stream(block, schema):
        pass
    return block.getvalue()


class _Frames:
    """Stores what it is given as zstd frames of 4 MiB each, which readers take for one stream.

    Arrow's own compressing stream knows no level.
    """

    def __init__(self, sink: pa.NativeFile, codec: pa.Codec) -> None:
        self.sink = sink
        self.codec = codec
        self.held = bytearray()

    def write(self, piece: bytes) -> None:
        self.held += piece
        while len(self.held) >= _FRAME_BYTES:
            self.sink.write(self.codec.compress(bytes(self.held[:_FRAME_BYTES])))
            del self.held[:_FRAME_BYTES]

    def close(self) -> None:
        if self.held:
            self.sink.write(self.codec.compress(bytes(self.held)))


class _Counted:
    """Passes bytes on to `sink` and counts them; refuses what no header field could state."""

    def __init__(self, sink: "pa.NativeFile | _Frames") -> None:
        self.sink = sink
        self.count = 0
        self.closed = False

    def write(self, piece: bytes) -> int:
        self.count += len(piece)
        if self.count > _U32:
            raise faults.too_big("Layout A holds at most 4 GiB, before and after compression.")
        self.sink.write(piece)
        return len(piece)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        self.closed = True


def _write_a(
    sink: BinaryIO, schema: pa.Schema, batches: Iterator[pa.RecordBatch], settings: _Settings
) -> int:
    payload, expanded_bytes, rows = _payload(schema, batches, settings)
    block = _schema_block(schema)
    if len(block) > _U16:
        block = b""  # readers skip it, and its length has 16 bits only
    stored = memoryview(payload)
    header = HEADER_A.pack(
        MAGIC, *VERSION, TABULAR, len(_METADATA), len(stored), expanded_bytes,
        _CODES[settings.compression], 0, len(block), rows,
    )  # fmt: skip
    crc = 0
    for piece in chain((header, _METADATA, block), _pieces(stored)):
        crc = checksum.update(crc, piece)
        sink.write(piece)
    sink.write(crc.to_bytes(4, "little"))
    return rows


def _payload(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], settings: _Settings
) -> tuple[pa.Buffer, int, int]:
    """Return the stored payload, its length before compression, and its rows."""
    target = pa.BufferOutputStream()
    stream = _compressing(target, settings)
    counted = _Counted(stream)
    rows = 0
    with pa.ipc.new_stream(counted, schema, options=pa.ipc.IpcWriteOptions()) as writer:
        first = True
        for batch in batches:
            first = False
            rows += batch.num_rows
            writer.write_batch(batch)
        if first:
            writer.write_batch(_no_rows(schema))
    if stream is not target:
        stream.close()
    payload = target.getvalue()
    if payload.size > _U32:
        raise faults.too_big("Layout A holds at most 4 GiB, before and after compression.")
    return payload, counted.count, rows


def _compressing(target: pa.NativeFile, settings: _Settings) -> "pa.NativeFile | _Frames":
    codec = settings.codec()
    match settings.compression:
        case "none":
            return target
        case "lz4":
            return pa.CompressedOutputStream(target, "lz4")
        case _:
            return _Frames(target, codec)


def _pieces(stored: memoryview) -> Iterator[bytes]:
    for first in range(0, len(stored), _PIECE):
        yield bytes(stored[first : first + _PIECE])


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def _write_b(
    sink: BinaryIO, schema: pa.Schema, batches: Iterator[pa.RecordBatch], settings: _Settings
) -> int:
    block = _schema_block(schema)
    base = sink.tell()
    sink.write(bytes(HEADER_B.size))
    sink.write(_METADATA)
    sink.write(block)
    codec = settings.codec()
    entries: list[tuple[int, int, int, int, int]] = []
    rows = stored_bytes = 0
    for chunk in _chunks(schema, batches):
        expanded = _one_batch(schema, chunk)
        stored = codec.compress(expanded) if codec else expanded
        sink.write(stored)
        entries.append((rows, chunk.num_rows, stored_bytes, len(stored), len(expanded)))
        rows += chunk.num_rows
        stored_bytes += len(stored)
    index = msgspec.msgpack.encode([entries, rows])
    header = HEADER_B.pack(
        MAGIC, *VERSION, STREAMING, _CODES[settings.compression], TABULAR, 0,
        len(_METADATA), len(block), len(index), stored_bytes,
    )  # fmt: skip
    chunks_at = base + HEADER_B.size + len(_METADATA) + len(block)
    _shift(sink, chunks_at, stored_bytes, len(index))
    sink.seek(chunks_at)
    sink.write(index)
    sink.seek(base)
    sink.write(header)
    sink.seek(0, io.SEEK_END)
    return rows


def _chunks(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut the rows anew into chunks of 65,536, or of fewer where these take 64 MiB."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for whole in batches:
        batch = whole
        while batch.num_rows:
            fitting = batch.slice(0, CHUNK_ROWS - rows)
            held.append(fitting)
            rows += fitting.num_rows
            size += fitting.nbytes
            batch = batch.slice(fitting.num_rows)
            if rows >= CHUNK_ROWS or size >= _CHUNK_BYTES:
                yield _as_one(held, schema)
                held, rows, size = [], 0, 0
    if held:
        yield _as_one(held, schema)


def _as_one(held: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(held) == 1:
        return held[0]
    try:
        table = pa.Table.from_batches(held, schema).unify_dictionaries()
        joined = table.combine_chunks().to_batches()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise faults.not_storable(f"{str(error).splitlines()[0][:300]}.") from error
    return joined[0]


def _one_batch(schema: pa.Schema, batch: pa.RecordBatch) -> pa.Buffer:
    target = pa.BufferOutputStream()
    with pa.ipc.new_stream(target, schema) as writer:
        writer.write_batch(batch)
    return target.getvalue()


def _shift(sink: BinaryIO, start: int, length: int, by: int) -> None:
    """Move `length` bytes at `start` towards the end by `by`, the last piece first."""
    left = length
    while left:
        size = min(_PIECE, left)
        left -= size
        sink.seek(start + left)
        piece = sink.read(size)
        sink.seek(start + left + by)
        sink.write(piece)
