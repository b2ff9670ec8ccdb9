"""Which schema changes are safe: one row for each rule that people ask about."""

import pytest

from batuta.core.schema_rules import CONDITIONS, RULES, classify, classify_type, worst_class
from batuta.model.change import AddColumn, AlterColumn, DropColumn, SchemaClass
from batuta.model.table import Column

ADDITIVE, WIDENING, BREAKING, SEMANTIC = SchemaClass

# before, after, class, do all values survive
TYPES = [
    ("int32", "int64", WIDENING, True),
    ("int8", "int16", WIDENING, True),
    ("int64", "int32", BREAKING, False),
    ("uint32", "int64", WIDENING, True),
    ("uint64", "int64", BREAKING, False),
    ("int64", "uint64", BREAKING, False),
    ("float", "double", WIDENING, True),
    ("double", "float", BREAKING, False),
    ("int8", "double", SEMANTIC, True),
    ("int16", "double", SEMANTIC, True),
    ("int32", "double", SEMANTIC, True),
    ("int64", "double", BREAKING, False),
    ("int32", "float", BREAKING, False),
    ("int16", "float", SEMANTIC, True),
    ("int32", "decimal128(10, 0)", WIDENING, True),
    ("int32", "decimal128(12, 2)", WIDENING, True),
    ("int32", "decimal128(9, 0)", BREAKING, False),
    ("int64", "decimal128(20, 0)", WIDENING, True),
    ("int64", "decimal128(20, 2)", BREAKING, False),
    ("uint64", "decimal128(20, 0)", WIDENING, True),
    ("decimal128(10, 2)", "decimal128(12, 2)", WIDENING, True),
    ("decimal128(10, 2)", "decimal128(12, 4)", WIDENING, True),
    ("decimal128(10, 2)", "decimal128(10, 4)", BREAKING, False),
    ("decimal128(10, 2)", "decimal128(12, 1)", BREAKING, False),
    ("decimal128(10, 2)", "decimal256(40, 2)", WIDENING, True),
    ("decimal128(10, 2)", "double", BREAKING, False),
    ("int64", "string", BREAKING, True),
    ("double", "string", BREAKING, True),
    ("string", "int64", BREAKING, False),
    ("string", "binary", BREAKING, True),
    ("binary", "string", BREAKING, False),
    ("string", "large_string", WIDENING, True),
    ("large_string", "string", WIDENING, True),
    ("dictionary<values=string, indices=int32, ordered=0>", "string", WIDENING, True),
    ("fixed_size_binary[16]", "binary", WIDENING, True),
    ("fixed_size_binary[16]", "fixed_size_binary[8]", BREAKING, False),
    ("date32[day]", "timestamp[us]", WIDENING, True),
    ("date32[day]", "timestamp[ns]", BREAKING, False),
    ("date32[day]", "timestamp[us, tz=UTC]", SEMANTIC, False),
    ("timestamp[us]", "timestamp[us, tz=UTC]", SEMANTIC, False),
    ("timestamp[us, tz=UTC]", "timestamp[us]", SEMANTIC, False),
    ("timestamp[us, tz=UTC]", "timestamp[us, tz=Europe/Berlin]", SEMANTIC, False),
    ("timestamp[ms]", "timestamp[us]", WIDENING, True),
    ("timestamp[us]", "timestamp[ns]", BREAKING, False),
    ("timestamp[us]", "timestamp[ms]", BREAKING, False),
    ("timestamp[us]", "timestamp[ms, tz=UTC]", BREAKING, False),
    ("time32[s]", "time64[us]", WIDENING, True),
    ("time64[us]", "time32[s]", BREAKING, False),
    ("null", "int64", WIDENING, True),
    ("int64", "null", BREAKING, False),
    ("bool", "int64", BREAKING, False),
    ("list<item: int32>", "list<item: int64>", WIDENING, True),
    ("list<item: int64>", "list<item: int32>", BREAKING, False),
    ("list<item: int64>", "large_list<item: int64>", WIDENING, True),
    ("fixed_size_list<item: float>[3]", "list<item: float>", WIDENING, True),
    ("list<item: float>", "fixed_size_list<item: float>[3]", BREAKING, False),
    ("struct<a: int32>", "struct<a: int32, b: string>", ADDITIVE, True),
    ("struct<a: int32>", "struct<a: int64>", WIDENING, True),
    ("struct<a: int32, b: string>", "struct<a: int32>", BREAKING, False),
    ("struct<a: int32, b: string>", "struct<b: string, a: int32>", WIDENING, True),
    ("struct<a: int32>", "struct<a: int32, b: string not null>", BREAKING, True),
    ("struct<a: int32 not null>", "struct<a: int32>", WIDENING, True),
    ("struct<a: int32>", "struct<a: int32 not null>", BREAKING, False),
    ("list<item: struct<a: int32>>", "list<item: struct<a: int32, b: double>>", ADDITIVE, True),
    ("map<string, int32>", "map<string, int64>", WIDENING, True),
    ("map<int32, int64>", "map<int64, int64>", BREAKING, True),
    ("something<new>", "string", BREAKING, False),
]


@pytest.mark.parametrize(("before", "after", "schema_class", "keeps"), TYPES)
def test_a_change_of_type_has_its_class(
    before: str, after: str, schema_class: SchemaClass, keeps: bool
) -> None:
    verdict = classify_type(before, after)
    assert (verdict.schema_class, verdict.keeps) == (schema_class, keeps), verdict.why
    assert verdict.why


def test_a_new_optional_column_is_additive() -> None:
    assert classify(AddColumn(Column("x", "int64"))).schema_class is ADDITIVE


def test_a_new_required_column_is_breaking() -> None:
    assert classify(AddColumn(Column("x", "int64", nullable=False))).schema_class is BREAKING


def test_a_dropped_column_is_breaking_and_loses_values() -> None:
    verdict = classify(DropColumn(Column("x", "int64")))
    assert (verdict.schema_class, verdict.keeps) == (BREAKING, False)


@pytest.mark.parametrize(("before", "schema_class"), [(False, WIDENING), (True, BREAKING)])
def test_nullability_widens_one_way_and_breaks_the_other(
    before: bool, schema_class: SchemaClass
) -> None:
    change = AlterColumn(Column("x", "int64", before), Column("x", "int64", not before))
    assert classify(change).schema_class is schema_class


def test_the_worse_of_type_and_nullability_counts() -> None:
    change = AlterColumn(Column("x", "int32", nullable=True), Column("x", "int64", nullable=False))
    assert classify(change).schema_class is BREAKING


def test_a_nested_reason_names_the_child() -> None:
    assert classify_type("struct<a: int64>", "struct<a: int8>").why.startswith("in a:")


def test_every_rule_names_a_condition_that_exists_and_a_reason() -> None:
    assert all(rule.when in CONDITIONS and rule.why for rule in RULES)
    assert {rule.when for rule in RULES} == set(CONDITIONS)


def test_the_worst_class_is_the_one_that_asks_for_most_care() -> None:
    assert worst_class([ADDITIVE, SEMANTIC, WIDENING]) is SEMANTIC
    assert worst_class([]) is None
