"""The frames of an Arrow IPC stream, checked before Arrow reads them.

Arrow reserves the memory that a frame's header claims before it looks whether the bytes are
there. This module reads the few fields that say how much is claimed, in bounds, so that a
file of a few kilobytes cannot ask for gigabytes. It needs no Arrow.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

MAX_METADATA_BYTES = 16 * 1024 * 1024
"""A frame's header is at most this long; 100,000 columns need about 10 MiB."""

MAX_ROWS = 2**31 - 1
_PIECE = 1024 * 1024
_CONTINUATION = 0xFFFFFFFF

Kind = Literal["schema", "dictionary", "batch"]
_KINDS: dict[int, Kind] = {1: "schema", 2: "dictionary", 3: "batch"}


class BadMessage(ValueError):
    """A frame is cut, is not one, or claims more than is allowed; the text says which."""


class Span(NamedTuple):
    """A stretch of a message's body: one buffer of one column."""

    offset: int
    size_bytes: int


class Block(NamedTuple):
    """Where a message lies in an Arrow file."""

    offset: int
    metadata_bytes: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Message:
    """What one frame's header claims. `rows` is 0 for a schema."""

    kind: Kind
    body_bytes: int
    rows: int = 0
    compressed: bool = False
    buffers: tuple[Span, ...] = ()


class _Table:
    """One flatbuffers table; absent fields read as their default."""

    def __init__(self, buffer: bytes, at: int) -> None:
        self.buffer = buffer
        self.at = at
        vtable = at - self.unpack("<i", at)
        self.fields = self.unpack("<H", vtable)
        self.vtable = vtable

    def unpack(self, layout: str, at: int) -> int:
        if at < 0:
            raise BadMessage("an offset in an Arrow header points outside it")
        return int(struct.unpack_from(layout, self.buffer, at)[0])

    def place(self, field: int) -> int:
        slot = 4 + 2 * field
        offset = self.unpack("<H", self.vtable + slot) if slot + 2 <= self.fields else 0
        return self.at + offset if offset else 0

    def number(self, field: int, layout: str) -> int:
        at = self.place(field)
        return self.unpack(layout, at) if at else 0

    def table(self, field: int) -> "_Table | None":
        at = self.place(field)
        return _Table(self.buffer, at + self.unpack("<I", at)) if at else None

    def vector(self, field: int, item: struct.Struct) -> list[tuple[int, ...]]:
        at = self.place(field)
        if not at:
            return []
        at += self.unpack("<I", at)
        count = self.unpack("<I", at)
        if count * item.size > len(self.buffer):
            raise BadMessage("a list in an Arrow header is longer than the header")
        return [item.unpack_from(self.buffer, at + 4 + i * item.size) for i in range(count)]


_SPAN = struct.Struct("<qq")
_BLOCK = struct.Struct("<qi4xq")


def parse_message(metadata: bytes) -> Message:
    """Return what the header of one frame claims.

    Raises:
        BadMessage: it is no header, or its figures are negative or absurd.
    """
    try:
        return _message(metadata)
    except struct.error as error:
        raise BadMessage("an Arrow header is cut or points outside itself") from error


def _message(metadata: bytes) -> Message:
    root = _Table(metadata, int(struct.unpack_from("<I", metadata, 0)[0]))
    kind = _KINDS.get(root.number(1, "<B"))
    body = root.number(3, "<q")
    header = root.table(2)
    if kind is None or header is None or body < 0:
        raise BadMessage("an Arrow header is neither schema, dictionary nor batch")
    if kind == "schema":
        return Message(kind, body)
    batch = header.table(1) if kind == "dictionary" else header
    if batch is None:
        raise BadMessage("a dictionary holds no values")
    rows = batch.number(0, "<q")
    if not 0 <= rows <= MAX_ROWS:
        raise BadMessage(f"a batch claims {rows} rows")
    buffers = tuple(Span(*pair) for pair in batch.vector(2, _SPAN))
    if any(b.offset < 0 or b.size_bytes < 0 or b.offset + b.size_bytes > body for b in buffers):
        raise BadMessage("a buffer lies outside the body of its batch")
    return Message(kind, body, rows, batch.table(3) is not None, buffers)


