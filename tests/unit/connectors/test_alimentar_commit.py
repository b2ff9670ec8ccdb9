"""Commits: what they refuse before anything is visible, and what stays readable meanwhile."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from batuta.connectors.alimentar import CONNECTOR
from batuta.connectors.alimentar.commit import announce, commit, conclude
from batuta.connectors.alimentar.log import Log, open_log
from batuta.connectors.alimentar.names import history_name
from batuta.connectors.alimentar.place import locate
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.snapshot import snapshot_at
from batuta.connectors.alimentar.verify import verify
from batuta.model.diagnostic import BatutaError, CommitConflict, ConnectorError
from batuta.model.log import LogEntry
from tests.unit.connectors.alimentar_bench import (
    Bench,
    Died,
    Fuse,
    MemoryStore,
    MortalFolder,
    content_of,
    digest,
    draft,
    head_content,
    part,
    part_path,
    stage_all,
)


def write(files: Bench, added: Mapping[str, bytes], removed: Sequence[str] = ()) -> Log:
    log = open_log(files)
    head = log.head if log else None
    return commit(files, log, draft(added, removed), head, stage_all(files, added))


def _codes(error: pytest.ExceptionInfo[BatutaError]) -> list[str]:
    return [problem.code for problem in error.value.diagnostics]


@pytest.fixture(params=["folder", "store", "disk"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "disk":
        return MortalFolder(tmp_path / "orders")
    return MemoryStore(moves=request.param == "folder")


def test_parts_lie_in_the_root_and_superseded_ones_in_history(files: Bench) -> None:
    one, two = part_path(b"one"), part_path(b"two")
    write(files, {one: b"one"})
    write(files, {two: b"two"}, [one])

    paths = {info.path for info in files.list() if not info.path.startswith("_log/")}
    assert paths == {two, history_name(one, digest(b"one"))}
    assert head_content(files) == {two: b"two"}


def test_a_replaced_key_is_counted_among_the_removed(files: Bench) -> None:
    write(files, {"a.csv": b"old", "b.csv": b"b"})
    log = write(files, {"a.csv": b"new"})

    assert log.entry.removed == ("a.csv",)
    assert head_content(files) == {"b.csv": b"b", "a.csv": b"new"}
    assert content_of(files, snapshot_at(files, log, 0)) == {"a.csv": b"old", "b.csv": b"b"}


def test_a_part_that_is_added_again_unchanged_is_left_where_it_is(files: Bench) -> None:
    write(files, {"a.csv": b"same", "b.csv": b"old"})
    log = write(files, {"b.csv": b"new", "a.csv": b"same"})

    assert [each.path for each in log.snapshot.parts] == ["b.csv", "a.csv"]
    assert head_content(files) == {"a.csv": b"same", "b.csv": b"new"}
    history = [info.path for info in files.list("_history/")]
    assert history == [history_name("b.csv", digest(b"old"))]


def test_a_listing_that_missed_a_moving_part_is_repeated() -> None:
    class Moving(MemoryStore):
        def list(self, prefix: str = "", *, recursive: bool = True):  # type: ignore[no-untyped-def]
            found = list(super().list(prefix, recursive=recursive))
            if not prefix and path in self.objects:
                self.move([(path, history_name(path, digest(b"x")))])
                found = [info for info in found if info.path != path]
            return iter(found)

    path = part_path(b"x")
    moving = Moving(moves=True)
    moving.objects[path] = b"x"
    moving.times[path] = 0

    assert locate(moving, [part(path, b"x")]) == (history_name(path, digest(b"x")),)


@pytest.mark.parametrize("key", ["../x", "_log/x", "_history/x", "_staging/x", "a\0b", "/x"])
def test_an_unsafe_key_is_refused_and_nothing_is_visible(files: Bench, key: str) -> None:
    log = write(files, {"a.csv": b"a"})
    before = {info.path for info in files.list() if not info.path.startswith("_staging/run-1/")}

    with pytest.raises(BatutaError) as caught:
        commit(files, log, draft({key: b"x"}), log.head, [("/nowhere", key)])

    assert _codes(caught) == ["LOG111"]
    assert {i.path for i in files.list() if not i.path.startswith("_staging/run-1/")} == before


def test_all_refused_keys_are_named_at_once(files: Bench) -> None:
    entry = draft({"../x": b"", "d": b"1", "d/e": b"2", "ok.csv": b"3"})

    with pytest.raises(BatutaError) as caught:
        commit(files, None, entry, None, [("/nowhere", each.path) for each in entry.added])

    assert _codes(caught) == ["LOG111", "LOG112"]


def test_keys_that_differ_in_case_are_kept_where_the_store_tells_them_apart(
    files: Bench,
) -> None:
    write(files, {"A.csv": b"1", "a.csv": b"2"})

    assert head_content(files) == {"A.csv": b"1", "a.csv": b"2"}


def test_keys_that_differ_in_case_are_refused_where_the_store_does_not() -> None:
    class Folding(MemoryStore):
        def read(self, path: str, limit: int | None = None) -> bytes:
            for known in self.objects:
                if known.casefold() == path.casefold():
                    return super().read(known, limit)
            return super().read(path, limit)

    folding = Folding(moves=True)
    write(folding, {"a.csv": b"1"})

    with pytest.raises(BatutaError) as caught:
        write(folding, {"A.csv": b"2"})

    assert _codes(caught) == ["LOG112"]
    assert [p for p in folding.objects if p.startswith("_staging")] == []


def test_a_file_that_the_log_does_not_name_is_not_overwritten(files: Bench) -> None:
    write(files, {"a.csv": b"a"})
    files.create("mine.csv", b"123")

    with pytest.raises(BatutaError) as caught:
        write(files, {"mine.csv": b"456"})

    assert _codes(caught) == ["LOG113"]
    assert files.read("mine.csv") == b"123"
    recover(files, frozenset())
    assert files.read("mine.csv") == b"123"


def test_two_runs_do_not_replace_keys_at_once(files: Bench) -> None:
    log = write(files, {"a.csv": b"old"})
    first = announce(
        files, log, draft({"a.csv": b"one"}), log.head, stage_all(files, {"a.csv": b"one"})
    )

    with pytest.raises(CommitConflict) as caught:
        write(files, {"a.csv": b"two"})

    assert _codes(caught) == ["LOG107"]
    assert head_content(files) == {"a.csv": b"old"}
    files.publish(stage_all(files, {"a.csv": b"one"}))
    conclude(files, first)
    assert head_content(files) == {"a.csv": b"one"}


TORN = "_staging/~replacing.intent.json"


def _store_with_torn_intent(content: bytes, age_s: int) -> MemoryStore:
    store = MemoryStore(moves=False)
    store.now_ns = 1_000_000_000
    write(store, {"a.csv": b"old"})
    store.create(TORN, content)
    store.create("_staging/other.intent.json", b"")
    store.now_ns += age_s * 1_000_000_000
    return store


@pytest.mark.parametrize("content", [b"", b'{"formatVersion":1,"run":"run-1","ver'])
def test_an_intent_that_was_cut_is_taken_away_once_it_is_old(content: bytes) -> None:
    store = _store_with_torn_intent(content, age_s=61)

    write(store, {"a.csv": b"new"})

    assert head_content(store) == {"a.csv": b"new"}
    assert [p for p in store.objects if p.startswith("_staging")] == ["_staging/other.intent.json"]


@pytest.mark.parametrize("age_s", [0, 59])
def test_an_intent_that_was_cut_just_now_is_named_and_left(age_s: int) -> None:
    store = _store_with_torn_intent(b"", age_s)

    with pytest.raises(CommitConflict) as caught:
        write(store, {"a.csv": b"new"})

    assert _codes(caught) == ["LOG107"]
    assert f"s3://bucket.test/orders/{TORN} was cut" in str(caught.value.diagnostics[0].detail)
    assert TORN in store.objects
    assert head_content(store) == {"a.csv": b"old"}


def test_an_intent_that_is_whole_but_not_of_this_version_is_never_taken_away() -> None:
    store = _store_with_torn_intent(b'{"formatVersion":99}', age_s=10_000)

    with pytest.raises(CommitConflict) as caught:
        write(store, {"a.csv": b"new"})

    assert _codes(caught) == ["LOG107"]
    assert TORN in store.objects


def test_an_intent_that_became_another_meanwhile_is_left() -> None:
    class Overtaken(MemoryStore):
        def create(
            self, path: str, content: bytes, *, check: Callable[[], None] | None = None
        ) -> None:
            super().create(path, content, check=check)
            if path.endswith(".time-probe"):
                self.objects[TORN] = b'{"formatVersion":99}'

    store = Overtaken(moves=False)
    store.now_ns = 1_000_000_000
    write(store, {"a.csv": b"old"})
    store.create(TORN, b"")
    store.now_ns += 61_000_000_000

    with pytest.raises(CommitConflict) as caught:
        write(store, {"a.csv": b"new"})

    assert _codes(caught) == ["LOG107"]
    assert store.objects[TORN] == b'{"formatVersion":99}'


def test_a_run_that_was_cleaned_up_after_does_not_commit(files: Bench) -> None:
    log = write(files, {"a.csv": b"old"})
    staged = stage_all(files, {"a.csv": b"one"})
    pending = announce(files, log, draft({"a.csv": b"one"}), log.head, staged)
    files.publish(staged)
    assert recover(files, frozenset()) != ()

    with pytest.raises(CommitConflict) as caught:
        conclude(files, pending)

    assert _codes(caught) == ["LOG108"]
    assert head_content(files) == {"a.csv": b"old"}


def test_recovery_spares_a_run_that_is_alive(files: Bench) -> None:
    log = write(files, {"a.csv": b"old"})
    staged = stage_all(files, {"a.csv": b"one"})
    pending = announce(files, log, draft({"a.csv": b"one"}), log.head, staged)
    files.publish(staged)

    assert pending.intent is not None
    assert recover(files, frozenset({pending.intent.run})) == ()
    conclude(files, pending)
    assert head_content(files) == {"a.csv": b"one"}


def test_recovery_spares_a_run_that_is_alive_whatever_folder_the_dataset_lies_in(
    tmp_path: Path,
) -> None:
    files = MortalFolder(tmp_path / "_staging" / "orders")
    log = write(files, {"a.csv": b"old"})
    staged = stage_all(files, {"a.csv": b"one"})
    pending = announce(files, log, draft({"a.csv": b"one"}), log.head, staged)
    files.publish(staged)

    assert recover(files, frozenset({"run-1"})) == ()
    conclude(files, pending)
    assert head_content(files) == {"a.csv": b"one"}


def test_an_upload_over_an_old_key_is_announced_first() -> None:
    store = MemoryStore(moves=False)
    log = write(store, {"a.csv": b"old"})
    opened = CONNECTOR.dataset
    assert opened is not None
    entry = draft({"a.csv": b"new", "b.csv": b"b"})

    staged = stage_all(store, {"a.csv": b"new", "b.csv": b"b"})
    pending = announce(store, log, entry, log.head, staged)
    store.objects["a.csv"], store.times["a.csv"] = b"new", 0
    store.objects["b.csv"], store.times["b.csv"] = b"b", 0
    assert content_of(store, log.snapshot) == {"a.csv": b"old"}
    head = opened(store).commit(entry, log.head, ())

    assert pending.entry.version == head.version
    assert head_content(store) == {"a.csv": b"new", "b.csv": b"b"}


def test_an_upload_over_an_old_key_that_was_not_announced_is_refused() -> None:
    store = MemoryStore(moves=False)
    log = write(store, {"a.csv": b"old"})
    store.objects["a.csv"] = b"new"

    with pytest.raises(ValueError, match="announce"):
        commit(store, log, draft({"a.csv": b"new"}), log.head, ())


def test_a_part_that_was_not_uploaded_is_not_committed(files: Bench) -> None:
    log = write(files, {"a.csv": b"a"})
    path = part_path(b"x")

    with pytest.raises(ConnectorError) as caught:
        commit(files, log, draft({path: b"x"}), log.head, ())

    assert _codes(caught) == ["LOG121"]
    assert head_content(files) == {"a.csv": b"a"}


def test_a_superseded_part_that_somebody_took_away_does_not_stop_the_commit(
    files: Bench,
) -> None:
    one, two, three = (part_path(each) for each in (b"1", b"2", b"3"))
    log = write(files, {one: b"1", two: b"2"})
    files.delete([one])

    log = write(files, {three: b"3"}, [one, two])

    assert head_content(files) == {three: b"3"}
    assert [info.path for info in files.list("_staging/")] == []
    assert [i.path for i in files.list("_history/")] == [history_name(two, digest(b"2"))]
    assert log.head.version == 1


def test_an_entry_without_files_leaves_no_intent(files: Bench) -> None:
    log = write(files, {"a.csv": b"a"})

    log = commit(files, log, draft(tier="Standard"), log.head, ())

    assert log.head.version == 1
    assert [i.path for i in files.list("_staging/") if i.path.endswith(".json")] == []


def test_an_empty_dataset_is_a_dataset(files: Bench) -> None:
    log = commit(files, None, draft(), None, ())

    assert log.head.version == 0
    assert head_content(files) == {}


def test_recovery_of_an_empty_place_does_nothing(files: Bench) -> None:
    assert recover(files, frozenset()) == ()
    assert list(files.list()) == []


def test_recovery_sweeps_only_staging_that_is_not_alive(files: Bench) -> None:
    write(files, {"a.csv": b"a"})
    files.create("_staging/dead/x", b"1")
    files.create("_staging/alive/x", b"2")
    files.create("mine.csv", b"3")

    said = recover(files, frozenset({"alive"}))

    assert len(said) == 1
    assert [info.path for info in files.list("_staging/")] == ["_staging/alive/x"]
    assert files.read("mine.csv") == b"3"


def test_a_copy_from_another_file_system_that_was_cut_short_is_swept(tmp_path: Path) -> None:
    """The program is killed when the copy is there and has not got its name."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    files = MortalFolder(tmp_path / "orders")
    write(files, {"a.csv": b"a"})
    files.create("d/._batuta-mine", b"3")
    files.create("_staging/dead/x", b"1")
    staged = other / f"batuta-test-{os.getpid()}"
    staged.write_bytes(b"abc")
    child = os.fork()
    if not child:
        real = os.rename

        def rename(old: str, new: str) -> None:
            if "._batuta-" in old:
                os.kill(os.getpid(), signal.SIGKILL)
            real(old, new)

        os.rename = rename  # type: ignore[assignment]  # this process ends in it
        files.publish([(str(staged), "d/k")])
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    staged.unlink()
    assert len(list(files.list("d/"))) == 2

    recover(files, frozenset())

    assert [info.path for info in files.list("d/")] == ["d/._batuta-mine"]
    assert head_content(files) == {"a.csv": b"a"}


