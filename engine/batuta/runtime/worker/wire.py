"""Messages between driver and worker: length-prefixed MessagePack over a socket pair."""

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from batuta.model.canonical import Json
from batuta.model.diagnostic import Diagnostic, Failure
from batuta.model.observed import SourceState, Unit
from batuta.model.resource import SourceSpec
from batuta.model.table import TableSchema
from batuta.model.tier import Network
from batuta.model.transfer import (
    ChunkReceipt,
    ConvertTask,
    CopyTask,
    Input,
    MergeTask,
    UniteTask,
    UploadTask,
)

_LENGTH = struct.Struct("<I")
_AT_ONCE = 256 * 1024
MOST_BYTES = 512 * 1024 * 1024
"""Of one message: a listing of a million objects takes a third of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a worker needs to open a connector: a Connection without its callables."""

    connector: str
    platform: str | None
    type: str
    network: Network
    region: str | None
    endpoints: tuple[str, ...]
    options: dict[str, Json]
    secrets: dict[str, str] = field(repr=False)
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may use: bytes of data over its base; seconds it may spend on one step."""

    memory_bytes: int = 512 * 1024 * 1024
    threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveRequest:
    """Look at a source. `inner` opens the store under a table address (delta on S3)."""

    spec: SourceSpec
    access: Access
    inner: Access | None = None
    known: SourceState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsRequest:
    """List partitions of `units`, their inputs (for a copy), or what changed after `since`.

    The answer to `changes` is None where the source cannot tell.
    """

    spec: SourceSpec
    access: Access
    inner: Access | None = None
    state: SourceState
    units: tuple[Unit, ...]
    target_bytes: int
    want: Literal["partitions", "inputs", "changes"] = "partitions"
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """Run a task; `access` is for partitions that a connector reads itself.

    `accesses` holds the same for each source of a merge by key, in their order.
    """

    convert: ConvertTask | None = None
    copy: CopyTask | None = None
    upload: UploadTask | None = None
    merge: MergeTask | None = None
    unite: UniteTask | None = None
    access: Access | None = None
    inner: Access | None = None
    accesses: tuple[tuple[Access | None, Access | None], ...] = ()


Style = Literal["csv", "jsonl", "arrow", "cells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowRequest:
    """Render the rows of one part of a dataset with `schema`, at most `limit` of them.

    `first`: no rows of the dataset were rendered before. The answer's payloads are pieces of
    what is shown; each batch that was read ends with an empty one that counts its rows.
    """

    input: Input
    format: str
    schema: TableSchema
    style: Style
    limit: int | None = None
    first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CutsRequest:
    """Say where an input of a format can be read from; the payload has its cuts."""

    input: Input
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message to a worker: exactly one field is set."""

    observe: ObserveRequest | None = None
    partitions: PartitionsRequest | None = None
    task: TaskRequest | None = None
    show: ShowRequest | None = None
    cuts: CutsRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A ConnectorError on its way to the driver."""

    diagnostic: Diagnostic
    kind: Failure
    retry_after_s: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One message from a worker; the last one of a request has `end` set.

    `rows` and `bytes` are progress since the reply before.
    """

    receipt: ChunkReceipt | None = None
    state: SourceState | None = None
    payload: bytes | None = None
    fault: Fault | None = None
    crash: str | None = None
    rows: int = 0
    bytes: int = 0
    end: bool = False


def send(channel: socket.socket, message: object) -> None:
    """Send one message whole."""
    body = msgspec.msgpack.encode(message)
    channel.sendall(_LENGTH.pack(len(body)) + body)


def receive(channel: socket.socket, ready: Callable[[], None] = lambda: None) -> bytes | None:
    """Return one message's bytes, None where the other side closed the channel.

    `ready` is called before each look at the channel: it waits, and may raise to give up.

    Raises:
        ValueError: the message is said to have more than MOST_BYTES.
    """
    head = _exactly(channel, _LENGTH.size, ready)
    if head is None:
        return None
    count = _LENGTH.unpack(head)[0]
    if count > MOST_BYTES:
        raise ValueError(count)
    return _exactly(channel, count, ready)


def _exactly(channel: socket.socket, count: int, ready: Callable[[], None]) -> bytes | None:
    # Room is made for what came, not for what was promised: the other side may be hostile.
    pieces: list[bytes] = []
    while count:
        ready()
        piece = channel.recv(min(count, _AT_ONCE))
        if not piece:
            return None
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


# The messages' types are looked into here, by one thread: done at first use, by two threads at
# a time, it can crash the process (a half-made description of a type is seen by the other).
for _message in (Reply, Request):
    msgspec.msgpack.Decoder(_message)
