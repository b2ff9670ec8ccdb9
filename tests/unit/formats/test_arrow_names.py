"""Spellings of Arrow types."""

import pyarrow as pa
import pytest

from batuta.model.arrow import schema_of, to_arrow, type_name, type_of
from batuta.model.arrow_names import ArrowType, parse_type, spell
from batuta.model.table import Column


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("decimal128(12,2)", ArrowType("decimal128", (12, 2))),
        ("timestamp[us,tz=UTC]", ArrowType("timestamp", ("us", "UTC"))),
        ("float64", ArrowType("double")),
        ("date32", ArrowType("date32", ("day",))),
        (
            "list<element: int32 not null>",
            ArrowType("list", (), (Column("item", "int32", nullable=False),)),
        ),
        (
            "map<string,int8 not null,keys_sorted>",
            ArrowType(
                "map",
                ("keys_sorted",),
                (Column("key", "string", nullable=False), Column("value", "int8", nullable=False)),
            ),
        ),
        (
            "dictionary<values=string,indices=int8,ordered=0>",
            ArrowType("dictionary", (), (Column("index", "int8"), Column("value", "string"))),
        ),
    ],
)
def test_a_spelling_is_taken_apart_with_or_without_spaces(text: str, expected: ArrowType) -> None:
    assert parse_type(text) == expected
    assert parse_type(spell(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "int", "int8 x", "struct<a>", "struct<a: int8", "decimal128(99, 2)", "decimal128()",
        "timestamp[m]", "timestamp[us, tz=]", "list<int32>", "map<string>", "extension<x.y>",
        "fixed_size_binary[-1]", 'struct<"a: int8>', "list<item: " * 100, "union<>",
        "dictionary<values=string, indices=string>", "dense_union<a: int8=0, b: int8=0>",
    ],
)  # fmt: skip
def test_a_bad_spelling_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"Arrow type|nested|extension type"):
        type_of(text)


def test_names_that_need_it_are_quoted() -> None:
    type_ = pa.struct([("a b", pa.int8()), ('"', pa.int8()), ("c", pa.int8())])
    assert type_name(type_) == r'struct<"a b": int8, "\"": int8, c: int8>'
    assert type_of(type_name(type_)) == type_


def test_a_schema_survives_the_way_into_the_model_and_back() -> None:
    schema = pa.schema([pa.field("a", pa.uuid(), nullable=False), ("b", pa.json_())])
    assert to_arrow(schema_of(schema)).equals(schema)


def test_an_extension_of_someone_else_is_spelled_as_it_is_stored() -> None:
    tensor = pa.fixed_shape_tensor(pa.int8(), [2, 2])
    assert type_name(tensor) == "fixed_size_list<item: int8>[4]"
