"""SHA-256 of many files with all processors, or of one with two: one reads, one hashes."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from batuta.model.connector import Files
from batuta.model.dataset import Told

if TYPE_CHECKING:
    import pyarrow as pa

# Large enough that the interpreter's lock is taken seldom, small enough for a cache.
_CHUNK = 1 << 20
_LARGE = 16 << 20
_MOST_THREADS = 16


class Hashed(NamedTuple):
    """What was found at a path: the digest of the bytes and their number, None: not there."""

    path: str
    sha256: str
    size_bytes: int


class Meter:
    """Adds up files and bytes from several threads, and tells."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._guard = threading.Lock()
        self._files = 0
        self._bytes = 0

    def add(self, files: int, size: int) -> None:
        """Count, and tell the new sums; called by one thread at a time."""
        with self._guard:
            self._files += files
            self._bytes += size
            self._told(self._files, self._bytes)


def hash_files(files: Files, paths: Sequence[str], told: Told) -> Iterator[Hashed | None]:
    """Yield, in the order of `paths`, what each hashes to; None for one that is not there.

    `told` hears (files done, bytes done) at least once per MiB, from any thread.
    """
    meter = Meter(told)
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    # Fewer files than processors: a second thread per file reads ahead.
    ahead = len(paths) < threads
    with ThreadPoolExecutor(threads) as pool:
        pending: list[Future[Hashed | None]] = [
            pool.submit(_hash_one, files, path, meter, ahead) for path in paths
        ]
        try:
            for future in pending:
                yield future.result()
        finally:
            for future in pending:
                future.cancel()


def _hash_one(files: Files, path: str, meter: Meter, ahead: bool) -> Hashed | None:
    try:
        source = files.open(path)
    except FileNotFoundError:
        return None
    with source:
        hasher = hashlib.sha256()
        if ahead and source.size() >= _LARGE:
            size = _hash_ahead(source, hasher.update, meter)
        else:
            size = _hash_plain(source, hasher.update, meter)
    meter.add(1, 0)
    return Hashed(path, hasher.hexdigest(), size)


Update = Callable[[memoryview], None]


def _hash_plain(source: "pa.NativeFile", update: Update, meter: Meter) -> int:
    view = memoryview(bytearray(_CHUNK))
    size = 0
    while count := source.readinto(view):
        update(view[:count])
        size += count
        meter.add(0, count)
    return size


def _hash_ahead(source: "pa.NativeFile", update: Update, meter: Meter) -> int:
    """Hash one buffer while another thread fills the other."""
    now, later = memoryview(bytearray(_CHUNK)), memoryview(bytearray(_CHUNK))
    size = 0
    with ThreadPoolExecutor(1) as reader:
        pending = reader.submit(source.readinto, now)
        while count := pending.result():
            pending = reader.submit(source.readinto, later)
            update(now[:count])
            size += count
            meter.add(0, count)
            now, later = later, now
    return size
