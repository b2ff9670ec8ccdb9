"""The byte mover: plain sockets and files in threads, fed with addresses that are already signed.

It holds no keys, reads no environment, and writes to staging only. `fetch` copies objects byte
for byte and hashes them on the way; `put` sends staged files; `open_input` gives a decoder a
seekable file. Retries are one layer's: the caller hands in the policy, the mover asks it.
"""

import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeAlias

from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.log import Part
from batuta.model.transfer import CopyItem, UploadItem
from batuta.runtime import mover_jobs, mover_put, mover_staging
from batuta.runtime.mover_http import Links
from batuta.runtime.mover_jobs import Desk, Floor
from batuta.runtime.mover_ranges import PART_BYTES, Ranges
from batuta.runtime.mover_read import open_input
from batuta.runtime.mover_request import target_of

__all__ = ["Retry", "fetch", "open_input", "put"]

THREADS = 4
SPARE_BUFFERS = 3
LARGE_BYTES = 8 * PART_BYTES
SMALL_BYTES = 256 * 1024
BATCH_ITEMS = 32
TELL_BYTES = 1024 * 1024
DURABLE_EVERY_BYTES = 256 * 1024 * 1024

Retry: TypeAlias = Callable[[ConnectorError, int], float | None]
"""Given a failure and how many tries it had, seconds until the next one; None: give up."""

Job: TypeAlias = Callable[[Desk], None]


def fetch(
    items: Sequence[CopyItem],
    staging: Path,
    *,
    threads: int = THREADS,
    on_progress: Callable[[int], None] | None = None,
    resume_bytes: int = 0,
    on_durable: Callable[[int], None] | None = None,
    retry: Retry | None = None,
) -> list[Part]:
    """Copy every item into `staging` and return its receipts, in the order of `items`.

    All files are durable when this returns. Memory stays below `threads` + 3 buffers of 4 MiB.

    Args:
        threads: How many connections at most.
        on_progress: Told of bytes that arrived, a MiB or more at once, one call at a time, from
            any thread; less than zero where a try is thrown away.
        resume_bytes: So much of the first item's staging file is durable and is kept.
        on_durable: Told how much of a large first item is durable, every 256 MiB and on failure.
        retry: Asked when a request fails in a way that another try can help. None: never.

    Raises:
        ConnectorError: WRK1xx, the first failure; other items may be in staging already.
    """
    run = _Run(items, staging, on_progress, on_durable)
    run.retry = retry
    large = any(_is_large(item) for item in items)
    threads = max(1, min(threads, len(items) if not large else threads))
    run.start(threads, PART_BYTES if large else mover_jobs.BLOCK_BYTES)
    work = _jobs(run, items, resume_bytes)
    with ThreadPoolExecutor(threads, thread_name_prefix="mover") as pool:
        for _ in range(threads):
            pool.submit(run.labour, work)
    run.close()
    mover_staging.make_durable(staging, [item.name for item in items])
    return [mover_jobs.part_of(item, run.digests[item.name]) for item in items]


def put(
    items: Sequence[UploadItem],
    staging: Path,
    *,
    threads: int = THREADS,
    on_progress: Callable[[int], None] | None = None,
    retry: Retry | None = None,
) -> None:
    """Send every staged file to its signed address; returns when all were accepted.

    Raises:
        ConnectorError: WRK1xx, the first failure; other files may have arrived.
    """
    run = _Run((), staging, on_progress, None)
    run.retry = retry
    threads = max(1, min(threads, len(items)))
    run.start(threads, mover_jobs.BLOCK_BYTES)
    work: Iterator[Job] = (partial(mover_put.send_file, run.floor, item) for item in items)
    with ThreadPoolExecutor(threads, thread_name_prefix="mover") as pool:
        for _ in range(threads):
            pool.submit(run.labour, work)
    run.close()


def _is_large(item: CopyItem) -> bool:
    return item.input.size_bytes >= LARGE_BYTES and not item.input.url.startswith("file://")


