"""The three layouts that carry the name `.ald`, told apart and taken apart.

A (`ALDF`, checksummed, one payload), B (`ALDF`, a chunk index, no checksum) and C (`ADLF`, a
sample project's own). What is found here is checked against the file's size; the payload is
still unread.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec
import pyarrow as pa

from batuta.formats.ald import checksum, faults
from batuta.model.diagnostic import Diagnostic

HEADER_A = struct.Struct("<4sBBHIIIBBHQ")
HEADER_B = struct.Struct("<4sBBBBHHIIIQ")
_HEADER_C = struct.Struct("<4sBBIIIQ8x")
MAGIC = b"ALDF"
_MAGIC_C = b"ADLF"
VERSION = (1, 2)
TABULAR = 1

ENCRYPTED, SIGNED, STREAMING = 0x01, 0x02, 0x04
_C_COMPRESSED = 0x08
_MAX_INDEX_BYTES = 16 * 1024 * 1024
_PIECE = 1024 * 1024

Codec = Literal["none", "zstd", "lz4"]
CODECS: dict[int, Codec] = {0: "none", 1: "zstd", 2: "zstd", 3: "lz4"}

_TYPES = frozenset(
    {*range(0x01, 0x05), *range(0x10, 0x17), *range(0x20, 0x25), *range(0x30, 0x33)}
    | {*range(0x40, 0x43), *range(0x50, 0x53), 0xFF}
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One Arrow stream in the file. `expanded_bytes` and `rows` are what the file claims."""

    offset: int
    stored_bytes: int
    expanded_bytes: int | None
    rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A file taken apart. `schema_at` is where the schema lies that counts (A, C: the payload)."""

    layout: Literal["A", "B", "C"]
    codec: Codec
    schema_at: Chunk
    chunks: tuple[Chunk, ...]
    notes: tuple[Diagnostic, ...] = ()


class _Entry(msgspec.Struct, array_like=True):
    row_offset: int
    num_rows: int
    byte_offset: int
    compressed_size: int
    uncompressed_size: int


class _Index(msgspec.Struct, array_like=True):
    entries: list[_Entry]
    total_rows: int


class _EntryByName(msgspec.Struct):
    row_offset: int
    num_rows: int
    byte_offset: int
    compressed_size: int
    uncompressed_size: int


class _IndexByName(msgspec.Struct):
    entries: list[_EntryByName]
    total_rows: int


def open_container(file: pa.NativeFile) -> Container:
    """Find the layout and check it as far as the bytes around the payload go.

    Raises:
        ConnectorError: damaged, encrypted, or of no known layout (FMT140 to FMT143).
    """
    size = file.size()
    file.seek(0)
    head = file.read(HEADER_A.size)
    if size < HEADER_A.size:
        raise faults.broken(f"The file has {size} bytes; the header alone takes 32.")
    if head[:4] == _MAGIC_C:
        return _open_c(file, size)
    if head[:4] != MAGIC:
        raise faults.broken("The file does not begin with `ALDF`.")
    if _looks_like_b(head) and _fills_exactly(head, size):
        return _open_b(file, head, size)
    stored, computed, true_crc = _sums(file, size)
    if stored not in {computed, true_crc}:
        if _looks_like_b(head):
            return _open_b(file, head, size)
        raise faults.wrong_checksum(stored, computed)
    notes = () if stored == computed else (faults.foreign_checksum(),)
    return _open_a(head, size, notes)


def _looks_like_b(head: bytes) -> bool:
    return bool(head[6] & STREAMING) and head[7] in CODECS and head[8:12] == b"\1\0\0\0"


def _fills_exactly(head: bytes, size: int) -> bool:
    *_, metadata, schema, index, payload = HEADER_B.unpack(head)
    return bool(HEADER_B.size + metadata + schema + index + payload == size)


def _sums(file: pa.NativeFile, size: int) -> tuple[int, int, int]:
    """Return the checksum the file states, the format's, and the true CRC-32."""
    if size < HEADER_A.size + 4:
        raise faults.broken(f"The file has {size} bytes; the smallest one has 36.")
    odd = true = 0
    for piece in pieces(file, 0, size - 4):
        true = zlib.crc32(piece, true)
        odd = checksum.update(odd, piece)
    file.seek(size - 4)
    return int.from_bytes(file.read(4), "little"), odd, true


