"""JSON Lines: types from all lines, exact numbers, errors with their line."""

import datetime as dt
import gzip
from decimal import Decimal

import pytest

from batuta.formats.jsonl.reader import JsonlReader
from batuta.model.diagnostic import ConnectorError
from tests.unit.formats.reading import batches, inspected, read, table_of

READER = JsonlReader()


def test_fields_come_in_the_order_of_their_first_line_and_lack_nothing() -> None:
    raw = b'{"a":1}\n\n{"b":[1,null],"a":2.5}\n{"c":{"x":{"y":true}}}\n'
    found = inspected(READER, raw)
    assert [(c.name, c.type) for c in found.schema.columns] == [
        ("a", "double"), ("b", "list<item: int64>"), ("c", "struct<x: struct<y: bool>>"),
    ]  # fmt: skip
    assert read(READER, raw).to_pydict() == {
        "a": [1.0, 2.5, None],
        "b": [None, [1, None], None],
        "c": [None, None, {"x": {"y": True}}],
    }


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        (['"2024-01-01"'], "string", ["2024-01-01"]),
        (['"007"'], "string", ["007"]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808", "1"], "decimal128(38, 0)", [Decimal(2**63), Decimal(1)]),
        (["null", "null"], "string", [None, None]),
        (["[]", "null"], "list<item: string>", [[], None]),
    ],
)
def test_a_type_is_given_only_where_every_value_survives(
    values: list[str], type_: str, expected: list[object]
) -> None:
    raw = "".join(f'{{"a":{value}}}\n' for value in values).encode()
    assert inspected(READER, raw).schema.columns[0].type == type_
    assert read(READER, raw)["a"].to_pylist() == expected


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":12345678901234567890}\n{"a":1.5}\n',
        b'{"a":9007199254740993}\n{"a":1.5}\n',
        b'{"a":[12345678901234567890]}\n',
        b'{"a":{"b":9007199254740993}}\n{"a":{"b":0.5}}\n',
    ],
)
def test_numbers_that_a_double_would_round_are_refused(raw: bytes) -> None:
    with pytest.raises(ConnectorError, match="FMT133"):
        inspected(READER, raw)


def test_a_declared_type_settles_what_inference_refuses() -> None:
    raw = b'{"a":12345678901234567890}\n{"a":1.5}\n'
    assert read(READER, raw, a="decimal128(38, 2)")["a"].to_pylist() == [
        Decimal("12345678901234567890.00"), Decimal("1.50"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "code", "line"),
    [
        (b'{"a":1}\n{"a":\n', "FMT130", 2),
        (b'{"a":1}\n{"a":2,"a":3}\n', "FMT130", 2),
        (b'{"a":1}\n\n{"a":"\xff"}\n', "FMT130", 3),
        (b'{"a":1}\n{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "FMT130", 2),
        (b'{"a":1}\n{"a":"x"}\n', "FMT132", 2),
        (b'{"a":1}\n7\n', "FMT132", 2),
    ],
)
def test_a_bad_line_is_refused_with_its_number(raw: bytes, code: str, line: int) -> None:
    with pytest.raises(ConnectorError, match=rf"{code}.*Line {line}\b"):
        inspected(READER, raw)


def test_brackets_inside_strings_have_no_depth() -> None:
    raw = b'{"a":"' + b"[" * 1000 + b'"}\n'
    assert len(read(READER, raw)["a"][0].as_py()) == 1000


def test_a_conflict_between_distant_lines_names_the_later_one() -> None:
    raw = b'{"a":1}\n' * 600_000 + b'{"a":"x"}\n'
    with pytest.raises(ConnectorError, match=r"FMT132.*Line 600001\b"):
        inspected(READER, raw)


@pytest.mark.parametrize("raw", [b"", b"\n\n", b'[{"a":1}]\n', b"{}\n"])
def test_what_is_not_json_lines_is_refused(raw: bytes) -> None:
    with pytest.raises(ConnectorError, match="FMT131"):
        inspected(READER, raw)


def test_reading_from_any_cut_and_any_batch_gives_the_same_rows() -> None:
    raw = b"".join(b'{"n":%d,"t":"a text that takes some room"}\n' % i for i in range(400_000))
    found = inspected(READER, raw)
    assert len(found.cuts) >= 2
    whole = batches(READER, raw, found)
    assert table_of(whole)["n"].to_pylist() == list(range(400_000))
    ends = [*(cut.position for cut in found.cuts[1:]), None]
    pieces = [
        batches(READER, raw, found, start=cut.position, end=end, columns=["n"])
        for cut, end in zip(found.cuts, ends, strict=True)
    ]
    assert [sum(b.rows.num_rows for b in p) for p in pieces] == [c.rows for c in found.cuts]
    left = batches(READER, raw, found, start=whole[1].next)
    assert [b.rows for b in left] == [b.rows for b in whole[2:]]


def test_gzip_a_mark_and_a_missing_line_end_change_nothing() -> None:
    expected = read(READER, b'{"a":1}\n{"a":2}\n')
    for raw in (b'\xef\xbb\xbf{"a":1}\n{"a":2}', gzip.compress(b'{"a":1}\n{"a":2}\n')):
        assert read(READER, raw).equals(expected)
    with pytest.raises(ConnectorError, match="FMT136"):
        inspected(READER, gzip.compress(b'{"a":1}\n' * 1000)[:-9])


def test_a_timestamp_format_is_used_where_all_texts_follow_it() -> None:
    raw = b'{"a":"31.12.2024","b":"x"}\n{"a":null,"b":"31.12.2024"}\n'
    table = read(READER, raw, {"timestampFormat": "%d.%m.%Y"})
    assert table.to_pydict() == {
        "a": [dt.date(2024, 12, 31), None], "b": ["x", "31.12.2024"],
    }  # fmt: skip