def _jobs(run: "_Run", items: Sequence[CopyItem], resume_bytes: int) -> Iterator[Job]:
    """Yield jobs: each large object's parts, then the others as they come, small ones in rows."""
    row: list[CopyItem] = []
    for at, item in enumerate(items):
        kept = resume_bytes if at == 0 else 0
        if (path := mover_staging.local_path(item.input)) is not None:
            yield partial(mover_jobs.copy_file, run.floor, item, (path, kept))
        elif _is_large(item):
            yield from _parts(run, item, kept)
        elif item.input.size_bytes > SMALL_BYTES:
            yield partial(mover_jobs.copy_whole, run.floor, item)
        else:
            if row and (len(row) == BATCH_ITEMS or not _same_origin(row[0], item)):
                yield partial(mover_jobs.copy_small, run.floor, row)
                row = []
            row.append(item)
    if row:
        yield partial(mover_jobs.copy_small, run.floor, row)


def _parts(run: "_Run", item: CopyItem, resume_bytes: int) -> Iterator[Job]:
    ranges = Ranges(run.floor, item, run.buffers.put, resume_bytes)
    ranges.open(memoryview(bytearray(mover_jobs.BLOCK_BYTES)))
    run.ranges.append(ranges)
    spans = ranges.spans()
    if not spans:
        ranges.finish()
    for span in spans:
        yield partial(ranges.fetch, span)


def _same_origin(one: CopyItem, other: CopyItem) -> bool:
    first = target_of(one.input.key, one.input.url)
    return target_of(other.input.key, other.input.url).origin == first.origin


class _Run:
    """One fetch or put under way: its threads, buffers, results and first failure."""

    def __init__(
        self,
        items: Sequence[CopyItem],
        staging: Path,
        on_progress: Callable[[int], None] | None,
        on_durable: Callable[[int], None] | None,
    ) -> None:
        self.floor = Floor(staging, self._advance, self._finished, self._safe)
        self.digests: dict[str, str] = {}
        self.retry: Retry | None = None
        self.buffers: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self.ranges: list[Ranges] = []
        self._resumable = items[0] if items else None
        self._on_progress = on_progress
        self._on_durable = on_durable
        self._durable = 0
        self._untold = 0
        self._threads = 0
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._work_lock = threading.Lock()

    def start(self, threads: int, buffer_bytes: int) -> None:
        """Make one buffer a thread, and a few for parts that wait for their turn."""
        self._threads = threads
        for _ in range(threads + SPARE_BUFFERS):
            self.buffers.put(memoryview(bytearray(buffer_bytes)))

    def labour(self, work: Iterator[Job]) -> None:
        """Do jobs until there are none, or somebody failed. The body of each thread."""
        desk = Desk(Links())
        try:
            while not self._stopped.is_set():
                if desk.buffer is None:
                    desk.buffer = self.buffers.get()
                if desk.buffer is None:
                    return  # woken because another thread failed
                with self._work_lock:
                    job = next(work, None)
                if job is None:
                    self.buffers.put(desk.buffer)
                    return
                self._attempt(job, desk)
        finally:
            if (error := sys.exception()) is not None:
                self._fail(error)  # also for a bug: the other threads must not wait forever
            desk.links.close()

    def _attempt(self, job: Job, desk: Desk) -> None:
        tries = 0
        while True:
            try:
                return job(desk)
            except ConnectorError as error:
                tries += 1
                if error.kind not in {Failure.TRANSIENT, Failure.THROTTLED} or not self.retry:
                    raise
                wait_s = self.retry(error, tries)
                if wait_s is None or self._stopped.wait(wait_s):
                    raise

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = error
        self._stopped.set()
        for _ in range(self._threads):
            self.buffers.put(None)

    def close(self) -> None:
        """Close what is open; raise the first failure, after saying what of it is durable."""
        if self._on_progress is not None and self._untold:
            self._on_progress(self._untold)
        for ranges in self.ranges:
            kept = ranges.abandon()
            if kept > self._durable and ranges.item is self._resumable and self._on_durable:
                self._on_durable(kept)
        if self._failure is not None:
            raise self._failure

    def _advance(self, count: int) -> None:
        if self._on_progress is None:
            return
        with self._lock:
            self._untold += count
            if abs(self._untold) >= TELL_BYTES:
                told, self._untold = self._untold, 0
                self._on_progress(told)

    def _finished(self, item: CopyItem, sha256: str) -> None:
        with self._lock:
            self.digests[item.name] = sha256

    def _safe(self, item: CopyItem, sink: int, count: int) -> None:
        """Make a long copy's beginning durable now and then, and say so."""
        if self._on_durable is None or item is not self._resumable:
            return
        if count - self._durable < DURABLE_EVERY_BYTES:
            return
        mover_staging.sync_data(sink, item.name)
        self._durable = count
        self._on_durable(count)
