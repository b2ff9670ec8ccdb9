"""Commits that put spoilt parts right: at every moment of death, on a folder and on a store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.log import open_log
from batuta.connectors.alimentar.names import STAGING, history_name
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.verify import verify
from tests.unit.connectors.alimentar_bench import (
    Bench,
    Died,
    Fuse,
    MemoryStore,
    MortalFolder,
    digest,
    draft,
    head_content,
    part_path,
    stage_all,
)

ONE, TWO, SIX = part_path(b"one"), part_path(b"two"), part_path(b"six")
Content = dict[str, bytes]

# What is there, what the re-sync adds, and what is removed with nothing in its place.
KINDS: dict[str, tuple[Content, Content, list[str]]] = {
    "the same parts": ({ONE: b"one", TWO: b"two"}, {ONE: b"one", TWO: b"two"}, []),
    "other parts": ({ONE: b"one", TWO: b"two"}, {SIX: b"six"}, [ONE, TWO]),
    "the same keys": ({"a": b"one", "b": b"two"}, {"a": b"one", "b": b"two"}, []),
    "a key that became a folder": ({"a": b"one"}, {"a/b": b"six"}, ["a"]),
    "new contents of keys": ({"a": b"one", "b": b"two"}, {"a": b"six", "b": b"two"}, []),
}
SPOILT: dict[str, bytes | None] = {"flipped": b"onf", "longer": b"one more", "missing": None}


@pytest.fixture(params=["folder", "store", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Bench]:
    def made(number: int) -> Bench:
        if request.param == "disk":
            return MortalFolder(tmp_path / f"{number}")
        return MemoryStore(moves=request.param == "folder")

    return made


def put(files: Bench, path: str, content: bytes | None) -> None:
    files.delete([path])
    if content is not None:
        files.publish([(files.stage("spoilt", content), path)])


def spoilt(files: Bench, kind: str, damage: str) -> None:
    content = KINDS[kind][0]
    commit(files, None, draft(content), None, stage_all(files, content))
    put(files, next(iter(content)), SPOILT[damage])


def mend(files: Bench, kind: str) -> None:
    _, added, removed = KINDS[kind]
    log = open_log(files)
    assert log is not None
    staged = stage_all(files, added)
    commit(files, log, draft(added, removed), log.head, staged, mend=True)


def check(files: Bench, kind: str) -> None:
    added = KINDS[kind][1]
    assert head_content(files) == added
    report = verify(files, None, lambda _files, _bytes: None)
    assert report.ok, report.problems
    root = {info.path for info in files.list() if not info.path.startswith("_")}
    assert root == set(added)
    assert list(files.list(STAGING)) == []


CASES = [(kind, damage) for kind in KINDS for damage in SPOILT]


@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_a_mending_commit_leaves_a_dataset_that_verifies(
    make: Callable[[int], Bench], kind: str, damage: str
) -> None:
    files = make(0)
    spoilt(files, kind, damage)

    mend(files, kind)

    recover(files, frozenset())  # what was staged and not needed goes
    check(files, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_in_a_parts_place_lies_in_history_under_its_own_digest(
    make: Callable[[int], Bench], kind: str
) -> None:
    files = make(0)
    spoilt(files, kind, "flipped")
    first = next(iter(KINDS[kind][0]))

    mend(files, kind)

    assert files.read(history_name(first, digest(b"onf"))) == b"onf"
    assert history_name(first, digest(b"one")) not in {info.path for info in files.list()}


@pytest.mark.parametrize(("kind", "damage"), CASES)
@pytest.mark.parametrize("recovers", [True, False])
def test_a_mending_commit_that_died_anywhere_is_done_again_and_mends(
    make: Callable[[int], Bench], kind: str, damage: str, recovers: bool
) -> None:
    moments = 0
    while True:
        files = make(moments)
        spoilt(files, kind, damage)
        fuse = Fuse(moments)
        files.moment = fuse
        try:
            mend(files, kind)
        except Died:
            pass
        finally:
            files.moment = lambda: None
        log = open_log(files)
        assert log is not None
        if recovers:
            recover(files, frozenset())
        if log.head.version == 0:
            # Nothing in the place of a part pretends to be it by its size alone.
            mend(files, kind)
        recover(files, frozenset())
        check(files, kind)
        if not fuse.blown:
            assert moments > 1
            return
        moments += 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_mending_commit_that_died_is_taken_back_without_a_false_content(
    make: Callable[[int], Bench], kind: str
) -> None:
    """After the taking back each part is whole or missing; nothing wrong has its name."""
    moments = 0
    while True:
        files = make(moments)
        spoilt(files, kind, "missing")
        fuse = Fuse(moments)
        files.moment = fuse
        try:
            mend(files, kind)
        except Died:
            pass
        finally:
            files.moment = lambda: None
        recover(files, frozenset())
        log = open_log(files)
        assert log is not None
        found = verify(files, None, lambda _files, _bytes: None).problems
        assert {p.code for p in found} <= {"LOG121", "LOG124", "LOG132"}, found
        if not fuse.blown:
            return
        moments += 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_commit_that_need_not_mend_is_the_same_with_and_without(
    make: Callable[[int], Bench], kind: str
) -> None:
    trees = []
    for number, wanted in enumerate((True, False)):
        files = make(number)
        content, added, removed = KINDS[kind]
        log = commit(files, None, draft(content), None, stage_all(files, content))
        entry = draft(added, removed)
        commit(files, log, entry, log.head, stage_all(files, added), mend=wanted)
        trees.append({info.path: files.read(info.path) for info in files.list()})
    assert trees[0] == trees[1]
