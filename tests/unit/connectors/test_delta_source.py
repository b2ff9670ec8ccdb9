"""Delta tables as a source: what is seen, what the version string says, what is refused."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from batuta.connectors.delta import CONNECTOR
from batuta.model.diagnostic import ConnectorError, Failure
from tests.unit.connectors import delta_tables as tables
from tests.unit.connectors.delta_tables import HandMade, column, observe, read

UTC = dt.UTC
AWKWARD = [
    "a b", "50%", "a:b", "ü/ä", "x=y", None, "__HIVE_DEFAULT_PARTITION_", "a+b", "é#?&",
    "tab\there", "'q\"", "a%20b", "emoji😀", "back\\slash", " ", "2021-01-01",
]  # fmt: skip


def refused(table: Path, version: str | None = None) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        read(table, version)
    return caught.value


def code(error: ConnectorError) -> str:
    return error.diagnostics[0].code


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A table of two versions, six rows."""
    folder = tmp_path / "orders"
    write_deltalake(folder, pa.table({"id": [1, 2, 3], "name": ["a", "b", None]}))
    write_deltalake(folder, pa.table({"id": [4, 5, 6], "name": ["d", "e", "f"]}), mode="append")
    return folder


def test_awkward_partition_values_come_back_as_they_were(tmp_path: Path) -> None:
    rows = pa.table({"p": AWKWARD, "v": list(range(len(AWKWARD)))})
    write_deltalake(tmp_path / "t", rows, partition_by=["p"])

    found = read(tmp_path / "t")

    assert found.rows.sort_by("v").column("p").to_pylist() == AWKWARD
    assert found.readers == {"files"}
    assert not found.state.copyable


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.datetime(2021, 1, 2, 3, 4, 5, 678901, UTC), None], pa.timestamp("us", "UTC")),
        pa.array([dt.datetime(9999, 12, 31, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        pa.array([-62135596800000000, 1609556645000001]).cast(pa.timestamp("us")),
        pa.array([dt.date(1582, 1, 1), None]),
        pa.array([Decimal("1.50"), Decimal("99999999.99")], pa.decimal128(10, 2)),
        pa.array([True, False]),
        pa.array([1.5, float("inf")]),
        pa.array([-3, 127], pa.int8()),
        pa.array(["", None]),
    ],
    ids=lambda values: f"{values.type} {values[0]}",
)
def test_typed_partition_values_come_back_as_they_were(tmp_path: Path, values: pa.Array) -> None:
    rows = pa.table({"p": values, "v": [1, 2]})
    write_deltalake(tmp_path / "t", rows, partition_by=["p"])

    found = read(tmp_path / "t").rows.sort_by("v")

    empty_is_null = [None if value == "" else value for value in values.to_pylist()]
    assert found.column("p").to_pylist() == empty_is_null
    assert found.schema.field("p").type == values.type


def test_binary_partitions_are_refused_since_writers_differ(tmp_path: Path) -> None:
    rows = pa.table({"p": [b"\x00\xff"], "v": [1]})
    write_deltalake(tmp_path / "t", rows, partition_by=["p"])

    assert code(refused(tmp_path / "t")) == "DLT103"


def test_files_with_the_tables_own_columns_can_be_copied(orders: Path) -> None:
    found = read(orders)

    assert found.state.copyable
    assert found.state.rows == 6
    assert found.rows.column("id").to_pylist() == [1, 2, 3, 4, 5, 6]
    assert found.state.size_bytes == sum(f.stat().st_size for f in orders.glob("*.parquet"))


def test_a_column_added_later_is_null_in_older_files(orders: Path) -> None:
    write_deltalake(
        orders, pa.table({"id": [7], "extra": [1.5]}), mode="append", schema_mode="merge"
    )

    found = read(orders)

    assert found.rows.column("extra").to_pylist() == [None] * 6 + [1.5]
    assert found.rows.column("name").to_pylist()[-1] is None
    assert not found.state.copyable


def test_a_version_is_pinned_by_number(orders: Path) -> None:
    assert read(orders, 0).rows.column("id").to_pylist() == [1, 2, 3]
    assert observe(orders, 0).native_version == "0"


def test_a_version_is_pinned_by_time(orders: Path) -> None:
    history = {h["version"]: h["timestamp"] for h in DeltaTable(orders).history()}
    later = dt.datetime.fromtimestamp(history[1] / 1000 + 60, UTC).isoformat()

    assert observe(orders, later).native_version == "1"


def test_a_time_before_the_first_version_is_refused(orders: Path) -> None:
    assert code(refused(orders, "1999-01-01T00:00:00Z")) == "DLT102"


def test_in_commit_times_outrank_those_of_files(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create(
        [column("a", "long")], configuration={"delta.enableInCommitTimestamps": "true"}
    )
    for number, day in ((1, 10), (2, 20), (3, 30)):
        rows = pa.table({"a": [number]})
        time = int(dt.datetime(2024, 1, day, tzinfo=UTC).timestamp() * 1000)
        size = table.store(f"f{number}.parquet", rows)
        table.commit(
            {"commitInfo": {"inCommitTimestamp": time, "timestamp": 0}},
            table.action(f"f{number}.parquet", size, 1),
        )

    assert observe(tmp_path / "t", "2024-01-25T00:00:00Z").native_version == "2"
    assert observe(tmp_path / "t", "2024-01-20T00:00:00Z").native_version == "2"
    assert observe(tmp_path / "t", "2024-02-25T00:00:00+01:00").native_version == "3"


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "2024-01-01T00:00:00", "", "٣"])
def test_what_is_no_version_is_refused(orders: Path, text: str) -> None:
    assert code(refused(orders, text)) == "DLT108"


