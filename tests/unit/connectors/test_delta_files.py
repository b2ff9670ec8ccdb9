"""How data files become rows: renames, ids, deleted rows, old types, nesting, other engines."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.connectors.delta import layout
from batuta.connectors.delta.reader import DeltaReader
from batuta.connectors.delta.source import DeltaSource
from batuta.model.diagnostic import ConnectorError
from batuta.model.transfer import Position
from tests.unit.connectors import delta_tables as tables
from tests.unit.connectors.delta_tables import DATA, HandMade, column, read

BY_NAME = {"delta.columnMapping.mode": "name"}
BY_ID = {"delta.columnMapping.mode": "id"}
MAPPED = ["columnMapping"]


def refusal(table: Path) -> str:
    with pytest.raises(ConnectorError) as caught:
        read(table)
    return str(caught.value)


def rows(table: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(table).rows.to_pylist()
    return found


@pytest.mark.parametrize(
    "name",
    [
        "feed_mapped_by_id",
        "feed_with_deletions",
        "short_deletions",
        "checkpoint_v2",
    ],
)
def test_tables_of_other_engines_read_as_the_library_reads_them(name: str) -> None:
    assert tables.multiset(read(DATA / name).rows) == tables.library_rows(DATA / name)


def test_instants_of_the_year_9999_are_not_turned_into_1816() -> None:
    found = read(DATA / "edge_timestamps").rows.sort_by("SOME_VALUE")

    utc = dt.UTC
    assert found.column("BIG_DATE").to_pylist() == [
        dt.datetime(9999, 12, 31, tzinfo=utc),
        dt.datetime(9999, 12, 30, tzinfo=utc),
    ]


def test_files_from_before_a_widening_are_read_in_the_wider_type() -> None:
    found = read(DATA / "type_widening")

    assert found.rows.num_rows == 2
    assert found.rows.column("byte_long").to_pylist() == sorted(
        found.rows.column("byte_long").to_pylist(), key=abs
    )
    assert found.rows.schema.field("byte_long").type == pa.int64()
    assert found.readers == {"files", "delta"}


@pytest.mark.parametrize(
    ("stored", "declared", "value"),
    [
        (pa.int8(), "long", 5),
        (pa.int32(), "double", 5),
        (pa.int32(), "decimal(12,2)", 5),
        (pa.float32(), "double", 1.5),
        (pa.decimal128(5, 2), "decimal(10,4)", None),
        (pa.date32(), "timestamp_ntz", None),
        (pa.large_string(), "string", "x"),
        (pa.dictionary(pa.int32(), pa.string()), "string", "x"),
        (pa.timestamp("ms", "UTC"), "timestamp", dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
        (pa.timestamp("us"), "timestamp", None),
    ],
    ids=str,
)
def test_values_of_narrower_types_are_kept(
    tmp_path: Path, stored: pa.DataType, declared: str, value: object
) -> None:
    table = HandMade(tmp_path / "t").create(
        [column("a", declared)], features=["typeWidening", "timestampNtz"]
    )
    table.add("f.parquet", pa.table({"a": pa.array([value, None], stored)}))

    found = rows(tmp_path / "t")

    assert [r["a"] for r in found] == [value, None]


@pytest.mark.parametrize(
    ("stored", "declared"),
    [
        (pa.string(), "long"),
        (pa.int64(), "double"),
        (pa.float64(), "float"),
        (pa.int64(), "string"),
        (pa.timestamp("us"), "date"),
        (pa.list_(pa.int64()), "long"),
        (pa.int64(), {"type": "array", "elementType": "long", "containsNull": True}),
    ],
    ids=str,
)
def test_a_file_whose_type_cannot_become_the_tables_is_refused(
    tmp_path: Path, stored: pa.DataType, declared: Any
) -> None:
    table = HandMade(tmp_path / "t").create([column("a", declared)])
    table.add("f.parquet", pa.table({"a": pa.array([None], stored)}))

    assert "DLT106" in refusal(tmp_path / "t")


def test_a_value_that_does_not_fit_is_an_error_never_another_value(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "short")])
    table.add("f.parquet", pa.table({"a": pa.array([70000], pa.int32())}))

    assert "DLT106" in refusal(tmp_path / "t")


def test_two_columns_that_swapped_names_keep_their_values(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create(
        [
            column("a", "long", id=1, physicalName="b"),
            column("b", "long", id=2, physicalName="a"),
        ],
        features=MAPPED,
        configuration=BY_NAME,
    )
    table.add("f.parquet", pa.table({"b": [1], "a": [2]}))

    found = read(tmp_path / "t")

    assert found.rows.to_pylist() == [{"a": 1, "b": 2}]
    assert found.readers == {"delta"}


def test_a_dropped_column_does_not_come_back_under_a_new_one_of_its_name(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create(
        [column("k", "long", id=1, physicalName="k"), column("x", "long", id=3, physicalName="y")],
        features=MAPPED,
        configuration=BY_NAME,
    )
    table.add("f.parquet", pa.table({"k": [1], "x": [666]}))

    found = read(tmp_path / "t")

    assert found.rows.to_pylist() == [{"k": 1, "x": None}]
    assert found.readers == {"delta"}


def test_renamed_columns_of_the_tables_types_go_to_the_workers_reader(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create(
        [
            column("p", "string", id=1, physicalName="col-p"),
            column("v", "long", id=2, physicalName="col-v"),
        ],
        features=MAPPED,
        configuration=BY_NAME,
        partition_by=["p"],
    )
    table.add("aB/f.parquet", pa.table({"col-v": [1, 2]}), partition={"col-p": "x y"})

    found = read(tmp_path / "t")

    assert found.readers == {"files"}
    assert found.rows.to_pylist() == [{"p": "x y", "v": 1}, {"p": "x y", "v": 2}]


def identified(**names: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field(name, pa.int64(), metadata={"PARQUET:field_id": str(number)})
            for name, number in names.items()
        ]
    )


def by_id(folder: Path) -> HandMade:
    return HandMade(folder).create(
        [column("a", "long", id=1, physicalName="x"), column("b", "long", id=2, physicalName="y")],
        features=MAPPED,
        configuration=BY_ID,
    )


def test_a_mapping_by_id_follows_the_id_and_not_the_name(tmp_path: Path) -> None:
    table = by_id(tmp_path / "t")
    table.add("f.parquet", pa.table({"y": [1], "x": [2]}, schema=identified(y=1, x=2)))
    table.add("g.parquet", pa.table({"x": [3], "y": [4]}, schema=identified(x=1, y=2)))

    assert rows(tmp_path / "t") == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_a_mapping_by_id_does_not_take_a_column_of_another_id(tmp_path: Path) -> None:
    by_id(tmp_path / "t").add(
        "f.parquet", pa.table({"x": [1], "y": [9]}, schema=identified(x=1, y=7))
    )

    assert rows(tmp_path / "t") == [{"a": 1, "b": None}]


def test_a_mapping_by_id_without_ids_is_refused(tmp_path: Path) -> None:
    by_id(tmp_path / "t").add("f.parquet", pa.table({"x": [1], "y": [2]}))

    assert "without its field id" in refusal(tmp_path / "t")


def struct_of(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "struct", "fields": list(fields)}


def array_of(element: Any) -> dict[str, Any]:
    return {"type": "array", "elementType": element, "containsNull": True}


def test_names_and_fields_inside_of_columns_are_brought_into_form(tmp_path: Path) -> None:
    def inner(first: int) -> dict[str, Any]:
        return struct_of(
            column("new", "long", id=first, physicalName="old"),
            column("added", "string", id=first + 1, physicalName="added"),
        )

    pairs = {
        "type": "map", "keyType": "string", "valueType": inner(14), "valueContainsNull": True,
    }  # fmt: skip
    table = HandMade(tmp_path / "t").create(
        [
            column("s", inner(10), id=1, physicalName="s"),
            column("l", array_of(inner(12)), id=4, physicalName="l"),
            column("m", pairs, id=5, physicalName="m"),
        ],
        features=MAPPED,
        configuration=BY_NAME,
    )
    stored = pa.struct([("old", pa.int32())])
    table.add(
        "f.parquet",
        pa.table(
            {
                "s": pa.array([{"old": 1}, None, {"old": None}], stored),
                "l": pa.array([[{"old": 2}, None], None, []], pa.list_(stored)),
                "m": pa.array([[("k", {"old": 3})], None, []], pa.map_(pa.string(), stored)),
            }
        ),
    )

    two, three = ({"new": n, "added": None} for n in (2, 3))
    assert rows(tmp_path / "t") == [
        {"s": {"new": 1, "added": None}, "l": [two, None], "m": [("k", three)]},
        {"s": None, "l": None, "m": None},
        {"s": {"new": None, "added": None}, "l": [], "m": []},
    ]


def test_a_name_in_another_case_is_the_same_column(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("Id", "long")])
    table.add("f.parquet", pa.table({"id": [1]}))

    assert rows(tmp_path / "t") == [{"Id": 1}]


def test_two_names_that_differ_in_case_are_no_guess(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("Id", "long")])
    table.add("f.parquet", pa.table({"id": [1], "ID": [2]}))

    assert "DLT106" in refusal(tmp_path / "t")


def test_a_required_column_that_a_file_lacks_is_refused(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long"), column("b", "long", False)])
    table.add("f.parquet", pa.table({"a": [1]}))

    assert "required column b" in refusal(tmp_path / "t")


def test_a_partition_column_stored_in_the_file_too_does_not_outrank_the_log(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create(
        [column("p", "long"), column("v", "long")], partition_by=["p"]
    )
    table.add("f.parquet", pa.table({"p": [666], "v": [1]}), partition={"p": "7"})

    assert rows(tmp_path / "t") == [{"p": 7, "v": 1}]


DELETIONS = ["deletionVectors"]


@pytest.mark.parametrize("dropped", [[], [0], [4], [0, 4], [1, 2, 3], [0, 1, 2, 3, 4]], ids=str)
def test_deleted_rows_do_not_come_back(tmp_path: Path, dropped: list[int]) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")], features=DELETIONS)
    table.add("f.parquet", pa.table({"a": [0, 1, 2, 3, 4]}), dropped=dropped, row_group_size=2)

    found = read(tmp_path / "t")

    assert found.rows.column("a").to_pylist() == [n for n in range(5) if n not in dropped]
    assert found.state.rows == 5 - len(dropped)
    assert found.state.copyable == (not dropped)
    assert found.readers == {"files"}


def test_deleted_rows_are_found_in_files_that_need_form(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")], features=DELETIONS)
    stored = pa.table({"a": pa.array(range(6), pa.int32())})
    table.add("f.parquet", stored, dropped=[1, 4], row_group_size=2)

    found = read(tmp_path / "t")

    assert found.rows.column("a").to_pylist() == [0, 2, 3, 5]
    assert found.readers == {"delta"}


def test_very_many_deleted_rows_travel_as_a_bitmap(tmp_path: Path) -> None:
    count = 3 * layout.MANY_DROPPED
    table = HandMade(tmp_path / "t").create([column("a", "long")], features=DELETIONS)
    dropped = [n for n in range(count) if n % 2]
    table.add("f.parquet", pa.table({"a": range(count)}), dropped=dropped, row_group_size=50_000)

    found = read(tmp_path / "t")

    assert found.readers == {"delta"}
    assert found.rows.column("a").to_pylist() == list(range(0, count, 2))
    assert len(found.state.units[0].extra) < 2_000


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")], features=DELETIONS)
    stored = pa.table({"a": pa.array(range(10), pa.int32())})
    for name in ("f.parquet", "g.parquet"):
        table.add(name, stored, dropped=[1, 4, 9], row_group_size=2)
    source, spec = DeltaSource(tables.CONNECTION), tables.spec_of(tmp_path / "t")
    state = source.observe(spec, None)
    (partition,) = source.partitions(spec, state, state.units, 1 << 20)
    batches = list(DeltaReader(tables.CONNECTION).read(partition, None))

    assert batches[-1].next is None
    for i, batch in enumerate(batches[:-1]):
        rest = list(DeltaReader(tables.CONNECTION).read(partition, batch.next))
        assert rest == batches[i + 1 :]
    assert list(DeltaReader(tables.CONNECTION).read(partition, Position(2, "end"))) == []


def test_partitions_are_the_same_on_every_run_and_aim_at_the_target(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")])
    for name in "abcdef":
        table.add(f"{name}.parquet", pa.table({"a": range(1000)}), row_group_size=100)
    source, spec = DeltaSource(tables.CONNECTION), tables.spec_of(tmp_path / "t")
    state = source.observe(spec, None)
    sizes = [cut.size_bytes for unit in state.units for cut in unit.cuts]
    target = 15 * max(sizes)

    parts = source.partitions(spec, state, state.units, target)

    assert parts == source.partitions(spec, state, state.units, target)
    assert max(part.size_bytes for part in parts) <= target
    assert len(parts) == pytest.approx(sum(sizes) / target, abs=2)
    some = source.partitions(spec, state, state.units[2:4], target)
    assert {s.unit.key for p in some for s in p.segments} == {u.key for u in state.units[2:4]}


VARIANT = pa.struct([pa.field("metadata", pa.binary()), pa.field("value", pa.binary())])


def test_a_variant_is_its_value_and_metadata(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("v", "variant")], features=["variantType"])
    table.add("f.parquet", pa.table({"v": pa.array([{"metadata": b"m", "value": b"v"}], VARIANT)}))

    assert rows(tmp_path / "t") == [{"v": {"value": b"v", "metadata": b"m"}}]


def test_a_shredded_variant_is_refused(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("v", "variant")], features=["variantType"])
    shredded = pa.struct([*VARIANT, pa.field("typed_value", pa.int64())])
    table.add("f.parquet", pa.table({"v": pa.array([None], shredded)}))

    assert "DLT106" in refusal(tmp_path / "t")


def test_one_file_with_two_deletion_vectors_is_refused(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")], features=DELETIONS)
    size = table.store("f.parquet", pa.table({"a": [1, 2, 3]}))
    table.commit(table.action("f.parquet", size, 3, [0]))
    table.commit(table.action("f.parquet", size, 3, [1]))

    assert "named twice" in refusal(tmp_path / "t")


def test_a_deletion_vector_that_is_missing_is_refused(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")], features=DELETIONS)
    size = table.store("f.parquet", pa.table({"a": [1]}))
    action = table.action("f.parquet", size, 1)
    action["add"]["deletionVector"] = {
        "storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4,
        "sizeInBytes": 40, "cardinality": 1,
    }  # fmt: skip
    table.commit(action)

    assert "DLT1" in refusal(tmp_path / "t")


def test_a_file_that_is_no_parquet_is_a_diagnostic(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("a", "long")])
    (tmp_path / "t" / "f.parquet").write_bytes(b"no parquet at all")
    table.commit(table.action("f.parquet", 17, 1))

    assert refusal(tmp_path / "t")


def test_schemas_that_are_none_are_diagnostics(tmp_path: Path) -> None:
    deep: Any = "long"
    for _ in range(200):
        deep = array_of(deep)
    for number, text in enumerate(["{", "[]", "null", '{"fields": [1]}', '{"fields": [{}]}']):
        folder = tmp_path / f"t{number}"
        table = HandMade(folder).create([column("a", "long")])
        first = folder / "_delta_log" / f"{0:020}.json"
        lines = [json.loads(line) for line in first.read_text().splitlines()]
        lines[1]["metaData"]["schemaString"] = text
        table._commit(0, lines)
        assert "DLT1" in refusal(folder)
    HandMade(tmp_path / "deep").create([column("a", deep)])
    assert "DLT1" in refusal(tmp_path / "deep")


def test_types_that_are_not_read_are_named(tmp_path: Path) -> None:
    HandMade(tmp_path / "t").create([column("shape", "interval year")])

    assert "DLT103" in refusal(tmp_path / "t")


def test_footers_keep_list_elements_apart_from_the_tables_spelling(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create([column("l", array_of("long"))])
    table.add("f.parquet", pa.table({"l": [[1, 2], None]}))
    assert pq.read_schema(tmp_path / "t" / "f.parquet").field("l").type.value_field.name

    assert rows(tmp_path / "t") == [{"l": [1, 2]}, {"l": None}]
