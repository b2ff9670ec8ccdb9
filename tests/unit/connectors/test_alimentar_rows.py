"""A dataset as a source and as rows; importing, letting history go, deleting."""

import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from batuta.connectors.alimentar.commit import announce
from batuta.connectors.alimentar.history import expirable, expire
from batuta.connectors.alimentar.log import Log, open_log
from batuta.connectors.alimentar.names import history_name
from batuta.connectors.alimentar.store import AlimentarStore
from batuta.connectors.local.files import LocalFiles
from batuta.formats.arrow import FORMAT as ARROW
from batuta.formats.parquet import FORMAT as PARQUET
from batuta.model.address import Address
from batuta.model.arrow import schema_of
from batuta.model.connector import Connection
from batuta.model.diagnostic import BatutaError, CommitConflict, ConnectorError
from batuta.model.log import Part
from batuta.model.observed import Cut
from batuta.model.resource import HistorySpec, SourceSpec
from batuta.model.table import TableSchema
from batuta.model.transfer import Input
from tests.unit.connectors.alimentar_bench import (
    MemoryStore,
    digest,
    draft,
    part,
    part_path,
    stage_all,
)

FORMATS = {"arrow": ARROW, "parquet": PARQUET}
ROWS = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("name", pa.string())])


def rows(first: int, count: int) -> pa.RecordBatch:
    numbers = list(range(first, first + count))
    return pa.RecordBatch.from_pydict(
        {"id": numbers, "name": [f"n{n}" for n in numbers]}, schema=ROWS
    )


def encoded(batches: Sequence[pa.RecordBatch], format_name: str = "arrow") -> bytes:
    sink = io.BytesIO()
    writer = FORMATS[format_name].writer
    assert writer is not None
    writer().write(sink, batches[0].schema, iter(batches), {})
    return sink.getvalue()


def table_store(
    versions: int = 3, format_name: str = "arrow"
) -> tuple[MemoryStore, AlimentarStore]:
    """Version n holds the rows from 10 n on: two parts of five."""
    files = MemoryStore(moves=True)
    store = AlimentarStore(files)
    log: Log | None = None
    for version in range(versions):
        contents = [encoded([rows(10 * version + 5 * k, 5)], format_name) for k in range(2)]
        added = {part_path(content, format_name): content for content in contents}
        parts = [part(path, content, rows=5) for path, content in added.items()]
        entry = draft(
            parts,
            list(log.folded.parts) if log else [],
            schema=schema_of(ROWS),
            format_name=format_name,
            written_at=f"2026-03-0{version + 1}T00:00:00Z",
        )
        store.commit(entry, log.head if log else None, stage_all(files, added))
        log = open_log(files)
    return files, store


def read(store: AlimentarStore, version: int | None = None) -> list[pa.RecordBatch]:
    """Read a version as a worker would: its parts where they are, in order."""
    found: list[pa.RecordBatch] = []
    for source in store.inputs(store.readable(version, FORMATS).parts):
        format_ = FORMATS[source.key.rpartition(".")[2]]
        assert format_.reader is not None
        place = source.url.removeprefix("https://bucket.test/").removeprefix("file://")
        with store.files.open(place.removeprefix(f"{store.files.location}/")) as file:
            batches = format_.reader().batches(
                file, start=None, end=None, columns=None, schema=schema_of(ROWS), options={}
            )
            found += [batch.rows for batch in batches]
    return found


def ids(batches: Sequence[pa.RecordBatch]) -> list[int]:
    return [value for batch in batches for value in batch.column("id").to_pylist()]


def _code(error: pytest.ExceptionInfo[BatutaError]) -> str:
    return error.value.diagnostics[0].code


@pytest.mark.parametrize("format_name", ["arrow", "parquet"])
def test_rows_come_in_order_for_the_head_and_for_any_version(format_name: str) -> None:
    _, store = table_store(format_name=format_name)

    assert ids(read(store)) == list(range(20, 30))
    assert ids(read(store, 0)) == list(range(10))