def test_a_version_that_is_not_there_is_refused_by_number(orders: Path) -> None:
    error = refused(orders, "99")

    assert code(error) == "DLT102"
    assert "99" in error.diagnostics[0].detail


def test_a_commit_that_changes_nothing_keeps_the_version_string(orders: Path) -> None:
    before = observe(orders)
    DeltaTable(orders).alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})

    fresh, known = observe(orders), observe(orders, known=before)

    assert fresh.version == known.version == before.version
    assert fresh.units == before.units == known.units
    assert (before.native_version, fresh.native_version, known.native_version) == ("1", "2", "2")
    assert before.version.startswith("1.")


def test_an_append_and_its_undoing_change_the_version_string(orders: Path) -> None:
    first = observe(orders)
    write_deltalake(orders, pa.table({"id": [9], "name": ["z"]}), mode="append")
    second = observe(orders)
    DeltaTable(orders).restore(1)

    assert second.version != first.version
    assert set(second.units) > set(first.units)
    assert observe(orders).version.partition(".")[2] == first.version.partition(".")[2]


def test_compaction_changes_units_but_no_row(orders: Path) -> None:
    before = read(orders)
    DeltaTable(orders).optimize.compact()
    after = read(orders)

    assert after.state.version != before.state.version
    assert tables.multiset(after.rows) == tables.multiset(before.rows)


def test_a_known_unit_is_not_opened_again(orders: Path) -> None:
    known = observe(orders)
    for file in orders.glob("*.parquet"):
        file.unlink()
    write_deltalake(orders, pa.table({"id": [9], "name": ["z"]}), mode="append")

    assert observe(orders, known=known).rows == 7
    with pytest.raises(ConnectorError):
        observe(orders)


def test_units_are_the_same_with_and_without_an_earlier_answer(orders: Path) -> None:
    known = observe(orders, 0)

    assert observe(orders, known=known) == observe(orders)


def test_a_vacuumed_version_names_the_file_and_the_way_out(orders: Path) -> None:
    DeltaTable(orders).optimize.compact()
    DeltaTable(orders).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    error = refused(orders, "1")

    assert code(error) == "DLT105"
    assert ".parquet" in error.diagnostics[0].detail
    assert "newer version" in error.diagnostics[0].fix


def test_a_file_of_another_size_is_refused(orders: Path) -> None:
    file = next(orders.glob("*.parquet"))
    file.write_bytes(file.read_bytes() + b"\0")

    assert code(refused(orders)) == "DLT105"


def test_an_input_carries_the_stamp_that_its_reader_compares(orders: Path) -> None:
    from batuta.connectors.delta.source import DeltaSource

    state = observe(orders)
    inputs = DeltaSource(tables.CONNECTION).inputs(state, state.units)

    assert [i.key for i in inputs] == [u.key for u in state.units]
    assert all(i.url.startswith("file:///") and i.validator for i in inputs)


def test_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert code(refused(tmp_path / "empty")) == "DLT101"
    assert code(refused(tmp_path / "absent")) == "DLT101"


@pytest.mark.parametrize("name", ["a%20b", "a\\b"])
def test_a_path_for_which_the_library_opens_another_is_refused(tmp_path: Path, name: str) -> None:
    # It would open `a b` and `a/b`.
    assert code(refused(tmp_path / name)) == "DLT107"


def test_other_stores_are_refused() -> None:
    spec = tables.spec_of("gs://bucket/table")
    source = CONNECTOR.source
    assert source is not None

    with pytest.raises(ConnectorError) as caught:
        source(tables.CONNECTION).observe(spec, None)

    assert code(caught.value) == "DLT107"


@pytest.mark.parametrize("name", ["with blank #1", "ünï", "q?x=1&y"])
def test_awkward_folders_are_read(tmp_path: Path, name: str) -> None:
    write_deltalake((tmp_path / name).as_uri(), pa.table({"p": ["a b"], "v": [1]}))

    assert read(tmp_path / name).rows.num_rows == 1


@pytest.mark.parametrize("name", ["[brackets]", "a{b}", "a^b|c", "emoji😀"])
def test_folders_that_the_library_cannot_write_to_are_read(orders: Path, name: str) -> None:
    assert read(orders.rename(orders.parent / name)).rows.num_rows == 6


def test_a_table_without_files_has_its_schema_and_no_rows(tmp_path: Path) -> None:
    HandMade(tmp_path / "t").create([column("a", "long"), column("b", "timestamp")])

    found = read(tmp_path / "t")

    assert (found.rows.num_rows, found.state.units, found.state.rows) == (0, (), 0)
    assert found.rows.schema.names == ["a", "b"]


