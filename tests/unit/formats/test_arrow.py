"""Arrow IPC: files and streams."""

import io

import pyarrow as pa
import pytest

from batuta.formats.arrow.reader import ArrowReader
from batuta.formats.arrow.writer import ArrowWriter
from batuta.model.diagnostic import ConnectorError
from tests.unit.formats.reading import batches, inspected, only_diagnostics, read, table_of, written

READER, WRITER = ArrowReader(), ArrowWriter()
TABLE = pa.table(
    {
        "a": range(200_000),
        "d": pa.array([str(i % 50) for i in range(200_000)]).dictionary_encode(),
        "n": pa.nulls(200_000),
    }
)


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=90_000)
    return sink.getvalue()


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_file_is_read_from_any_position(compression: str) -> None:
    raw = written(WRITER, TABLE, {"compression": compression}, rows=80_000)
    found = inspected(READER, raw)
    assert [cut.rows for cut in found.cuts] == [80_000, 80_000, 40_000]
    whole = batches(READER, raw, found)
    assert table_of(whole).equals(TABLE)
    for index, batch in enumerate(whole):
        left = batches(READER, raw, found, start=batch.next)
        assert [b.rows for b in left] == [b.rows for b in whole[index + 1 :]]
    assert table_of(batches(READER, raw, found, start="1:0", end="2:0")).equals(
        TABLE.slice(80_000, 80_000)
    )


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_stream_is_read_from_any_position(compression: str | None) -> None:
    raw = stream(TABLE, compression)
    found = inspected(READER, raw)
    assert (found.rows, len(found.cuts)) == (200_000, 1)
    whole = batches(READER, raw, found)
    assert table_of(whole).equals(TABLE)
    left = batches(READER, raw, found, start=whole[1].next)
    assert [b.rows for b in left] == [b.rows for b in whole[2:]]


def test_each_batch_may_bring_its_own_dictionary() -> None:
    first = pa.array(["a", "b"]).dictionary_encode()
    second = pa.array(["c", None, "a"]).dictionary_encode()
    sink = io.BytesIO()
    parts = iter([pa.record_batch({"d": first}), pa.record_batch({"d": second})])
    WRITER.write(sink, pa.schema([("d", first.type)]), parts, {})
    assert read(READER, sink.getvalue())["d"].to_pylist() == ["a", "b", "c", None, "a"]


def test_the_first_feather_format_is_refused_by_name() -> None:
    with pytest.raises(ConnectorError, match="FMT102"):
        inspected(READER, b"FEA1" + bytes(100))


@pytest.mark.parametrize("form", ["file", "stream"])
def test_flipped_and_missing_bytes_never_raise_anything_but_a_diagnostic(form: str) -> None:
    small = TABLE.slice(0, 30)
    raw = written(WRITER, small) if form == "file" else stream(small)
    for at in range(0, len(raw), 3):
        bad = bytearray(raw)
        bad[at] ^= 0xFF
        for hostile in (bytes(bad), raw[:at]):
            with only_diagnostics("FMT10"):
                batches(READER, hostile, inspected(READER, hostile))


def test_a_claim_of_gigabytes_is_refused_before_it_is_believed() -> None:
    raw = bytearray(stream(TABLE.slice(0, 10)))
    length = int.from_bytes(raw[4:8], "little")
    raw[4:8] = (2**31 - 8).to_bytes(4, "little")
    assert length < 2**16
    before = pa.total_allocated_bytes()
    with pytest.raises(ConnectorError, match="FMT101"):
        inspected(READER, bytes(raw))
    assert pa.total_allocated_bytes() - before < 2**20


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(ConnectorError, match="FMT104"):
        written(WRITER, TABLE, {"compression": "gzip"})
