"""The state store: O(changed) writes, grouped into durable commits by one writing thread.

SQLite in WAL mode with `synchronous=FULL`: a commit is on disk before the call returns.
Writes of several threads that wait at the same time share one commit. Every write checks the
fencing token of the lease, so that a runner whose lease was taken away cannot write any more.
"""

import hashlib
import json
import queue
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import msgspec

from batuta.model.canonical import canonical_bytes
from batuta.model.diagnostic import BatutaError, Diagnostic, StateLocked
from batuta.model.state import ResourceRecord, RunRecord, StepRecord
from batuta.model.transfer import ChunkReceipt
from batuta.runtime.clock import monotonic_s
from batuta.runtime.state.schema import migrate

_T = TypeVar("_T")
Write = tuple[str, tuple[object, ...]]
_GROUP = 512
_WAIT_S = 30.0
_PAUSE_S = 0.02

# Looked into here, by one thread: two that do it at once for the first time can crash the process.
for _record in (ResourceRecord, RunRecord, StepRecord):
    msgspec.json.Decoder(_record)


class StateStore:
    """One state database. Reads may come from any thread; writes are queued and grouped."""

    def __init__(self, path: Path) -> None:
        """Open `path`, creating it and its folder where needed.

        Raises:
            BatutaError: STA101 newer format; STA102 not a database or cannot be opened.
        """
        self.path = path
        self._token: int | None = None
        self._local = threading.local()
        self._queue: queue.SimpleQueue[tuple[Sequence[Write], Future[None]] | None]
        self._queue = queue.SimpleQueue()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            migrate(self._database(), str(uuid.uuid4()))
        except (sqlite3.DatabaseError, OSError) as error:
            raise unusable(path, error) from error
        self._writer: threading.Thread | None = None

    def _database(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=_WAIT_S, check_same_thread=False
            )
            _use_wal(connection)
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
            with self._guard:
                self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Finish queued writes and close the database. Safe to call twice."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
            self._writer = None
        with self._guard:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    # -- writing ---------------------------------------------------------------------------

    def fence(self, token: int | None) -> None:
        """Bind this store's writes to a lease token; None lets none through but the lease's."""
        self._token = token

    def write(self, writes: Sequence[Write]) -> None:
        """Make `writes` durable together, all or none.

        Raises:
            StateLocked: LCK102, the lease was lost; nothing was written. Plan again.
        """
        if not writes:
            return
        if self._writer is None:
            with self._guard:
                if self._writer is None:
                    self._writer = threading.Thread(target=self._drain, daemon=True)
                    self._writer.start()
        done: Future[None] = Future()
        self._queue.put((writes, done))
        done.result()

    def _drain(self) -> None:
        running = True
        while running:
            batch: list[tuple[Sequence[Write], Future[None]]] = []
            first = self._queue.get()
            while first is not None:
                batch.append(first)
                if len(batch) >= _GROUP or self._queue.empty():
                    break
                first = self._queue.get()
            running = first is not None
            self._commit(batch)

    def _commit(self, batch: Sequence[tuple[Sequence[Write], Future[None]]]) -> None:
        if not batch:
            return
        failure: Exception | None = None
        try:
            self._write_all(batch)
        except StateLocked as error:
            failure = error
        except sqlite3.Error as error:
            failure = unusable(self.path, error)
        except Exception as error:  # noqa: BLE001 - a value that SQLite does not take; they all wait
            failure = error
        for _, done in batch:
            done.set_exception(failure) if failure else done.set_result(None)

    def _write_all(self, batch: Sequence[tuple[Sequence[Write], Future[None]]]) -> None:
        database = self._database()
        try:
            database.execute("BEGIN IMMEDIATE")
            self._check_token(database)
            for writes, _ in batch:
                for sql, values in writes:
                    database.execute(sql, values)
            database.execute(
                "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'serial'"
            )
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")

    def _check_token(self, database: sqlite3.Connection) -> None:
        row = database.execute("SELECT token FROM lease WHERE id = 1").fetchone()
        if self._token is None or row is None or row[0] != self._token:
            raise StateLocked(
                Diagnostic(
                    code="LCK102",
                    summary="The lease on the state was lost",
                    detail="Another run took the lease while this one was writing.",
                    fix="See `batuta lock show`, then plan again.",
                )
            )

    # -- reading ---------------------------------------------------------------------------

    def rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Return all rows of a query on this thread's connection."""
        try:
            return self._database().execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise unusable(self.path, error) from error

    @property
    def lineage(self) -> str:
        """The name this state was born with."""
        return str(self.rows("SELECT value FROM meta WHERE key = 'lineage'")[0][0])

    @property
    def serial(self) -> int:
        """Grows with each commit."""
        return int(str(self.rows("SELECT value FROM meta WHERE key = 'serial'")[0][0]))

    def resources(self) -> Iterator[ResourceRecord]:
        """Yield all resource records in order of address."""
        for (text,) in self.rows("SELECT record FROM resources ORDER BY address"):
            yield decode(text, ResourceRecord)

    def resource(self, address: str) -> ResourceRecord | None:
        """Return one record, None where the resource is not known."""
        rows = self.rows("SELECT record FROM resources WHERE address = ?", (address,))
        return decode(rows[0][0], ResourceRecord) if rows else None

    def runs(self, limit: int = 50) -> list[RunRecord]:
        """Return the newest runs first."""
        rows = self.rows("SELECT record FROM runs ORDER BY sequence DESC LIMIT ?", (limit,))
        return [decode(text, RunRecord) for (text,) in rows]

    def unfinished_runs(self) -> list[RunRecord]:
        """Return runs that are marked as running, oldest first."""
        rows = self.rows("SELECT record FROM runs WHERE status = 'running' ORDER BY sequence")
        return [decode(text, RunRecord) for (text,) in rows]

    def steps(self, run: str) -> list[StepRecord]:
        """Return the steps of a run in order of action and step."""
        rows = self.rows(
            "SELECT run, action, step, status, detail FROM steps WHERE run = ? "
            "ORDER BY action, step",
            (run,),
        )
        return [
            msgspec.convert(
                {"run": r, "action": a, "step": s, "status": t, "detail": json.loads(str(d))},
                StepRecord,
            )
            for r, a, s, t, d in rows
        ]

    def transfers(self) -> list[tuple[str, str, str]]:
        """Return (id, resource, staging folder) of transfers under way or left by dead runs."""
        rows = self.rows("SELECT id, resource, staging FROM transfers ORDER BY id")
        return [(str(i), str(r), str(s)) for i, r, s in rows]

    def chunks(self, transfer: str) -> dict[str, list[ChunkReceipt]]:
        """Return the receipts of a transfer by task, each list in order of chunk."""
        found: dict[str, list[ChunkReceipt]] = {}
        for task, receipt in self.rows(
            "SELECT task, receipt FROM chunks WHERE transfer = ? ORDER BY task, chunk", (transfer,)
        ):
            assert isinstance(receipt, bytes)
            found.setdefault(str(task), []).append(
                msgspec.msgpack.decode(receipt, type=ChunkReceipt)
            )
        return found

    def accepted_heads(self, destination: str) -> frozenset[str]:
        """Return the heads of a destination that somebody accepted with a reason."""
        rows = self.rows("SELECT digest FROM accepted_heads WHERE destination = ?", (destination,))
        return frozenset(str(d) for (d,) in rows)

    def verify(self) -> list[Diagnostic]:
        """Check the database's own structure and the checksum of every record."""
        problems = [
            _damage(f"SQLite says: {line}")
            for (line,) in self.rows("PRAGMA integrity_check")
            if line != "ok"
        ]
        for table, key in (("resources", "address"), ("runs", "id")):
            sql = f"SELECT {key}, record, checksum FROM {table}"  # noqa: S608 - two constants
            for name, record, checksum in self.rows(sql):
                if _checksum(str(record)) != checksum:
                    problems.append(_damage(f"The record of {name} does not match its checksum."))
        return problems


