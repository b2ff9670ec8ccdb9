"""Moving finished files out of staging, which a worker could write to, into a place it cannot.

A name in staging is the worker's word. It is opened so that no link can lead outside, it must be
a plain file that nothing else names and that nobody still has open for writing, and what is
moved is compared with what was opened.

Source: openat2(2); fcntl(2), leases.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.sandbox import kernel

_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS = 0x08, 0x04, 0x02
_BLOCK = 1024 * 1024


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A file that was moved: its size, and its SHA-256 where that was asked for."""

    path: Path
    size_bytes: int
    sha256: str | None


@contextmanager
def opened_beneath(staging: Path, name: str) -> Iterator[int]:
    """Yield a descriptor of a finished file: regular, one link, no writer.

    Raises:
        BatutaError: EGR204, it is none, or its name leads out of staging.
    """
    with _folder(staging, name) as (folder, last):
        opened = _beneath(folder, last, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, name)
        try:
            _check(opened, name)
            yield opened
        finally:
            os.close(opened)


@contextmanager
def _folder(staging: Path, name: str) -> Iterator[tuple[int, str]]:
    """Yield a descriptor of the folder in staging that holds `name`, and the name's last part."""
    top = os.open(staging, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    above, _, last = name.rpartition("/")
    try:
        if last in ("", ".", "..") or "\0" in name:
            raise _refused(name, "its name is none of a file")
        folder = _beneath(top, above or ".", os.O_PATH | os.O_DIRECTORY, name)
    finally:
        os.close(top)
    try:
        yield folder, last
    finally:
        os.close(folder)


_WORDS = {
    errno.ELOOP: "it is, or leads through, a symbolic link",
    errno.EXDEV: "its name leads out of the staging folder",
    errno.ENOENT: "it is not there",
    errno.ENXIO: "it is a socket or a device",
}


def _beneath(folder: int, path: str, flags: int, name: str) -> int:
    how = _How(flags=flags | os.O_CLOEXEC, resolve=_BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    try:
        return kernel.call(
            "openat2", folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)
        )
    except OSError as error:
        raise _refused(name, _WORDS.get(error.errno or 0, error.strerror or "")) from error


def _check(opened: int, name: str) -> None:
    about = os.fstat(opened)
    if not stat.S_ISREG(about.st_mode):
        raise _refused(name, "it is not a plain file")
    if about.st_nlink != 1:
        raise _refused(name, f"it has {about.st_nlink} names, and one of them may be elsewhere")
    try:
        # A read lease is given only while nobody has the file open for writing, or mapped so.
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise _refused(name, "something still has it open for writing") from error
        # Network file systems give no leases, and a file of another owner has none for us.


def take(
    staging: Path, name: str, to: Path, *, digest: bool = False, durable: bool = True
) -> Taken:
    """Move one finished file of staging to `to`, on the same file system.

    With `durable` its content is durable afterwards, if it was not before. An existing file at `to` is replaced. With `digest` the bytes are read once more and hashed:
    the worker's own figure is its word.

    Raises:
        BatutaError: EGR204, it is not a finished file. Nothing was moved.
        OSError: the move failed.
    """
    with _folder(staging, name) as (folder, last):
        # Non-blocking: a pipe of that name must not hold the publisher up.
        opened = _beneath(folder, last, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, name)
        try:
            _check(opened, name)
            before = os.fstat(opened)
            os.rename(last, to, src_dir_fd=folder)
            # Between the open and the move the name could have been given to something else.
            after = os.lstat(to)
            if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino):
                os.rename(to, last, dst_dir_fd=folder)
                raise _refused(name, "it was replaced while it was being published")
            sha256 = _digest(opened) if digest else None
            if durable:
                os.fsync(opened)
            return Taken(path=to, size_bytes=before.st_size, sha256=sha256)
        finally:
            os.close(opened)


def _digest(opened: int) -> str:
    digest = hashlib.sha256()
    at = 0
    while block := os.pread(opened, _BLOCK, at):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


def _refused(name: str, why: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="EGR204",
            summary="A staged file is not one that can be published",
            detail=f"{name!r} in staging was not published: {why}.",
            fix="Nothing was moved. A worker does not leave such a file by itself: look at what "
            "the source holds, and run the same command again.",
        )
    )