def test_a_torn_intent_is_swept_and_harms_nothing(files: Bench) -> None:
    write(files, {"a.csv": b"a"})
    files.create("_staging/dead.intent.json", b'{"format_version":1,')

    recover(files, frozenset())

    assert list(files.list("_staging/")) == []
    assert head_content(files) == {"a.csv": b"a"}


def test_superseded_files_are_retired_though_staging_was_emptied_by_hand(files: Bench) -> None:
    one, two = part_path(b"1"), part_path(b"2")
    log = write(files, {one: b"1"})
    entry, staged = draft({two: b"2"}, [one]), stage_all(files, {two: b"2"})
    pending = announce(files, log, entry, log.head, staged)
    files.publish(staged)
    _die_after_the_entry(files, pending)
    files.delete([info.path for info in files.list("_staging/")])

    assert recover(files, frozenset()) == ("Moved 1 superseded files to history.",)
    assert {i.path for i in files.list() if not i.path.startswith("_")} == {two}
    assert verify(files, None, lambda _f, _b: None).ok


def _die_after_the_entry(files: Bench, pending: object) -> None:
    for moments in range(40):
        files.moment = Fuse(moments)
        try:
            conclude(files, pending)  # type: ignore[arg-type]  # a Pending; the test says which
        except Died:
            pass
        finally:
            files.moment = lambda: None
        log = open_log(files)
        if log is not None and log.head.version == 1:
            return
    raise AssertionError("it never got to the entry")


def test_the_connector_opens_a_dataset_without_a_heavy_import() -> None:
    import subprocess
    import sys

    code = (
        "import sys, batuta.connectors.alimentar as a\n"
        "assert a.CONNECTOR.schemes == ()\n"
        "print([m for m in ('pyarrow', 'msgspec', 'fsspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_draft_keeps_what_the_runtime_wrote_into_it(files: Bench) -> None:
    entry: LogEntry = draft({"a.csv": b"a"})
    log = commit(files, None, entry, None, stage_all(files, {"a.csv": b"a"}))

    assert log.entry == entry