def parse_footer(footer: bytes) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """Return where the dictionaries and the batches of an Arrow file lie.

    Raises:
        BadMessage: it is no footer.
    """
    try:
        root = _Table(footer, int(struct.unpack_from("<I", footer, 0)[0]))
        dictionaries = tuple(Block(*block) for block in root.vector(2, _BLOCK))
        batches = tuple(Block(*block) for block in root.vector(3, _BLOCK))
    except struct.error as error:
        raise BadMessage("an Arrow footer is cut or points outside itself") from error
    return dictionaries, batches


def check_expansion(message: Message, body: bytes | memoryview, limit: int) -> None:
    """Raise BadMessage if the compressed buffers in `body` claim more than `limit` bytes."""
    if not message.compressed:
        return
    claimed = 0
    for span in message.buffers:
        if span.size_bytes >= 8:
            claimed += max(0, int(struct.unpack_from("<q", body, span.offset)[0]))
    if claimed > limit:
        raise BadMessage(f"a batch of {len(body)} bytes claims to expand to {claimed} bytes")


class CheckedStream:
    """An Arrow stream as a file object that hands on only frames it has checked.

    `read` is the source. No frame, and no expansion of one, may take more than `max_bytes`.
    The stream ends at its end marker or where the source ends between frames.
    """

    def __init__(
        self, read: Callable[[int], bytes], *, max_bytes: int, compressed: bool = True
    ) -> None:
        self._read = read
        self._max_bytes = max_bytes
        self._compressed = compressed
        self._frame = memoryview(b"")
        self._ended = False
        self.closed = False

    def close(self) -> None:
        """Forget the frame at hand; the source stays open."""
        self._frame = memoryview(b"")
        self.closed = True

    def readable(self) -> bool:
        """Say that this is a file to read from."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes of checked frames, empty at the end.

        Raises:
            BadMessage: the next frame is cut or claims too much.
        """
        if size < 0:
            raise BadMessage("a checked stream is never read whole")
        pieces: list[bytes] = []
        while size > 0 and (self._frame or self._next()):
            piece = bytes(self._frame[:size])
            self._frame = self._frame[len(piece) :]
            size -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _next(self) -> bool:
        if self._ended:
            return False
        prefix = self._read_exactly(4, may_end=True)
        if not prefix:
            return False
        size = int.from_bytes(prefix, "little")
        if size == _CONTINUATION:
            more = self._read_exactly(4)
            prefix, size = prefix + more, int.from_bytes(more, "little")
        self._ended = size == 0
        self._frame = memoryview(prefix if self._ended else prefix + self._checked(size))
        return True

    def _checked(self, size: int) -> bytes:
        if size > MAX_METADATA_BYTES:
            raise BadMessage(f"an Arrow header claims {size} bytes")
        metadata = self._read_exactly(size)
        message = parse_message(metadata)
        if message.body_bytes > self._max_bytes:
            raise BadMessage(f"a batch claims {message.body_bytes} bytes")
        if message.compressed and not self._compressed:
            raise BadMessage("a batch is compressed inside Arrow, which this format has not")
        body = self._read_exactly(message.body_bytes)
        check_expansion(message, body, self._max_bytes)
        return metadata + body

    def _read_exactly(self, size: int, *, may_end: bool = False) -> bytes:
        pieces: list[bytes] = []
        missing = size
        while missing > 0:
            piece = self._read(min(missing, _PIECE))
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        if missing and not (may_end and missing == size):
            raise BadMessage(f"the file ends {missing} bytes before the end of a frame")
        return b"".join(pieces)
