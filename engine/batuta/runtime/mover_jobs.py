"""Jobs of the mover that one thread does alone: a file, an object, a row of small objects.

Every byte is hashed in order while it is hot; nothing is read twice except what a resumed copy
holds. Long objects are dealt out to all threads by `mover_ranges`.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batuta.model.diagnostic import ConnectorError
from batuta.model.log import Part
from batuta.model.transfer import CopyItem
from batuta.runtime import mover_errors, mover_staging
from batuta.runtime.mover_http import LinkBroken, Links, check_answer
from batuta.runtime.mover_request import get_headers, request_bytes, target_of

BLOCK_BYTES = 256 * 1024
PIPELINED = 8


@dataclass(slots=True)
class Desk:
    """What one thread works with: its connections and one buffer, which a job may keep."""

    links: Links
    buffer: memoryview | None = None

    def block(self) -> memoryview:
        """Return the first block of the buffer."""
        if self.buffer is None:
            raise AssertionError("a job was started without a buffer")
        return self.buffer[:BLOCK_BYTES]


@dataclass(frozen=True, slots=True)
class Floor:
    """What all jobs of one fetch share: where files go, and whom to tell."""

    staging: Path
    advance: Callable[[int], None]
    finished: Callable[[CopyItem, str], None]
    safe: Callable[[CopyItem, int, int], None]


def part_of(item: CopyItem, sha256: str) -> Part:
    """Return the receipt for a finished item."""
    return Part(
        path=item.name,
        size_bytes=item.input.size_bytes,
        sha256=sha256,
        rows=item.rows,
        units=(item.unit,),
    )


def check_digest(item: CopyItem, sha256: str) -> None:
    """Compare what arrived with the digest that was planned, where one was.

    Raises:
        ConnectorError: WRK101.
    """
    if item.input.sha256 not in {None, sha256}:
        raise mover_errors.changed(item.input.key, "has other content than the plan says")


def copy_file(floor: Floor, item: CopyItem, way: tuple[str, int], desk: Desk) -> None:
    """Copy one local file: read, hash and write a block at a time.

    `way` is its path, and how many bytes in staging a former copy made durable.

    Raises:
        ConnectorError: WRK101 where the source moved under the copy.
    """
    path, resume_bytes = way
    source = mover_staging.open_source(item.input, path)
    try:
        before = os.fstat(source)
        sink = mover_staging.open_staged(floor.staging, item.name, keep=resume_bytes > 0)
        try:
            digest = hash_kept(sink, resume_bytes, desk.block(), item.name)
            sha256 = _copy_blocks(floor, item, (source, sink, resume_bytes), (digest, desk.block()))
        finally:
            os.close(sink)
        mover_staging.check_unmoved(item.input, path, before, source)
    finally:
        os.close(source)
    check_digest(item, sha256)
    floor.finished(item, sha256)


def hash_kept(sink: int, count: int, block: memoryview, name: str) -> "hashlib._Hash":
    """Return the digest of what a former copy left in staging, `count` bytes of it.

    Raises:
        ConnectorError: WRK109, less is there than was promised.
    """
    digest = hashlib.sha256()
    at = 0
    while at < count:
        try:
            got = os.preadv(sink, [block[: count - at]], at)
        except OSError as error:
            raise mover_errors.unwritable(name, error) from error
        if got == 0:
            raise mover_errors.shortened(name)
        digest.update(block[:got])
        at += got
    return digest


def _copy_blocks(
    floor: Floor,
    item: CopyItem,
    way: tuple[int, int, int],
    memory: tuple["hashlib._Hash", memoryview],
) -> str:
    source, sink, at = way
    digest, block = memory
    while at < item.input.size_bytes:
        try:
            count = os.preadv(source, [block], at)
        except OSError as error:
            raise mover_staging.read_failed(item.input, error) from error
        if count == 0:
            raise mover_errors.changed(item.input.key, "became shorter while it was read")
        view = block[:count]
        digest.update(view)
        mover_staging.write_at(sink, view, at, item.name)
        at += count
        floor.advance(count)
        floor.safe(item, sink, at)
    return digest.hexdigest()


def copy_whole(floor: Floor, item: CopyItem, desk: Desk) -> None:
    """Copy one object with one GET, through one block of memory.

    Raises:
        ConnectorError: WRK1xx.
    """
    source = item.input
    target = target_of(source.key, source.url)
    request = request_bytes("GET", target, tuple(get_headers(source)), source.key)
    link, head = desk.links.start(target, request, source.key)
    check_answer(link, head, source)
    digest = hashlib.sha256()
    sink = mover_staging.open_staged(floor.staging, item.name)
    at = 0
    try:
        while at < source.size_bytes:
            view = desk.block()[: source.size_bytes - at]
            link.read_into(view)
            digest.update(view)
            mover_staging.write_at(sink, view, at, item.name)
            at += len(view)
            floor.advance(len(view))
    except LinkBroken as error:
        desk.links.drop(target.origin)
        floor.advance(-at)
        raise mover_errors.broken(source.key, target.origin.netloc, str(error)) from error
    finally:
        os.close(sink)
    if head.closes:
        desk.links.drop(target.origin)
    check_digest(item, digest.hexdigest())
    floor.finished(item, digest.hexdigest())


def copy_small(floor: Floor, items: list[CopyItem], desk: Desk) -> None:
    """Copy small objects of one origin, asking for several before the first answer is read.

    What is finished is taken from `items`, so that another try goes on where this one broke.

    Raises:
        ConnectorError: WRK1xx.
    """
    while items:
        _one_window(floor, items, desk)


def _one_window(floor: Floor, items: list[CopyItem], desk: Desk) -> None:
    window = items[:PIPELINED]
    targets = [target_of(item.input.key, item.input.url) for item in window]
    origin = targets[0].origin
    requests = [
        request_bytes("GET", target, tuple(get_headers(item.input)), item.input.key)
        for target, item in zip(targets, window, strict=True)
    ]
    done = 0
    kept = False
    try:
        link = desk.links.get(origin)
        kept = link.answers > 0
        link.send(b"".join(requests))
        for item in window:
            head = link.read_head()
            check_answer(link, head, item.input)
            view = desk.block()[: item.input.size_bytes]
            link.read_into(view)
            _finish_small(floor, item, view)
            items.remove(item)
            done += 1
            if head.closes:
                desk.links.drop(origin)
                break
    except LinkBroken as error:
        desk.links.drop(origin)
        if not (error.fresh and (kept or done)):
            raise mover_errors.broken(items[0].input.key, origin.netloc, str(error)) from error
    except ConnectorError:
        desk.links.drop(origin)  # answers nobody will read are under way
        raise


def _finish_small(floor: Floor, item: CopyItem, view: memoryview) -> None:
    sha256 = hashlib.sha256(view).hexdigest()
    check_digest(item, sha256)
    sink = mover_staging.open_staged(floor.staging, item.name)
    try:
        mover_staging.write_at(sink, view, 0, item.name)
    finally:
        os.close(sink)
    floor.advance(len(view))
    floor.finished(item, sha256)
