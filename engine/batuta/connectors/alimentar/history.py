"""Letting history go: superseded files that no version within `history` names any more.

What is kept follows from the times in the log, not from those of the files: a file's own time
is that of its writing, and says nothing of when it was superseded.
"""

from datetime import UTC, datetime

from batuta.connectors.alimentar.intents import all_intents
from batuta.connectors.alimentar.log import Log, open_log, read_entries
from batuta.connectors.alimentar.names import HISTORY, history_key
from batuta.connectors.alimentar.snapshot import fold_at
from batuta.model.connector import FileInfo, Files
from batuta.model.log import Part
from batuta.model.resource import HistorySpec

_NS = 1_000_000_000
_BLOCK = 16


def expirable(files: Files, history: HistorySpec, now_s: float) -> tuple[FileInfo, ...]:
    """Return the history files that may go at `now_s` (seconds since 1970, UTC).

    A version is kept while it was superseded less than `keep_s` seconds ago, or is one of the
    `versions` before the head. Empty where the dataset is protected. Files in `_history/`
    whose names batuta does not give are never among them.
    """
    newest_ns = int((now_s - history.keep_s) * _NS)
    # Nothing that was written within the time can have been superseded before it.
    old = [
        info
        for info in files.list(HISTORY)
        if info.modified_ns < newest_ns and history_key(info.path) is not None
    ]
    # Most datasets have no history that is old enough, and their log needs no reading then.
    if not old or (log := open_log(files)) is None or log.entry.facts.protect:
        return ()
    kept = _kept(files, log, history, now_s)
    return tuple(info for info in old if history_key(info.path) not in kept)


def expire(files: Files, history: HistorySpec, now_s: float) -> int:
    """Delete what `expirable` returns; return how many files that are."""
    old = expirable(files, history, now_s)
    files.delete([info.path for info in old])
    return len(old)


def _kept(files: Files, log: Log, history: HistorySpec, now_s: float) -> frozenset[tuple[str, str]]:
    """Return (path, first 16 hex) of all that a kept version, or a run under way, names."""
    first, parts = _oldest_kept(files, log, history, now_s)
    parts += fold_at(files, log, first).parts.values()
    for intent in all_intents(files).values():
        parts += (*intent.added, *intent.removed)
    return frozenset((part.path, part.sha256[:16]) for part in parts)


def _oldest_kept(
    files: Files, log: Log, history: HistorySpec, now_s: float
) -> tuple[int, list[Part]]:
    """Return the oldest kept version, and the parts that were added after it."""
    version = log.head.version
    added: list[Part] = []
    in_memory = {logged.head.version: logged for logged in log.tail}
    while version > 0:
        first = max(1, version - _BLOCK + 1)
        if all(v in in_memory for v in range(first, version + 1)):
            block = tuple(in_memory[v] for v in range(first, version + 1))
        else:
            block = read_entries(files, first, version)
        for logged in reversed(block):
            # The version before this entry was superseded when this one was written.
            age_s = now_s - _seconds(logged.entry.written_at)
            wanted = log.head.version - (logged.head.version - 1) <= history.versions
            if age_s >= history.keep_s and not wanted:
                return version, added
            added += logged.entry.added
            version = logged.head.version - 1
    return version, added


def _seconds(written_at: str) -> float:
    try:
        moment = datetime.fromisoformat(written_at)
    except ValueError:
        return float("inf")  # not batuta's: as if written just now, so that nothing goes
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
