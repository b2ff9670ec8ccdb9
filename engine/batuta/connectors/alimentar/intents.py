"""Intents: what a run is about to do to files, written before it does it.

After a crash they say which files are whose, so that nothing is guessed from names or times. Who
cleans up after a run takes its intent away first, so that the run, if it lives, cannot commit.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from batuta.connectors.alimentar.entry import Intent, decode_intent, digest_of, encode
from batuta.connectors.alimentar.faults import fault
from batuta.connectors.alimentar.names import STAGING, is_part_name
from batuta.model.canonical import digest
from batuta.model.connector import Files
from batuta.model.diagnostic import CommitConflict, ConnectorError
from batuta.model.log import LogEntry, Part

SUFFIX = ".intent.json"
FENCED = ".fenced.json"

# Only one run at a time may give a path another content. No staging folder has this name.
_EXCLUSIVE = f"{STAGING}~replacing{SUFFIX}"

# A store may keep a PUT whose body was cut. Its sender never goes on: what is refused is not
# announced, and a commit asks for its own intent again. No request for these few bytes is still
# under way after this time, which is counted on the store's own clock.
TORN_AFTER_S = 60


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


def standing_intents(files: Files) -> dict[str, Intent]:
    """Return the intents that may still be committed, by path; those that do not parse aside."""
    return {path: intent for path, intent in all_intents(files).items() if path.endswith(SUFFIX)}


def all_intents(files: Files) -> dict[str, Intent]:
    """Return the intents that lie in `_staging/`, by path, also those that are being taken back.

    Those that do not parse are left out.
    """
    found = {}
    for info in files.list(STAGING, recursive=False):
        if not info.path.endswith((SUFFIX, FENCED)):
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


def fence(files: Files, found: Mapping[str, Intent]) -> dict[str, Intent]:
    """Take intents away from the runs that wrote them; return them by their new paths.

    From then on those runs cannot commit. One whose run has come to its end meanwhile is gone.
    """
    fenced = {}
    for path, intent in found.items():
        aside = f"{STAGING}{intent.run}~{digest_of(encode(intent))[:16]}{FENCED}"
        if path.endswith(FENCED):
            aside = path
        elif not _moved(files, path, aside):
            continue
        fenced[aside] = intent
    return fenced


def _moved(files: Files, path: str, aside: str) -> bool:
    try:
        files.move([(path, aside)])
    except (FileNotFoundError, ConnectorError):
        if files.size(path) is not None:
            raise
        return files.size(aside) is not None
    return True


def write_intent(files: Files, intent: Intent) -> str:
    """Write `intent` and return its path.

    Where keys get content, at most one intent exists at a time, and none while another is being
    taken back. One that was cut while it was written makes way once it is old enough to be nobody's.

    Raises:
        CommitConflict: LOG107: another run's intent is in the way.
    """
    path = _path(intent)
    _claim(files, path, intent)
    fenced = [p for p in all_intents(files) if p.endswith(FENCED)] if path == _EXCLUSIVE else []
    if fenced:
        files.delete([path])
        detail = f"{files.location}: somebody cleans up after a dead run; {fenced[0]} says what."
        raise CommitConflict(fault("LOG107", detail))
    return path


def _claim(files: Files, path: str, intent: Intent) -> None:
    """Create the intent at `path`, unless it is there already."""
    content = encode(intent)
    if not _created(files, path, content):
        try:
            found = files.read(path)
            there = decode_intent(found, name=path)
        except FileNotFoundError:
            raise _in_the_way(files, path, "a run that just ended") from None
        except ConnectorError:
            if not _is_torn(found):
                raise _in_the_way(files, path, "a run of another batuta") from None
            _make_way(files, path, found, intent.run)
            if not _created(files, path, content):
                raise _in_the_way(files, path, "a run that just began") from None
            return
        if not is_mine(there, intent):
            raise _in_the_way(files, path, there.run)


def _created(files: Files, path: str, content: bytes) -> bool:
    """Create `path`; False where it is there already."""
    try:
        files.create(path, content)
    except FileExistsError:
        return False
    return True


def _in_the_way(files: Files, path: str, whose: str) -> CommitConflict:
    detail = f"{files.location}: {whose} is about to commit or has died; {path} says what."
    return CommitConflict(fault("LOG107", detail))


def _is_torn(content: bytes) -> bool:
    """True for what is no whole document of any version: nothing, or the beginning of one."""
    try:
        json.loads(content)
    except ValueError:
        return True
    return False


def _make_way(files: Files, path: str, torn: bytes, run: str) -> None:
    """Delete the torn intent at `path` where it is old; nothing else is touched.

    Raises:
        CommitConflict: LOG107: it may still be written, or is another by now.
    """
    age_s = _age_s(files, path, run)
    if age_s is None or age_s < TORN_AFTER_S:
        detail = (
            f"{files.location.rstrip('/')}/{path} was cut while it was written ({len(torn)} bytes) "
            f"and says nothing. An apply {TORN_AFTER_S} s after that takes it away; "
            "deleting this one file by hand does as well."
        )
        raise CommitConflict(fault("LOG107", detail))
    if files.read(path) != torn:
        raise _in_the_way(files, path, "a run that just began")
    files.delete([path])


def _age_s(files: Files, path: str, run: str) -> float | None:
    """Return how long `path` lies there by the store's own clock, None where it tells no times."""
    probe = f"{STAGING}{run}.time-probe"
    files.delete([probe])
    files.create(probe, b"")
    try:
        times = {info.path: info.modified_ns for info in files.list(STAGING, recursive=False)}
    finally:
        files.delete([probe])
    then, now = times.get(path, 0), times.get(probe, 0)
    return (now - then) / 1e9 if then and now else None


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
