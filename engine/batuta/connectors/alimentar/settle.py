"""The two ends of an intent: finish what was committed, or take back what was not.

Both may be cut short anywhere and done again. Neither ever leaves a content that some version
names without a copy: what goes to history is there before it is gone from the root.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from batuta.connectors.alimentar.entry import Intent
from batuta.connectors.alimentar.intents import is_same
from batuta.connectors.alimentar.names import history_name, is_part_name
from batuta.connectors.alimentar.place import by_path, many_in_history
from batuta.model.connector import Files
from batuta.model.diagnostic import ConnectorError
from batuta.model.log import Part

_CHUNK = 1 << 20


def retire(files: Files, parts: Sequence[Part]) -> None:
    """Bring superseded parts from the root into history; those that are there are done.

    A key's path may hold another run's new content by now: where history has the old one,
    the root is cleared only of that very content.
    """
    kept = many_in_history(files, [part for part in parts if not is_part_name(part.path)])
    _move_present(files, [part for part in parts if part.path not in kept])
    doubled = [part.path for part in parts if part.path in kept and _lies_in_root(files, part)]
    files.delete(doubled)


def set_aside(files: Files, intent: Intent) -> None:
    """Make room before publishing: old contents of replaced keys into history, revived ones out.

    A key that becomes a folder, or lies in one that becomes a key, goes to history as well.

    Until the commit a reader finds the old content of a key in history, where it looks first.
    """
    retire(files, (*intent.replaced, *intent.in_the_way))
    revived = [part for part in intent.added if part.path in set(intent.revived)]
    waiting = many_in_history(files, revived)
    files.move([(history_name(p.path, p.sha256), p.path) for p in revived if p.path in waiting])


def undo(
    files: Files, current: Mapping[str, Part], intent: Intent, spared: frozenset[str]
) -> tuple[str, ...]:
    """Take back an intent whose commit did not come about; return the paths that changed.

    `current` are the parts of the head, which stay as they are. Paths in `spared` belong to
    runs that are alive.
    """
    there = by_path(files.list())
    changed = _put_back_revived(files, current, intent, there)
    new = {part.path: part for part in intent.added}
    for old in intent.replaced:
        kept = history_name(old.path, old.sha256)
        mine = old.path not in current or is_same(current.get(old.path), old)
        if there.get(kept) != old.size_bytes or not mine:
            continue
        if old.path in there:
            files.delete([old.path])
        if old.path in current:
            files.move([(kept, old.path)])
        new.pop(old.path)
        changed.append(old.path)
    changed += _take_back_over_spoilt(files, current, intent)
    left = [path for path in _orphans(intent, current, spared, there) if path in new]
    files.delete(left)
    _put_back(files, current, intent.in_the_way, there)
    return (*changed, *left)


def undo_late(
    files: Files, current: Mapping[str, Part], intent: Intent, spared: frozenset[str]
) -> None:
    """Take back what a run did after somebody else had begun to take back all it had done.

    Both may be at it at once, so nothing is touched that the other one may have put right.
    """
    there = by_path(files.list())
    files.delete(_orphans(intent, current, spared, there))
    old = [part for part in (*intent.replaced, *intent.in_the_way) if part.path not in spared]
    _put_back(files, current, old, there)


def _put_back(
    files: Files, current: Mapping[str, Part], old: Iterable[Part], there: Mapping[str, int]
) -> None:
    """Bring current parts back from history whose places are empty."""
    files.move(
        [
            (kept, part.path)
            for part in old
            if is_same(current.get(part.path), part)
            and part.path not in there
            and there.get(kept := history_name(part.path, part.sha256)) == part.size_bytes
        ]
    )


def _orphans(
    intent: Intent, current: Mapping[str, Part], spared: frozenset[str], there: Mapping[str, int]
) -> list[str]:
    """Return what `intent` published, by a listing, and nothing else names."""
    return [
        part.path
        for part in intent.added
        if part.path not in current
        and part.path not in spared
        and part.path not in intent.revived
        and there.get(part.path) == part.size_bytes
    ]


def _take_back_over_spoilt(files: Files, current: Mapping[str, Part], intent: Intent) -> list[str]:
    """Take new contents out of the places of current parts that were spoilt before: now missing."""
    removed = {part.path for part in intent.removed}
    wrong = [
        part
        for part in intent.added
        if part.path in current
        and part.path not in removed
        and not is_same(current[part.path], part)
        and _lies_in_root(files, part)
    ]
    files.delete([part.path for part in wrong])
    return [part.path for part in wrong]


def _put_back_revived(
    files: Files, current: Mapping[str, Part], intent: Intent, there: dict[str, int]
) -> list[str]:
    """Undo the way out of history; `there` is brought up to date."""
    back, doubled = [], []
    for part in intent.added:
        if part.path not in intent.revived or is_same(current.get(part.path), part):
            continue
        kept = history_name(part.path, part.sha256)
        if there.get(kept) == part.size_bytes:
            if part.path not in current and part.path in there:
                doubled.append(part.path)
        elif there.get(part.path) == part.size_bytes:
            back.append((part.path, kept))
            there[kept] = part.size_bytes
            del there[part.path]
    files.move(back)
    files.delete(doubled)
    for path in doubled:
        del there[path]
    return [path for path, _ in back] + doubled


def _move_present(files: Files, parts: Sequence[Part]) -> None:
    """Move parts into history, also where somebody took some of them away."""
    pairs = [(part.path, history_name(part.path, part.sha256)) for part in parts]
    try:
        files.move(pairs)
    except (FileNotFoundError, ConnectorError):
        left = [pair for pair in pairs if files.size(pair[0]) is not None]
        if len(left) == len(pairs):
            raise
        files.move(left)


def _lies_in_root(files: Files, part: Part) -> bool:
    try:
        source = files.open(part.path)
    except FileNotFoundError:
        return False
    with source:
        if source.size() != part.size_bytes:
            return False
        hasher = hashlib.sha256()
        while chunk := source.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest() == part.sha256
