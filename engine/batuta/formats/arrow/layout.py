"""Where the batches of an Arrow file or stream lie, from headers alone."""

from typing import NamedTuple

import pyarrow as pa

from batuta.formats.arrow import faults
from batuta.model import arrow_messages
from batuta.model.arrow_messages import (
    MAX_METADATA_BYTES,
    BadMessage,
    Block,
    Message,
    parse_footer,
    parse_message,
)

MAX_BATCH_BYTES = 1024 * 1024 * 1024
"""No batch, and no expansion of one, may take more; a worker's memory limit is lower still."""

_MAGIC = b"ARROW1"


class Found(NamedTuple):
    """One batch: its rows, its size as stored, and its body's place in the file."""

    rows: int
    size_bytes: int
    message: Message
    body_at: int


def is_file(file: pa.NativeFile) -> bool:
    """Tell the file format from the stream format; refuse the first Feather format."""
    file.seek(0)
    head = file.read(8)
    if head[:4] == b"FEA1":
        raise faults.feather_one()
    return bool(head[:6] == _MAGIC)


def file_batches(file: pa.NativeFile) -> list[Found]:
    """Return the batches that the footer names, each within the file.

    Raises:
        BadMessage: the footer or a header is damaged, or claims what is not there.
    """
    size = file.size()
    if size < 20:
        raise BadMessage("the file is cut")
    file.seek(size - 10)
    tail = file.read(10)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < length <= min(size - 20, 16 * MAX_METADATA_BYTES):
        raise BadMessage("the file does not end as an Arrow file; it may be cut")
    file.seek(size - 10 - length)
    dictionaries, batches = parse_footer(file.read(length))
    for block in dictionaries:
        check_expansion(file, _found(file, block, size))
    return [_found(file, block, size) for block in batches]


def _found(file: pa.NativeFile, block: Block, size: int) -> Found:
    if min(block) < 0 or block.metadata_bytes < 8 or sum(block) > size:
        raise BadMessage("a block of the footer lies outside the file")
    if block.metadata_bytes > MAX_METADATA_BYTES:
        raise BadMessage(f"an Arrow header claims {block.metadata_bytes} bytes")
    file.seek(block.offset)
    header = file.read(block.metadata_bytes)
    skip = 8 if header[:4] == b"\xff\xff\xff\xff" else 4
    message = parse_message(header[skip:])
    if message.body_bytes > MAX_BATCH_BYTES:
        raise faults.too_big(f"One batch takes {message.body_bytes} bytes.")
    if message.body_bytes > block.body_bytes:
        raise BadMessage("a batch claims more bytes than its block")
    at = block.offset + block.metadata_bytes
    return Found(message.rows, message.body_bytes, message, at)


def check_expansion(file: pa.NativeFile, found: Found) -> None:
    """Raise BadMessage if a compressed batch claims to expand beyond the limit."""
    if found.message.compressed:
        file.seek(found.body_at)
        arrow_messages.check_expansion(found.message, file.read(found.size_bytes), MAX_BATCH_BYTES)


def stream_batches(file: pa.NativeFile) -> list[Found]:
    """Return the batches of a stream, stepping over their bodies."""
    size, at = file.size(), 0
    found: list[Found] = []
    while at < size:
        file.seek(at)
        prefix = file.read(8)
        skip = 8 if prefix[:4] == b"\xff\xff\xff\xff" else 4
        length = int.from_bytes(prefix[skip - 4 : skip], "little")
        if length == 0:
            break
        if length > min(MAX_METADATA_BYTES, size - at - skip):
            raise BadMessage(f"an Arrow header claims {length} bytes")
        file.seek(at + skip)
        message = parse_message(file.read(length))
        at += skip + length
        if message.kind == "batch":
            found.append(Found(message.rows, message.body_bytes, message, at))
        at += message.body_bytes
        if at > size:
            raise BadMessage("the file ends in the middle of a batch")
    if size == 0:
        raise BadMessage("the file is empty")
    return found
