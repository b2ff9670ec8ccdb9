"""The dataset at its head or at any earlier version: time travel."""

import re

from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.fold import Fold, Logged, fold, shape_of
from batuta.connectors.alimentar.log import (
    CHECKPOINT_EVERY,
    Log,
    check_chain,
    read_checkpoint,
    read_entries,
    read_entry,
)
from batuta.connectors.alimentar.names import checkpoint_name
from batuta.model.connector import Files
from batuta.model.diagnostic import ConnectorError
from batuta.model.log import LogEntry, Snapshot

_PIN = re.compile(r"([0-9]{1,20})(?::([0-9a-f]{8,64}))?")
_PIN_DIGITS = 16


def snapshot_at(files: Files, log: Log, version: int) -> Snapshot:
    """Return the dataset as it was after the commit of `version`.

    Reads the nearest checkpoint before it and the entries in between, at most 64. The parts
    may be gone from history; who reads them finds out.

    Raises:
        ConnectorError: permanent. LOG141: there is no such version; LOG103, LOG104, LOG109:
            the log is damaged there.
    """
    if version == log.head.version:
        return log.snapshot
    if not 0 <= version < log.head.version:
        raise refusal("LOG141", f"{files.location} has versions 0 to {log.head.version}.")
    folded, logged = _walk(files, log, version)
    if logged is None:
        logged = read_entry(files, version)
        if logged.head != folded.head:
            name = checkpoint_name(version)
            raise refusal("LOG105", f"{name} does not fold the entry of its version.")
    return Snapshot(head=logged.head, entry=logged.entry, parts=tuple(folded.parts.values()))


def fold_at(files: Files, log: Log, version: int) -> Fold:
    """Return the fold after `version`, which the log has.

    Raises:
        ConnectorError: permanent. LOG103, LOG104, LOG109: the log is damaged there.
    """
    return _walk(files, log, version)[0]


def _walk(files: Files, log: Log, version: int) -> tuple[Fold, Logged | None]:
    """Return the fold, and the entry it ends with unless that is a checkpoint's."""
    folded, last = Fold(), None
    for checkpoint in reversed([c for c in log.checkpoints if c <= version]):
        try:
            folded = read_checkpoint(files, checkpoint)
        except ConnectorError:
            continue  # only a short cut: the one before it, or none, leads there as well
        break
    while (folded.head.version if folded.head else -1) < version:
        first = folded.head.version + 1 if folded.head else 0
        block = read_entries(files, first, min(first + CHECKPOINT_EVERY - 1, version))
        check_chain(folded.head, block)
        folded, last = fold(folded, block), block[-1]
    return folded, last


def last_of_content(files: Files, log: Log, snapshot: Snapshot) -> LogEntry:
    """Return the newest entry that is still about the rows of `snapshot`.

    Entries that change a label or record a decision come after the rows that they are about.
    """
    last = snapshot.entry
    for version in range(snapshot.head.version + 1, log.head.version + 1):
        entry = read_entry(files, version).entry
        if entry.added or entry.removed or shape_of(entry) != shape_of(last):
            break
        last = entry
    return last


def content_version(log: Log) -> str:
    """Return the name of the rows: `<version>:<16 hex>` of the entry that last changed them.

    Entries that change a label or another field of the log only do not change it.
    """
    return f"{log.content.version}:{log.content.digest[:_PIN_DIGITS]}"


def pinned(files: Files, log: Log, version: str) -> Snapshot:
    """Return the dataset at a version as `content_version` or a person spells it.

    Raises:
        ConnectorError: LOG141, permanent: no such version, or another digest than asked for.
    """
    if (match := _PIN.fullmatch(version)) is None:
        raise refusal("LOG141", f"{version!r} is not a version; versions are numbers.")
    snapshot = snapshot_at(files, log, int(match[1]))
    if match[2] is not None and not snapshot.head.digest.startswith(match[2]):
        detail = f"Version {match[1]} of {files.location} is another than {version}."
        raise refusal("LOG141", detail)
    return snapshot
