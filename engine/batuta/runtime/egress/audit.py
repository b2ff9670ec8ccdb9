"""The egress log: one JSON line for everything a worker tried, each naming the line before.

A line holds the SHA-256 of the bytes of the line before it, so that a changed, removed or
swapped line is found. Cutting off the end is found only against a head that is kept elsewhere (anchors.py).
A connection that is allowed has a line when it opens and one when it ends: if batuta is killed
in between, the log still says who was talking to whom. No line holds a query, a header or a body.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from batuta.model.canonical import canonical_bytes
from batuta.model.egress import NO_LINES, LogHead
from batuta.runtime import clock

MAX_BYTES = 64 * 1024 * 1024
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line. Texts are empty and numbers 0 where a field does not apply.

    `event` is `refused`, `open`, `request` (inspect mode), `end`, or `torn` for the line that
    follows one which a crash cut short. `connection` numbers the connections of a run; `policy`
    is the digest of the policy in force; `target` is what the worker asked for, without query;
    `line` is where the manifest states the rule; `peer` is the address connected to. `up` and
    `down` are bytes from and to the worker, `ms` how long it took. `referrer` is the host whose
    redirect first named this host. `previous` is the SHA-256 of the line before.
    """

    event: str
    n: int = 0
    time: str = ""
    run: str = ""
    connection: int = 0
    action: str = ""
    dataset: str = ""
    worker: str = ""
    policy: str = ""
    method: str = ""
    target: str = ""
    host: str = ""
    port: int = 0
    rule: str = ""
    line: str = ""
    addresses: tuple[str, ...] = ()
    peer: str = ""
    sni: str = ""
    verdict: str = ""
    code: str = ""
    detail: str = ""
    path: str = ""
    status: int = 0
    location: str = ""
    referrer: str = ""
    notes: tuple[str, ...] = ()
    up: int = 0
    down: int = 0
    end: str = ""
    ms: int = 0
    previous: str = ""


def line_of(row: Row) -> bytes:
    """Return the line that stores `row`, without its newline; fields that are empty are left out."""
    kept = {name: value for name, value in asdict(row).items() if value or name == "n"}
    return canonical_bytes(kept)


def row_of(line: bytes) -> Row | None:
    """Return what a line stores, None where it is not one."""
    try:
        stored = json.loads(line)
        for name in ("addresses", "notes"):
            stored[name] = tuple(stored.get(name, ()))
        return Row(**stored)
    except (ValueError, TypeError, AttributeError):
        return None


def digest_of(line: bytes) -> str:
    """Return the SHA-256 of a line's bytes, as the next line names it."""
    return hashlib.sha256(line).hexdigest()


def log_files(path: Path) -> list[Path]:
    """Return the files of the log at `path` that exist, oldest first."""
    older = sorted(path.parent.glob(f"{path.stem}.[0-9]*{path.suffix}"))
    return [*older, path] if path.exists() else older


class AuditLog:
    """The writer. Any number of threads and processes may append to one log.

    A full file is renamed to `<stem>.<number of its first line><suffix>`; the chain goes on in
    the next. Nothing is ever deleted.

    Raises (from every method):
        OSError: The log cannot be written. The caller must then let nothing out.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._guard = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock_fd = _open(path.with_suffix(".lock"), os.O_RDWR)
        self._fd = -1
        self._head = NO_LINES
        self._size = 0
        with self._alone():
            self._look()

    @property
    def head(self) -> LogHead:
        """The last line as this writer knows it."""
        return self._head

    def append(self, row: Row) -> Row:
        """Number, date and chain `row`, write it whole, and return it as it was stored."""
        with self._alone():
            self._look()
            if self._size > self._max_bytes:
                self._rotate()
            stored = replace(
                row, n=self._head.n + 1, time=clock.now_utc(), previous=self._head.digest
            )
            self._write(line_of(stored), stored.n)
            return stored

    def settled(self) -> LogHead:
        """Return the head once its line is on disk: what names a line must not outlive it."""
        with self._guard:
            if self._fd >= 0:
                os.fdatasync(self._fd)
            return self._head

    def close(self) -> None:
        """Make every line durable and let go of the files; twice is fine."""
        with self._guard:
            if self._fd >= 0:
                os.fdatasync(self._fd)
                os.close(self._fd)
                os.close(self._lock_fd)
                self._fd = self._lock_fd = -1

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._guard:
            if self._lock_fd < 0:
                raise OSError("the egress log is closed")
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _look(self) -> None:
        """See what other writers did since the last time."""
        if self._fd >= 0 and not _same_file(self._fd, self.path):
            os.close(self._fd)
            self._fd = -1
        if self._fd < 0:
            self._fd = _open(self.path, os.O_RDWR | os.O_APPEND)
            self._size = -1
        size = os.fstat(self._fd).st_size
        if size != self._size:
            self._size = size
            self._head = _last(self.path)
            self._mend()

    def _mend(self) -> None:
        """Close a line that a crash cut short; it stays, as a link of the chain."""
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._size += os.write(self._fd, b"\n")
            note = Row(event="torn", n=self._head.n + 1, time=clock.now_utc(), code="audit.torn",
                       previous=self._head.digest)  # fmt: skip
            self._write(line_of(note), note.n)

    def _write(self, line: bytes, n: int) -> None:
        whole = line + b"\n"
        written = os.write(self._fd, whole)
        if written != len(whole):
            raise OSError("the egress log could not be written whole")
        self._size += written
        self._head = LogHead(n, digest_of(line))

    def _rotate(self) -> None:
        with self.path.open("rb") as file:
            first = row_of(file.readline().rstrip(b"\n"))
        number = first.n if first else self._head.n
        os.fdatasync(self._fd)
        self.path.rename(self.path.with_name(f"{self.path.stem}.{number:012d}{self.path.suffix}"))
        os.close(self._fd)
        self._fd = _open(self.path, os.O_RDWR | os.O_APPEND | os.O_EXCL)
        self._size = 0


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _last(path: Path) -> LogHead:
    """Return the last line of the log; a torn one counts, numbered after the one before it."""
    newest, torn = b"", 0
    for file in reversed(log_files(path)):
        for line in reversed(_tail(file)):
            newest = newest or line
            if (row := row_of(line)) is not None:
                return LogHead(row.n + torn, digest_of(newest))
            torn += 1
    return NO_LINES


def _tail(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().split(b"\n")
    if size > TAIL_BYTES:
        del lines[0]  # it may have begun earlier
    return [line for line in lines if line]
