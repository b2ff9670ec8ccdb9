"""Opening a log, appending to it, and how heads compare."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.entry import encode
from batuta.connectors.alimentar.log import (
    CHECKPOINT_EVERY,
    Log,
    append,
    compare_head,
    log_names,
    open_log,
    rollback,
)
from batuta.connectors.alimentar.names import checkpoint_name, entry_name
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.snapshot import content_version, pinned, snapshot_at
from batuta.connectors.local.files import LocalFiles
from batuta.model.address import Address
from batuta.model.connector import Connection, Files
from batuta.model.diagnostic import BatutaError, CommitConflict, ConnectorError
from batuta.model.log import Head
from tests.unit.connectors.alimentar_bench import (
    MemoryStore,
    draft,
    head_content,
    part_path,
    stage_all,
)


class Counting(MemoryStore):
    """Counts the calls that cost something, and the bytes that they move."""

    def __init__(self) -> None:
        super().__init__(moves=False)
        self.calls: Counter[str] = Counter()

    def read(self, path: str, limit: int | None = None) -> bytes:
        content = super().read(path, limit)
        kind = "checkpoint" if "checkpoint" in path else path.partition("/")[0]
        with self.guard:
            self.calls[kind] += 1
            self.calls["bytes"] += len(content)
        return content

    def create(self, path: str, content: bytes, *, check: Callable[[], None] | None = None) -> None:
        super().create(path, content, check=check)
        self.calls["create"] += 1


def grow(files: MemoryStore, commits: int, log: Log | None = None) -> Log:
    """Commit versions that each replace one part by another."""
    log = log or open_log(files)
    for _ in range(commits):
        number = log.head.version + 1 if log else 0
        content = b"%d" % number
        entry = draft({part_path(content): content}, list(log.folded.parts) if log else [])
        staged = stage_all(files, {part_path(content): content})
        log = commit(files, log, entry, log.head if log else None, staged)
    assert log is not None
    return log


def _code(error: pytest.ExceptionInfo[BatutaError]) -> str:
    return error.value.diagnostics[0].code


def test_a_folder_without_a_log_has_none() -> None:
    assert open_log(MemoryStore(moves=True)) is None


@pytest.mark.parametrize("commits", [1, 2, 63, 64, 65, 127, 128, 129, 200, 321])
def test_opening_reads_one_checkpoint_and_at_most_64_entries(commits: int) -> None:
    files = Counting()
    grow(files, commits)
    files.calls.clear()

    log = open_log(files)

    assert log is not None
    assert log.head.version == commits - 1
    assert files.calls["checkpoint"] <= 1
    assert 1 <= files.calls["_log"] <= CHECKPOINT_EVERY
    assert head_content(files) == {part_path(b"%d" % (commits - 1)): b"%d" % (commits - 1)}


def test_opening_reads_no_more_where_a_checkpoint_was_lost_to_a_death() -> None:
    files = Counting()
    grow(files, 128)
    del files.objects[checkpoint_name(127)]
    files.calls.clear()

    log = open_log(files)

    assert log is not None
    assert files.calls["_log"] <= CHECKPOINT_EVERY
    grow(files, 1, log)
    files.calls.clear()
    assert open_log(files) is not None
    assert files.calls["_log"] <= CHECKPOINT_EVERY


def test_a_commit_costs_the_same_after_any_number_of_commits() -> None:
    costs = []
    files = Counting()
    log = grow(files, 10)
    for commits in (1, 100, 200):
        log = grow(files, commits, log)
        log = open_log(files) or log
        files.calls.clear()
        log = grow(files, 1, log)
        costs.append((files.calls["_log"], files.calls["create"], files.calls["bytes"] // 100))

    assert len(set(costs)) == 1, costs


def test_each_entry_names_the_digest_of_the_one_before() -> None:
    files = MemoryStore(moves=True)
    log = grow(files, 3)

    parents = [logged.entry.parent for logged in log.tail]
    digests = [logged.head.digest for logged in log.tail]
    assert parents == [None, *digests[:2]]


def test_of_sixteen_threads_one_commits_the_version(tmp_path: Path) -> None:
    files = LocalFiles(Connection(), Address("file", str(tmp_path)))
    start = threading.Barrier(16)
    base = append(files, None, draft())

    def one(number: int) -> Log | None:
        entry = draft(written_at=f"2026-03-01T12:00:{number:02d}Z")
        entry = replace(entry, version=1, parent=base.head.digest)
        start.wait()
        try:
            return append(files, base, entry)
        except CommitConflict:
            return None

    with ThreadPoolExecutor(16) as pool:
        won = [log for log in pool.map(one, range(16)) if log is not None]

    assert len(won) == 1
    opened = open_log(files)
    assert opened is not None
    assert opened.head == won[0].head


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_of_sixteen_whole_commits_one_wins_and_its_content_is_whole(
    keyed: bool, same: bool
) -> None:
    files = MemoryStore(moves=False)
    start = threading.Barrier(16)
    first = grow(files, 1)
    if keyed:
        staged = stage_all(files, {"k.csv": b"old"})
        entry = draft({"k.csv": b"old"})
        first = commit(files, first, entry, first.head, staged)

    def one(number: int) -> str | None:
        content = b"same" if same else b"%03d" % number
        path = "k.csv" if keyed else part_path(content)
        entry = draft({path: content}, written_at=f"2026-03-01T12:00:{number:02d}Z")
        staged = stage_all(files, {path: content})
        start.wait()
        try:
            return commit(files, first, entry, first.head, staged).head.digest
        except CommitConflict:
            return None

    with ThreadPoolExecutor(16) as pool:
        won = [digest for digest in pool.map(one, range(16)) if digest is not None]

    assert len(won) == 1
    log = open_log(files)
    assert log is not None
    assert log.head == Head(first.head.version + 1, won[0])
    content = head_content(files)
    assert content is not None
    assert len(content) == 2
    recover(files, frozenset())
    assert {p for p in files.objects if not p.startswith("_")} == set(content)
    assert head_content(files) == content


def test_a_commit_on_an_older_head_is_refused_and_shows_nothing() -> None:
    files = MemoryStore(moves=True)
    old = grow(files, 1)
    grow(files, 1, old)
    before = dict(files.objects)

    with pytest.raises(CommitConflict) as caught:
        commit(files, open_log(files), draft({"x": b"1"}), old.head, [])

    assert _code(caught) == "LOG106"
    assert files.objects == before


def test_the_same_append_twice_is_one() -> None:
    files = MemoryStore(moves=True)

    assert append(files, None, draft()).head == append(files, None, draft()).head


@pytest.mark.parametrize("version", [0, 1, 62, 63, 64, 99, 129])
def test_any_version_can_be_looked_at(version: int) -> None:
    files = Counting()
    log = grow(files, 130)
    files.calls.clear()

    snapshot = snapshot_at(files, log, version)

    assert [part.path for part in snapshot.parts] == [part_path(b"%d" % version)]
    assert snapshot.entry.version == version
    assert files.calls["_log"] <= CHECKPOINT_EVERY


@pytest.mark.parametrize("version", [-1, 3, 10**30])
def test_a_version_that_is_not_there_is_refused(version: int) -> None:
    files = MemoryStore(moves=True)
    log = grow(files, 3)

    with pytest.raises(ConnectorError) as caught:
        snapshot_at(files, log, version)

    assert _code(caught) == "LOG141"


def test_the_name_of_the_rows_does_not_change_with_a_label() -> None:
    files = MemoryStore(moves=True)
    log = grow(files, 70)
    before = content_version(log)

    relabelled = commit(files, log, draft(tier="Standard"), log.head, [])

    assert content_version(relabelled) == before
    reopened = open_log(files)
    assert reopened is not None
    assert content_version(reopened) == before
    assert pinned(files, reopened, before).parts == log.snapshot.parts
    assert content_version(grow(files, 1, reopened)) != before


@pytest.mark.parametrize("version", ["", "x", "1:zz", "1:00000000", "99", "-1", "1 "])
def test_a_pin_that_names_nothing_is_refused(version: str) -> None:
    files = MemoryStore(moves=True)
    log = grow(files, 3)

    with pytest.raises(ConnectorError) as caught:
        pinned(files, log, version)

    assert _code(caught) == "LOG141"


def test_heads_compare() -> None:
    files = MemoryStore(moves=True)
    old = grow(files, 3)
    new = grow(files, 70, old)

    assert compare_head(files, None, None) == "same"
    assert compare_head(files, None, new) == "descendant"
    assert compare_head(files, new.head, new) == "same"
    assert compare_head(files, old.head, new) == "descendant"
    assert compare_head(files, new.head, old) == "older"
    assert compare_head(files, new.head, None) == "older"
    assert compare_head(files, Head(old.head.version, "0" * 64), new) == "foreign"
    assert compare_head(files, Head(new.head.version, "0" * 64), new) == "foreign"


def test_a_log_that_was_written_anew_is_foreign() -> None:
    files, other = MemoryStore(moves=True), MemoryStore(moves=True)
    recorded = grow(files, 5).head
    log = append(other, None, draft(tier="Standard"))
    live = grow(other, 9, log)

    assert compare_head(other, recorded, live) == "foreign"
    assert rollback("orders/", recorded, live.head).code == "LOG131"


def test_a_log_with_an_exchanged_middle_is_foreign() -> None:
    files = MemoryStore(moves=True)
    recorded = grow(files, 2).head
    live = grow(files, 140)
    files.objects[entry_name(5)] = files.objects[entry_name(6)]

    assert compare_head(files, recorded, live) == "foreign"


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_missing_entry_is_seen_at_opening(version: int) -> None:
    files = MemoryStore(moves=True)
    grow(files, 4)
    del files.objects[entry_name(version)]

    with pytest.raises(ConnectorError) as caught:
        open_log(files)

    assert _code(caught) == "LOG103"


def test_an_old_missing_entry_is_a_problem_but_the_head_is_read() -> None:
    files = MemoryStore(moves=True)
    grow(files, 70)
    del files.objects[entry_name(3)]

    log = open_log(files)

    assert log is not None
    assert [problem.code for problem in log.problems] == ["LOG103"]
    assert head_content(files) is not None


def test_newest_entries_cannot_be_taken_away_behind_a_checkpoint() -> None:
    files = MemoryStore(moves=True)
    grow(files, 64)
    for version in range(50, 64):
        del files.objects[entry_name(version)]

    with pytest.raises(ConnectorError) as caught:
        open_log(files)

    assert _code(caught) == "LOG103"


def test_an_exchanged_entry_is_seen_at_opening() -> None:
    files = MemoryStore(moves=True)
    grow(files, 4)
    one = files.objects[entry_name(1)]
    files.objects[entry_name(1)] = one.replace(b"T12:00:00Z", b"T12:00:01Z")

    with pytest.raises(ConnectorError) as caught:
        open_log(files)

    assert _code(caught) == "LOG104"


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"\0" * 100])
@pytest.mark.parametrize("commits", [64, 70, 128, 200])
def test_a_broken_checkpoint_is_not_used_and_is_written_anew(content: bytes, commits: int) -> None:
    files = MemoryStore(moves=True)
    log = grow(files, commits)
    for version in log.checkpoints:
        files.objects[checkpoint_name(version)] = content

    opened = open_log(files)

    assert opened is not None
    assert opened.head == log.head
    assert opened.folded.parts == log.folded.parts
    assert {problem.code for problem in opened.problems} == {"LOG105"}


def test_a_forged_checkpoint_of_another_log_is_not_used() -> None:
    files, other = MemoryStore(moves=True), MemoryStore(moves=True)
    log = grow(files, 70)
    grow(other, 64, append(other, None, draft(tier="Standard")))
    files.objects[checkpoint_name(63)] = other.objects[checkpoint_name(63)]

    opened = open_log(files)

    assert opened is not None
    assert opened.folded.parts == log.folded.parts
    assert [problem.code for problem in opened.problems] == ["LOG105"]


def test_an_entry_that_removes_what_is_not_there_is_refused_before_anything_is_visible() -> None:
    files = MemoryStore(moves=True)
    log = grow(files, 1)
    before = dict(files.objects)

    with pytest.raises(ConnectorError) as caught:
        commit(files, log, draft({}, ["nothing.ald"]), log.head, [])

    assert _code(caught) == "LOG109"
    assert files.objects == before


def test_an_absurd_version_number_neither_hangs_nor_fills_memory() -> None:
    files = MemoryStore(moves=True)
    log = grow(files, 1)
    files.objects[entry_name(10**20 - 1)] = encode(log.entry)
    files.times[entry_name(10**20 - 1)] = 0

    with pytest.raises(ConnectorError) as caught:
        open_log(files)

    assert _code(caught) == "LOG103"


def test_other_files_in_the_log_are_named_as_strangers(tmp_path: Path) -> None:
    (tmp_path / "_log").mkdir()
    (tmp_path / "_log" / "notes.txt").write_text("x")
    files: Files = LocalFiles(Connection(), Address("file", str(tmp_path)))

    assert log_names(files).strangers == ("_log/notes.txt",)
    assert open_log(files) is None
