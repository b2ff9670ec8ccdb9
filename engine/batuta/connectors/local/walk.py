"""Walking a folder in byte order of paths, and refusing by name what is not a plain file in it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from batuta.connectors.local import faults

MAX_DEPTH = 128


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file: its path relative to the folder, where it is, and its status."""

    key: str
    path: str
    status: os.stat_result

    @property
    def stamp(self) -> str:
        """Size, time and inode: what tells one state of a file from another."""
        return stamp_of(self.status)


def stamp_of(status: os.stat_result) -> str:
    """Return size, time of the last write (ns) and inode as one text."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def walk(
    root: str, *, prefix: str = "", hidden: bool = True, recursive: bool = True
) -> Iterator[Entry]:
    """Yield the regular files whose key begins with `prefix`, in byte order of their keys.

    Links are followed while they stay inside `root`. `hidden` False leaves out names that begin
    with `_` or `.` (not folders that state a column, `_a=1`). A folder that vanishes on the way
    is empty. `recursive` False leaves out folders below the one that the prefix ends in.

    Raises:
        ConnectorError: LOC106, LOC107, LOC110 or what the system refused.
    """
    real = os.path.realpath(root)
    yield from _Walk(real, prefix, hidden, recursive).folder(root, "", (real,))


@dataclass(frozen=True, slots=True)
class _Walk:
    real: str
    prefix: str
    hidden: bool
    recursive: bool

    def folder(self, path: str, key: str, above: tuple[str, ...]) -> Iterator[Entry]:
        if len(above) > MAX_DEPTH:
            raise faults.failure("LOC107", f"{path}: more than {MAX_DEPTH} folders deep.")
        for entry, name, is_folder in self._sorted(path, key):
            if is_folder:
                inner = self._inner(entry, above)
                yield from self.folder(entry.path, f"{name}/", (*above, inner))
            else:
                yield self._file(entry, name)

    def _sorted(self, path: str, key: str) -> list[tuple["os.DirEntry[str]", str, bool]]:
        """Return a folder's entries so that all keys below come in byte order."""
        found: list[tuple[bytes, os.DirEntry[str], str, bool]] = []
        with faults.told(path), os.scandir(path) as entries:
            for entry in entries:
                name = key + entry.name
                if not self.hidden and _is_hidden(entry.name):
                    continue
                is_folder = entry.is_dir()
                end = f"{name}/" if is_folder else name
                if self._wanted(end, is_folder):
                    order = end.encode("utf-8", "surrogateescape")
                    _check_name(order, entry.path)
                    found.append((order, entry, name, is_folder))
        found.sort(key=lambda each: each[0])
        return [(entry, name, is_folder) for _, entry, name, is_folder in found]

    def _wanted(self, name: str, is_folder: bool) -> bool:
        if is_folder and not self.recursive:
            return self.prefix.startswith(name)
        return name.startswith(self.prefix) or (is_folder and self.prefix.startswith(name))

    def _inner(self, entry: "os.DirEntry[str]", above: tuple[str, ...]) -> str:
        if not entry.is_symlink():
            return os.path.join(above[-1], entry.name)
        real = self._inside(entry)
        if real in above:
            detail = f"{entry.path}: the link leads back to a folder that holds it."
            raise faults.failure("LOC107", detail)
        return real

    def _inside(self, entry: "os.DirEntry[str]") -> str:
        real = os.path.realpath(entry.path)
        if not is_inside(real, self.real):
            raise faults.failure("LOC106", f"{entry.path} points to {real}.")
        return real

    def _file(self, entry: "os.DirEntry[str]", key: str) -> Entry:
        if entry.is_symlink():
            self._inside(entry)
            if not os.path.exists(entry.path):
                raise faults.failure("LOC107", f"{entry.path}: the link leads nowhere.")
        with faults.told(entry.path):
            status = entry.stat()
        check_regular(status, entry.path)
        return Entry(key, entry.path, status)


def is_inside(path: str, folder: str) -> bool:
    """True where the real path `path` is `folder` or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def check_regular(status: os.stat_result, path: str) -> None:
    """Refuse what is neither a regular file nor a folder.

    Raises:
        ConnectorError: LOC107, naming what it is.
    """
    if not stat.S_ISREG(status.st_mode):
        kinds = {
            stat.S_IFIFO: "a named pipe",
            stat.S_IFSOCK: "a socket",
            stat.S_IFCHR: "a device",
            stat.S_IFBLK: "a device",
        }
        kind = kinds.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise faults.failure("LOC107", f"{path} is {kind}.")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _check_name(name: bytes, path: str) -> None:
    try:
        name.decode()
    except UnicodeDecodeError as error:
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise faults.failure("LOC110", f"{shown} is not UTF-8.") from error
