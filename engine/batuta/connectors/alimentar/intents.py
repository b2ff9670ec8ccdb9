"""Intents: what a run is about to do to files, written before it does it.

After a crash they say which files are whose, so that nothing is guessed from names or times.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from batuta.connectors.alimentar.entry import Intent, decode_intent, encode
from batuta.connectors.alimentar.faults import fault
from batuta.connectors.alimentar.names import STAGING, is_part_name
from batuta.model.canonical import digest
from batuta.model.connector import Files
from batuta.model.diagnostic import CommitConflict, ConnectorError
from batuta.model.log import LogEntry, Part

SUFFIX = ".intent.json"

# Only one run at a time may give a path another content. No staging folder has this name.
_EXCLUSIVE = f"{STAGING}~replacing{SUFFIX}"


def intent_of(
    entry: LogEntry, before: Mapping[str, Part], *, work: str, revived: Sequence[str]
) -> Intent | None:
    """Return what the commit of `entry` on the parts `before` does; None where it moves nothing.

    A part that stays under its path with the same content is not part of it.
    """
    stays = {p.path for p in entry.added if is_same(before.get(p.path), p)}
    added = tuple(part for part in entry.added if part.path not in stays)
    removed = tuple(before[path] for path in entry.removed if path not in stays)
    if not added and not removed:
        return None
    return Intent(
        run=work, version=entry.version, added=added, removed=removed, revived=tuple(revived)
    )


def is_same(current: Part | None, part: Part) -> bool:
    """True where `current` is `part`'s content under its path."""
    return current is not None and current.sha256 == part.sha256


def work_name(entry: LogEntry, staged: Sequence[tuple[str, str]]) -> str:
    """Return the name of the folder that the files come from, or one that the entry gives."""
    if staged:
        return PurePath(staged[0][0]).parent.name or "staged"
    return "commit-" + digest([entry.version, [part.sha256 for part in entry.added]])[:16]


def all_intents(files: Files) -> dict[str, Intent]:
    """Return the intents that lie in `_staging/`, by path; those that do not parse are left out."""
    found = {}
    for info in files.list(STAGING, recursive=False):
        if not info.path.endswith(SUFFIX):
            continue
        try:
            found[info.path] = decode_intent(files.read(info.path), name=info.path)
        except (FileNotFoundError, ConnectorError):
            continue  # ended meanwhile, or swept as any other leftover
    return found


def is_mine(found: Intent, mine: Intent) -> bool:
    """True where both are the same work on the same version, whoever began it."""
    return (found.version, found.added, found.removed) == (
        mine.version,
        mine.added,
        mine.removed,
    )


def is_same_work(found: Intent, mine: Intent) -> bool:
    """True where `found` is a try of `mine`, which may have met old contents that were spoilt."""
    same = (found.version, found.added) == (mine.version, mine.added)
    return same and set(found.removed) <= set(mine.removed)


def write_intent(files: Files, intent: Intent) -> str:
    """Write `intent` and return its path.

    Where keys get content, at most one intent exists at a time.

    Raises:
        CommitConflict: LOG107: another run's intent is in the way.
    """
    path = _path(intent)
    content = encode(intent)
    try:
        files.create(path, content)
    except FileExistsError:
        try:
            there = decode_intent(files.read(path), name=path)
        except (FileNotFoundError, ConnectorError):
            there = None
        if there is not None and is_mine(there, intent):
            return path
        whose = there.run if there else "a run that just ended"
        detail = f"{files.location}: {whose} is about to commit or has died; {path} says what."
        raise CommitConflict(fault("LOG107", detail)) from None
    return path


def is_standing(files: Files, path: str, intent: Intent) -> bool:
    """True while nobody has cleaned up after the run of `intent`."""
    try:
        content = files.read(path)
        return content == encode(intent) or is_mine(decode_intent(content, name=path), intent)
    except (FileNotFoundError, ConnectorError):
        return False


def _path(intent: Intent) -> str:
    keyed = intent.replaced or not all(is_part_name(part.path) for part in intent.added)
    return _EXCLUSIVE if keyed else f"{STAGING}{intent.run}{SUFFIX}"
