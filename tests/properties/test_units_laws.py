"""Laws of files as a table: nothing is lost, nothing is read twice, the same question, one answer."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batuta.model.format import Inspection
from batuta.model.layout import (
    LayoutError,
    constant_columns,
    folder_constants,
    is_hidden,
    pattern_filter,
    shared_constants,
)
from batuta.model.observed import Cut
from batuta.model.resource import SourceSpec
from batuta.model.table import Column, TableSchema
from batuta.model.transfer import Input
from batuta.model.units import Found, known_inspections, partitions_of, table_state, unite
from batuta.model.widening import unite_types

TYPES = [
    "null",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "halffloat",
    "float",
    "double",
    "string",
    "large_string",
    "bool",
    "date32[day]",
    "decimal128(10, 2)",
    "decimal128(12, 0)",
    "decimal128(38, 10)",
    "timestamp[s]",
    "timestamp[us]",
    "timestamp[us, tz=UTC]",
    "timestamp[ns]",
]
types = st.sampled_from(TYPES)
columns = st.builds(Column, st.sampled_from("abcd"), types, st.booleans())
schemas = st.lists(columns, max_size=4, unique_by=lambda c: c.name).map(
    lambda found: TableSchema(tuple(found))
)
SCHEMA = TableSchema((Column("a", "int64"),))


@st.composite
def tables(draw: st.DrawFn) -> list[Found]:
    out = []
    for at in range(draw(st.integers(1, 8))):
        sizes = draw(st.lists(st.integers(0, 300), min_size=1, max_size=6))
        cuts = tuple(Cut(str(n), size, size) for n, size in enumerate(sizes))
        inside = Inspection(schema=SCHEMA, rows=sum(sizes), cuts=cuts)
        out.append(Found(f"{at}.x", f"v{at}", sum(sizes) // 3, f"s{at}", inside))
    return out


def _inputs(found: list[Found]) -> list[Input]:
    return [
        Input(key=f.key, url=f"file:///{f.key}", size_bytes=f.size_bytes, validator=f.stamp)
        for f in found
    ]


@given(types, types)
def test_a_union_of_types_is_the_same_from_both_sides_and_holds_both(one: str, other: str) -> None:
    united = unite_types(one, other)
    assert united == unite_types(other, one)
    if united is not None:
        assert unite_types(united, one) == united
        assert unite_types(united, other) == united


@given(types)
def test_a_type_unites_with_itself_and_with_null(one: str) -> None:
    assert unite_types(one, one) == one
    assert unite_types(one, "null") == one


@pytest.mark.parametrize(
    ("one", "other", "united"),
    [
        ("int32", "int64", "int64"),
        ("uint32", "int32", "int64"),
        ("uint64", "int64", None),
        ("int32", "double", "double"),
        ("int64", "double", None),
        ("int16", "halffloat", "float"),
        ("uint8", "halffloat", "halffloat"),
        ("decimal128(10, 2)", "decimal128(12, 0)", "decimal128(14, 2)"),
        ("decimal128(38, 0)", "decimal128(38, 10)", None),
        ("timestamp[s]", "timestamp[us]", "timestamp[us]"),
        ("timestamp[us]", "timestamp[ns]", None),
        ("timestamp[us]", "timestamp[us, tz=UTC]", None),
        ("string", "large_string", "large_string"),
        ("string", "int64", None),
    ],
)
def test_types_unite_only_where_nothing_is_lost(one: str, other: str, united: str | None) -> None:
    assert unite_types(one, other) == united


@given(st.lists(schemas, min_size=1, max_size=5))
def test_every_file_fits_the_united_schema(found: list[TableSchema]) -> None:
    try:
        united = unite([(f"{at}", schema) for at, schema in enumerate(found)])
    except LayoutError:
        return
    by_name = {column.name: column for column in united.columns}
    assert set(by_name) == {name for schema in found for name in schema.names}
    for schema in found:
        stored = {column.name: column for column in schema.columns}
        for name, column in by_name.items():
            if name not in stored:
                assert column.nullable
                continue
            assert unite_types(column.type, stored[name].type) == column.type
            assert column.nullable or not stored[name].nullable


@given(schemas)
def test_equal_files_unite_to_their_own_schema(schema: TableSchema) -> None:
    assert unite([("1", schema), ("2", schema)]) == schema


@given(tables(), st.integers(1, 1000))
def test_streams_hold_every_stretch_once_in_order(found: list[Found], target: int) -> None:
    state = table_state("x", found, "parquet", {})
    streams = partitions_of(SourceSpec(), state, state.units, target, _inputs(found))
    segments = [segment for stream in streams for segment in stream.segments]
    for each in found:
        mine = [s for s in segments if s.input.key == each.key]
        assert mine[0].start is None
        assert mine[-1].end is None
        assert [s.start for s in mine[1:]] == [s.end for s in mine[:-1]]
        starts = {cut.position: at for at, cut in enumerate(each.inside.cuts)}
        for segment in mine:
            before = each.inside.cuts[: starts[segment.start] if segment.start else 0]
            assert segment.first_row == sum(cut.rows or 0 for cut in before)
    assert [s.input.key for s in segments] == sorted(
        (s.input.key for s in segments), key=[f.key for f in found].index
    )
    assert sum(stream.rows or 0 for stream in streams) == state.rows


@given(tables(), st.integers(1, 1000))
def test_a_stream_is_over_its_target_only_where_it_cannot_be_cut(
    found: list[Found], target: int
) -> None:
    state = table_state("x", found, "parquet", {})
    largest = max(cut.size_bytes for each in found for cut in each.inside.cuts)
    for stream in partitions_of(SourceSpec(), state, state.units, target, _inputs(found)):
        assert stream.size_bytes <= max(target, largest)


@given(tables(), st.integers(1, 1000))
def test_the_same_units_give_the_same_streams(found: list[Found], target: int) -> None:
    state = table_state("x", found, "parquet", {})
    one = partitions_of(SourceSpec(), state, state.units, target, _inputs(found))
    assert one == partitions_of(SourceSpec(), state, state.units, target, _inputs(found))
    assert len({stream.id for stream in one}) == len(one)


def test_whatever_changes_the_rows_changes_the_streams_name() -> None:
    inside = Inspection(schema=SCHEMA, rows=1, cuts=(Cut("0", 1, 1),))
    found = [Found("a", "v1", 1, "s", inside)]
    state = table_state("x", found, "csv", {})
    specs = [
        SourceSpec(),
        SourceSpec(options=(("delimiter", ";"),)),
        SourceSpec(types=(("a", "string"),)),
        SourceSpec(include=("a",)),
        SourceSpec(rename=(("a", "b"),)),
    ]
    ids = {partitions_of(s, state, state.units, 9, _inputs(found))[0].id for s in specs}
    other = table_state("x", [Found("a", "v2", 1, "s", inside)], "csv", {})
    ids.add(partitions_of(specs[0], other, other.units, 9, _inputs(found))[0].id)
    assert len(ids) == len(specs) + 1


@given(tables())
def test_what_is_known_is_what_was_found(found: list[Found]) -> None:
    state = table_state("x", found, "parquet", {})
    known = known_inspections(state)
    assert {key: inside for key, (_, inside) in known.items()} == {f.key: f.inside for f in found}


@given(st.text(alphabet=string.ascii_letters + "/._-é", min_size=1))
def test_a_name_without_wildcards_matches_itself_alone(name: str) -> None:
    pattern = name.removeprefix("./") or "x"
    matches = pattern_filter([pattern])
    assert matches(pattern)
    assert not matches(pattern + "x")


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.csv", ["a.csv", "x/y.csv"], ["a.csv.gz", "csv"]),
        ("x/*.csv", ["x/a.csv"], ["x/y/a.csv", "a.csv"]),
        ("x/**/*.csv", ["x/a.csv", "x/y/z/a.csv"], ["y/a.csv"]),
        ("**/part-?", ["part-1", "a/part-1"], ["part-12"]),
        ("[ab]1", ["a1", "b1"], ["c1", "[ab]1"]),
        ("[!ab]1", ["c1"], ["a1", "/1"]),
        ("a[", ["a["], ["a"]),
        ("[]]", ["]"], ["["]),
        ("a.b", ["a.b"], ["axb"]),
        ("x/**", ["x/a", "x/a/b"], ["y/a"]),
    ],
)
def test_patterns_mean_what_shells_mean(pattern: str, yes: list[str], no: list[str]) -> None:
    matches = pattern_filter([pattern])
    assert all(map(matches, yes))
    assert not any(map(matches, no))


def test_hidden_names_are_those_that_spark_skips() -> None:
    assert is_hidden("_SUCCESS")
    assert is_hidden("a/.part.crc")
    assert is_hidden("_log/x")
    assert not is_hidden("_year=2024/x")
    assert not is_hidden("a_b/c.d")


def test_folders_state_columns_only_where_all_agree() -> None:
    assert folder_constants("a=1/b=x%20y/c") == (("a", "1"), ("b", "x y"))
    assert folder_constants("a=/f") == (("a", None),)
    assert shared_constants(["a=1/b=2/x", "a=2/b=3/y"]) == ("a", "b")
    assert shared_constants(["a=1/x", "b=2/x"]) == ()
    assert shared_constants(["a=1/x", "x"]) == ()
    with pytest.raises(LayoutError):
        shared_constants(["a=1/a=2/x"])


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["1", "-20", "0"], "int64"),
        (["1", "x"], "string"),
        (["01"], "string"),
        (["9" * 18], "int64"),
        (["9" * 19], "string"),
        (["__HIVE_DEFAULT_PARTITION__"], "string"),
    ],
)
def test_a_folders_type_is_a_number_only_where_no_text_is_lost(
    values: list[str], type_: str
) -> None:
    keys = [f"a={value}/f" for value in values]
    assert constant_columns(["a"], keys, {})[0].type == type_
    assert constant_columns(["a"], keys, {"a": "date32"})[0].type == "date32"
