"""`.ald`, against files that alimentar's own code wrote and judged."""

import io
import json
import struct
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batuta.formats.ald import checksum
from batuta.formats.ald.reader import AldReader
from batuta.formats.ald.writer import AldWriter
from batuta.model.arrow import to_arrow
from batuta.model.diagnostic import ConnectorError
from tests.unit.formats.reading import batches, inspected, read, table_of, written

READER, WRITER = AldReader(), AldWriter()
GOLDEN = Path(__file__).parents[2] / "data" / "ald"
RECORDS: list[dict[str, Any]] = json.loads((GOLDEN / "reference.json").read_text())
REFUSED = {
    "wide_overflow": "FMT140",
    "encrypted_password": "FMT142",
    "encrypted_x25519": "FMT142",
    "enc_signed_licensed": "FMT142",
}
PEOPLE = pa.table(
    {
        "id": pa.array([1, 2, 3, 4, 5], pa.int32()),
        "name": ["Alice", "Bob", "Charlie", "Diana", "Eve"],
    },
    schema=pa.schema(
        [pa.field("id", pa.int32(), nullable=False), pa.field("name", pa.string(), nullable=False)]
    ),
)


def golden(name: str) -> bytes:
    return (GOLDEN / "reference" / f"{name}.ald").read_bytes()


def name_of(record: dict[str, Any]) -> str:
    return Path(record["file"]).stem


def rows_of(raw: bytes) -> list[list[object]]:
    found = inspected(READER, raw)
    whole = batches(READER, raw, found)
    table = table_of(whole) if whole else to_arrow(found.schema).empty_table()
    return [list(row) for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_what_alimentar_wrote_is_read_as_it_is_recorded(record: dict[str, Any]) -> None:
    raw, table = golden(name_of(record)), record["table"]
    if code := REFUSED.get(name_of(record)):
        with pytest.raises(ConnectorError, match=code):
            inspected(READER, raw)
    elif "rows" in table:
        assert rows_of(raw) == table["rows"]
    elif "row_count" in table:
        count = table["row_count"]
        assert rows_of(raw) == [[i, None if i % 7 == 3 else i * 1.5] for i in range(count)]
    elif "rows_by_column" not in table:
        assert rows_of(raw) == [list(range(1000))]


def test_every_type_of_the_mixed_file_is_read_exactly() -> None:
    columns = next(r for r in RECORDS if name_of(r) == "mixed_types")["table"]["rows_by_column"]
    table = read(READER, golden("mixed_types"))
    for name in ("b", "i8", "u64", "s", "ls", "list", "dict", "st"):
        assert table[name].to_pylist() == columns[name]
    assert table["f32"].to_pylist() == [0.5, None, float("inf")]
    assert [v and v.hex() for v in table["bin"].to_pylist()] == ["0001ff", None, b""]
    assert table["d32"].cast(pa.int32()).to_pylist() == columns["d32_days"]
    assert table["ts"].cast(pa.int64()).to_pylist() == columns["ts_us"]
    assert table["dec"].to_pylist() == [v and Decimal(v) for v in columns["dec"]]


def test_a_signed_file_is_read_with_a_note() -> None:
    assert [note.code for note in inspected(READER, golden("signed")).notes] == ["FMT147"]


def test_a_true_crc_is_read_with_a_warning_and_any_other_refused() -> None:
    raw = golden("plain_none")[:-4]
    true = zlib.crc32(raw).to_bytes(4, "little")
    assert [note.code for note in inspected(READER, raw + true).notes] == ["FMT146"]
    with pytest.raises(ConnectorError, match="FMT141"):
        inspected(READER, raw + b"\1\2\3\4")


def test_our_header_and_metadata_are_those_that_alimentar_writes() -> None:
    ours, theirs = written(WRITER, PEOPLE, {"compression": "none"}), golden("plain_none")
    layout = struct.Struct("<4sBBHIIIBBHQ")
    names = ("magic", "major", "minor", "type", "metadata", "payload", "plain", "codec", "flags",
             "schema", "rows")  # fmt: skip
    head = dict(zip(names, layout.unpack(ours[:32]), strict=True))
    model = dict(zip(names, layout.unpack(theirs[:32]), strict=True))
    free = {"payload", "plain", "schema"}  # Arrow's own padding differs between its builds
    assert {k: v for k, v in head.items() if k not in free} == {
        k: v for k, v in model.items() if k not in free
    }
    assert ours[32:40] == theirs[32:40] == bytes.fromhex("97c0c0c090c0c0c0")
    assert head["payload"] == head["plain"] == len(ours) - 32 - 8 - head["schema"] - 4


def independent(raw: bytes) -> pa.Table:
    """Read layout A with nothing of ours but the layout's description."""
    metadata, payload, _, codec, flags, schema, rows = struct.unpack("<IIIBBHQ", raw[8:32])
    crc = 0xFFFFFFFF
    for byte in raw[:-4]:
        entry = (crc ^ byte) & 0xFF
        index = entry
        for _ in range(8):
            entry = (entry >> 1) ^ (0xEDB88320 if entry & 1 else 0)
        crc = entry ^ (0x20000 if index in {222, 223} else 0) ^ (crc >> 8)
    assert int.from_bytes(raw[-4:], "little") == crc ^ 0xFFFFFFFF
    assert flags == 0
    assert len(raw) == 32 + metadata + schema + payload + 4
    stored = raw[-4 - payload : -4]
    names = {0: None, 1: "zstd", 2: "zstd", 3: "lz4"}
    source = pa.BufferReader(stored)
    if name := names[codec]:
        source = pa.CompressedInputStream(source, name)
    table = pa.ipc.open_stream(source).read_all()
    assert table.num_rows == rows
    return table


@pytest.mark.parametrize("compression", ["none", "zstd", "zstd19", "lz4"])
def test_layout_a_is_read_by_a_reader_of_its_own(compression: str) -> None:
    labelled = PEOPLE.replace_schema_metadata({"batuta.label": "{}"})
    table = independent(written(WRITER, labelled, {"layout": "A", "compression": compression}))
    assert table.equals(labelled, check_metadata=True)


def test_a_schema_too_long_for_its_field_is_left_out() -> None:
    wide = pa.table({f"column_number_{i:05}": [i] for i in range(1100)})
    raw = written(WRITER, wide)
    assert struct.unpack("<H", raw[22:24]) == (0,)
    assert independent(raw).equals(wide)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_layout_b_has_chunks_of_65536_rows_and_exact_sizes(compression: str) -> None:
    table = pa.table({"a": range(150_000), "d": pa.array(["x", "y"] * 75_000).dictionary_encode()})
    raw = written(WRITER, table, {"layout": "B", "compression": compression}, rows=7000)
    flags, _, kind, _, metadata, schema, index, payload = struct.unpack("<BBHHIIIQ", raw[6:32])
    assert (flags, kind, len(raw)) == (4, 1, 32 + metadata + schema + index + payload)
    found = inspected(READER, raw)
    assert [cut.rows for cut in found.cuts] == [65_536, 65_536, 18_928]
    assert table_of(batches(READER, raw, found)).equals(table)
    assert table_of(batches(READER, raw, found, start="1:0", end="2:0")).equals(
        table.slice(65_536, 65_536)
    )


def test_a_table_over_the_limit_of_one_block_is_chunked() -> None:
    big = pa.table({"a": pa.array([bytes(1024 * 1024)] * 70)})
    raw = written(WRITER, big, rows=10)
    assert raw[6] & 4
    assert inspected(READER, raw).rows == 70


@pytest.mark.parametrize("layout", ["A", "B", None])
def test_an_empty_table_keeps_its_schema(layout: str | None) -> None:
    raw = written(WRITER, PEOPLE.slice(0, 0), {"layout": layout})
    found = inspected(READER, raw)
    assert (found.rows, found.schema.names) == (0, ("id", "name"))
    if layout != "B":
        assert independent(raw).num_rows == 0


def test_views_and_run_ends_are_cast_and_others_kept() -> None:
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"]))
    views = pa.array([["x"], None, []], pa.list_view(pa.string_view()))
    dictionary = pa.array(["p", "q", "p"]).dictionary_encode()
    table = read(READER, written(WRITER, pa.table({"r": ends, "v": views, "d": dictionary})))
    assert [str(t) for t in table.schema.types[:2]] == ["string", "list<item: string>"]
    assert table.schema.types[2] == dictionary.type
    assert table.to_pydict() == {
        "r": ["a", "a", "b"], "v": [["x"], None, []], "d": ["p", "q", "p"],
    }  # fmt: skip


def test_reading_on_from_any_batch_gives_the_batches_that_were_left() -> None:
    table = pa.table({"a": range(150_000)})
    for layout in "AB":
        raw = written(WRITER, table, {"layout": layout}, rows=100_000)
        found = inspected(READER, raw)
        whole = batches(READER, raw, found)
        assert table_of(whole).equals(table)
        for index, batch in enumerate(whole):
            left = batches(READER, raw, found, start=batch.next)
            assert [b.rows for b in left] == [b.rows for b in whole[index + 1 :]]
            assert [b.next for b in left] == [b.next for b in whole[index + 1 :]]


@pytest.mark.parametrize(
    "options", [{"layout": "C"}, {"compression": "gzip"}, {"layout": "B", "compression": "lz4"}]
)
def test_a_wrong_option_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConnectorError, match="FMT145"):
        written(WRITER, PEOPLE, options)


