"""Bringing columns into form: slices, nulls, and what may be cast."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batuta.connectors.delta.projection import project, readable
from batuta.connectors.delta.types import Node, parse_schema
from batuta.connectors.delta.values import (
    constant,
    from_log,
    pack_ordinals,
    texts_of,
    unpack_ordinals,
)
from batuta.model.diagnostic import ConnectorError

STORED = pa.struct(
    [
        ("n", pa.int32()),
        ("l", pa.list_(pa.struct([("x", pa.int32())]))),
        ("m", pa.map_(pa.string(), pa.int32())),
    ]
)
DECLARED = """{"fields": [{"name": "s", "nullable": true, "type": {"type": "struct", "fields": [
  {"name": "m", "nullable": true, "type": {"type": "map", "keyType": "string",
    "valueType": "long", "valueContainsNull": true}},
  {"name": "gone", "nullable": true, "type": "string"},
  {"name": "n", "nullable": true, "type": "long"},
  {"name": "l", "nullable": true, "type": {"type": "array", "containsNull": true,
    "elementType": {"type": "struct", "fields": [
      {"name": "x", "nullable": true, "type": "long"},
      {"name": "y", "nullable": true, "type": "double"}]}}}]}}]}"""

maybe_int = st.none() | st.integers(-(2**31), 2**31 - 1)
structs = st.none() | st.fixed_dictionaries(
    {
        "n": maybe_int,
        "l": st.none() | st.lists(st.none() | st.fixed_dictionaries({"x": maybe_int}), max_size=3),
        "m": st.none() | st.dictionaries(st.text(max_size=2), maybe_int, max_size=3),
    }
)


def node() -> Node:
    return parse_schema(DECLARED, mapped=False)[0]


def expected(value: dict[str, object] | None) -> dict[str, object] | None:
    if value is None:
        return None
    inner = value["l"]
    listed = None
    if isinstance(inner, list):
        listed = [None if e is None else {"x": e["x"], "y": None} for e in inner]
    pairs = value["m"]
    return {
        "m": list(pairs.items()) if isinstance(pairs, dict) else None,
        "gone": None,
        "n": value["n"],
        "l": listed,
    }


@given(st.lists(structs, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_any_slice_of_a_nested_column_keeps_its_values(
    values: list[dict[str, object] | None], start: int, count: int
) -> None:
    rows = [
        None
        if v is None
        else {**v, "m": list(v["m"].items()) if isinstance(v["m"], dict) else None}
        for v in values
    ]
    array = pa.array(rows, STORED).slice(start, count)

    found = project(array, node())

    found.validate(full=True)
    assert readable(STORED, node())
    assert found.type == node().type
    assert found.to_pylist() == [expected(v) for v in values[start : start + count]]


def test_a_required_field_that_is_missing_inside_is_not_readable() -> None:
    text = DECLARED.replace('"name": "gone", "nullable": true', '"name": "gone", "nullable": false')

    assert not readable(STORED, parse_schema(text, mapped=False)[0])


@given(st.lists(st.integers(0, 5000), unique=True).map(sorted))
def test_ordinals_come_back_as_they_were(ordinals: list[int]) -> None:
    assert unpack_ordinals(pack_ordinals(tuple(ordinals))).tolist() == ordinals


@given(st.datetimes(), st.booleans())
def test_any_instant_of_a_partition_comes_back_as_it_was(moment: object, zoned: bool) -> None:
    type_ = pa.timestamp("us", "UTC" if zoned else None)
    value = pa.array([moment], pa.timestamp("us")).cast(type_)

    (text,) = texts_of("p", value)

    assert constant(text, type_, 2) == pa.concat_arrays([value, value])


@pytest.mark.parametrize(
    ("raw", "type_", "text"),
    [
        (None, pa.int64(), None),
        ("", pa.string(), None),
        ("a b", pa.string(), "a b"),
        ("2021-01-02 03:04:05", pa.timestamp("us", "UTC"), "2021-01-02T03:04:05.000000Z"),
        ("2021-01-02T03:04:05.5Z", pa.timestamp("us", "UTC"), "2021-01-02T03:04:05.500000Z"),
        ("2021-01-02 03:04:05.123", pa.timestamp("us"), "2021-01-02T03:04:05.123000"),
        ("TRUE", pa.bool_(), "true"),
        ("-2.25", pa.decimal128(10, 2), "-2.25"),
    ],
)
def test_values_as_the_log_spells_them(raw: str | None, type_: pa.DataType, text: str) -> None:
    assert from_log("p", raw, type_) == text


def test_a_value_that_is_none_of_its_type_is_refused() -> None:
    with pytest.raises(ConnectorError):
        from_log("p", "12a", pa.int64())
