"""Seekable reading of one input, for decoders: a file as it is, an object through ranged GETs.

A decoder reads several stretches at once (one a column). Each stretch starts with a small range
and doubles it while it goes on, so that a footer costs 64 KiB and a long column few requests;
the next range of a long stretch is fetched ahead.
"""

import io
import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from batuta.model.diagnostic import ConnectorError
from batuta.model.transfer import Input
from batuta.runtime import mover_errors, mover_staging
from batuta.runtime.mover_http import LinkBroken, Links, check_answer
from batuta.runtime.mover_request import Proxy, get_headers, request_bytes, target_of

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_BYTES = 64 * 1024
STEP_BYTES = 4 * 1024 * 1024
CACHE_BYTES = 32 * 1024 * 1024


def open_input(source: Input, way: Proxy | None = None) -> "pa.NativeFile":
    """Return `source` as a seekable file that sees one version of it or fails.

    `way` is the gateway to ask an object through; None: that of this process. A file is not mapped
    into memory: one that is cut short would end the process.

    Raises:
        ConnectorError: WRK1xx; later reads raise it too.
    """
    import pyarrow as pa

    path = mover_staging.local_path(source)
    if path is None:
        return pa.PythonFile(RangeReader(source, way), mode="r")
    os.close(mover_staging.open_source(source, path))
    try:
        return pa.OSFile(path, mode="r")
    except OSError as error:
        raise mover_staging.read_failed(source, error) from error


def confirm(source: Input) -> None:
    """Check that a local input is still the planned one; ranges of an object are asked for so.

    To be called after each stretch that was read, before anybody is told of it: another program
    may write to the file meanwhile, and rows of two versions must not meet.

    Raises:
        ConnectorError: WRK101, WRK102.
    """
    path = mover_staging.local_path(source)
    if path is None:
        return
    try:
        status = os.stat(path)
    except OSError as error:
        raise mover_staging.read_failed(source, error) from error
    mover_staging.check_source(source, status)


class RangeReader(io.RawIOBase):
    """An http(s) input as a file: every range is asked for with If-Match.

    At most 32 MiB of ranges are kept, and one more is under way. Calls may come from several
    threads; they are served one at a time.
    """

    def __init__(self, source: Input, way: Proxy | None = None) -> None:
        super().__init__()
        self._source = source
        self._target = target_of(source.key, source.url, way)
        self._at = 0
        self._spans: OrderedDict[int, bytes] = OrderedDict()
        self._ahead: tuple[int, Future[bytes]] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._links = Links()
        self._links_ahead = Links()
        self._lock = threading.RLock()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def size(self) -> int:
        """Return the size in bytes."""
        return self._source.size_bytes

    def tell(self) -> int:
        """Return where the next read starts."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move there without asking the server; behind the end nothing is read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size_bytes}
        self._at = max(0, base[whence] + offset)
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override] # narrower than Buffer
        """Fill `buffer`, or as much of it as is left."""
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def read(self, size: int = -1, /) -> bytes:
        """Return the next `size` bytes (less only at the end; -1: all that are left)."""
        with self._lock:
            left = max(0, self._source.size_bytes - self._at)
            wanted = left if size < 0 else min(size, left)
            pieces: list[bytes] = []
            while wanted:
                piece = self._piece(self._at, wanted)
                pieces.append(piece)
                self._at += len(piece)
                wanted -= len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Drop what is kept, and leave the connections to the next reader."""
        if not self.closed:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
            self._links.release()
            self._links_ahead.release()
            self._spans.clear()
        super().close()

    def _piece(self, at: int, wanted: int) -> bytes:
        """Return some bytes from `at` on, at most `wanted`: from a kept range or a new one."""
        previous = 0
        for start, span in reversed(self._spans.items()):
            if start <= at < start + len(span):
                self._spans.move_to_end(start)
                return span[at - start : at - start + wanted]
            if start + len(span) == at:
                previous = len(span)
        length = max(wanted, FIRST_BYTES, min(previous * 2, STEP_BYTES))
        span = self._take_ahead(at) or self._get(self._links, at, length)
        self._keep(at, span)
        if previous >= FIRST_BYTES * 8:
            self._fetch_ahead(at + len(span))
        return span[:wanted]

    def _take_ahead(self, at: int) -> bytes | None:
        if self._ahead is None or self._ahead[0] != at:
            return None
        future = self._ahead[1]
        self._ahead = None
        return future.result()

    def _fetch_ahead(self, at: int) -> None:
        busy = self._ahead is not None and not self._ahead[1].done()
        if busy or at >= self._source.size_bytes:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead = (at, self._pool.submit(self._get, self._links_ahead, at, STEP_BYTES))

    def _keep(self, at: int, span: bytes) -> None:
        self._spans[at] = span
        self._spans.move_to_end(at)
        kept = sum(map(len, self._spans.values()))
        while kept > CACHE_BYTES and len(self._spans) > 1:
            kept -= len(self._spans.popitem(last=False)[1])

    def _get(self, links: Links, at: int, length: int) -> bytes:
        source = self._source
        span = (at, min(at + length, source.size_bytes))
        request = request_bytes("GET", self._target, tuple(get_headers(source, span)), source.key)
        link, head = links.start(self._target, request, source.key)
        try:
            check_answer(link, head, source, span)
        except ConnectorError:
            links.drop(self._target.origin)  # its body was not read
            raise
        content = bytearray(span[1] - span[0])
        try:
            link.read_into(memoryview(content))
        except LinkBroken as error:
            links.drop(self._target.origin)
            host = self._target.origin.netloc
            raise mover_errors.broken(source.key, host, str(error)) from error
        if head.closes:
            links.drop(self._target.origin)
        return bytes(content)
