"""CSV: types from all values, exact rows, errors with their line."""

import datetime as dt
import gzip
from decimal import Decimal

import pyarrow as pa
import pytest

from batuta.formats.csv.reader import CsvReader
from batuta.model.canonical import Json
from batuta.model.diagnostic import ConnectorError
from tests.unit.formats.reading import batches, inspected, read, table_of

READER = CsvReader()
UTC = dt.UTC
naive = dt.datetime.fromisoformat


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        (["1", "-2", ""], "int64", [1, -2, None]),
        (["007", "1"], "string", ["007", "1"]),
        (["+5", "1"], "string", ["+5", "1"]),
        (["1", "2.5"], "double", [1.0, 2.5]),
        (["NaN", "NaN"], "string", ["NaN", "NaN"]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808", "1"], "decimal128(38, 0)", [Decimal(2**63), Decimal(1)]),
        (["9007199254740993", "0.5"], "string", ["9007199254740993", "0.5"]),
        (["0.12345678901234567890"], "string", ["0.12345678901234567890"]),
        (["1e400"], "string", ["1e400"]),
        (["true", "False"], "bool", [True, False]),
        (["true", "1"], "string", ["true", "1"]),
        (["2024-02-29"], "date32[day]", [dt.date(2024, 2, 29)]),
        (["2024-02-30"], "string", ["2024-02-30"]),
        (["2024-01-01 10:00:00.5"], "timestamp[us]", [naive("2024-01-01T10:00:00.5")]),
        (["2024-01-01", "2024-01-01 10:00"], "timestamp[us]",
         [naive("2024-01-01"), naive("2024-01-01T10:00")]),
        (["2024-01-01T00:00:00+02:00"], "timestamp[us, tz=UTC]",
         [dt.datetime(2023, 12, 31, 22, tzinfo=UTC)]),
        (["2024-01-01T00:00:00Z", "2024-01-01T00:00:00"], "string",
         ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00"]),
        (["9999-12-31 00:00:00"], "timestamp[us]", [naive("9999-12-31")]),
        (["", ""], "string", [None, None]),
        (["x", '""', ""], "string", ["x", "", None]),
        (["1", '""'], "int64", [1, None]),
    ],
)  # fmt: skip
def test_a_type_is_given_only_where_every_value_survives(
    values: list[str], type_: str, expected: list[object]
) -> None:
    raw = "a,b\n" + "".join(f"{value},z\n" for value in values)
    found = inspected(READER, raw.encode())
    assert found.schema.columns[0].type == type_
    result = read(READER, raw.encode())["a"].to_pylist()
    assert result == expected


def test_nan_counts_as_a_number_beside_numbers() -> None:
    column = read(READER, b"a\n1.5\nNaN\n")["a"]
    assert column.type == pa.float64()
    assert column.to_pylist()[0] == 1.5


def test_a_late_value_decides_as_an_early_one_does() -> None:
    rows = "".join(f"{i},{i}\n" for i in range(700_000))
    raw = f"a,b\n{rows}x,1\n".encode()
    found = inspected(READER, raw)
    assert [c.type for c in found.schema.columns] == ["string", "int64"]
    assert found.rows == 700_001


@pytest.mark.parametrize("quoted", [False, True])
def test_reading_from_any_cut_and_any_batch_gives_the_same_rows(quoted: bool) -> None:
    text = '"line\nbreak, ""x"""' if quoted else "plain text without quotes"
    raw = ("n,t\n" + "".join(f"{i},{text}\n" for i in range(900_000))).encode()
    found = inspected(READER, raw)
    assert len(found.cuts) >= 2
    whole = batches(READER, raw, found)
    assert table_of(whole)["n"].to_pylist() == list(range(900_000))
    ends = [*(cut.position for cut in found.cuts[1:]), None]
    pieces = [
        batches(READER, raw, found, start=cut.position, end=end, columns=["n"])
        for cut, end in zip(found.cuts, ends, strict=True)
    ]
    assert [sum(b.rows.num_rows for b in p) for p in pieces] == [c.rows for c in found.cuts]
    assert [b.next for piece in pieces for b in piece] == [b.next for b in whole]
    left = batches(READER, raw, found, start=whole[1].next)
    assert [b.rows for b in left] == [b.rows for b in whole[2:]]


@pytest.mark.parametrize(
    ("raw", "code", "line"),
    [
        (b"a,b\n1,2\n3\n", "FMT120", 3),
        (b"a,b\n1,2\n3,4,5\n", "FMT120", 3),
        (b'a,b\n1,"x\n\ny"\n3\n', "FMT120", 5),
        (b'a,b\n1,2\n3,"x\n', "FMT120", 3),
        (b"a,b\n1,2\n3,\0\n", "FMT120", 3),
        (b"a,b\n1,2\n3,\xff\n", "FMT123", 3),
    ],
)
def test_a_bad_record_is_refused_with_its_line(raw: bytes, code: str, line: int) -> None:
    with pytest.raises(ConnectorError, match=rf"{code}.*Line {line}\b"):
        inspected(READER, raw)


