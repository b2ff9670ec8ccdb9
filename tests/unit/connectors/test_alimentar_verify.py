"""Verification finds every flipped byte, missing file and touched entry; observing is cheap."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.hashing import hash_files
from batuta.connectors.alimentar.log import Log, open_log
from batuta.connectors.alimentar.names import checkpoint_name, entry_name, history_name
from batuta.connectors.alimentar.observe import observe
from batuta.connectors.alimentar.verify import verify
from batuta.connectors.local.files import LocalFiles
from batuta.model.address import Address
from batuta.model.connector import Connection
from batuta.model.dataset import Verification
from batuta.model.log import Head
from tests.unit.connectors.alimentar_bench import (
    MemoryStore,
    digest,
    draft,
    part_path,
    stage_all,
)

Store = MemoryStore


def built(commits: int = 5) -> tuple[Store, Log]:
    """A dataset whose versions replace one of two parts; one part is in every version."""
    files = Store(moves=True)
    log: Log | None = None
    for number in range(commits):
        content = b"content %d" % number
        added = {part_path(content): content}
        if number == 0:
            added["keep.csv"] = b"kept"
        removed = [p for p in log.folded.parts if p != "keep.csv"] if log else []
        head = log.head if log else None
        log = commit(files, log, draft(added, removed), head, stage_all(files, added))
    assert log is not None
    return files, log


def checked(files: Store, anchor: Head | None = None) -> Verification:
    return verify(files, anchor, lambda _files, _bytes: None)


def codes(report: Verification) -> set[str]:
    return {problem.code for problem in report.problems}


def test_a_sound_dataset_is_ok_and_counts_what_it_checked() -> None:
    files, log = built()

    report = checked(files, log.head)

    assert report.ok
    assert report.anchored
    assert report.problems == ()
    assert report.entries == 5
    assert report.files == 2 + 4
    assert report.size_bytes == 5 * len(b"content 0") + len(b"kept")


def test_without_an_anchor_it_says_so_and_is_still_ok() -> None:
    files, _ = built()

    report = checked(files)

    assert report.ok
    assert not report.anchored
    assert codes(report) == {"LOG132"}


@settings(max_examples=60)
@given(data=st.data())
def test_any_flipped_bit_in_any_file_is_found(data: st.DataObject) -> None:
    files, log = built(66)
    path = data.draw(st.sampled_from(sorted(files.objects)))
    content = bytearray(files.objects[path])
    at = data.draw(st.integers(min_value=0, max_value=len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(min_value=0, max_value=7))
    files.objects[path] = bytes(content)

    assert not checked(files, log.head).ok, path


@settings(max_examples=60)
@given(data=st.data())
def test_any_missing_file_but_history_and_checkpoints_is_found(data: st.DataObject) -> None:
    files, log = built(66)
    spare = (checkpoint_name(63),)
    paths = [p for p in files.objects if not p.startswith("_history/") and p not in spare]
    del files.objects[data.draw(st.sampled_from(sorted(paths)))]

    assert not checked(files, log.head).ok


def test_history_that_expired_is_no_fault() -> None:
    files, log = built()
    for path in [path for path in files.objects if path.startswith("_history/")]:
        del files.objects[path]

    assert checked(files, log.head).ok


@pytest.mark.parametrize(
    ("code", "harm"),
    [
        ("LOG121", lambda files: files.objects.pop("keep.csv")),
        ("LOG122", lambda files: files.objects.update({"keep.csv": b"keptt"})),
        ("LOG123", lambda files: files.objects.update({"keep.csv": b"kepT"})),
        ("LOG103", lambda files: files.objects.pop(entry_name(2))),
        ("LOG101", lambda files: files.objects.update({entry_name(2): b"{}"})),
        ("LOG104", lambda files: _swap(files, entry_name(2), entry_name(3))),
    ],
)
def test_each_harm_has_its_code(code: str, harm: Callable[[Store], object]) -> None:
    files, _ = built()
    harm(files)

    report = checked(files)

    assert not report.ok
    assert code in codes(report)


def test_a_removed_newest_entry_is_found_with_an_anchor_only() -> None:
    files, log = built()
    del files.objects[entry_name(4)]
    # Its part lies in the root, the one before it in history: readers see version 3, whole.

    assert checked(files).ok
    report = checked(files, log.head)
    assert not report.ok
    assert not report.anchored
    assert codes(report) == {"LOG131"}


def test_an_edited_newest_entry_is_found_with_an_anchor() -> None:
    files, log = built()
    entry = files.objects[entry_name(4)]
    files.objects[entry_name(4)] = entry.replace(b"T12:00:00Z", b"T13:00:00Z")

    assert checked(files).ok
    assert codes(checked(files, log.head)) == {"LOG131"}


def test_a_log_that_went_on_since_the_anchor_is_anchored() -> None:
    files, log = built()
    older = log.tail[2].head

    report = checked(files, older)

    assert report.ok
    assert report.anchored


def test_an_anchor_without_any_log_is_a_rollback() -> None:
    assert codes(checked(Store(moves=True), Head(3, "0" * 64))) == {"LOG131"}


def test_a_checkpoint_with_an_edited_part_is_found() -> None:
    files, _ = built(66)
    name = checkpoint_name(63)
    content = files.objects[name]
    files.objects[name] = content.replace(digest(b"kept").encode(), digest(b"kepT").encode())

    assert files.objects[name] != content
    assert "LOG105" in codes(checked(files))


def test_a_checkpoint_of_no_entry_is_found() -> None:
    files, _ = built(66)
    files.objects[checkpoint_name(70)] = files.objects[checkpoint_name(63)]
    files.times[checkpoint_name(70)] = 0

    assert {"LOG103", "LOG105"} <= codes(checked(files))


def test_progress_ends_at_what_was_checked() -> None:
    files, _ = built()
    told: list[tuple[int, int]] = []

    report = verify(files, None, lambda done, size: told.append((done, size)))

    assert max(told) == (report.files, report.size_bytes)


def test_one_large_file_hashes_as_the_plain_loop_does(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    with open(tmp_path / "big", "wb") as file:
        for _ in range(20):
            file.write(block)
        file.write(b"end")
    files = LocalFiles(Connection(), Address("file", str(tmp_path)))

    (found,) = hash_files(files, ["big"], lambda _files, _bytes: None)

    assert found is not None
    assert found.sha256 == hashlib.sha256(block * 20 + b"end").hexdigest()
    assert found.size_bytes == (20 << 20) + 3


def test_many_files_come_in_order_with_gaps_for_the_missing(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    files = LocalFiles(Connection(), Address("file", str(tmp_path)))

    found = list(hash_files(files, ["none", *map(str, range(20))], lambda _f, _b: None))

    assert found[0] is None
    assert [f.sha256 for f in found[1:] if f] == [digest(b"%d" % n) for n in range(20)]


# -- observing --------------------------------------------------------------------------------


def test_a_destination_is_absent_empty_foreign_or_a_dataset(tmp_path: Path) -> None:
    files = LocalFiles(Connection(), Address("file", str(tmp_path / "orders")))
    assert observe(files).condition == "absent"
    files.prepare()
    assert observe(files).condition == "empty"
    files.create("mine.csv", b"1")
    state = observe(files)
    assert (state.condition, state.strangers) == ("foreign", ("mine.csv",))
    log = commit(files, None, draft(), None, ())
    state = observe(files)
    assert (state.condition, state.head) == ("dataset", log.head)
    assert state.strangers == ("mine.csv",)
    assert state.free_bytes is not None


def test_observing_opens_no_part() -> None:
    class Closed(Store):
        def open(self, path: str):  # type: ignore[no-untyped-def]
            raise AssertionError(f"{path} was opened")

    files, log = built()
    closed = Closed(moves=True)
    closed.objects, closed.times = files.objects, files.times

    state = observe(closed)

    assert state.condition == "dataset"
    assert state.snapshot == log.snapshot
    assert state.strangers == ()


@pytest.mark.parametrize(("content", "code"), [(None, "LOG121"), (b"longer", "LOG122")])
def test_a_part_that_is_missing_or_of_another_size_is_damage(
    content: bytes | None, code: str
) -> None:
    files, log = built()
    if content is None:
        del files.objects["keep.csv"]
    else:
        files.objects["keep.csv"] = content

    state = observe(files)

    assert state.condition == "damaged"
    assert [problem.code for problem in state.problems] == [code]
    assert state.head == log.head


def test_a_part_that_lies_in_history_only_is_no_damage() -> None:
    files, _ = built()
    files.move([("keep.csv", history_name("keep.csv", digest(b"kept")))])

    assert observe(files).condition == "dataset"


def test_a_log_that_cannot_be_read_is_damage_with_its_reason() -> None:
    files, _ = built()
    files.objects[entry_name(4)] = b"{"

    state = observe(files)

    assert state.condition == "damaged"
    assert state.snapshot is None
    assert [problem.code for problem in state.problems] == ["LOG101"]


def test_a_thousand_missing_parts_are_named_briefly() -> None:
    files, log = built(1)
    added = {f"d/{number}.csv": b"x" for number in range(1000)}
    log = commit(files, log, draft(added), log.head, stage_all(files, added))
    for path in added:
        del files.objects[path]

    assert len(observe(files).problems) < 30


def test_only_what_the_log_does_not_name_is_a_stranger() -> None:
    files, log = built(66)
    strangers = ("_history/readme", "_log/notes.txt", "mine.csv")
    for path in strangers:
        files.create(path, b"x")

    state = observe(files)

    assert state.condition == "dataset"
    assert state.strangers == strangers
    assert state.head == log.head
    assert open_log(files) is not None


def _swap(files: Store, one: str, other: str) -> None:
    files.objects[one], files.objects[other] = files.objects[other], files.objects[one]
