"""Opening a dataset's log: the newest checkpoint and the entries after it, at most 64 of them.

The commit of an entry is the exclusive creation of its file. Everything else here is read.
"""

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

from batuta.connectors.alimentar import names
from batuta.connectors.alimentar.entry import (
    MAX_BYTES,
    decode_checkpoint,
    decode_entry,
    digest_of,
    encode,
)
from batuta.connectors.alimentar.faults import fault, refusal
from batuta.connectors.alimentar.fold import Fold, Logged, fold, from_checkpoint, to_checkpoint
from batuta.model.connector import Files
from batuta.model.dataset import HeadRelation
from batuta.model.diagnostic import CommitConflict, ConnectorError, Diagnostic
from batuta.model.log import Head, LogEntry, Snapshot

CHECKPOINT_EVERY = 64
# Two bad checkpoints in a row mean that none is trusted: the entries themselves are read.
_BAD_CHECKPOINTS = 2
_READERS = 8
_FEW = 4
_SHOWN_GAPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """An opened log, of at least one entry.

    `folded` is the dataset at `head`, `base` the one before `tail`, the newest entries.
    `checkpoints` are the versions that have one, ascending, broken ones aside. `problems`
    are faults that do not keep the head from being read, such as a gap in old entries.
    """

    head: Head
    entry: LogEntry
    folded: Fold
    base: Fold
    tail: tuple[Logged, ...]
    checkpoints: tuple[int, ...] = ()
    problems: tuple[Diagnostic, ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        """The dataset as it is now, parts in row order."""
        return Snapshot(head=self.head, entry=self.entry, parts=tuple(self.folded.parts.values()))

    @property
    def content(self) -> Head:
        """The newest entry that changed rows or schema."""
        return self.folded.content or self.head


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNames:
    """The files of `_log/`: versions of entries, checkpoints and signatures, ascending; the rest."""

    entries: tuple[int, ...]
    checkpoints: tuple[int, ...]
    seals: tuple[int, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[int, ...]:
        """Versions that must have an entry and have none, the first ones of them."""
        last = max((*self.entries[-1:], *self.checkpoints[-1:]), default=-1)
        if len(self.entries) == last + 1:
            return ()
        there = set(self.entries)
        return tuple(islice((v for v in range(last + 1) if v not in there), _SHOWN_GAPS))


def log_names(files: Files) -> LogNames:
    """List `_log/`; all is empty where there is none.

    Raises:
        ConnectorError: LOG101, permanent: a file is too large to be an entry.
    """
    entries: list[int] = []
    checkpoints: list[int] = []
    seals: list[int] = []
    strangers: list[str] = []
    for info in files.list(names.LOG):
        if info.size_bytes > MAX_BYTES:
            raise refusal("LOG101", f"{info.path} has more than {MAX_BYTES} bytes.")
        if (version := names.entry_version(info.path)) is not None:
            entries.append(version)
        elif (version := names.checkpoint_version(info.path)) is not None:
            checkpoints.append(version)
        elif (version := names.seal_version(info.path)) is not None:
            seals.append(version)
        else:
            strangers.append(info.path)
    return LogNames(
        entries=tuple(sorted(entries)),
        checkpoints=tuple(sorted(checkpoints)),
        seals=tuple(sorted(seals)),
        strangers=tuple(strangers),
    )


def open_log(files: Files) -> Log | None:
    """Return the log as it is now, None where the folder has none.

    Reads the newest checkpoint and at most 64 entries, and checks that each names the one
    before. What lies before the checkpoint is `verify`'s to check.

    Raises:
        ConnectorError: permanent. LOG101, LOG102, LOG103, LOG104 or LOG109: the head cannot be
            read.
    """
    listed = log_names(files)
    if not listed.entries and not listed.checkpoints:
        return None
    head = listed.entries[-1] if listed.entries else -1
    if listed.checkpoints and listed.checkpoints[-1] > head:
        missing = names.entry_name(listed.checkpoints[-1])
        raise refusal("LOG103", f"{missing} is not there any more, but its checkpoint is.")
    base, block, good, problems = _newest_base(files, listed)
    folded = base
    while block[-1].head.version < head:
        base = folded = fold(folded, block)
        after = block[-1].head
        block = read_entries(files, after.version + 1, min(after.version + CHECKPOINT_EVERY, head))
        check_chain(after, block)
    at_checkpoint = block[-1].head == base.head
    problems += [
        fault("LOG103", f"{names.entry_name(gap)} is not there any more.") for gap in listed.gaps
    ]
    return Log(
        head=block[-1].head,
        entry=block[-1].entry,
        folded=folded if at_checkpoint else fold(folded, block),
        base=base,
        tail=() if at_checkpoint else block,
        checkpoints=good,
        problems=tuple(problems),
    )


def read_entry(files: Files, version: int) -> Logged:
    """Read one entry.

    Raises:
        ConnectorError: permanent. LOG103: it is not there; else as `decode_entry`.
    """
    name = names.entry_name(version)
    try:
        content = files.read(name)
    except FileNotFoundError as error:
        raise refusal("LOG103", f"{name} is not there.") from error
    entry = decode_entry(content, name=name, version=version)
    return Logged(Head(version, digest_of(content)), entry)


def read_entries(files: Files, first: int, last: int) -> tuple[Logged, ...]:
    """Read the entries from `first` to `last`, both included, several at a time."""
    versions = range(first, last + 1)
    if len(versions) <= _FEW:
        return tuple(read_entry(files, version) for version in versions)
    with ThreadPoolExecutor(_READERS) as pool:
        return tuple(pool.map(lambda version: read_entry(files, version), versions))


def check_chain(before: Head | None, entries: Sequence[Logged]) -> None:
    """Check that each entry names the digest of the one before.

    Raises:
        ConnectorError: LOG104, permanent, naming the entry whose bytes are not the ones that
            its successor was written after.
    """
    for logged in entries:
        parent = before.digest if before else None
        if logged.entry.parent != parent:
            changed = names.entry_name(logged.head.version - 1)
            detail = f"{names.entry_name(logged.head.version)} follows another {changed}."
            raise refusal("LOG104", detail)
        before = logged.head


def read_checkpoint(files: Files, version: int) -> Fold:
    """Read one checkpoint, as a claim.

    Raises:
        ConnectorError: permanent, LOG101, LOG102 or LOG105: it cannot be read.
    """
    name = names.checkpoint_name(version)
    try:
        content = files.read(name)
    except FileNotFoundError as error:
        raise refusal("LOG105", f"{name} is not there any more.") from error
    return from_checkpoint(decode_checkpoint(content, name=name, version=version))


def write_checkpoint(files: Files, log: Log) -> Log:
    """Write the checkpoint of the head where one is due; else do nothing.

    Doing it twice, or by two at once, leaves one: its bytes follow from the entries.
    """
    newest = log.checkpoints[-1] if log.checkpoints else -1
    if log.head.version - newest < CHECKPOINT_EVERY:
        return log
    name = names.checkpoint_name(log.head.version)
    content = encode(to_checkpoint(log.folded))
    try:
        files.create(name, content)
    except FileExistsError:
        if files.read(name) != content:
            # A broken or forged one is in the place of a derived file; ours is the right one.
            files.delete([name])
            files.create(name, content)
    checkpoints = (*log.checkpoints, log.head.version)
    return replace(log, base=log.folded, tail=(), checkpoints=checkpoints)


def append(
    files: Files, log: Log | None, entry: LogEntry, check: Callable[[], None] | None = None
) -> Log:
    """Commit `entry` as the next version of `log` (None: as version 0), if `check` lets it.

    An entry that is there already with the very same bytes was written by an earlier try of
    the same run, and is a success.

    Raises:
        CommitConflict: LOG106: the version is taken. Plan again.
        ConnectorError: LOG109, permanent: the entry contradicts the log.
    """
    before = log.head if log else None
    if (entry.version, entry.parent) != next_place(before):
        raise CommitConflict(fault("LOG106", f"The log is not at version {entry.version - 1}."))
    content = encode(entry)
    logged = Logged(Head(entry.version, digest_of(content)), entry)
    base = log.folded if log else Fold()
    folded = fold(base, (logged,))
    name = names.entry_name(entry.version)
    try:
        files.create(name, content, check=check)
    except FileExistsError:
        if files.read(name) != content:
            detail = f"{files.location}: version {entry.version} is another run's."
            raise CommitConflict(fault("LOG106", detail)) from None
    if log is None:
        return Log(head=logged.head, entry=entry, folded=folded, base=base, tail=(logged,))
    return replace(log, head=logged.head, entry=entry, folded=folded, tail=(*log.tail, logged))


def next_place(head: Head | None) -> tuple[int, str | None]:
    """Return the version and the parent that an entry after `head` has."""
    return (head.version + 1, head.digest) if head else (0, None)


def compare_head(files: Files, recorded: Head | None, live: Log | None) -> HeadRelation:
    """Say how the log lies to the head that the state remembers.

    `same`: the same entry. `descendant`: newer, and every entry in between names the one
    before (or nothing was recorded). `older`: the recorded entry is gone, though what is
    there was not shown to differ. `foreign`: another entry stands in its place. The last two
    may be a rollback; `rollback` words it. Reads the entries since the recorded one.
    """
    if recorded is None:
        return "descendant" if live else "same"
    if live is None or live.head.version < recorded.version:
        return "older"
    if live.head == recorded:
        return "same"
    try:
        entries = read_entries(files, recorded.version, live.head.version)
        check_chain(recorded, entries[1:])
    except ConnectorError:
        return "foreign"
    same_ends = entries[0].head == recorded and entries[-1].head == live.head
    return "descendant" if same_ends and live.head.version > recorded.version else "foreign"


def rollback(location: str, recorded: Head, live: Head | None) -> Diagnostic:
    """Word what `compare_head` found where it answers `older` or `foreign`."""
    now = f"version {live.version} ({live.digest[:12]})" if live else "no log at all"
    detail = (
        f"{location} was at version {recorded.version} ({recorded.digest[:12]}) when batuta "
        f"last wrote it or looked; now it has {now}, which does not follow from that."
    )
    accept = shlex.join(["batuta", "data", "verify", location, "--accept-head", "REASON"])
    fix = f"If this is wanted, run `{accept}`; else bring the log back from a copy."
    return fault("LOG131", detail, fix=fix)


def _newest_base(
    files: Files, listed: LogNames
) -> tuple[Fold, tuple[Logged, ...], tuple[int, ...], list[Diagnostic]]:
    """Return the newest fold that the entries bear out, the entries after it, and the rest.

    Where the newest entry is the folded one it is returned itself.
    """
    head = listed.entries[-1]
    problems: list[Diagnostic] = []
    good = listed.checkpoints
    while good and len(problems) < _BAD_CHECKPOINTS:
        version = good[-1]
        try:
            base = read_checkpoint(files, version)
        except ConnectorError as error:
            why = error.diagnostics[0].detail
        else:
            block = read_entries(
                files, min(version + 1, head), min(version + CHECKPOINT_EVERY, head)
            )
            if _joins(base, block):
                check_chain(block[0].head, block[1:])
                return base, block, good, problems
            why = "it folds another chain of entries."
        problems.append(fault("LOG105", f"{names.checkpoint_name(version)} is not used: {why}"))
        good = good[:-1]
    block = read_entries(files, 0, min(CHECKPOINT_EVERY - 1, head))
    check_chain(None, block)
    return Fold(), block, (), problems


def _joins(base: Fold, block: tuple[Logged, ...]) -> bool:
    first = block[0]
    if base.head is None or first.head.version == base.head.version:
        return first.head == base.head
    return first.entry.parent == base.head.digest
