"""Reading and writing files that hold a secret: what is checked is what is read.

The file is opened first and then asked about itself, so nobody can exchange it in between.
"""

import os
import stat
from pathlib import Path

MOST_BYTES = 1 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITERS = stat.S_IWGRP | stat.S_IWOTH


class Unfit(Exception):
    """The file is not one that a secret may be read from; the text says why, without its content."""


def read_private(path: Path) -> bytes:
    """Return the content of a file that only its owner, who runs this, can read.

    Raises:
        Unfit: a link, no regular file, another owner, rights for others, far too large, or in a
            folder where anybody could exchange it.
        OSError: it cannot be opened.
    """
    return _read(path, _OTHERS)


def read_guarded(path: Path) -> bytes:
    """Return the content of a file that may be public, but that nobody else can write.

    Raises:
        Unfit: as `read_private`, with writing in the place of reading.
        OSError: it cannot be opened.
    """
    return _read(path, _WRITERS)


def _read(path: Path, forbidden: int) -> bytes:
    # Not blocking: a pipe that somebody put there would hold the program for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if path.is_symlink():
            raise Unfit("it is a symbolic link") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor), forbidden)
        _check_folder(path)
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Unfit(f"it has more than {MOST_BYTES} bytes")
    return content


def _check(status: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Unfit("it is not a regular file")
    if status.st_uid != os.geteuid():
        raise Unfit("it belongs to another user")
    if status.st_mode & forbidden:
        doing, mode = ("read", "600") if forbidden == _OTHERS else ("write", "go-w")
        raise Unfit(f"others can {doing} the file (run: chmod {mode} on it)")


def _check_folder(path: Path) -> None:
    status = os.stat(path.parent)
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise Unfit("its folder can be written by anybody, who could exchange it")


def write_private(path: Path, content: bytes) -> None:
    """Make `path` durable with `content`, readable by its owner alone; it must not exist.

    Raises:
        FileExistsError: something has that name.
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