@pytest.mark.parametrize(
    "protocol",
    [
        {"minReaderVersion": 3, "readerFeatures": ["martian"]},
        {"minReaderVersion": 9},
        {"minReaderVersion": 3, "readerFeatures": ["variantShredding-preview"]},
    ],
    ids=str,
)
def test_what_the_protocol_asks_beyond_the_allow_list_is_refused(
    tmp_path: Path, protocol: dict[str, object]
) -> None:
    features = protocol.get("readerFeatures", [])
    asked = {"minWriterVersion": 7, "writerFeatures": features, **protocol}
    HandMade(tmp_path / "t").create([column("a", "long")], protocol=asked)

    assert code(refused(tmp_path / "t")) == "DLT103"


def test_a_feature_that_only_writers_know_does_not_stop_a_reader(tmp_path: Path) -> None:
    asked = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["rowTracking"]}
    table = HandMade(tmp_path / "t").create([column("a", "long")], protocol=asked)
    table.add("f.parquet", pa.table({"a": [1]}))

    assert read(tmp_path / "t").rows.num_rows == 1


def test_a_mapping_that_the_protocol_does_not_allow_is_refused(tmp_path: Path) -> None:
    HandMade(tmp_path / "t").create(
        [column("a", "long", id=1, physicalName="x")],
        configuration={"delta.columnMapping.mode": "name"},
    )

    assert code(refused(tmp_path / "t")) in {"DLT103", "DLT104"}


@pytest.mark.parametrize(
    "damage", ['{"add":', "[]", "null", '{"add": 3}', "\x00\xff", '{"add": {"path": "x"}}']
)
def test_a_damaged_log_is_a_diagnostic(orders: Path, damage: str) -> None:
    (orders / "_delta_log" / f"{2:020}.json").write_text(damage)

    assert code(refused(orders)) in {"DLT103", "DLT104"}


def test_a_clone_that_points_outside_the_table_is_refused(orders: Path) -> None:
    table = HandMade(orders, version=1)
    table.commit(table.action("file:///elsewhere/x.parquet", 1, 1))

    assert code(refused(orders)) == "DLT103"


def test_a_path_that_leaves_the_table_is_refused(orders: Path) -> None:
    table = HandMade(orders, version=1)
    table.commit(table.action("..%2Fsecret.parquet", 1, 1))

    assert code(refused(orders)) == "DLT104"


def test_messages_lose_colours_and_stack_traces() -> None:
    from batuta.connectors.delta.client import clean

    said = "Kernel error: Json error\n   0: <unknown>\n  12: start_thread\n     at ./nptl/x.c:442:8"

    assert clean(said) == "Kernel error: Json error"
    assert clean("a\n   \x1b[31m↳\x1b[0m b") == "a b"


def test_a_store_that_does_not_answer_can_be_tried_again() -> None:
    from batuta.connectors.delta.source import DeltaSource
    from batuta.model.connector import Connection

    dead = Connection(
        formats=tables.FORMATS,
        options={"endpoint": "http://127.0.0.1:9"},
        secrets={"accessKeyId": "a", "secretAccessKey": "very-secret"},
    )
    with pytest.raises(ConnectorError) as caught:
        DeltaSource(dead).observe(tables.spec_of("s3://bucket/table"), None)

    assert code(caught.value) == "DLT109"
    assert caught.value.kind is Failure.TRANSIENT
    assert "very-secret" not in str(caught.value)


def test_a_streaming_epoch_without_rows_keeps_the_version_string(orders: Path) -> None:
    before = observe(orders)
    table = HandMade(orders, version=1)
    table.commit({"txn": {"appId": "s", "version": 1}}, {"commitInfo": {"operation": "STREAMING"}})

    assert observe(orders).version == before.version


def test_statistics_that_lie_about_rows_are_refused(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")])
    size = table.store("f.parquet", pa.table({"a": [1, 2]}))
    table.commit(table.action("f.parquet", size, 3))

    assert code(refused(tmp_path / "t")) == "DLT105"


def test_a_units_version_is_its_size_and_its_deleted_rows(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")], features=["deletionVectors"])
    size = table.store("f.parquet", pa.table({"a": [1, 2, 3]}))
    first = table.action("f.parquet", size, 3)
    table.commit(first)
    whole = observe(tmp_path / "t").units[0]
    table.commit(tables.removal(first), table.action("f.parquet", size, 3, [1]))
    part = observe(tmp_path / "t").units[0]

    assert whole.version == str(size)
    assert part.version.startswith(f"{size}-")
    assert (whole.rows, part.rows) == (3, 2)
    assert json.loads(part.extra)["dropped"]


def test_commit_properties_do_not_disturb(orders: Path) -> None:
    write_deltalake(
        orders,
        pa.table({"id": [9], "name": ["z"]}),
        mode="append",
        commit_properties=CommitProperties(custom_metadata={"who": "me"}),
    )

    assert observe(orders).rows == 7
