"""The cache: what can be had again but costs time. Losing it loses nothing.

One SQLite file without durability; a damaged one is thrown away.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

_FORMAT = 1


class Cache:
    """Blobs by (kind, key). Thread-safe; every failure is a miss."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._database = self._open()

    def _open(self) -> sqlite3.Connection | None:
        for _ in range(2):
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                database = sqlite3.connect(
                    self._path, isolation_level=None, timeout=5, check_same_thread=False
                )
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=OFF")
                (version,) = database.execute("PRAGMA user_version").fetchone()
                if version not in (0, _FORMAT):
                    raise sqlite3.DatabaseError("another format")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS blobs (kind TEXT, key TEXT, content BLOB, "
                    "PRIMARY KEY (kind, key)) WITHOUT ROWID"
                )
                database.execute(f"PRAGMA user_version={_FORMAT}")
            except (sqlite3.Error, OSError):
                with contextlib.suppress(OSError):
                    self._path.unlink()
                continue
            return database
        return None

    def get(self, kind: str, key: str) -> bytes | None:
        """Return a blob, None where there is none or the cache cannot be read."""
        if self._database is None:
            return None
        with self._guard, contextlib.suppress(sqlite3.Error):
            row = self._database.execute(
                "SELECT content FROM blobs WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
            return bytes(row[0]) if row else None
        return None

    def everything(self, kind: str) -> dict[str, bytes]:
        """Return all blobs of a kind in one read; empty where the cache cannot be read."""
        if self._database is None:
            return {}
        with self._guard, contextlib.suppress(sqlite3.Error):
            rows = self._database.execute("SELECT key, content FROM blobs WHERE kind = ?", (kind,))
            return dict(rows.fetchall())
        return {}

    def drop(self, kind: str) -> None:
        """Forget all blobs of a kind."""
        if self._database is not None:
            with self._guard, contextlib.suppress(sqlite3.Error):
                self._database.execute("DELETE FROM blobs WHERE kind = ?", (kind,))

    def put(self, kind: str, blobs: Mapping[str, bytes]) -> None:
        """Store blobs in one transaction; a cache that cannot be written is left alone."""
        if self._database is None or not blobs:
            return
        with self._guard, contextlib.suppress(sqlite3.Error):
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)",
                [(kind, key, content) for key, content in blobs.items()],
            )
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None
