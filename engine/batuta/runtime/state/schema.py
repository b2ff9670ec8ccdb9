"""The tables of the state database, and the migrations between their versions.

A database of a newer version is refused, never touched. Each migration is numbered and runs
in one transaction.
"""

import sqlite3

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.state import STATE_FORMAT_VERSION

_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE resources (
    address TEXT PRIMARY KEY, revision INTEGER NOT NULL, record TEXT NOT NULL,
    checksum TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL, record TEXT NOT NULL, checksum TEXT NOT NULL
);
CREATE INDEX runs_by_status ON runs (status);
CREATE TABLE steps (
    run TEXT NOT NULL, action TEXT NOT NULL, step TEXT NOT NULL,
    status TEXT NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (run, action, step)
) WITHOUT ROWID;
CREATE TABLE transfers (
    id TEXT PRIMARY KEY, resource TEXT NOT NULL, staging TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE chunks (
    transfer TEXT NOT NULL, task TEXT NOT NULL, chunk INTEGER NOT NULL, receipt BLOB NOT NULL,
    PRIMARY KEY (transfer, task, chunk)
) WITHOUT ROWID;
CREATE TABLE lease (id INTEGER PRIMARY KEY CHECK (id = 1), token INTEGER NOT NULL,
    beats INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE accepted_heads (
    destination TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (destination, digest)
) WITHOUT ROWID;
"""

_VERSION_2 = """
CREATE TABLE labels (
    sha256 TEXT NOT NULL, source TEXT NOT NULL, label TEXT NOT NULL, PRIMARY KEY (sha256, source)
) WITHOUT ROWID;
CREATE TABLE spent_approvals (
    text TEXT PRIMARY KEY, resource TEXT NOT NULL, at TEXT NOT NULL
) WITHOUT ROWID;
"""

MIGRATIONS: dict[int, str] = {1: _VERSION_1, 2: _VERSION_2}


def migrate(database: sqlite3.Connection, lineage: str) -> None:
    """Bring the database to this version; a new one gets `lineage` as its name for life.

    Raises:
        BatutaError: STA101, the database was written by a newer batuta.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    while version < STATE_FORMAT_VERSION:
        version = _step(database)
    refuse_newer(version)
    database.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('lineage', ?), ('serial', '0')",
        (lineage,),
    )


def refuse_newer(version: int) -> None:
    """Refuse a database whose format is `version` where that is not known here: STA101."""
    if version > STATE_FORMAT_VERSION:
        raise BatutaError(
            Diagnostic(
                code="STA101",
                summary="The state was written by a newer batuta",
                detail=f"Its format is {version}; this program knows up to {STATE_FORMAT_VERSION}.",
                fix="Update batuta, or use the version that wrote the state.",
            )
        )


def _step(database: sqlite3.Connection) -> int:
    """Run the next migration, unless another process just did; return the version then."""
    database.execute("BEGIN IMMEDIATE")
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version < STATE_FORMAT_VERSION:
            version += 1
            # `executescript` would commit first, and with that let go of the lock.
            for statement in MIGRATIONS[version].split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version={version}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    return int(version)
