"""What is read in a state that may be another environment's: nothing in it is made or changed.

Whoever opens a state to work with it migrates it. That is not for somebody to do who only looks
at what all environments of a workspace share.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from batuta.model.state import RunRecord
from batuta.runtime.state.schema import refuse_newer
from batuta.runtime.state.store import decode, unusable


def runs_in(path: Path) -> Iterator[RunRecord]:
    """Yield the runs in the state at `path`, of this or an older format, newest first.

    Raises:
        BatutaError: STA101 newer format; STA102 not a state or not readable; STA103 damaged.
    """
    try:
        with closing(sqlite3.connect(_read_only(path), uri=True)) as database:
            refuse_newer(database.execute("PRAGMA user_version").fetchone()[0])
            for (text,) in database.execute("SELECT record FROM runs ORDER BY sequence DESC"):
                yield decode(text, RunRecord)
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def _read_only(path: Path) -> str:
    # Even a reader leaves SQLite's two files beside a database, and where they are another user's
    # its owner cannot write any more. Without a log of writes nobody has it open: none is needed.
    is_open = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro" + ("" if is_open else "&immutable=1")