# -- writes, as values ---------------------------------------------------------------------


def put_resource(record: ResourceRecord) -> Write:
    """Insert or replace one resource record."""
    text = _encode(record)
    return (
        "INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?)",
        (record.address, record.revision, text, _checksum(text)),
    )


def drop_resource(address: str) -> Write:
    """Forget one resource."""
    return ("DELETE FROM resources WHERE address = ?", (address,))


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to a log of writes; several that make one database wait for each other."""
    deadline = monotonic_s() + _WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself for the lock that this takes.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic_s() > deadline:
                raise
            time.sleep(_PAUSE_S)


def put_run(record: RunRecord) -> Write:
    """Insert one run, or replace its record."""
    text = _encode(record)
    return (
        "INSERT INTO runs (id, status, record, checksum) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET status = excluded.status, record = excluded.record, "
        "checksum = excluded.checksum",
        (record.id, record.status, text, _checksum(text)),
    )


def put_step(step: StepRecord) -> Write:
    """Record an intent, or its outcome over it."""
    detail = canonical_bytes(step.detail).decode()
    return (
        "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)",
        (step.run, step.action, step.step, step.status, detail),
    )


def put_transfer(transfer: str, resource: str, staging: str) -> Write:
    """Remember that a transfer has begun and where its staging folder is."""
    return ("INSERT OR IGNORE INTO transfers VALUES (?, ?, ?)", (transfer, resource, staging))


def drop_transfer(transfer: str) -> list[Write]:
    """Forget a finished transfer and its chunks."""
    return [
        ("DELETE FROM chunks WHERE transfer = ?", (transfer,)),
        ("DELETE FROM transfers WHERE id = ?", (transfer,)),
    ]


def put_chunk(transfer: str, receipt: ChunkReceipt) -> Write:
    """Checkpoint one chunk; the file it names is durable already."""
    return (
        "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)",
        (transfer, receipt.task, receipt.chunk, msgspec.msgpack.encode(receipt)),
    )


def accept_head(destination: str, digest: str, reason: str, at: str) -> Write:
    """Record that somebody looked at a rolled back log and accepts its head."""
    return (
        "INSERT OR REPLACE INTO accepted_heads VALUES (?, ?, ?, ?)",
        (destination, digest, reason, at),
    )


def _encode(record: ResourceRecord | RunRecord) -> str:
    return canonical_bytes(msgspec.to_builtins(record)).decode()


def decode(text: object, kind: type[_T]) -> _T:
    """Return the record in `text`; STA103 where it is none."""
    try:
        return msgspec.json.decode(str(text), type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BatutaError(_damage(f"A record cannot be read: {error}.")) from error


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _damage(detail: str) -> Diagnostic:
    return Diagnostic(
        code="STA103",
        summary="The state is damaged",
        detail=detail,
        fix="Rebuild it from the destinations' logs: batuta state rebuild",
    )


def unusable(path: Path, error: Exception) -> BatutaError:
    """Return STA102: the database at `path` is not one, or cannot be opened, read or written."""
    return BatutaError(
        Diagnostic(
            code="STA102",
            summary="The state cannot be used",
            detail=f"{path}: {error}.",
            fix="Check the folder's permissions and free space; if the file is damaged, move it "
            "away and run `batuta state rebuild`.",
        )
    )
