"""A JSON Lines file in blocks of whole lines.

Positions count bytes after decompression; in a gzipped file, reading from one unpacks what is
before it again.
"""

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from batuta.formats.jsonl import faults

BLOCK_BYTES = 4 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 200
_PIECE = 1024 * 1024
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')


class Block(NamedTuple):
    """Whole lines; `offset` is where they begin."""

    offset: int
    text: bytes


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


def is_packed(file: pa.NativeFile) -> bool:
    """Say whether the file is gzipped."""
    file.seek(0)
    return bool(file.read(2) == b"\x1f\x8b")


def blocks(file: pa.NativeFile, start: int, end: int | None) -> Iterator[Block]:
    """Yield the lines from `start` up to `end` in blocks of about 4 MiB.

    Where a block ends follows from where it begins, whatever came before it.

    Raises:
        ConnectorError: a line is over 64 MiB (FMT135), is not UTF-8 or nested too deep
            (FMT130), or the archive is damaged (FMT136).
    """
    source = _opened(file, start)
    offset, held, wanted = start, b"", BLOCK_BYTES
    if start == 0:
        held = _read(source, len(codecs.BOM_UTF8))
        if held == codecs.BOM_UTF8:
            offset, held = len(held), b""
    while True:
        limit = wanted if end is None else min(wanted, end - offset)
        held += _read(source, limit - len(held))
        if not held:
            return
        cut = held.rfind(b"\n") + 1 if len(held) == wanted else len(held)
        if cut == 0 and wanted >= MAX_LINE_BYTES:
            raise faults.too_long(line_at(file, offset), MAX_LINE_BYTES)
        if cut == 0:
            wanted *= 2
            continue
        block = Block(offset, held[:cut])
        _check(file, block)
        yield block
        offset, held, wanted = offset + cut, held[cut:], BLOCK_BYTES


def line_at(file: pa.NativeFile, offset: int) -> int:
    """Return the number of the line at `offset`, from 1, by reading up to there."""
    source = _opened(file, 0)
    line = 1
    while offset > 0 and (piece := _read(source, min(offset, _PIECE))):
        line += piece.count(b"\n")
        offset -= len(piece)
    return line


def _check(file: pa.NativeFile, block: Block) -> None:
    """Check what the parser does not: its strings may hold any bytes, its depth has no limit."""
    try:
        block.text.decode()
    except UnicodeDecodeError as error:
        line = line_at(file, block.offset) + block.text.count(b"\n", 0, error.start)
        raise faults.bad_line(line, f"it is not UTF-8: {error.reason}.") from error
    deepest = _deepest(block.text)
    if deepest >= 0 and _deepest(_STRING.sub(b'""', block.text)) >= 0:
        line = line_at(file, block.offset) + block.text.count(b"\n", 0, deepest)
        raise faults.bad_line(line, f"it is nested more than {_MAX_DEPTH} levels deep.")


def _deepest(text: bytes) -> int:
    """Return where brackets are first open too deep, -1 where they are not."""
    codes = np.frombuffer(text, dtype=np.uint8)
    opening = (codes == ord("[")) | (codes == ord("{"))
    closing = (codes == ord("]")) | (codes == ord("}"))
    places = np.flatnonzero(opening | closing)
    if len(places) <= _MAX_DEPTH:
        return -1
    depth = np.cumsum(np.where(opening[places], 1, -1))
    lowest = np.minimum.accumulate(np.minimum(depth, 0))
    over = np.flatnonzero(depth - lowest > _MAX_DEPTH)
    return int(places[over[0]]) if len(over) else -1


def _opened(file: pa.NativeFile, offset: int) -> _Bytes:
    if not is_packed(file):
        file.seek(offset)
        plain: _Bytes = file
        return plain
    file.seek(0)
    unpacked = gzip.GzipFile(fileobj=file, mode="rb")
    while offset > 0 and (piece := _read(unpacked, min(offset, _PIECE))):
        offset -= len(piece)
    return unpacked


def _read(source: _Bytes, size: int) -> bytes:
    pieces: list[bytes] = []
    try:
        while size > 0 and (piece := source.read(min(size, _PIECE))):
            pieces.append(piece)
            size -= len(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise faults.cut_archive(f"{error}.") from error
    return b"".join(pieces)