def pieces(file: pa.NativeFile, offset: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes from `offset` on in pieces of at most 1 MiB."""
    file.seek(offset)
    while length > 0:
        piece = file.read(min(length, _PIECE))
        if not piece:
            raise faults.broken("The file is shorter than it was when it was opened.")
        length -= len(piece)
        yield piece


def _open_a(head: bytes, size: int, notes: tuple[Diagnostic, ...]) -> Container:
    _, major, _, kind, metadata, payload, expanded, codec, flags, schema, rows = HEADER_A.unpack(
        head
    )
    if major > VERSION[0]:
        raise faults.broken(f"It is of version {major}; versions up to 1 are known.")
    if kind not in _TYPES:
        raise faults.broken(f"Its dataset type {kind:#06x} is not known.")
    if codec not in CODECS:
        raise faults.broken(f"Its compression code {codec} is not known.")
    if flags & ENCRYPTED:
        raise faults.encrypted()
    at = HEADER_A.size + metadata + schema
    if at + payload > size - 4:
        raise faults.broken(f"Its header claims a payload of {payload} bytes that is not there.")
    if flags & SIGNED:
        notes = (*notes, faults.signature_unchecked())
    del rows  # claimed only: no reader of the format compares it with the batches
    whole = Chunk(at, payload, expanded, None)
    return Container(layout="A", codec=CODECS[codec], schema_at=whole, chunks=(whole,), notes=notes)


def _open_c(file: pa.NativeFile, size: int) -> Container:
    if size < _HEADER_C.size + 4:
        raise faults.broken("The file is cut.")
    file.seek(0)
    _, _, _, flags, metadata, schema, payload = _HEADER_C.unpack(file.read(_HEADER_C.size))
    true = 0
    for piece in pieces(file, 0, size - 4):
        true = zlib.crc32(piece, true)
    stored = int.from_bytes(file.read(4), "little")
    if stored != true:
        raise faults.wrong_checksum(stored, true)
    if flags & ENCRYPTED:
        raise faults.encrypted()
    at = _HEADER_C.size + metadata + schema
    if at + payload > size - 4:
        raise faults.broken(f"Its header claims a payload of {payload} bytes that is not there.")
    whole = Chunk(at, payload, None, None)
    codec: Codec = "zstd" if flags & _C_COMPRESSED else "none"
    return Container(layout="C", codec=codec, schema_at=whole, chunks=(whole,))


def _open_b(file: pa.NativeFile, head: bytes, size: int) -> Container:
    _, _, _, _, codec, _, _, metadata, schema, index, _ = HEADER_B.unpack(head)
    schema_at = HEADER_B.size + metadata
    index_at = schema_at + schema
    start = index_at + index
    if start > size:
        raise faults.broken("Its header claims blocks beyond the end of the file.")
    if index > _MAX_INDEX_BYTES:
        raise faults.too_big(f"Its chunk index takes {index} bytes.")
    file.seek(index_at)
    entries = _decode_index(file.read(index))
    chunks: list[Chunk] = []
    for entry in entries:
        stored, at = entry.compressed_size, start + entry.byte_offset
        if min(entry.byte_offset, stored, entry.uncompressed_size, entry.num_rows) < 0:
            raise faults.broken("Its chunk index holds negative figures.")
        if at + stored > size:
            raise faults.broken(f"Chunk {len(chunks)} lies beyond the end of the file.")
        chunks.append(Chunk(at, stored, entry.uncompressed_size, entry.num_rows))
    where = Chunk(schema_at, schema, schema, None)
    return Container(layout="B", codec=CODECS[codec], schema_at=where, chunks=tuple(chunks))


def _decode_index(raw: bytes) -> list[_Entry] | list[_EntryByName]:
    try:
        if raw[:1] and (raw[0] & 0xF0 == 0x80 or raw[0] in {0xDE, 0xDF}):
            return msgspec.msgpack.decode(raw, type=_IndexByName).entries
        return msgspec.msgpack.decode(raw, type=_Index).entries
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise faults.broken(f"Its chunk index cannot be read: {error}.") from error