def test_a_payload_that_expands_without_end_is_refused() -> None:
    bomb = pa.table({"a": pa.array([bytes(1024 * 1024)] * 300, pa.binary())})
    raw = written(WRITER, bomb, {"layout": "A"}, rows=300)
    assert len(raw) < 1024 * 1024
    with pytest.raises(ConnectorError, match="FMT140"):
        inspected(READER, raw)


def test_values_that_point_outside_their_column_are_refused() -> None:
    # Arrow compares only the first and the last offset with the size of the values.
    offsets = pa.py_buffer(struct.pack("<3i", 0, 900, 3))
    column = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"abc"))
    sink = io.BytesIO()
    WRITER.write(sink, pa.schema([("s", pa.string())]), iter([pa.record_batch({"s": column})]), {})
    with pytest.raises(ConnectorError, match="FMT140"):
        inspected(READER, sink.getvalue())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"123456789", 0xCBF43926),
        (b"\x21", 0x9E69FFD3),
        (bytes(range(256)), 0x3EA48892),
        (bytes(1000), 0x48600088),
        (b"", 0),
    ],
)
def test_the_checksum_is_the_one_that_alimentar_computes(data: bytes, expected: int) -> None:
    assert checksum.update(0, data) == checksum.update_in_python(0, data) == expected


def test_sums_of_long_inputs_do_not_depend_on_their_pieces() -> None:
    data = bytes(range(251)) * 13_000
    assert len(data) > 3 * 2**20
    whole = checksum.update(0, data)
    assert checksum.update(checksum.update(0, data[:1_500_001]), data[1_500_001:]) == whole
    assert whole == checksum.update_in_python(0, data)
