"""A CSV file as UTF-8 text in blocks of whole records.

Positions count bytes of the UTF-8 text after decompression. In a plain UTF-8 file they are
positions in the file; elsewhere reading from a position decodes what is before it again.
"""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow as pa

from batuta.formats.csv import faults
from batuta.formats.csv.dialect import Dialect, Records

BLOCK_BYTES = 4 * 1024 * 1024
MAX_RECORD_BYTES = 64 * 1024 * 1024
_PIECE = 1024 * 1024
_GZIP = b"\x1f\x8b"
_BOM = codecs.BOM_UTF8


class Block(NamedTuple):
    """Whole records; `offset` is where they begin."""

    offset: int
    text: bytes


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Text:
    """The text of one file, from `offset` on."""

    def __init__(self, file: pa.NativeFile, encoding: str, offset: int = 0) -> None:
        file.seek(0)
        compressed = file.read(2) == _GZIP
        self.seekable = encoding == "utf-8" and not compressed
        file.seek(offset if self.seekable else 0)
        source: _Bytes = _Unpacked(file) if compressed else file
        self._source = source if encoding == "utf-8" else _Recoded(source, encoding)
        if not self.seekable:
            self._skip(offset)

    def _skip(self, size: int) -> None:
        while size > 0:
            piece = self.read(min(size, _PIECE))
            if not piece:
                return
            size -= len(piece)

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, fewer only at the end."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self._source.read(min(size, _PIECE))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


class _Unpacked:
    """Gzip, with what it raises about the file as a diagnostic."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")

    def read(self, size: int, /) -> bytes:
        try:
            return self._gzip.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise faults.cut_archive(f"{error}.") from error


class _Recoded:
    """Another encoding's text as UTF-8."""

    def __init__(self, source: _Bytes, encoding: str) -> None:
        self._source = source
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._held = b""
        self._line = 1
        self._ended = False

    def read(self, size: int, /) -> bytes:
        while not self._held and not self._ended:
            raw = self._source.read(_PIECE)
            self._ended = not raw
            try:
                self._held = self._decoder.decode(raw, final=self._ended).encode()
            except UnicodeError as error:
                reason = getattr(error, "reason", str(error))
                raise faults.bad_text(self._line, self._encoding, f"{reason}.") from error
            self._line += self._held.count(b"\n")
        piece, self._held = self._held[:size], self._held[size:]
        return piece


def head(file: pa.NativeFile, dialect: Dialect) -> tuple[int, bytes]:
    """Return the length of a byte order mark, and the text's first bytes after it."""
    text = Text(file, dialect.encoding).read(BLOCK_BYTES)
    if text[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        raise faults.bad_text(1, dialect.encoding, "it begins with a mark of UTF-16.")
    mark = len(_BOM) if text.startswith(_BOM) else 0
    return mark, text[mark:]


def blocks(
    file: pa.NativeFile, dialect: Dialect, records: Records, start: int, end: int | None
) -> Iterator[Block]:
    """Yield the records from `start` up to `end` in blocks of about 4 MiB.

    Where a block ends follows from where it begins, whatever came before it.
    """
    text = Text(file, dialect.encoding, start)
    offset, held, more = start, b"", True
    wanted = BLOCK_BYTES
    while True:
        limit = wanted if end is None else min(wanted, end - offset)
        piece = text.read(limit - len(held))
        held += piece
        more = len(held) == wanted
        if not held:
            return
        cut = records.last_end(held) if more else len(held)
        if cut == 0 and wanted < MAX_RECORD_BYTES:
            wanted *= 2
            continue
        if cut == 0 or (not more and records.ends_open(held)):
            line = line_at(file, dialect, offset)
            if cut == 0:
                raise faults.too_long(line, MAX_RECORD_BYTES)
            raise faults.bad_record(line + _open_line(records, held), "its quote never ends.")
        yield Block(offset, held[:cut])
        offset, held, wanted = offset + cut, held[cut:], BLOCK_BYTES


def _open_line(records: Records, text: bytes) -> int:
    whole = records.split(text)
    return text.count(b"\n", 0, whole[-1][1] if whole else 0)


def line_at(file: pa.NativeFile, dialect: Dialect, offset: int) -> int:
    """Return the number of the line at `offset`, from 1, by reading up to there."""
    text = Text(file, dialect.encoding)
    line = 1
    while offset > 0 and (piece := text.read(min(offset, _PIECE))):
        line += piece.count(b"\n")
        offset -= len(piece)
    return line
