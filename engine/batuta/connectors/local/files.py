"""A dataset's folder on a local file system: exclusive creation by link, publishing by rename."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from batuta.connectors.local import faults
from batuta.connectors.local.walk import is_inside, stamp_of, walk
from batuta.model.address import Address
from batuta.model.connector import Connection, FileInfo, SignedPut
from batuta.model.diagnostic import Failure
from batuta.model.log import UnitRef
from batuta.model.transfer import Input

if TYPE_CHECKING:
    import pyarrow as pa

STAGING = "_staging"
_CHUNK = 1 << 20
_DRAFTS = 3
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}


def file_url(path: str) -> str:
    """Return the `file://` address of an absolute path."""
    return "file://" + quote(path)


def absolute(connection: Connection, address: Address) -> str:
    """Return the absolute path of a local address; relative ones start at the connection's root."""
    joined = os.path.join(connection.root, os.path.expanduser(address.path))
    return os.path.abspath(joined)


class LocalFiles:
    """One folder; all paths are relative to it, with `/`. Calls may come from several threads."""

    moves = True

    def __init__(self, connection: Connection, address: Address) -> None:
        self.location = str(address)
        self._root = absolute(connection, address)

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[FileInfo]:
        """Yield files under `prefix` in byte order of their paths; nothing where no folder is.

        Without `recursive`, files are left out whose paths have a `/` after the prefix.

        Raises:
            ConnectorError: LOC106 or LOC107 for an entry that is no plain file in the folder.
        """
        if not self.exists():
            return
        for entry in walk(self._root, prefix=prefix, recursive=recursive):
            yield FileInfo(entry.key, entry.status.st_size, entry.status.st_mtime_ns)

    def exists(self) -> bool:
        """True where the folder is there.

        Raises:
            ConnectorError: LOC107, something else has its name.
        """
        # One look: between two, another thread may make the folder.
        try:
            status = os.stat(self._root)
        except OSError:
            if os.path.islink(self._root):  # it leads nowhere
                raise faults.failure("LOC107", f"{self._root} is not a folder.") from None
            return False
        if not stat.S_ISDIR(status.st_mode):
            raise faults.failure("LOC107", f"{self._root} is not a folder.")
        return True

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes (None: all). FileNotFoundError where it is not there."""
        whole = self._inside(path)
        try:
            with open(whole, "rb") as file:
                return file.read(-1 if limit is None else limit)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise faults.of_system(error, whole) from error

    def size(self, path: str) -> int | None:
        """Return the size of one file in bytes, None where it is not there.

        Raises:
            ConnectorError: LOC106, LOC108 or what the system refused.
        """
        whole = self._inside(path)
        try:
            status = os.stat(whole)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise faults.of_system(error, whole) from error
        return None if stat.S_ISDIR(status.st_mode) else status.st_size

    def open(self, path: str) -> "pa.NativeFile":
        """Return a seekable file. FileNotFoundError where it is not there."""
        import pyarrow as pa

        whole = self._inside(path)
        if os.path.isdir(whole):
            raise FileNotFoundError(whole)
        try:
            return pa.OSFile(whole, mode="r")
        except NotADirectoryError as error:
            raise FileNotFoundError(whole) from error
        except FileNotFoundError:
            raise
        except OSError as error:
            raise faults.of_system(error, whole) from error

    def create(self, path: str, content: bytes, *, check: Callable[[], None] | None = None) -> None:
        """Make `path` durable with `content`; FileExistsError where it is there already.

        Raises:
            ConnectorError: LOC119 where the file system cannot link, else what it refused.
        """
        final = self._inside(path)
        folders = {os.path.dirname(final)}
        with faults.told(final):
            self._make_folders(self._staging(), folders)
        for _ in range(_DRAFTS):
            if self._linked(final, content, check, folders):
                break
        else:
            raise faults.failure("LOC105", f"{final}: drafts in `_staging/` keep being deleted.")
        with faults.told(final):
            _sync_folders(folders)

    def _linked(
        self,
        final: str,
        content: bytes,
        check: Callable[[], None] | None,
        folders: set[str],
    ) -> bool:
        """Write a draft and give it its name; False where a recovery has deleted the draft.

        Adds the folders that got an entry to `folders`.

        That is how a recovery makes sure of a run whose intent it took away: the run looks for
        its intent (`check`) while its draft lies there, and a link from a draft that is gone fails.
        """
        draft = os.path.join(self._staging(), f".{secrets.token_hex(16)}")
        try:
            with faults.told(draft):
                _write_durable(draft, content)
            if check is not None:
                check()
            with faults.told(final):  # last, since a log's folder without a log is a broken one
                self._make_folders(os.path.dirname(final), folders)
            return self._link(draft, final)
        finally:
            with suppress(OSError):
                os.unlink(draft)

    def _link(self, draft: str, final: str) -> bool:
        try:
            os.link(draft, final)
        except FileExistsError:
            raise
        except FileNotFoundError as error:
            if os.path.lexists(draft):
                raise faults.of_system(error, final) from error
            return False
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise faults.failure("LOC119", f"{final}: {error.strerror}.") from error
            raise faults.of_system(error, final) from error
        return True

    def publish(self, staged: Sequence[tuple[str, str]]) -> None:
        """Rename staged files into place; durable before it returns, and the same when repeated.

        Raises:
            ConnectorError: LOC118 where a file of another content is in the way.
        """
        seen: set[str] = set()
        self._rename_all([(source, self._inside(path, seen)) for source, path in staged])

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Rename files; a pair whose first is gone and whose second is there is done."""
        seen: set[str] = set()
        self._rename_all([(self._inside(old, seen), self._inside(new, seen)) for old, new in pairs])

    def _rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        folders: set[str] = set()
        made: set[str] = set()
        for source, final in pairs:
            with faults.told(final):
                parent = os.path.dirname(final)
                if parent not in made:
                    self._make_folders(parent, folders)
                    made.add(parent)
                if _rename(source, final):
                    folders.update((os.path.dirname(source), parent))
        with faults.told(self._root):
            _sync_folders(folders)

    def upload_inputs(self, staged: Sequence[tuple[str, str]]) -> Sequence[SignedPut] | None:
        """None: `publish` is the way."""
        return None

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files, durably; those that are gone already are done."""
        folders: set[str] = set()
        seen: set[str] = set()
        for path in paths:
            whole = self._inside(path, seen)
            with faults.told(whole), suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(whole)
                folders.add(os.path.dirname(whole))
        with faults.told(self._root):
            _sync_folders(folders)

    def prepare(self) -> None:
        """Make the folder and its `_staging/`, durably.

        Raises:
            ConnectorError: LOC102, LOC103 or LOC107.
        """
        self.exists()
        folders: set[str] = set()
        with faults.told(self._root):
            self._make_folders(self._staging(), folders)
            _sync_folders(folders)

    def free_bytes(self) -> int | None:
        """Bytes that this user may still write to the file system that the folder is or will be on."""
        path = self._root
        while not os.path.exists(path) and path != "/":
            path = os.path.dirname(path)
        with faults.told(path):
            status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def inputs(self, parts: Sequence[tuple[str, int, UnitRef]]) -> Sequence[Input]:
        """Return inputs for (path, size, unit), stamped as the files are now.

        Raises:
            ConnectorError: LOC101 where one is not there.
        """
        out: list[Input] = []
        seen: set[str] = set()
        for path, size, _unit in parts:
            whole = self._inside(path, seen)
            with faults.told(whole):
                status = os.stat(whole)
            out.append(
                Input(key=path, url=file_url(whole), size_bytes=size, validator=stamp_of(status))
            )
        return out

    def _staging(self) -> str:
        return os.path.join(self._root, STAGING)

    def _inside(self, path: str, seen: set[str] | None = None) -> str:
        """Return where `path` is. `seen` keeps folders that were found to be inside already.

        Raises:
            ConnectorError: LOC108 where it is no plain relative path, LOC106 where a link leads
                out of the folder.
        """
        parts = path.split("/")
        if "\0" in path or any(part in {"", ".", ".."} for part in parts):
            raise faults.failure("LOC108", f"{path!r} in {self._root}.")
        whole = os.path.join(self._root, *parts)
        parent = os.path.dirname(whole)
        if seen is None or parent not in seen:
            self._check_inside(parent)
            if seen is not None:
                seen.add(parent)
        if os.path.islink(whole):
            self._check_inside(whole)
        return whole

    def _check_inside(self, path: str) -> None:
        step = path
        while len(step) > len(self._root) and not os.path.islink(step):
            step = os.path.dirname(step)
        if step == self._root:
            return  # no link on the way down from the folder, whatever leads to the folder itself
        real = os.path.realpath(path)
        if not is_inside(real, os.path.realpath(self._root)):
            raise faults.failure("LOC106", f"{path} points to {real}.")

    def _make_folders(self, path: str, changed: set[str]) -> None:
        """Make `path` and what is missing above it; add the folders that got an entry."""
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        self._make_folders(parent, changed)
        with suppress(FileExistsError):
            os.mkdir(path)
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        changed.update((parent, path))


def _write_durable(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with open(fd, "wb", buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
        os.fsync(fd)


def _rename(source: str, final: str) -> bool:
    """Rename; False where it was done before."""
    try:
        there = os.lstat(final)
        present = there.st_size
        if stat.S_ISDIR(there.st_mode) and _remove_empty(final):
            present = -1
    except (FileNotFoundError, NotADirectoryError):
        present = -1
    try:
        wanted = os.lstat(source).st_size
    except (FileNotFoundError, NotADirectoryError):
        if present < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source) from None
        return False
    if present == wanted and _is_copy(source, final):
        os.unlink(source)
        return True
    if present >= 0:
        detail = f"{final} has {present} bytes, not {wanted}."
        if present == wanted:
            detail = f"{final} has another content, of the same size."
        raise faults.failure("LOC118", detail, Failure.CONFLICT)
    try:
        os.rename(source, final)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_across(source, final)
    return True


def _is_copy(one: str, other: str) -> bool:
    """True where two files have the same bytes."""
    if os.path.samefile(one, other):
        return True
    with open(one, "rb") as first, open(other, "rb") as second:
        while True:
            block = first.read(_CHUNK)
            if block != second.read(_CHUNK):
                return False
            if not block:
                return True


def _remove_empty(folder: str) -> bool:
    """Remove a folder in which no file is left; False where there is one."""
    if any(files for _, _, files in os.walk(folder)):
        return False
    for path, _, _ in os.walk(folder, topdown=False):
        os.rmdir(path)
    return True


def _copy_across(source: str, final: str) -> None:
    """Bring a file from another file system: a durable copy beside the final name, then a rename."""
    draft = os.path.join(os.path.dirname(final), f"._batuta-{secrets.token_hex(16)}")
    try:
        shutil.copyfile(source, draft, follow_symlinks=False)
        _sync(draft)
        os.rename(draft, final)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft)
    os.unlink(source)


def _sync_folders(folders: set[str]) -> None:
    for folder in sorted(folders):
        with suppress(FileNotFoundError):
            _sync(folder)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
