"""The worker's loop: one request at a time, replies until it ends, then the next."""

import contextlib
import os
import random
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from batuta.model.address import Address
from batuta.model.connector import (
    ChangeSource,
    Connection,
    Connector,
    Files,
    PartitionReader,
    Source,
)
from batuta.model.diagnostic import BatutaError, ConnectorError, Diagnostic, Failure
from batuta.model.log import UnitRef
from batuta.model.observed import SourceState
from batuta.model.transfer import ChunkReceipt, CopyTask, Input, UniteTask
from batuta.runtime import mover
from batuta.runtime.discreet import without
from batuta.runtime.mover_http import IDLE
from batuta.runtime.mover_request import Proxy, use_proxy
from batuta.runtime.registry import connectors, formats
from batuta.runtime.worker.limits import confine, watch_driver
from batuta.runtime.worker.wire import (
    Access,
    CutsRequest,
    Fault,
    Limits,
    ObserveRequest,
    PartitionsRequest,
    Reply,
    Request,
    TaskRequest,
    receive,
    send,
)

Signer = Callable[[Sequence[tuple[str, int, str]]], Sequence[Input]]

# It gives memory back soonest of Arrow's pools, and reserves least: the limit is on reservations.
_ARROW = {"ARROW_DEFAULT_MEMORY_POOL": "jemalloc"}
_ARROW_THREADS = ("OMP_NUM_THREADS", "ARROW_IO_THREADS")
_ARROW_BYTES = 108 * 1024 * 1024  # of data segments, once it is imported; part of the base
_TRIES = 6
_FIRST_WAIT_S = 0.2


def main() -> None:
    """Serve the socket until the driver closes it; its number, limits and way out stand in argv."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    limits = msgspec.json.decode(sys.argv[2], type=Limits)
    use_proxy(msgspec.json.decode(sys.argv[3], type=Proxy | None))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_driver(channel)
    # Arrow is imported by what needs it: a worker that only copies starts in half the time.
    os.environ |= _ARROW | {name: str(limits.threads) for name in _ARROW_THREADS}
    confine(limits.memory_bytes + _ARROW_BYTES)
    while (body := receive(channel)) is not None:
        request = msgspec.msgpack.decode(body, type=Request)
        for reply in _answer(request, channel, limits):
            if reply.end:
                IDLE.clear()  # a connection is one dataset's, and the next request another's
            send(channel, reply)


def _answer(request: Request, channel: socket.socket, limits: Limits) -> Iterator[Reply]:
    try:
        yield from _serve(request, channel, limits)
    except ConnectorError as error:
        told = _without_secrets(error.diagnostics[0], request)
        fault = Fault(diagnostic=told, kind=error.kind, retry_after_s=error.retry_after_s)
        yield Reply(fault=fault, end=True)
    except BatutaError as error:
        told = _without_secrets(error.diagnostics[0], request)
        yield Reply(fault=Fault(diagnostic=told, kind=Failure.PERMANENT), end=True)
    except MemoryError:
        yield Reply(fault=Fault(diagnostic=_too_big(limits), kind=Failure.PERMANENT), end=True)
    except OSError as error:
        yield Reply(fault=_os_fault(error), end=True)
    except Exception as error:
        yield Reply(crash=_where(error), end=True)
        raise


def _serve(request: Request, channel: socket.socket, limits: Limits) -> Iterator[Reply]:
    if request.observe is not None:
        yield Reply(state=_observe(request.observe), end=True)
    elif request.partitions is not None:
        yield Reply(payload=_partitions(request.partitions), end=True)
    elif request.task is not None:
        for receipt in _run(request.task, channel, limits):
            yield Reply(receipt=receipt)
        yield Reply(end=True)
    elif request.cuts is not None:
        yield Reply(payload=_cuts(request.cuts), end=True)
    elif request.show is not None:
        from batuta.runtime.worker.show import show

        yield from show(request.show, formats())
        yield Reply(end=True)


def _observe(request: ObserveRequest) -> SourceState:
    return open_source(request.access, request.inner).observe(request.spec, request.known)


def _partitions(request: PartitionsRequest) -> bytes:
    source = open_source(request.access, request.inner)
    if request.want == "inputs":
        return msgspec.msgpack.encode(source.inputs(request.state, request.units))
    if request.want == "changes":
        told = None
        if isinstance(source, ChangeSource) and request.since is not None:
            told = source.changes(request.spec, request.state, request.since)
        return msgspec.msgpack.encode(told)
    return msgspec.msgpack.encode(
        source.partitions(request.spec, request.state, request.units, request.target_bytes)
    )


def _cuts(request: CutsRequest) -> bytes:
    reader = formats()[request.format].reader
    assert reader is not None
    with mover.open_input(request.input) as file:
        return msgspec.msgpack.encode(reader().inspect(file, {}, {}).cuts)


def _run(request: TaskRequest, channel: socket.socket, limits: Limits) -> Iterator[ChunkReceipt]:
    def told(rows: int, size: int) -> None:
        send(channel, Reply(rows=rows, bytes=size))

    def moved(size: int) -> None:
        told(0, size)

    if request.convert is not None:
        from batuta.runtime.worker.convert import convert

        task = request.convert
        yield from convert(task, formats(), _reader(task.partition.reader, request), told)
    elif request.copy is not None:
        yield _copy(request.copy, channel, moved)
    elif request.upload is not None:
        # Not tried again here: what may be sent is measured for one pass, and the driver has more.
        mover.put(request.upload.items, Path(request.upload.staging), on_progress=moved)
        yield ChunkReceipt(task=request.upload.id, chunk=0, done=True)
    elif request.merge is not None:
        from batuta.runtime.worker.merge import merge

        task_m = request.merge
        readers = {p.reader for p in task_m.partitions}
        reader = _reader(next(iter(readers), "files"), request)
        yield from merge(task_m, formats(), reader, told, limits.memory_bytes // 2)
    elif request.unite is not None:
        yield from _unite(request, request.unite, told, limits)


def _unite(
    request: TaskRequest, task: UniteTask, told: Callable[[int, int], None], limits: Limits
) -> Iterator[ChunkReceipt]:
    from batuta.runtime.worker.unite import unite

    readers: list[PartitionReader | None] = []
    for part, (access, inner) in zip(task.parts, request.accesses, strict=True):
        names = {partition.reader for partition in part.partitions}
        opened = TaskRequest(access=access, inner=inner)
        readers.append(_reader(next(iter(names), "files"), opened))
    yield from unite(task, formats(), readers, told, limits.memory_bytes // 2)


def _copy(task: CopyTask, channel: socket.socket, moved: Callable[[int], None]) -> ChunkReceipt:
    speaking = threading.Lock()

    def durable(size: int) -> None:
        receipt = ChunkReceipt(task=task.id, chunk=task.chunk, durable_bytes=size)
        with speaking:
            send(channel, Reply(receipt=receipt))

    def moved_now(size: int) -> None:
        with speaking:
            moved(size)

    parts = mover.fetch(
        task.items, Path(task.staging), on_progress=moved_now, resume_bytes=task.resume_bytes,
        on_durable=durable, retry=again,
    )  # fmt: skip
    size = sum(part.size_bytes for part in parts) - task.resume_bytes
    return ChunkReceipt(
        task=task.id, chunk=task.chunk, files=tuple(parts), done=True, bytes_read=size
    )


def again(error: ConnectorError, tries: int) -> float | None:
    """Return how many seconds to wait before one request is tried again; None: give up.

    Requests of one task fail one by one, so they are tried again one by one; an expired
    signature goes back to the driver, which signs anew.
    """
    if error.kind not in (Failure.TRANSIENT, Failure.THROTTLED) or tries >= _TRIES:
        return None
    wait_s: float = _FIRST_WAIT_S * 2**tries * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
    return max(error.retry_after_s, wait_s)


def _reader(name: str, request: TaskRequest) -> PartitionReader | None:
    if name == "files" or request.access is None:
        return None
    connector = connectors()[name]
    assert connector.reader is not None
    return connector.reader(connection(request.access, request.inner))


def open_source(access: Access, inner: Access | None) -> Source:
    """Open the source port of `access`; `inner` is the store under a table's address."""
    connector = connectors()[access.connector]
    assert connector.source is not None
    return connector.source(connection(access, inner))


