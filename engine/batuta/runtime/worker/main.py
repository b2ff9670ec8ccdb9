"""The worker's loop: one request at a time, replies until it ends, then the next."""

import contextlib
import os
import random
import signal
import socket
import sys
import threading
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
from batuta.model.transfer import ChunkReceipt, CopyTask, Input
from batuta.runtime import mover
from batuta.runtime.registry import connectors, formats
from batuta.runtime.worker.limits import confine, watch_driver
from batuta.runtime.worker.wire import (
    Access,
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

_TRIES = 6
_FIRST_WAIT_S = 0.2


def main() -> None:
    """Serve the socket whose number and limits stand in argv until the driver closes it."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    limits = msgspec.json.decode(sys.argv[2], type=Limits)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_driver(channel)
    import pyarrow as pa

    pa.set_cpu_count(limits.threads)
    pa.set_io_thread_count(limits.threads)
    confine(limits.memory_bytes)
    while (body := receive(channel)) is not None:
        request = msgspec.msgpack.decode(body, type=Request)
        for reply in _answer(request, channel, limits):
            send(channel, reply)


def _answer(request: Request, channel: socket.socket, limits: Limits) -> Iterator[Reply]:
    try:
        yield from _serve(request, channel, limits)
    except ConnectorError as error:
        fault = Fault(
            diagnostic=error.diagnostics[0], kind=error.kind, retry_after_s=error.retry_after_s
        )
        yield Reply(fault=fault, end=True)
    except BatutaError as error:
        yield Reply(fault=Fault(diagnostic=error.diagnostics[0], kind=Failure.PERMANENT), end=True)
    except MemoryError:
        yield Reply(fault=Fault(diagnostic=_too_big(limits), kind=Failure.PERMANENT), end=True)
    except OSError as error:
        yield Reply(fault=_os_fault(error), end=True)


def _serve(request: Request, channel: socket.socket, limits: Limits) -> Iterator[Reply]:
    if request.observe is not None:
        yield Reply(state=_observe(request.observe), end=True)
    elif request.partitions is not None:
        yield Reply(payload=_partitions(request.partitions), end=True)
    elif request.task is not None:
        for receipt in _run(request.task, channel, limits):
            yield Reply(receipt=receipt)
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
        mover.put(
            request.upload.items, Path(request.upload.staging), on_progress=moved, retry=again
        )
        yield ChunkReceipt(task=request.upload.id, chunk=0, done=True)
    elif request.merge is not None:
        from batuta.runtime.worker.merge import merge

        task_m = request.merge
        readers = {p.reader for p in task_m.partitions}
        reader = _reader(next(iter(readers), "files"), request)
        yield from merge(task_m, formats(), reader, told, limits.memory_bytes // 2)


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
