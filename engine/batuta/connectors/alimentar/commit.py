"""One commit: files first, then the entry that names them, then history.

The order, and what a crash after each step leaves:

1. the intent is written: nothing has changed;
2. old contents of replaced keys go to history: readers of the log find them there;
3. new files are published: files that no entry names, listed in the intent;
4. the entry is created, exclusively: the new snapshot is there, whole; its signature, where
   there is a key, is staged before and put beside it after;
5. superseded parts go to history, the intent goes: order, and nothing else.

Up to 4 `recover` takes all of it back, from 4 on it finishes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from batuta.connectors.alimentar.entry import Intent
from batuta.connectors.alimentar.faults import fault, refusal
from batuta.connectors.alimentar.fold import Fold, Logged, fold
from batuta.connectors.alimentar.intents import (
    intent_of,
    is_same,
    is_same_work,
    is_standing,
    standing_intents,
    work_name,
    write_intent,
)
from batuta.connectors.alimentar.log import Log, next_place, open_log, write_checkpoint
from batuta.connectors.alimentar.mend import set_spoilt_aside
from batuta.connectors.alimentar.names import check_keys, entry_name, is_part_name
from batuta.connectors.alimentar.place import many_in_history, sizes_of
from batuta.connectors.alimentar.sealing import drop_staged, place_seal, stage_seal
from batuta.connectors.alimentar.settle import retire, set_aside, undo, undo_late
from batuta.connectors.alimentar.unsettled import after_entry, append_surely
from batuta.model.connector import Files
from batuta.model.diagnostic import BatutaError, CommitConflict
from batuta.model.log import Head, LogEntry
from batuta.model.seal import Sign

Staged = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A commit that is announced: its entry, and the intent at `path` unless no file moves.

    `mended` are paths that keep their content by the log, and get it back by this commit.
    """

    log: Log | None
    entry: LogEntry
    intent: Intent | None
    path: str = ""
    mended: frozenset[str] = frozenset()

    @property
    def published(self) -> frozenset[str]:
        """The paths that get a content."""
        moving = self.intent.added if self.intent is not None else ()
        return self.mended.union(part.path for part in moving)


def commit(
    files: Files,
    log: Log | None,
    draft: LogEntry,
    base: Head | None,
    staged: Staged = (),
    *,
    sign: Sign | None = None,
    mend: bool = False,
) -> Log:
    """Publish `staged` and commit `draft` on top of `base`; return the log with it.

    `log` is the log as it was opened. Version and parent of the draft are filled in, and paths
    that it adds anew are counted among its `removed`. `staged` pairs (local file, path);
    added parts that are not in it are taken out of history, or lie in place already. With
    `mend` the parts that it replaces are hashed: those that stay are put right from `staged`,
    and no spoilt one becomes history.

    Raises:
        CommitConflict: LOG106, LOG107 or LOG108: another run was first; nothing is visible.
        CommitUnsettled: LOG114: the entry is there, or may be; recovery does the rest.
        BatutaError: LOG111, LOG112, LOG113: names that cannot be used, all of them.
        ConnectorError: LOG109, LOG121: the draft names what is not there.
    """
    pending = announce(files, log, draft, base, staged, mend=mend)
    wanted = pending.published
    if wanted:
        try:
            files.publish([pair for pair in staged if pair[1] in wanted])
        except (BatutaError, OSError):
            if (taken := _taken_away(files, pending)) is None:
                raise
            give_up(files, pending)
            raise taken from None  # its files are gone because somebody cleaned up after it
    return conclude(files, pending, sign)


def announce(
    files: Files,
    log: Log | None,
    draft: LogEntry,
    base: Head | None,
    staged: Staged = (),
    *,
    mend: bool = False,
) -> Pending:
    """Do all of a commit that comes before publishing; uploads start after it.

    Doing it again for the same draft takes up the same intent.

    Raises:
        BatutaError: as `commit`.
    """
    if (log.head if log else None) != base:
        now = f"version {log.head.version}" if log else "no log"
        was = f"version {base.version}" if base else "no log"
        detail = f"{files.location} has {now} now; this commit was made for {was}."
        raise CommitConflict(fault("LOG106", detail))
    before = log.folded if log else Fold()
    entry = _placed(draft, before, base)
    fold(before, (Logged(Head(entry.version, ""), entry),))
    paths = {path for _, path in staged}
    revived = _in_history_only(files, entry, before, paths)
    mended = _mended(files, entry, before, paths) if mend else frozenset()
    intent = intent_of(entry, before.parts, work=work_name(entry, staged), revived=revived)
    if intent is None:
        return Pending(log=log, entry=entry, intent=None, mended=mended)
    if log is None:
        files.prepare()
    path, earlier = next(
        ((p, i) for p, i in standing_intents(files).items() if is_same_work(i, intent)),
        ("", None),
    )
    if earlier is not None:
        # A try of the same work died, or announced itself: it knows what was in history, and
        # which old contents were there at all.
        intent = earlier
    else:
        _check_in_place(files, intent, paths)
        _check_names(files, intent, before, paths)
        if mend:
            spoilt = set_spoilt_aside(files, intent.removed)
            whole = tuple(part for part in intent.removed if part.path not in spoilt)
            intent = replace(intent, removed=whole)
        path = write_intent(files, intent)
    pending = Pending(log=log, entry=entry, intent=intent, path=path, mended=mended)
    if files.size(entry_name(entry.version)) is not None:
        give_up(files, pending)
        detail = f"{files.location}: version {entry.version} is another run's."
        raise CommitConflict(fault("LOG106", detail))
    set_aside(files, intent)
    return pending


