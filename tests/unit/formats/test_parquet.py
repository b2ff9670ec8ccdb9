"""Parquet: what is read exactly, what is refused."""

import datetime as dt
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.formats.parquet.reader import ParquetReader
from batuta.formats.parquet.writer import ParquetWriter
from batuta.model.diagnostic import ConnectorError
from tests.unit.formats.reading import batches, inspected, only_diagnostics, read, table_of, written

READER, WRITER = ParquetReader(), ParquetWriter()


def by_arrow(table: pa.Table, **settings: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **settings)
    return sink.getvalue()


def code(raw: bytes) -> str:
    with pytest.raises(ConnectorError) as caught:
        read(READER, raw)
    return caught.value.diagnostics[0].code


def test_each_row_group_is_a_cut_that_can_be_read_alone() -> None:
    table = pa.table({"a": range(250_000), "a.b": [str(i % 9) for i in range(250_000)]})
    raw = by_arrow(table, row_group_size=100_000)
    found = inspected(READER, raw)
    assert [(cut.position, cut.rows) for cut in found.cuts] == [
        ("0", 100_000), ("1:0", 100_000), ("2:0", 50_000),
    ]  # fmt: skip
    middle = table_of(batches(READER, raw, found, start="1:0", end="2:0"))
    assert middle.equals(table.slice(100_000, 100_000))
    only = table_of(batches(READER, raw, found, columns=["a.b"]))
    assert only.equals(table.select(["a.b"]))


def test_reading_on_from_any_batch_gives_the_batches_that_were_left() -> None:
    table = pa.table({"a": range(150_000)})
    raw = by_arrow(table, row_group_size=100_000)
    found = inspected(READER, raw)
    whole = batches(READER, raw, found)
    assert len(whole) == 3
    for index, batch in enumerate(whole):
        left = batches(READER, raw, found, start=batch.next)
        assert [b.next for b in left] == [b.next for b in whole[index + 1 :]]
        assert [b.rows for b in left] == [b.rows for b in whole[index + 1 :]]


def test_rows_can_be_counted_without_a_column() -> None:
    raw = by_arrow(pa.table({"a": range(1000)}))
    assert (
        sum(b.rows.num_rows for b in batches(READER, raw, inspected(READER, raw), columns=[]))
        == 1000
    )


def test_int96_reaches_the_year_9999() -> None:
    far = dt.datetime.fromisoformat("9999-12-31T23:59:59.999999")
    table = pa.table(
        {"t": pa.array([far, dt.datetime.fromisoformat("0001-01-01"), None], pa.timestamp("us"))}
    )
    assert read(READER, by_arrow(table, use_deprecated_int96_timestamps=True)).equals(table)


def test_int96_finer_than_microseconds_is_refused() -> None:
    table = pa.table({"t": pa.array([1_577_836_800_000_000_001], pa.timestamp("ns"))})
    assert code(by_arrow(table, use_deprecated_int96_timestamps=True)) == "FMT113"


def test_a_column_that_expands_a_thousandfold_is_refused_with_the_figure() -> None:
    raw = by_arrow(
        pa.table({"a": ["x" * 300_000_000]}), compression="zstd", use_dictionary=False,
        write_statistics=False,
    )  # fmt: skip
    assert len(raw) < 100_000
    assert code(raw) == "FMT112"


def test_a_cut_or_foreign_file_is_refused() -> None:
    raw = by_arrow(pa.table({"a": range(1000)}))
    assert code(raw[:-1]) == code(raw[:100]) == code(b"") == code(b"PAR1" * 10) == "FMT110"
    assert code(raw[:-4] + b"PARE") == "FMT111"


@pytest.mark.parametrize("place", ["start", "middle", "footer"])
def test_flipped_bytes_never_raise_anything_but_a_diagnostic(place: str) -> None:
    raw = by_arrow(pa.table({"a": range(500), "s": [str(i) for i in range(500)]}))
    footer = int.from_bytes(raw[-8:-4], "little")
    begin = {"start": 0, "middle": 1000, "footer": len(raw) - 8 - footer}[place]
    for at in range(begin, begin + 150):
        bad = bytearray(raw)
        bad[at % len(raw)] ^= 0xFF
        with only_diagnostics("FMT11"):
            read(READER, bytes(bad))


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none", "gzip", "lz4", "brotli"])
def test_every_compression_is_read_back(compression: str) -> None:
    table = pa.table({"a": range(5000), "s": [str(i % 70) for i in range(5000)]})
    raw = written(WRITER, table, {"compression": compression})
    assert read(READER, raw).equals(table)


@pytest.mark.parametrize(
    "options", [{"compression": "lzo"}, {"compression": "none", "level": 1}, {"level": 99}]
)
def test_a_wrong_option_is_refused(options: dict[str, str | int]) -> None:
    with pytest.raises(ConnectorError, match="FMT115"):
        written(WRITER, pa.table({"a": [1]}), options)


def test_a_type_without_a_place_is_refused_by_name() -> None:
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"]))
    with pytest.raises(ConnectorError, match=r"FMT114.*run_end_encoded"):
        written(WRITER, pa.table({"a": ends}))


def test_the_label_in_the_schema_is_written() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"batuta.label": "{}"})
    raw = written(WRITER, table)
    assert pq.read_schema(io.BytesIO(raw)).metadata[b"batuta.label"] == b"{}"


def test_an_empty_table_has_its_schema() -> None:
    found = inspected(READER, written(WRITER, pa.table({"a": pa.array([], pa.int8())})))
    assert (found.rows, found.schema.names, found.cuts[0].position) == (0, ("a",), "0")


def test_columns_that_hardly_repeat_are_stored_as_differences() -> None:
    table = pa.table(
        {
            "id": range(5000),
            "name": [f"customer {i}" for i in range(5000)],
            "kind": [str(i % 3) for i in range(5000)],
            "a.b": range(5000),
            "l": [[i] for i in range(5000)],
        }
    )
    raw = written(WRITER, table)
    group = pq.read_metadata(io.BytesIO(raw)).row_group(0)
    chosen = [{e for e in group.column(i).encodings if "D" in e} for i in range(5)]
    assert "DELTA_BINARY_PACKED" in chosen[0]
    assert "DELTA_LENGTH_BYTE_ARRAY" in chosen[1]
    assert all("RLE_DICTIONARY" in names for names in chosen[2:])
    assert read(READER, raw).equals(table)
