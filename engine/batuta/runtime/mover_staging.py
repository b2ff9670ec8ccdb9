"""Staging files: made without following links, and durable before anybody is told of them."""

import ctypes
import os
import stat
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.transfer import Input
from batuta.runtime import mover_errors

FSYNC_EACH_UP_TO = 16
"""Up to so many files, each is synced by itself: `syncfs` also waits for others' writes."""


def open_staged(staging: Path, name: str, *, keep: bool = False) -> int:
    """Open the staging file `name` for writing; `keep` keeps what it holds, to go on there.

    Raises:
        ConnectorError: WRK109.
    """
    path = staging / name
    mode = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if keep else os.O_TRUNC)
    try:
        try:
            return os.open(path, mode, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, mode, 0o666)
    except OSError as error:
        raise mover_errors.unwritable(name, error) from error


def write_at(fd: int, view: memoryview, offset: int, name: str) -> None:
    """Write all of `view` at `offset`.

    Raises:
        ConnectorError: WRK109.
    """
    try:
        done = os.pwrite(fd, view, offset)
        while done < len(view):
            done += os.pwrite(fd, view[done:], offset + done)
    except OSError as error:
        raise mover_errors.unwritable(name, error) from error


def sync_data(fd: int, name: str) -> None:
    """Make what was written to an open staging file durable.

    Raises:
        ConnectorError: WRK109.
    """
    try:
        os.fdatasync(fd)
    except OSError as error:
        raise mover_errors.unwritable(name, error) from error


def make_durable(staging: Path, names: Sequence[str]) -> None:
    """Return when the files and their folders survive a loss of power.

    Raises:
        ConnectorError: WRK109; nothing may be said to be durable then.
    """
    if not names:
        return
    try:
        if len(names) > FSYNC_EACH_UP_TO and (sync := _syncfs()) is not None:
            _with_fd(staging, sync)
            return
        folders = {staging}
        for name in names:
            _with_fd(staging / name, os.fsync)
            inner = Path(name).parents
            folders.update(staging / folder for folder in inner)
        for folder in sorted(folders, reverse=True):
            _with_fd(folder, os.fsync)
    except OSError as error:
        raise mover_errors.unwritable(str(staging), error) from error


def _with_fd(path: Path, action: Callable[[int], None]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        action(fd)
    finally:
        os.close(fd)


@cache
def _syncfs() -> Callable[[int], None] | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)

    def sync(fd: int) -> None:
        if library.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return sync if hasattr(library, "syncfs") else None


def local_path(source: Input) -> str | None:
    """Return the path behind a `file://` address, None for any other kind."""
    if not source.url.startswith("file://"):
        return None
    return unquote(urlsplit(source.url).path)


def stamp(status: os.stat_result) -> str:
    """Return what tells one state of a file from another: size, time, inode."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def open_source(source: Input, path: str) -> int:
    """Open a local source that is still as it was planned.

    Raises:
        ConnectorError: WRK101 or WRK102 where it is not, WRK104 where it cannot be read.
    """
    try:
        # A FIFO without a writer would block the open itself.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(source, error) from error
    try:
        check_source(source, os.fstat(fd))
    except ConnectorError:
        os.close(fd)
        raise
    return fd


def check_source(source: Input, status: os.stat_result) -> None:
    """Compare a local source's status with what was planned.

    Raises:
        ConnectorError: WRK101.
    """
    if not stat.S_ISREG(status.st_mode):
        raise mover_errors.changed(source.key, "is no regular file any more")
    if status.st_size != source.size_bytes:
        raise mover_errors.changed(source.key, "has another size than the plan says")
    if source.validator and stamp(status) != source.validator:
        raise mover_errors.changed(source.key, "was written to since the plan was made")


def check_unmoved(source: Input, path: str, before: os.stat_result, fd: int) -> None:
    """Check after a copy that the file was neither written to nor replaced meanwhile.

    Raises:
        ConnectorError: WRK101.
    """
    try:
        now = (stamp(os.fstat(fd)), stamp(os.stat(path)))
    except OSError as error:
        raise _unreadable(source, error) from error
    if now != (stamp(before), stamp(before)):
        raise mover_errors.changed(source.key, "changed while it was read")


def _unreadable(source: Input, error: OSError) -> ConnectorError:
    detail = f"`{source.key}`: {error.strerror or error}."
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return mover_errors.failure("WRK102", detail, Failure.CHANGED)
        case PermissionError():
            return mover_errors.failure("WRK104", detail, Failure.AUTH)
        case _:
            return mover_errors.failure("WRK106", detail, Failure.TRANSIENT)


def read_failed(source: Input, error: OSError) -> ConnectorError:
    """Return what an error while reading a local source means."""
    return _unreadable(source, error)