def conclude(files: Files, pending: Pending, sign: Sign | None = None) -> Log:
    """Do all of a commit that comes after publishing; with `sign` the entry is signed.

    Raises:
        CommitConflict: LOG106: another run has the version; LOG108: another run has cleaned
            up after this one. What was published is taken back.
        CommitUnsettled: LOG114: what comes after the entry was refused, or nobody knows whether
            the entry is there. The intent stays, so that recovery settles it.
    """
    intent = pending.intent
    log = write_checkpoint(files, pending.log) if pending.log else None
    waiting = stage_seal(files, pending.entry, _work(pending), sign)
    try:
        committed = append_surely(files, log, pending.entry, lambda: _stand(files, pending))
    except CommitConflict:
        drop_staged(files, waiting)
        give_up(files, pending)
        raise
    with after_entry(files, f"version {committed.head.version} is there"):
        place_seal(files, waiting)
        committed = write_checkpoint(files, committed)
        if intent is not None:
            retire(files, intent.superseded)
            files.delete([pending.path])
    return committed


def _stand(files: Files, pending: Pending) -> None:
    """Check that nobody cleans up after this run, which takes its files away."""
    if (taken := _taken_away(files, pending)) is not None:
        raise taken


def _taken_away(files: Files, pending: Pending) -> CommitConflict | None:
    if pending.intent is None or is_standing(files, pending.path, pending.intent):
        return None
    detail = f"{files.location}: {pending.path} was removed before the commit."
    return CommitConflict(fault("LOG108", detail))


def _work(pending: Pending) -> str:
    return pending.intent.run if pending.intent else work_name(pending.entry, ())


def give_up(files: Files, pending: Pending) -> None:
    """Take back what an announced commit published; the head that is there now stays whole."""
    if not pending.published:
        return
    log = open_log(files)
    current = log.folded.parts if log else {}
    # What was put right and is current no more would be left over.
    files.delete([path for path in pending.mended if path not in current])
    if pending.intent is None:
        return
    others = spared_paths(standing_intents(files), without=pending.path)
    if is_standing(files, pending.path, pending.intent):
        undo(files, current, pending.intent, others)
        files.delete([pending.path])
        return
    # Whoever took the intent away takes back what was done by then; this may have come after it.
    undo_late(files, current, pending.intent, others)


def spared_paths(intents: dict[str, Intent], *, without: str = "") -> frozenset[str]:
    """Return the paths that these intents, one aside, are about."""
    return frozenset(
        part.path
        for path, intent in intents.items()
        if path != without
        for part in (*intent.added, *intent.removed)
    )


def _placed(draft: LogEntry, before: Fold, base: Head | None) -> LogEntry:
    version, parent = next_place(base)
    removed = dict.fromkeys(draft.removed)
    removed.update(dict.fromkeys(p.path for p in draft.added if p.path in before.parts))
    return replace(draft, version=version, parent=parent, removed=tuple(removed))


def _mended(files: Files, entry: LogEntry, before: Fold, staged: set[str]) -> frozenset[str]:
    """Set aside what lies in the place of parts that stay, and return those to publish again."""
    stays = [
        part
        for part in entry.added
        if part.path in staged and is_same(before.parts.get(part.path), part)
    ]
    return set_spoilt_aside(files, stays)


def _in_history_only(
    files: Files, entry: LogEntry, before: Fold, staged: set[str]
) -> tuple[str, ...]:
    wanted = [
        part
        for part in entry.added
        if part.path not in staged and not is_same(before.parts.get(part.path), part)
    ]
    kept = many_in_history(files, wanted)
    return tuple(part.path for part in wanted if part.path in kept)


def _check_in_place(files: Files, intent: Intent, staged: set[str]) -> None:
    """Check that parts which are neither staged nor revived were uploaded, whole."""
    elsewhere = staged | set(intent.revived)
    placed = [part for part in intent.added if part.path not in elsewhere]
    if not placed:
        return
    replaced = {part.path for part in intent.replaced}
    if over := [part.path for part in placed if part.path in replaced]:
        # The old content is gone already; only a caller that skipped `announce` does this.
        raise ValueError(f"{over[0]} was uploaded over its old content; announce first")
    sizes = sizes_of(files, [part.path for part in placed])
    for part in placed:
        if sizes.get(part.path) != part.size_bytes:
            raise refusal("LOG121", f"{files.location}: {part.path} was not uploaded whole.")


def _check_names(files: Files, intent: Intent, before: Fold, staged: set[str]) -> None:
    fresh = {
        part.path
        for part in intent.added
        if part.path not in before.parts and not is_part_name(part.path)
    }
    if not fresh:
        return
    stays = before.parts.keys() - {part.path for part in intent.removed}
    problems = check_keys(fresh | stays)
    if not problems:
        clashes = check_keys(fresh | stays, case_sensitive=False)
        problems = clashes if clashes and not _tells_case_apart(files, intent) else ()
    if problems:
        raise BatutaError(*problems)
    wanted = fresh & staged
    in_the_way = sorted(wanted & sizes_of(files, wanted).keys())
    if in_the_way:
        raise BatutaError(
            *(fault("LOG113", f"{files.location}: {path!r} is there.") for path in in_the_way)
        )


def _tells_case_apart(files: Files, intent: Intent) -> bool:
    """Ask the store itself: a file is made, and looked for in another spelling."""
    probe = f"_staging/{intent.run}.case-probe"
    files.delete([probe])
    files.create(probe, b"")
    try:
        files.read(f"_staging/{intent.run}.CASE-PROBE", 1)
    except FileNotFoundError:
        return True
    else:
        return False
    finally:
        files.delete([probe])