def test_parts_that_moved_to_history_are_found_there() -> None:
    files, store = table_store()
    snapshot = store.readable(None, FORMATS)
    log = open_log(files)
    assert log is not None
    before = store.inputs(snapshot.parts)

    store.commit(draft({}, list(log.folded.parts)), log.head, ())

    after = store.inputs(snapshot.parts)
    assert [source.key for source in after] == [source.key for source in before]
    assert all("_history/" in source.url for source in after)
    assert ids(read(store, 2)) == list(range(20, 30))


def test_a_part_of_another_size_is_refused() -> None:
    files, store = table_store()
    log = open_log(files)
    assert log is not None
    files.objects[log.snapshot.parts[1].path] += b"x"

    with pytest.raises(ConnectorError) as caught:
        read(store)

    assert _code(caught) == "LOG122"


def test_files_are_no_rows() -> None:
    files = MemoryStore(moves=True)
    store = AlimentarStore(files)
    with pytest.raises(ConnectorError) as caught:
        store.readable(None, FORMATS)
    assert _code(caught) == "LOG143"
    store.commit(draft(schema=None, format_name="files"), None, ())

    with pytest.raises(ConnectorError) as caught:
        store.readable(None, FORMATS)

    assert _code(caught) == "LOG142"


# -- as a source ------------------------------------------------------------------------------


def test_the_source_is_the_parts_at_the_head_pinned_by_digest() -> None:
    files, store = table_store()
    log = open_log(files)
    assert log is not None

    state = store.source(FORMATS).observe(SourceSpec(), None)

    assert state.version == f"2:{log.head.digest[:16]}"
    assert [(u.key, u.version, u.rows) for u in state.units] == [
        (p.path, p.sha256, 5) for p in log.snapshot.parts
    ]
    assert (state.kind, state.format, state.rows) == ("table", "arrow", 10)
    assert state.schema == schema_of(ROWS)
    assert state.copyable


def test_a_pinned_source_stays_what_it_was() -> None:
    _, store = table_store()
    source = store.source(FORMATS)
    head = source.observe(SourceSpec(), None)
    first = source.observe(SourceSpec(version="0"), None)

    assert first.units != head.units
    assert source.observe(SourceSpec(version=first.version), None) == first
    assert [i.url.split("/")[-3] for i in source.inputs(first, first.units)] == ["_history"] * 2
    assert [i.key for i in source.inputs(first, first.units)] == [u.key for u in first.units]
    assert all(source_input.sha256 for source_input in source.inputs(head, head.units))


def test_partitions_give_the_units_in_order_and_the_same_on_every_run() -> None:
    _, store = table_store()
    source = store.source(FORMATS)
    state = source.observe(SourceSpec(), None)

    both = source.partitions(SourceSpec(), state, state.units, 1 << 30)
    each = source.partitions(SourceSpec(), state, state.units, state.units[0].size_bytes)

    assert [len(p.segments) for p in both] == [2]
    assert [p.rows for p in both] == [10]
    assert [p.segments[0].unit for p in each] == [u.ref for u in state.units]
    assert each == source.partitions(SourceSpec(), state, state.units, state.units[0].size_bytes)
    assert len({p.id for p in (*both, *each)}) == 3


