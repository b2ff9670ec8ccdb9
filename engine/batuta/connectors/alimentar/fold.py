"""Folding log entries: which parts are current after them. Values only; nothing is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from batuta.connectors.alimentar.entry import Checkpoint
from batuta.connectors.alimentar.faults import fault
from batuta.model.canonical import Json, digest
from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.log import Head, LogEntry, Part


class Logged(NamedTuple):
    """An entry as it lies in the log: with the digest of its bytes."""

    head: Head
    entry: LogEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """The dataset after some entries. `head` and `content` are None before the first.

    `parts` is in row order. `content` is the newest entry that changed rows or schema; it
    names the content, where `head` also moves with labels and other fields of the log.
    """

    head: Head | None = None
    content: Head | None = None
    shape: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)


def fold(base: Fold, entries: Iterable[Logged]) -> Fold:
    """Return `base` with `entries` on top.

    Removed parts go first, then the added ones follow at the end: the order of rows.

    Raises:
        ConnectorError: LOG109, permanent: an entry removes what is not there, or adds what is.
    """
    folded, problems = fold_leniently(base, entries)
    if problems:
        raise ConnectorError(problems[0], kind=Failure.PERMANENT)
    return folded


def fold_leniently(base: Fold, entries: Iterable[Logged]) -> tuple[Fold, tuple[Diagnostic, ...]]:
    """Return `base` with `entries` on top, and what contradicts itself on the way."""
    parts = dict(base.parts)
    head, content, shape = base.head, base.content, base.shape
    problems: list[Diagnostic] = []
    for logged in entries:
        entry, head = logged.entry, logged.head
        for path in entry.removed:
            if parts.pop(path, None) is None:
                detail = f"Version {entry.version} removes {path!r}, which is not there."
                problems.append(fault("LOG109", detail))
        for part in entry.added:
            if part.path in parts:
                detail = f"Version {entry.version} adds {part.path!r}, which is there already."
                problems.append(fault("LOG109", detail))
            parts[part.path] = part
        before, shape = shape, shape_of(entry)
        if entry.added or entry.removed or shape != before:
            content = head
    return Fold(head=head, content=content, shape=shape, parts=parts), tuple(problems)


def shape_of(entry: LogEntry) -> str:
    """Return a fingerprint of what decides how the parts are read: format and schema."""
    schema = entry.facts.schema
    columns: Json = (
        None if schema is None else [[c.name, c.type, c.nullable] for c in schema.columns]
    )
    return digest([entry.facts.format, columns])[:16]


def from_checkpoint(checkpoint: Checkpoint) -> Fold:
    """Return what a checkpoint claims."""
    return Fold(
        head=checkpoint.head,
        content=checkpoint.content,
        shape=checkpoint.shape,
        parts={part.path: part for part in checkpoint.parts},
    )


def to_checkpoint(folded: Fold) -> Checkpoint:
    """Return the checkpoint of a fold of at least one entry."""
    if folded.head is None or folded.content is None:
        raise ValueError("a log without entries has no checkpoint")
    return Checkpoint(
        head=folded.head,
        content=folded.content,
        shape=folded.shape,
        parts=tuple(folded.parts.values()),
    )
