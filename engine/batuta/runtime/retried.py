"""An object store's folder whose requests are tried again where that can help.

What a request may have done before its answer was lost is no trouble: `create` then finds its own
content, which its callers compare, and the other verbs are the same when done twice.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from batuta.model.connector import FileInfo, Files, SignedPut
from batuta.model.log import UnitRef
from batuta.model.transfer import Input
from batuta.runtime.retry import retrying
from batuta.runtime.worker.pool import WorkerPool

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")


class RetriedFiles:
    """The port `model.connector.Files` around another one; `pool` knows when a run is to stop."""

    def __init__(self, files: Files, pool: WorkerPool) -> None:
        self._files = files
        self._pool = pool
        self.moves = files.moves
        self.location = files.location

    def _again(self, work: Callable[[], _T]) -> _T:
        return retrying(work, self._pool.stop, lambda _attempt, _wait_s, _reason: None)

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[FileInfo]:
        """Yield files under `prefix`; a listing that broke off is made anew."""
        yield from self._again(lambda: tuple(self._files.list(prefix, recursive=recursive)))

    def size(self, path: str) -> int | None:
        """Return the size of one file in bytes, None where it is not there."""
        return self._again(lambda: self._files.size(path))

    def exists(self) -> bool:
        """True where the folder itself, or any object under it, is there."""
        return self._again(self._files.exists)

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes; FileNotFoundError where it is not there."""
        return self._again(lambda: self._files.read(path, limit))

    def open(self, path: str) -> "pa.NativeFile":
        """Return a seekable file for reading."""
        return self._again(lambda: self._files.open(path))

    def create(self, path: str, content: bytes, *, check: Callable[[], None] | None = None) -> None:
        """Make `path` with `content`; FileExistsError also where a lost try has made it."""
        if check is not None:
            check()  # once: a try whose answer was lost may have made it
        self._again(lambda: self._files.create(path, content))

    def publish(self, staged: Sequence[tuple[str, str]]) -> None:
        """Bring staged files to their final paths."""
        self._again(lambda: self._files.publish(staged))

    def upload_inputs(self, staged: Sequence[tuple[str, str]]) -> Sequence[SignedPut] | None:
        """Signed PUTs for the same pairs, or None where `publish` itself is the way."""
        return self._files.upload_inputs(staged)

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Move files; done pairs are passed over."""
        self._again(lambda: self._files.move(pairs))

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; those that are gone already are done."""
        self._again(lambda: self._files.delete(paths))

    def prepare(self) -> None:
        """Make the folder if it is not there."""
        self._again(self._files.prepare)

    def free_bytes(self) -> int | None:
        """Bytes free for new files; None where there is no such figure."""
        return self._files.free_bytes()

    def inputs(self, parts: Sequence[tuple[str, int, UnitRef]]) -> Sequence[Input]:
        """Inputs, signed where needed, for a worker to read."""
        return self._files.inputs(parts)
