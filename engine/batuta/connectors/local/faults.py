"""What can be wrong with a local path, each with its code."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.layout import LayoutError, Reason

SUMMARIES = {
    "LOC101": "The path is not there",
    "LOC102": "Access to the path is not permitted",
    "LOC103": "The file system is read-only",
    "LOC104": "The disk is full",
    "LOC105": "The file system refused",
    "LOC106": "A link leads out of the folder",
    "LOC107": "Not a regular file or folder",
    "LOC108": "The path is not safe",
    "LOC109": "The source changed while it was read",
    "LOC110": "A file name is not UTF-8",
    "LOC111": "A file is of no known format",
    "LOC112": "Files of different formats",
    "LOC113": "The files' columns do not unite",
    "LOC114": "Folder names state no columns",
    "LOC115": "The pinned version is not there",
    "LOC116": "Rows cannot be chosen here",
    "LOC117": "No file to read a table from",
    "LOC118": "Another file is in the way",
    "LOC119": "The file system has no hard links",
    "LOC121": "Folders and files state the same column",
    "LOC120": "The folder is a table of another format",
}

_FIXES = {
    "LOC101": "Correct the path, or create what should be there. Relative paths start at the"
    " workspace.",
    "LOC102": "Give this user the right to it (ls -ld shows who has it), or choose another path.",
    "LOC103": "Mount the file system for writing, or choose a destination on another one.",
    "LOC104": "Make room there, or choose a destination on another disk.",
    "LOC105": "Look for the reason in the system's log; the disk or the mount may be at fault.",
    "LOC106": "Replace the link by what it points to, or point the address at the real folder.",
    "LOC107": "Remove it, move it out of the folder, or leave it out with `files`.",
    "LOC108": "Use a relative path without `..`, empty parts and NUL.",
    "LOC109": "Wait until nobody writes there, then run the command again.",
    "LOC110": "Rename the file to a name in UTF-8, or leave it out with `files`.",
    "LOC111": 'Choose the table\'s files with `files: ["*.parquet"]`, or set `format: files`.',
    "LOC112": 'Choose one format with `files: ["*.parquet"]`, or set `format: files`.',
    "LOC113": "Give text files their types with `source.schema`, exclude the column, or read the"
    " files as two datasets.",
    "LOC114": "Give every file the same folders `name=value/`, or none.",
    "LOC115": "Remove `version`: a folder keeps no older versions; or restore the files.",
    "LOC116": "Remove `where`, or read the files through a platform that runs queries.",
    "LOC117": "Correct the address or `files`; names that begin with `_` or `.` are not read.",
    "LOC118": "Move that file away; batuta never overwrites what it did not write.",
    "LOC121": "Nothing has to be done: where a file has the column, its own is read, elsewhere the"
    " folder's. Rename the folders if they mean something else.",
    "LOC120": "Read the table by its own address, or set `format: files` to copy it whole.",
    "LOC119": "Choose a destination on a file system with hard links (ext4, XFS, Btrfs, APFS,"
    " NFS).",
}

_REASONS: dict[Reason, str] = {
    "unknown-format": "LOC111",
    "mixed-formats": "LOC112",
    "no-files": "LOC117",
    "schemas": "LOC113",
    "constants": "LOC113",
    "other-log": "LOC120",
}


def diagnostic(code: str, detail: str) -> Diagnostic:
    """Return the diagnostic of `code`."""
    return Diagnostic(code=code, summary=SUMMARIES[code], detail=detail, fix=_FIXES[code])


def failure(code: str, detail: str, kind: Failure = Failure.PERMANENT) -> ConnectorError:
    """Return the error of `code`, ready to be raised."""
    return ConnectorError(diagnostic(code, detail), kind=kind)


def of_layout(error: LayoutError, address: str) -> ConnectorError:
    """Return what files that make no table mean at `address`."""
    return failure(_REASONS[error.reason], f"{address}: {error.detail}")


def of_system(error: OSError, path: str) -> ConnectorError:
    """Return what the operating system's refusal means for `path`."""
    why = f"{path}: {error.strerror or error}."
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return failure("LOC101", why)
        case errno.EACCES | errno.EPERM:
            return failure("LOC102", why, Failure.AUTH)
        case errno.EROFS:
            return failure("LOC103", why)
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return failure("LOC104", why)
        case errno.ELOOP:
            return failure("LOC107", f"{path}: its links form a loop.")
        case errno.EIO | errno.ESTALE | errno.EAGAIN | errno.EBUSY | errno.ETIMEDOUT:
            return failure("LOC105", why, Failure.TRANSIENT)
        case _:
            return failure("LOC105", why)


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turn the operating system's errors about `path` into this connector's."""
    try:
        yield
    except OSError as error:
        raise of_system(error, str(error.filename or path)) from error
