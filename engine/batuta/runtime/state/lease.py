"""The lease on the state: one writer at a time, with heartbeat and fencing token.

A holder that died on this machine is recognised by its process and replaced at once. A holder
elsewhere is replaced when its heartbeat has not moved for `LEASE_S` seconds of *this* machine's
monotonic clock: no comparison of two wall clocks, so a clock set back changes nothing.
"""

import os
import socket
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from batuta.model.canonical import canonical_bytes
from batuta.model.diagnostic import Diagnostic, StateLocked
from batuta.model.state import Lease
from batuta.runtime.clock import monotonic_s, now_utc
from batuta.runtime.state.store import StateStore

LEASE_S = 15.0
BEAT_S = 4.0
_POLL_S = 0.2


class LeaseKeeper:
    """Holds the lease while its `with` block runs; the store is fenced with its token."""

    def __init__(self, store: StateStore, command: str, wait_s: float = 0) -> None:
        self._store = store
        self._command = command
        self._wait_s = wait_s
        self._stop = threading.Event()
        self._beater: threading.Thread | None = None
        self._token = 0

    def __enter__(self) -> "LeaseKeeper":
        """Take the lease, waiting up to `wait_s` seconds.

        Raises:
            StateLocked: LCK101 with holder, host, command and last heartbeat.
        """
        deadline = monotonic_s() + self._wait_s
        seen: tuple[int, int] | None = None
        seen_at = monotonic_s()
        while True:
            token, lease, beats = self._try_take()
            if token is not None:
                break
            if (lease.token, beats) != seen:
                seen, seen_at = (lease.token, beats), monotonic_s()
            elif monotonic_s() - seen_at > LEASE_S:
                token = self._try_take(steal=seen)[0]
                if token is not None:
                    break
            if monotonic_s() >= deadline:
                raise StateLocked(_held(lease))
            self._stop.wait(_POLL_S)
        self._token = token
        self._store.fence(token)
        self._beater = threading.Thread(target=self._beat, daemon=True)
        self._beater.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._beater is not None:
            self._beater.join()
        self._store.fence(None)
        database = _connect(self._store.path)
        try:
            database.execute(
                "UPDATE lease SET record = '' WHERE id = 1 AND token = ?", (self._token,)
            )
        finally:
            database.close()

    def _try_take(self, *, steal: tuple[int, int] | None = None) -> tuple[int | None, Lease, int]:
        """Take a lease that is free, or whose holder is gone; return token, lease and beats.

        `steal` is the token and the beats of one that was seen to stand still: another waiter
        may have taken it meanwhile, and lives.
        """
        database = _connect(self._store.path)
        try:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT token, beats, record FROM lease").fetchone()
            held = _read(row)
            stands = held is not None and steal == (held.token, int(row[1]))
            if held is not None and not stands and not _is_dead(held):
                database.execute("ROLLBACK")
                return None, held, int(row[1])
            token = (int(row[0]) if row else 0) + 1
            lease = _mine(token, self._command)
            database.execute(
                "INSERT OR REPLACE INTO lease VALUES (1, ?, 0, ?)", (token, _text(lease))
            )
            database.execute("COMMIT")
            return token, lease, 0
        finally:
            database.close()

    def _beat(self) -> None:
        database = _connect(self._store.path)
        try:
            while not self._stop.wait(BEAT_S):
                database.execute(
                    "UPDATE lease SET beats = beats + 1 WHERE id = 1 AND token = ?",
                    (self._token,),
                )
        except sqlite3.Error:  # a missed beat costs the lease at worst, and the fence holds
            return
        finally:
            database.close()


def current(store: StateStore) -> Lease | None:
    """Return the lease that is held now, None where none is."""
    rows = store.rows("SELECT token, beats, record FROM lease")
    return _read(rows[0]) if rows else None


def steal(store: StateStore) -> Lease | None:
    """Break the lease: its holder's next write is refused. Returns what was held."""
    held = current(store)
    database = _connect(store.path)
    try:
        database.execute("UPDATE lease SET token = token + 1, record = '' WHERE id = 1")
    finally:
        database.close()
    return held


def is_dead(lease: Lease) -> bool:
    """True where the holder ran on this machine and its process is gone."""
    return _is_dead(lease)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    database.execute("PRAGMA synchronous=NORMAL")
    return database


def _mine(token: int, command: str) -> Lease:
    now = now_utc()
    holder = f"{os.getpid()}:{_birth(os.getpid())}:{_boot()}:{_processes()}"
    return Lease(
        token=token, holder=holder, host=socket.gethostname(), pid=os.getpid(),
        command=command, taken_at=now, beat_at=now, expires_at="",
    )  # fmt: skip


def _is_dead(lease: Lease) -> bool:
    if lease.host != socket.gethostname():
        return False
    _, birth, *rest = lease.holder.split(":")
    boot, processes = (*rest, "", "")[:2]
    if boot and _boot() not in {"", boot}:
        return True  # this machine was started anew
    if processes and processes != _processes():
        return False  # a container of the same name, whose processes cannot be seen from here
    return _birth(lease.pid) != birth


def _boot() -> str:
    """What tells one start of a machine from the next; empty where the system does not say."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _processes() -> str:
    """Which processes can be seen from here: the number of a namespace; empty where unknown."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]")
    return ""


def _birth(pid: int) -> str:
    """What tells a process from a later one of the same number; empty where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    return "alive"


def _text(lease: Lease) -> str:
    return canonical_bytes(msgspec.to_builtins(lease)).decode()


def _read(row: tuple[object, ...] | None) -> Lease | None:
    if row is None or not row[2]:
        return None
    return msgspec.json.decode(str(row[2]), type=Lease)


def _held(lease: Lease) -> Diagnostic:
    return Diagnostic(
        code="LCK101",
        summary="Another run holds the state",
        detail=f"`{lease.command}` (process {lease.pid} on {lease.host}) took it at "
        f"{lease.taken_at}.",
        fix="Wait for it (`--lock-timeout 5m`), or, if it is gone for good: batuta lock steal",
    )
