"""`data cat`: every value survives being printed, null and text are told apart."""

import io
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pytest

from batuta.cli.data.rows import WRITERS
from batuta.cli.views.page import Page
from batuta.cli.views.screen import Screen
from batuta.runtime.worker.render import STYLES

BATCH = pa.RecordBatch.from_arrays(
    [
        pa.array([1, None, 9007199254740993], pa.int64()),
        pa.array(["", None, 'a "b", c\nd'], pa.string()),
        pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(12, 2)),
        pa.array([1, None, 1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")),
        pa.array([float("nan"), None, float("-inf")], pa.float64()),
        pa.array([b"\x00\xff", None, b""], pa.binary()),
        pa.array([[{"x": 1}], None, []], pa.list_(pa.struct([("x", pa.int32())]))),
    ],
    names=["id", "text", "money", "at", "ratio", "raw", "nested"],
)


def put(stream: TextIO, format_name: str, parts: Sequence[Sequence[pa.RecordBatch]]) -> None:
    """Render batches of parts as workers do, and write what comes of it as the command does."""
    style, writer_on = WRITERS[format_name]
    writer = writer_on(Screen(stream, Page(width=200)))
    first = True
    for part in parts:
        render = STYLES[style]()
        for batch in part:
            for piece in render(batch, first):
                writer.take(piece)
            first = False
    writer.end()


def shown(format_name: str, *batches: pa.RecordBatch) -> str:
    stream = io.StringIO(newline="")
    put(stream, format_name, [batches])
    return stream.getvalue()


def test_csv_tells_null_from_an_empty_text_and_quotes_what_needs_it() -> None:
    text = shown("csv", BATCH)
    header, first_row, second, third = text.split("\r\n", 3)
    assert header == "id,text,money,at,ratio,raw,nested"
    assert first_row.startswith('1,"",1.50,1970-01-01 00:00:00.000000001Z,nan,AP8=,')
    assert second == ",,,,,,"
    assert third.startswith('9007199254740993,"a ""b"", c\nd",-0.01,')
    assert "2023-11-14 22:13:20.123456789Z" in third


def test_jsonl_has_one_valid_object_for_each_row() -> None:
    found = [
        json.loads(row, parse_constant=pytest.fail) for row in shown("jsonl", BATCH).splitlines()
    ]
    assert found[0]["nested"] == [{"x": 1}]
    assert found[1] == dict.fromkeys(BATCH.schema.names)
    assert found[2]["id"] == 9007199254740993
    assert found[2]["money"] == "-0.01"
    assert found[2]["ratio"] == "-inf"


def test_times_that_python_cannot_hold_are_shown_all_the_same() -> None:
    far = pa.array([400_000_000_000_000_000], pa.timestamp("us"))
    nested = pa.array([[1]], pa.list_(pa.timestamp("ns")))
    spans = pa.array([5], pa.duration("ns"))
    fixed = pa.array([[[1, None], None]], pa.list_(pa.list_(pa.timestamp("ns"), 2)))
    days = pa.array([[1, 100_000_000]], pa.list_(pa.int32(), 2)).cast(pa.list_(pa.date32(), 2))
    names = ["far", "nested", "span", "fixed", "days"]
    batch = pa.RecordBatch.from_arrays([far, nested, spans, fixed, days], names=names)
    row = json.loads(shown("jsonl", batch))
    assert row["far"].startswith("14645-")
    assert row["nested"] == ["1970-01-01 00:00:00.000000001"]
    assert row["span"] == 5
    assert row["fixed"] == [["1970-01-01 00:00:00.000000001", None], None]
    assert row["days"][0] == "1970-01-02"


@pytest.mark.parametrize("columns", [[], ["word"]], ids=["plain", "dictionary"])
def test_arrow_is_one_stream_over_all_parts_and_reads_back_equal(
    tmp_path: Path, columns: list[str]
) -> None:
    path = tmp_path / "rows.arrow"
    batch = BATCH.drop_columns(["ratio"])  # NaN is not equal to itself
    if columns:
        words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", "b"]))
        batch = batch.append_column("word", words)
    with path.open("w") as stream:
        put(stream, "arrow", [[batch, batch], [batch]])

    read = pa.ipc.open_stream(path.read_bytes()).read_all()

    assert read == pa.Table.from_batches([batch] * 3)


def test_arrow_of_one_part_is_the_stream_that_arrow_itself_writes(tmp_path: Path) -> None:
    path, own = tmp_path / "rows.arrow", tmp_path / "own.arrow"
    with path.open("w") as stream:
        put(stream, "arrow", [[BATCH], [BATCH]])
    with pa.ipc.new_stream(own, BATCH.schema) as writer:
        writer.write_batch(BATCH)
        writer.write_batch(BATCH)

    assert path.read_bytes() == own.read_bytes()


def test_long_values_are_cut_into_pieces_between_characters() -> None:
    text = "é" * 700_000
    batch = pa.RecordBatch.from_arrays([pa.array([text, "b"])], names=["text"])

    assert shown("csv", batch) == f"text\r\n{text}\r\nb\r\n"


def test_a_dataset_without_rows_still_has_its_columns() -> None:
    empty = BATCH.slice(0, 0)
    assert shown("csv", empty) == "id,text,money,at,ratio,raw,nested\r\n"
    assert shown("jsonl", empty) == ""
    assert shown("table", empty).splitlines()[-1] == "(0 rows)"
    assert "nested" in shown("table", empty)


def test_a_table_shortens_long_values_and_lets_nothing_through_to_the_terminal() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["x" * 500, "\x1b[2Jred"])], names=["text"])
    text = shown("table", batch)
    assert max(len(row) for row in text.splitlines()) <= 60
    assert "\x1b" not in text
