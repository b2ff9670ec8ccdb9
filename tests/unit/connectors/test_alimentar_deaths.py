"""Death at every single moment of a commit, for each kind of commit and of aftermath.

The stateful laws wander; this walks every point.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.log import Log, open_log
from batuta.connectors.alimentar.names import STAGING
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.snapshot import snapshot_at
from batuta.connectors.alimentar.verify import verify
from batuta.model.log import LogEntry
from tests.unit.connectors.alimentar_bench import (
    Bench,
    Died,
    Fuse,
    MemoryStore,
    MortalFolder,
    content_of,
    draft,
    part_path,
    stage_all,
)

ONE, TWO = part_path(b"one"), part_path(b"two")
Content = dict[str, bytes]

# Each kind: what there is before, version by version, then what the commit adds and removes,
# and whether its files are staged or come out of history.
KINDS: dict[str, tuple[list[Content], Content, list[str], bool]] = {
    "first parts": ([], {ONE: b"one", TWO: b"two"}, [], True),
    "parts for parts": ([{ONE: b"one"}], {TWO: b"two"}, [ONE], True),
    "a key's content of the same size": ([{"k": b"old", "z": b"z"}], {"k": b"new"}, [], True),
    "a key's content back and forth": ([{"k": b"old"}, {"k": b"new"}], {"k": b"old"}, [], True),
    "two keys swapped": ([{"k": b"1", "l": b"2"}], {"k": b"2", "l": b"1"}, [], True),
    "a key gone and a new one": ([{"k": b"1", "d/l": b"2"}], {"d/m": b"3"}, ["k"], True),
    "a key that became a folder": ([{"a": b"1", "z": b"2"}], {"a/b": b"3"}, ["a"], True),
    "a folder that became a key": (
        [{"a/b/c": b"1", "a/d": b"2"}],
        {"a": b"3"},
        ["a/b/c", "a/d"],
        True,
    ),
    "parts restored": ([{ONE: b"one"}, {TWO: b"two"}], {ONE: b"one"}, [TWO], False),
    "a key restored": ([{"k": b"old"}, {"k": b"new"}], {"k": b"old"}, [], False),
    "a key gone, then restored": ([{"k": b"k"}, {"l": b"l"}], {"k": b"k"}, ["l"], False),
    "a label": ([{"k": b"k"}], {}, [], True),
}
# Versions of these go by whole: a version's parts are all of it, but for two kinds of history.
WHOLE = {"parts restored", "a key gone, then restored"}


@pytest.fixture(params=["folder", "store", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Bench]:
    def made(number: int) -> Bench:
        if request.param == "disk":
            return MortalFolder(tmp_path / f"{number}")
        return MemoryStore(moves=request.param == "folder")

    return made


def build(files: Bench, kind: str) -> tuple[list[Content], LogEntry, list[tuple[str, str]]]:
    """Make what is there before; return the versions, then the commit to be made."""
    before, added, removed, is_staged = KINDS[kind]
    versions: list[Content] = []
    log: Log | None = None
    for content in before:
        current = versions[-1] if versions else {}
        gone = [path for path in current if kind in WHOLE and path not in content]
        head = log.head if log else None
        log = commit(files, log, draft(content, gone), head, stage_all(files, content))
        kept = {p: c for p, c in current.items() if p not in gone and p not in content}
        versions.append(kept | content)
    staged = stage_all(files, added) if is_staged else []
    current = versions[-1] if versions else {}
    kept = {p: c for p, c in current.items() if p not in removed and p not in added}
    versions.append(kept | added)
    return versions, draft(added, removed), staged


def attempt(files: Bench, entry: LogEntry, staged: list[tuple[str, str]], moments: int) -> bool:
    """Commit, and die after so many moments; return whether it came to that."""
    log = open_log(files)
    fuse = Fuse(moments)
    files.moment = fuse
    try:
        commit(files, log, entry, log.head if log else None, staged)
    except Died:
        return True
    finally:
        files.moment = lambda: None
    return fuse.blown


def check_readers(files: Bench, versions: list[Content]) -> bool:
    """Check that every version is whole; return whether the last one is there."""
    log = open_log(files)
    there = log.head.version + 1 if log else 0
    assert there in {len(versions) - 1, len(versions)}
    for version in range(there):
        assert log is not None
        assert content_of(files, snapshot_at(files, log, version)) == versions[version]
    return there == len(versions)


def check_order(files: Bench, versions: list[Content]) -> None:
    report = verify(files, None, lambda _files, _bytes: None)
    assert report.ok, report.problems
    root = {info.path for info in files.list() if not info.path.startswith("_")}
    assert root == set(versions[-1] if versions else {})
    assert [info.path for info in files.list(STAGING)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_after_any_death_a_recovery_leaves_the_one_version_or_the_other(
    make: Callable[[int], Bench], kind: str
) -> None:
    moments = 0
    while True:
        files = make(moments)
        versions, entry, staged = build(files, kind)
        died = attempt(files, entry, staged, moments)
        committed = check_readers(files, versions)
        recover(files, frozenset())
        assert check_readers(files, versions) == committed
        check_order(files, versions if committed else versions[:-1])
        assert recover(files, frozenset()) == ()
        if not died:
            assert moments > 1
            return
        moments += stride(files)


@pytest.mark.parametrize("kind", KINDS)
def test_after_any_death_the_work_can_be_taken_up_without_a_recovery(
    make: Callable[[int], Bench], kind: str
) -> None:
    moments = 0
    while True:
        files = make(moments)
        versions, entry, staged = build(files, kind)
        died = attempt(files, entry, staged, moments)
        alive = frozenset({"run-1", *_works(files)})
        if not check_readers(files, versions):
            recover(files, alive)
            assert not check_readers(files, versions)
            attempt(files, entry, staged, 10**6)
        assert check_readers(files, versions)
        recover(files, frozenset())
        check_order(files, versions)
        if not died:
            return
        moments += stride(files)


@pytest.mark.parametrize("kind", KINDS)
def test_after_two_deaths_and_one_in_the_recovery_nothing_is_lost(
    make: Callable[[int], Bench], kind: str
) -> None:
    number = 0
    step = stride(make(0))
    for first in range(2, 40, step):
        for second in range(0, 24, 2 * step):
            files = make(number)
            number += 1
            versions, entry, staged = build(files, kind)
            if not attempt(files, entry, staged, first):
                return
            committed = check_readers(files, versions)
            files.moment = Fuse(second)
            try:
                recover(files, frozenset())
            except Died:
                pass
            finally:
                files.moment = lambda: None
            assert check_readers(files, versions) == committed
            recover(files, frozenset())
            assert check_readers(files, versions) == committed
            check_order(files, versions if committed else versions[:-1])


def test_a_death_after_the_entry_is_settled_though_a_checkpoint_hides_what_it_removed() -> None:
    files = MemoryStore(moves=True)
    log: Log | None = None
    for number in range(63):
        content = {part_path(b"%d" % number): b"%d" % number}
        gone = list(log.folded.parts) if log else []
        head = log.head if log else None
        log = commit(files, log, draft(content, gone), head, stage_all(files, content))
    assert log is not None
    content = {part_path(b"63"): b"63"}
    entry, before = draft(content, list(log.folded.parts)), dict(files.objects)
    hidden = 0
    for moments in range(40):
        files.objects = dict(before)
        died = attempt(files, entry, stage_all(files, content), moments)
        opened = open_log(files)
        assert opened is not None
        if died and opened.head.version == 63 and opened.tail == ():
            hidden += 1
            recover(files, frozenset())
            assert {path for path in files.objects if not path.startswith("_")} == set(content)
    assert hidden > 2


def stride(files: Bench) -> int:
    """A real disk waits for every fsync, so only some of the moments are tried there."""
    return 4 if isinstance(files, MortalFolder) else 1


def _works(files: Bench) -> list[str]:
    names = [info.path.removeprefix(STAGING).partition("/")[0] for info in files.list(STAGING)]
    return [name.removesuffix(".intent.json") for name in names]