def test_a_value_that_is_not_of_its_declared_type_is_refused_with_its_line() -> None:
    with pytest.raises(ConnectorError, match=r"FMT125.*Line 3.*'x'"):
        inspected(READER, b"a,b\n1,2\nx,3\n", a="int64")


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", "FMT122"), (b"\n\n", "FMT122"), (b"a,a\n1,2\n", "FMT122"), (b"a;b\n1;2\n", "FMT121")],
)
def test_a_header_that_cannot_be_used_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(ConnectorError, match=code):
        inspected(READER, raw)


def test_declared_types_are_taken_and_spelled_canonically() -> None:
    found = inspected(READER, b"a,b\n007,12.50\n", b="decimal128(12,2)")
    assert [c.type for c in found.schema.columns] == ["string", "decimal128(12, 2)"]
    with pytest.raises(ConnectorError, match="FMT126"):
        inspected(READER, b"a,b\n1,2\n", z="int64")
    with pytest.raises(ConnectorError, match="FMT121"):
        inspected(READER, b"a,b\n1,2\n", a="integer")


@pytest.mark.parametrize(
    ("raw", "options"),
    [
        (b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y", {}),
        (b"a\tb\n1\tx\n2\ty\n", {}),
        (b"a;b\n1;x\n2;y\n", {"delimiter": ";"}),
        (b"1,x\n2,y\n", {"header": False}),
        (b"a,b\n1,'x'\n2,y\n", {"quote": "'"}),
        (b"\n\na,b\n\n1,x\n2,y\n\n", {}),
        (gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0), {}),
        ("a,b\n1,x\n2,y\n".encode("utf-16"), {"encoding": "utf-16"}),
        (b"a,b\n1,x\n2,y\n", {"encoding": "cp1252"}),
        (b"a,b\r1,x\r2,y\r", {}),
    ],
)
def test_all_ways_to_write_the_same_rows_give_the_same_rows(
    raw: bytes, options: dict[str, Json]
) -> None:
    columns = read(READER, raw, options).columns
    assert [column.to_pylist() for column in columns] == [[1, 2], ["x", "y"]]


def test_quotes_inside_an_unquoted_field_are_characters() -> None:
    table = read(READER, b'a,b\n5" disk,"5"" disk"\nx,"q"r\n')
    assert table["a"].to_pylist() == ['5" disk', "x"]
    assert table["b"].to_pylist() == ['5" disk', "qr"]


def test_a_timestamp_format_is_used_for_types_and_values() -> None:
    days = read(READER, b"a,b\n31.12.2024,x\n,y\n", {"timestampFormat": "%d.%m.%Y"})
    assert days["a"].to_pylist() == [dt.date(2024, 12, 31), None]
    times = read(READER, b"a\n31.12.2024 10:11\n", {"timestampFormat": "%d.%m.%Y %H:%M"})
    assert times["a"].to_pylist() == [naive("2024-12-31T10:11")]


def test_a_comma_can_be_the_decimal_mark() -> None:
    table = read(READER, b"a;b\n1,5;2\n2;3\n", {"delimiter": ";", "decimal": ","})
    assert table["a"].to_pylist() == [1.5, 2.0]


def test_texts_that_mean_null_are_null_unless_quoted() -> None:
    table = read(READER, b'a,b\n1,NA\nNA,"NA"\n', {"null": ["NA"]})
    assert table.to_pydict() == {"a": [1, None], "b": [None, "NA"]}


def test_an_empty_line_is_a_null_in_a_table_of_one_column() -> None:
    assert read(READER, b"a\n1\n\n3\n")["a"].to_pylist() == [1, None, 3]


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ",,"}, {"quote": "xy"}, {"quote": ",", "delimiter": ","}, {"header": "yes"},
        {"encoding": "klingon"}, {"encoding": "rot13"}, {"encoding": "zip"}, {"null": "NA"},
        {"timestampFormat": "dd.mm"}, {"decimal": "·"}, {"delimiter": "\n"},
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused(options: dict[str, Json]) -> None:
    with pytest.raises(ConnectorError, match="FMT121"):
        inspected(READER, b"a,b\n1,2\n", options)


def test_a_cut_archive_is_refused() -> None:
    with pytest.raises(ConnectorError, match="FMT127"):
        inspected(READER, gzip.compress(b"a,b\n1,2\n" * 1000, mtime=0)[:-9])
