"""Moving finished files out of staging, which a worker could write to, into a place it cannot.

A name in staging is the worker's word. It is opened so that no link can lead outside, it must be
a plain file that nothing else names and that nobody still has open for writing, and what is
moved is compared with what was opened.

Source: openat2(2); fcntl(2), leases.
"""

import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.sandbox import kernel

_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS = 0x08, 0x04, 0x02


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


# Non-blocking: a pipe of that name must not hold the publisher up.
_HOW = _How(
    flags=os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW,
    resolve=_BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS,
)
_WORDS = {
    errno.ELOOP: "it is a symbolic link",
    errno.EXDEV: "its name leads out of the staging folder",
    errno.ENXIO: "it is a socket or a device",
}


def take(staging: Path, names: Iterable[str], into: Path) -> None:
    """Move finished files of the folder `staging` into the folder `into`, on one file system.

    A file that is not there is passed over; one that lies at `into` already is replaced. What
    was moved before an error stays moved.

    Raises:
        BatutaError: EGR204, one is not a finished file.
        OSError: a folder is not there, or a move failed.
    """
    # Both folders are opened once: a name is looked up in them, and not from the root again.
    with _folder(staging) as source, _folder(into) as target:
        for name in names:
            _take(source, name, target)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    opened = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield opened
    finally:
        os.close(opened)


def _take(source: int, name: str, target: int) -> None:
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise _refused(name, "its name is none of a file")
    try:
        opened = kernel.call(
            "openat2", source, os.fsencode(name), ctypes.byref(_HOW), ctypes.sizeof(_HOW)
        )
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(name, _WORDS.get(error.errno or 0, error.strerror or "")) from error
    try:
        before = os.fstat(opened)
        _check(opened, before, name)
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        # Between the open and the move the name could have been given to something else.
        after = os.stat(name, dir_fd=target, follow_symlinks=False)
        if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino):
            os.rename(name, name, src_dir_fd=target, dst_dir_fd=source)
            raise _refused(name, "it was replaced while it was being published")
    finally:
        os.close(opened)


def _check(opened: int, about: os.stat_result, name: str) -> None:
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


def _refused(name: str, why: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="EGR204",
            summary="A staged file is not one that can be published",
            detail=f"{name!r} in staging was not published: {why}.",
            fix="It was not moved. A worker does not leave such a file by itself: look at what "
            "the source holds, and run the same command again.",
        )
    )
