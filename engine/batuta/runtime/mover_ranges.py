"""One long object in parallel ranges, hashed in order, durable as far as it came."""

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from batuta.model.transfer import CopyItem
from batuta.runtime import mover_errors, mover_jobs, mover_staging
from batuta.runtime.mover_http import LinkBroken, check_answer
from batuta.runtime.mover_jobs import Desk, Floor
from batuta.runtime.mover_request import get_headers, request_bytes, target_of

PART_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Ranges:
    """One large object in parallel ranges; whoever holds the next part in order hashes it.

    Part numbers are dealt out in order and only to threads that hold a buffer, so that the part
    everybody waits for always has one.
    """

    floor: Floor
    item: CopyItem
    give_back: Callable[[memoryview], None]
    resume_bytes: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    sink: int = -1
    hashed: int = 0
    ready: dict[int, memoryview] = field(default_factory=dict)
    busy: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spans(self) -> list[tuple[int, int]]:
        """Return the byte ranges still wanted, in order."""
        size = self.item.input.size_bytes
        starts = range(self.resume_bytes, size, PART_BYTES)
        return [(start, min(start + PART_BYTES, size)) for start in starts]

    def open(self, block: memoryview) -> None:
        """Open the staging file and hash what a former copy left there, `resume_bytes` of it.

        Raises:
            ConnectorError: WRK109.
        """
        keep = self.resume_bytes > 0
        self.sink = mover_staging.open_staged(self.floor.staging, self.item.name, keep=keep)
        self.digest = mover_jobs.hash_kept(self.sink, self.resume_bytes, block, self.item.name)
        self.hashed = self.resume_bytes

    def fetch(self, span: tuple[int, int], desk: Desk) -> None:
        """Fetch one range into the thread's buffer, write it, and hash what is in turn.

        Raises:
            ConnectorError: WRK1xx.
        """
        source = self.item.input
        target = target_of(source.key, source.url)
        request = request_bytes("GET", target, tuple(get_headers(source, span)), source.key)
        link, head = desk.links.start(target, request, source.key)
        check_answer(link, head, source, span)
        if desk.buffer is None:
            raise AssertionError("a part was started without a buffer")
        buffer = desk.buffer
        view = buffer[: span[1] - span[0]]
        try:
            for at in range(0, len(view), mover_jobs.BLOCK_BYTES):
                block = view[at : at + mover_jobs.BLOCK_BYTES]
                link.read_into(block)
                mover_staging.write_at(self.sink, block, span[0] + at, self.item.name)
        except LinkBroken as error:
            desk.links.drop(target.origin)
            raise mover_errors.broken(source.key, target.origin.netloc, str(error)) from error
        if head.closes:
            desk.links.drop(target.origin)
        self.floor.advance(len(view))
        desk.buffer = None
        self._arrived(span[0], buffer)

    def _arrived(self, start: int, buffer: memoryview) -> None:
        with self.lock:
            self.ready[start] = buffer
            if self.busy:
                return
            self.busy = True
        while True:
            with self.lock:
                following = self.ready.pop(self.hashed, None)
                if following is None:
                    self.busy = False
                    break
            view = following[: self.item.input.size_bytes - self.hashed]
            self.digest.update(view)
            self.hashed += len(view)
            self.give_back(following)
            self.floor.safe(self.item, self.sink, self.hashed)
        if self.hashed == self.item.input.size_bytes:
            self.finish()

    def finish(self) -> None:
        """Close the file and hand in the receipt; once, whoever comes first.

        Raises:
            ConnectorError: WRK101, the content is not what was planned.
        """
        with self.lock:
            if self.sink < 0:
                return
            sink, self.sink = self.sink, -1
        os.close(sink)
        sha256 = self.digest.hexdigest()
        mover_jobs.check_digest(self.item, sha256)
        self.floor.finished(self.item, sha256)

    def abandon(self) -> int:
        """Make durable what arrived without a gap, close the file, and return how much it is."""
        with self.lock:
            sink, self.sink = self.sink, -1
        if sink < 0:
            return 0
        try:
            with suppress(OSError):
                os.fdatasync(sink)
                return self.hashed
            return 0
        finally:
            os.close(sink)