def test_a_part_that_is_far_too_large_is_read_in_stretches_without_loss() -> None:
    files = MemoryStore(moves=True)
    store = AlimentarStore(files)
    content = encoded([rows(100 * n, 100) for n in range(8)])
    path = part_path(content, "arrow")
    entry = draft([part(path, content, rows=800)], schema=schema_of(ROWS), format_name="arrow")
    store.commit(entry, None, stage_all(files, {path: content}))

    def cuts(format_name: str, source: Input) -> Sequence[Cut]:
        reader = FORMATS[format_name].reader
        assert reader is not None
        with files.open(source.key) as file:
            return reader().inspect(file, {}, {}).cuts

    source = store.source(FORMATS, cuts)
    state = source.observe(SourceSpec(), None)

    partitions = source.partitions(SourceSpec(), state, state.units, len(content) // 4)

    assert len(partitions) > 1
    reader = ARROW.reader
    assert reader is not None
    found: list[int] = []
    for partition in partitions:
        (segment,) = partition.segments
        assert segment.first_row == len(found)
        with files.open(path) as file:
            batches = reader().batches(
                file,
                start=segment.start,
                end=segment.end,
                columns=None,
                schema=schema_of(ROWS),
                options={},
            )
            found += ids([batch.rows for batch in batches])
    assert found == list(range(800))


def test_a_source_whose_parts_expired_says_which() -> None:
    files, store = table_store()
    source = store.source(FORMATS)
    first = source.observe(SourceSpec(version="0"), None)
    for path in [path for path in files.objects if path.startswith("_history/")]:
        del files.objects[path]

    with pytest.raises(ConnectorError) as caught:
        source.inputs(first, first.units)

    assert _code(caught) == "LOG121"


def test_a_source_without_a_log_is_refused() -> None:
    with pytest.raises(ConnectorError) as caught:
        AlimentarStore(MemoryStore(moves=True)).source({}).observe(SourceSpec(), None)

    assert _code(caught) == "LOG143"


def test_a_format_that_nothing_reads_is_refused_by_name() -> None:
    _, store = table_store()
    state = store.source({}).observe(SourceSpec(), None)

    with pytest.raises(ConnectorError) as caught:
        store.source({}).partitions(SourceSpec(), state, state.units, 1)

    assert _code(caught) == "LOG142"
    assert "arrow" in caught.value.diagnostics[0].detail


# -- history ----------------------------------------------------------------------------------

MARCH_1_S = 1_772_323_200.0
DAY_S = 86_400


def _history(files: MemoryStore) -> int:
    return sum(path.startswith("_history/") for path in files.objects)


@pytest.mark.parametrize(
    ("days_after_last", "keep_days", "versions", "left"),
    [
        (0.5, 1, 0, 2),  # version 1 was superseded half a day ago, version 0 more than a day
        (0.5, 2, 0, 4),
        (5, 1, 0, 0),
        (5, 1, 1, 2),
        (5, 1, 2, 4),
        (5, 1, 99, 4),
    ],
)
def test_history_is_kept_by_time_or_by_number_whichever_is_more(
    days_after_last: float, keep_days: int, versions: int, left: int
) -> None:
    files, store = table_store(3)
    now_s = MARCH_1_S + (2 + days_after_last) * DAY_S

    deleted = store.expire(HistorySpec(keep_s=keep_days * DAY_S, versions=versions), now_s)

    assert deleted == 4 - left
    assert _history(files) == left
    assert ids(read(store)) == list(range(20, 30))


def test_history_of_a_protected_dataset_is_kept() -> None:
    files, store = table_store(3)
    log = open_log(files)
    assert log is not None
    store.commit(draft(protect=True), log.head, ())

    assert store.expire(HistorySpec(keep_s=0), 4e9) == 0
    assert _history(files) == 4


def test_what_a_run_under_way_takes_out_of_history_is_kept() -> None:
    files, store = table_store(3)
    log = open_log(files)
    old = store.snapshot(0)
    assert log is not None
    assert old is not None
    waiting = old.parts
    announce(files, log, draft(waiting, list(log.folded.parts)), log.head, ())
    files.move([(p.path, history_name(p.path, p.sha256)) for p in waiting])

    kept = {info.path for info in files.list("_history/")} - {
        info.path for info in expirable(files, HistorySpec(keep_s=0), 4e9)
    }

    assert {history_name(p.path, p.sha256) for p in waiting} <= kept


def test_foreign_files_in_history_are_never_let_go() -> None:
    files, store = table_store(3)
    files.create("_history/notes.txt", b"mine")

    assert store.expire(HistorySpec(keep_s=0), 4e9) == 4
    assert _history(files) == 1


def test_nothing_is_read_where_history_is_empty() -> None:
    files, _ = table_store(1)

    def read(path: str, limit: int | None = None) -> bytes:
        raise AssertionError(path)

    files.read = read  # type: ignore[method-assign]

    assert expire(files, HistorySpec(keep_s=0), 4e9) == 0


# -- import, delete ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.arrow").write_bytes(encoded([rows(5, 5)]))
    (tmp_path / "a.arrow").write_bytes(encoded([rows(0, 5)]))
    return tmp_path


def local(folder: Path) -> AlimentarStore:
    return AlimentarStore(LocalFiles(Connection(), Address("file", str(folder))))


def _describe(path: str) -> TableSchema | None:
    return schema_of(ROWS)


def test_a_folder_is_imported_as_it_lies(folder: Path) -> None:
    store = local(folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    entry = draft(schema=None, format_name="arrow")

    found = store.adopt(_describe, entry, write=True)

    assert [each.path for each in found] == ["a.arrow", "d/b.arrow"]
    snapshot = store.snapshot()
    assert snapshot is not None
    assert snapshot.parts == found
    assert snapshot.entry.owner == "Imported"
    assert snapshot.entry.version == 0
    assert snapshot.entry.facts.schema == schema_of(ROWS)
    assert {p: p.read_bytes() for p in before} == before
    assert store.verify(snapshot.head, lambda _f, _b: None).ok
    assert ids(read(store)) == list(range(10))
    assert not store.source(FORMATS).observe(SourceSpec(), None).copyable


def test_an_import_that_only_looks_writes_nothing(folder: Path) -> None:
    found = local(folder).adopt(_describe, draft(), write=False)

    assert [each.sha256 for each in found] == [
        digest((folder / each.path).read_bytes()) for each in found
    ]
    assert not (folder / "_log").exists()


def test_a_folder_is_imported_once(folder: Path) -> None:
    store = local(folder)
    store.adopt(_describe, draft(), write=True)

    with pytest.raises(BatutaError) as caught:
        store.adopt(_describe, draft(), write=True)

    assert _code(caught) == "LOG151"


def test_an_empty_folder_is_not_imported(tmp_path: Path) -> None:
    with pytest.raises(BatutaError) as caught:
        local(tmp_path).adopt(_describe, draft(), write=True)

    assert _code(caught) == "LOG151"


def test_files_of_several_tables_are_not_imported_as_one(folder: Path) -> None:
    def differ(path: str) -> TableSchema | None:
        return schema_of(ROWS) if path == "a.arrow" else None

    with pytest.raises(BatutaError) as caught:
        local(folder).adopt(differ, draft(), write=True)

    assert _code(caught) == "LOG151"
    assert not (folder / "_log").exists()


def test_a_folder_that_changes_while_it_is_hashed_is_not_imported(folder: Path) -> None:
    def busy(path: str) -> TableSchema | None:
        (folder / "late.arrow").write_bytes(b"x")
        return None

    with pytest.raises(ConnectorError) as caught:
        local(folder).adopt(busy, draft(), write=True)

    assert _code(caught) == "LOG152"


def test_the_store_lists_all_entries_and_compares_heads() -> None:
    _, store = table_store()
    snapshot = store.snapshot()
    assert snapshot is not None

    assert [entry.version for entry in store.entries()] == [0, 1, 2]
    assert store.relation(snapshot.head) == "same"
    assert AlimentarStore(MemoryStore(moves=True)).entries() == ()


def test_a_stale_commit_through_the_store_is_a_conflict() -> None:
    _, store = table_store()
    first = store.snapshot(0)
    assert first is not None

    with pytest.raises(CommitConflict):
        store.commit(draft([Part(path="x", size_bytes=0, sha256="0" * 64)]), first.head, ())
