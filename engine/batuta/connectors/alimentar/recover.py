"""After a death at any point: finish what was committed, take back what was not, sweep staging.

Only what an intent or the log names is touched. Doing it twice changes nothing more.

A run of another state may be alive though it looks dead from here. So its intent is taken away
first, and with it all drafts of entries; only then the log is asked what was committed. On a file
system the run cannot commit any more by then, since it looks for its intent when its draft lies
there already. An object store has no drafts: there a commit may still come for as long as one PUT
takes that was begun before the intent was taken away, its repeats included.
"""

import re

from batuta.connectors.alimentar.commit import spared_paths
from batuta.connectors.alimentar.entry import Intent
from batuta.connectors.alimentar.fold import fold
from batuta.connectors.alimentar.intents import SUFFIX, all_intents, fence, is_same
from batuta.connectors.alimentar.log import Log, open_log, read_entry, write_checkpoint
from batuta.connectors.alimentar.names import STAGING, WORK, history_name
from batuta.connectors.alimentar.place import by_path
from batuta.connectors.alimentar.sealing import place_staged, work_of_staged
from batuta.connectors.alimentar.settle import retire, undo
from batuta.model.connector import Files
from batuta.model.log import Part

_COPY = re.compile(r"(?:.*/)?\._batuta-[0-9a-f]{32}", re.DOTALL)
_DRAFT = re.compile(r"_staging/\.[0-9a-f]{32}")


def recover(files: Files, alive: frozenset[str]) -> tuple[str, ...]:
    """Bring the folder in order after runs that died; return one sentence per thing done.

    `alive` are names in `_staging/` that are still worked with, or will be taken up again:
    they stay, and so does what their intents are about. Empty where all was in order.

    Raises:
        ConnectorError: the log's head cannot be read; then nothing was touched.
    """
    staged = [info.path for info in files.list(STAGING)]
    log = open_log(files)
    if not staged and log is None:
        return ()
    intents = all_intents(files) if staged else {}
    living = {p: i for p, i in intents.items() if i.run in alive and p.endswith(SUFFIX)}
    dead = fence(files, {p: intent for p, intent in intents.items() if p not in living})
    if dead:
        _drop_drafts(files)
        log = open_log(files)
    spared = spared_paths(living)
    done: list[str] = []
    committed = {path for path, intent in dead.items() if _is_committed(files, log, intent)}
    # What was committed first, so that a taking back sees every content at its place.
    for path in sorted(dead, key=lambda path: (path not in committed, path)):
        done += (
            _finished(files, log, dead[path], spared)
            if path in committed
            else _taken_back(files, log, dead[path], spared)
        )
        files.delete([path])
    if log is not None:
        done += _leftovers(files, log, spared)
        if write_checkpoint(files, log) is not log:
            done.append(f"Wrote the checkpoint of version {log.head.version}.")
    seals = [p for p in staged if work_of_staged(p) is not None and _work_of(p) not in alive]
    done += place_staged(files, seals, log)
    known = {*intents, *dead}
    swept = [path for path in staged if path not in known and _work_of(path) not in alive]
    files.delete(swept)
    swept = [path for path in swept if path not in seals]
    swept += _cut_short(files, log) if staged else []
    if swept:
        done.append(f"Removed {len(swept)} staging files of runs that died.")
    return tuple(done)


def _drop_drafts(files: Files) -> None:
    """Delete the drafts of `Files.create`, so that none of a fenced run becomes an entry."""
    listed = files.list(STAGING, recursive=False) if files.moves else ()
    files.delete([info.path for info in listed if _DRAFT.fullmatch(info.path)])


def _cut_short(files: Files, log: Log | None) -> list[str]:
    """Delete copies that had not got their names where the folder crosses file systems."""
    current = log.folded.parts if log is not None else {}
    listed = files.list() if files.moves else ()
    found = [info.path for info in listed if _COPY.fullmatch(info.path)]
    found = [path for path in found if path not in current]
    files.delete(found)
    return found


def _is_committed(files: Files, log: Log | None, intent: Intent) -> bool:
    if log is None or log.head.version < intent.version:
        return False
    if log.head.version == intent.version:
        entry = log.entry
    else:
        entry = read_entry(files, intent.version).entry
    named = {part.path: part.sha256 for part in entry.added}
    return all(named.get(part.path) == part.sha256 for part in intent.added) and {
        part.path for part in intent.removed
    } <= set(entry.removed)


def _finished(files: Files, log: Log | None, intent: Intent, spared: frozenset[str]) -> list[str]:
    current = log.folded.parts if log else {}
    old = [p for p in intent.superseded if p.path not in current and p.path not in spared]
    moved = _retire_present(files, old)
    return [f"Moved {moved} superseded files of version {intent.version} to history."]


def _taken_back(files: Files, log: Log | None, intent: Intent, spared: frozenset[str]) -> list[str]:
    changed = undo(files, log.folded.parts if log else {}, intent, spared)
    return [
        f"Took back {len(changed)} files that {intent.run} had published for version "
        f"{intent.version}, which was never committed."
    ]


def _leftovers(files: Files, log: Log, spared: frozenset[str]) -> list[str]:
    """Retire what the newest entries removed and what still lies in the root.

    Intents do this; where somebody emptied `_staging/` by hand, only the log can tell.
    """
    current = log.folded.parts
    before = log.base
    old: dict[tuple[str, str], Part] = {}
    for logged in log.tail:
        for path in logged.entry.removed:
            part = before.parts.get(path)
            if part is not None and path not in current and path not in spared:
                old[path, part.sha256] = part
        if logged.entry.removed or logged.entry.added:
            before = fold(before, (logged,))
    moved = _retire_present(files, list(old.values())) if old else 0
    return [f"Moved {moved} superseded files to history."] if moved else []


def _retire_present(files: Files, old: list[Part]) -> int:
    """Retire those that lie in the root with their size; return how many."""
    there = by_path(files.list())
    left = [part for part in old if there.get(part.path) == part.size_bytes]
    lost = {part.path for part in left if _is_doubtful(part, left, there)}
    retire(files, [part for part in left if part.path not in lost])
    return len(left) - len(lost)


def _is_doubtful(part: Part, left: list[Part], there: dict[str, int]) -> bool:
    """True where two contents of one path may be meant, and history lacks this one."""
    rivals = [other for other in left if other.path == part.path and not is_same(other, part)]
    return bool(rivals) and history_name(part.path, part.sha256) not in there


def _work_of(path: str) -> str:
    if (work := work_of_staged(path)) is not None:
        return work
    inside = path.removeprefix(STAGING).removeprefix(WORK)
    return inside.partition("/")[0].removesuffix(SUFFIX)