def connection(access: Access, inner: Access | None) -> Connection:
    """Turn what came over the wire into a Connection with formats and openers."""
    opened = Connection(
        platform=access.platform, type=access.type, network=access.network, region=access.region,
        endpoints=access.endpoints, options=access.options, secrets=access.secrets,
        root=access.root, formats=formats(), open_input=mover.open_input,
    )  # fmt: skip
    if inner is None:
        return opened
    return replace(
        opened,
        options={**inner.options, **opened.options},
        secrets={**inner.secrets, **opened.secrets},
        region=inner.region,
        endpoints=inner.endpoints,
        sign=_signer(connectors()[inner.connector], connection(inner, None)),
    )


def _signer(store: Connector, opened: Connection) -> Signer:
    """Sign objects of the store under a table: all that the table's own connector cannot do."""

    def sign(objects: Sequence[tuple[str, int, str]]) -> Sequence[Input]:
        assert store.files is not None
        signed: list[Input] = []
        for address, size, etag in objects:
            scheme, _, rest = address.partition("://")
            bucket, _, key = rest.partition("/")
            files = buckets.get(bucket)
            if files is None:
                files = buckets[bucket] = store.files(opened, Address(scheme, f"{bucket}/"))
            signed.extend(files.inputs([(key, size, UnitRef(key, etag))]))
        return signed

    buckets: dict[str, Files] = {}
    return sign


def _without_secrets(diagnostic: Diagnostic, request: Request) -> Diagnostic:
    """Take keys and signatures out: a service may repeat in its answer what it was asked."""
    asked = request.observe or request.partitions or request.task
    ends = (asked.access, asked.inner) if asked is not None else ()
    secrets = [value for end in ends if end is not None for value in end.secrets.values()]
    return without(diagnostic, secrets)


def _where(error: Exception) -> str:
    """Name a fault of batuta by its kind and its line; its text may hold values of the data."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if "/batuta/" in f.filename]
    place = f" at {own[-1].filename.rpartition('/batuta/')[2]}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{place}"


def _too_big(limits: Limits) -> Diagnostic:
    return Diagnostic(
        code="WRK202",
        summary="The data does not fit the memory limit",
        detail=f"Reading needed more than {limits.memory_bytes:,} bytes at once.",
        fix="Write the source with smaller row groups or records, or leave large columns out "
        "with `source.columns.exclude`.",
    )


def _os_fault(error: OSError) -> Fault:
    where = f" ({error.filename})" if error.filename else ""
    return Fault(
        diagnostic=Diagnostic(
            code="WRK203",
            summary="The operating system refused",
            detail=f"{os.strerror(error.errno or 0)}{where}.",
            fix="Check free space and permissions of the destination, then run the same command "
            "again: it goes on where it stopped.",
        ),
        kind=Failure.PERMANENT,
    )


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        main()
