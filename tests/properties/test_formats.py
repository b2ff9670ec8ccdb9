"""Laws of the formats: what is written is read, from anywhere, always the same."""

import datetime as dt
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batuta.formats.ald import checksum
from batuta.formats.ald.reader import AldReader
from batuta.formats.ald.writer import AldWriter
from batuta.formats.arrow.reader import ArrowReader
from batuta.formats.arrow.writer import ArrowWriter
from batuta.formats.csv.dialect import Records
from batuta.formats.csv.reader import CsvReader
from batuta.formats.jsonl.reader import JsonlReader
from batuta.formats.parquet.reader import ParquetReader
from batuta.formats.parquet.writer import ParquetWriter
from batuta.model.arrow import type_name, type_of
from batuta.model.arrow_names import parse_type, spell
from batuta.model.canonical import Json
from batuta.model.diagnostic import ConnectorError
from batuta.model.format import Reader, Writer
from tests.unit.formats.reading import batches, inspected, only_diagnostics, read, table_of, written

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)

SIMPLE = st.sampled_from(
    [
        pa.null(), pa.bool_(), pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64(),
        pa.float16(), pa.float32(), pa.float64(), pa.date32(), pa.date64(), pa.time32("s"),
        pa.time64("ns"), pa.timestamp("us", "UTC"), pa.timestamp("ns"),
        pa.timestamp("s", "Europe/Berlin"), pa.duration("ms"), pa.month_day_nano_interval(),
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
        pa.binary_view(), pa.binary(16), pa.decimal32(7, 2), pa.decimal64(12, 0),
        pa.decimal128(38, 10), pa.decimal256(76, 0), pa.uuid(), pa.json_(), pa.bool8(),
    ]
)  # fmt: skip


def nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    # Arrow has no field of nulls that may not be null.
    field = st.builds(
        lambda n, t, b: pa.field(n, t, b or t == pa.null()), NAMES, inner, st.booleans()
    )
    fields = st.lists(field, max_size=3, unique_by=lambda f: f.name)
    return st.one_of(
        st.builds(pa.list_, field),
        st.builds(pa.large_list, field),
        st.builds(pa.list_view, field),
        st.builds(pa.large_list_view, field),
        st.builds(pa.list_, field, st.integers(0, 3)),
        st.builds(pa.struct, fields),
        st.builds(lambda v, s: pa.map_(pa.string(), v, keys_sorted=s), field, st.booleans()),
        st.builds(
            lambda v, o: pa.dictionary(pa.int8(), v, ordered=o),
            st.sampled_from([pa.string(), pa.int64()]),
            st.booleans(),
        ),
        st.builds(lambda v: pa.run_end_encoded(pa.int32(), v), st.just(pa.string())),
        st.builds(lambda f: pa.union(f, "dense"), fields),
    )


TYPES = st.recursive(SIMPLE, nested, max_leaves=5)


@given(TYPES)
def test_every_type_survives_its_spelling(type_: pa.DataType) -> None:
    text = type_name(type_)
    assert type_of(text) == type_
    assert type_name(type_of(text)) == text
    assert spell(parse_type(text)) == text
    assert parse_type(text.replace(", ", ",").replace(": ", ":")) == parse_type(text)


@given(st.text(max_size=40) | st.text('listruc<>:, int8"[]()', max_size=40))
def test_any_text_is_a_type_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert type_name(type_of(text)) == spell(parse_type(text))


VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    pa.large_string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    pa.binary(): st.binary(max_size=8),
    pa.binary(4): st.binary(min_size=4, max_size=4),
    pa.date32(): st.dates(),
    pa.time64("us"): st.times(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("us", "UTC"): st.datetimes(
        dt.datetime.fromisoformat("0001-01-02"),
        dt.datetime.fromisoformat("9999-12-30"),
        timezones=st.just(dt.UTC),
    ),
    pa.duration("us"): st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)),
    pa.decimal128(20, 3): st.integers(-(10**20) + 1, 10**20 - 1).map(
        lambda n: Decimal(n).scaleb(-3)
    ),
    pa.list_(pa.int32()): st.lists(st.integers(-9, 9) | st.none(), max_size=3),
    pa.list_(pa.int8(), 2): st.lists(st.integers(-9, 9), min_size=2, max_size=2),
    pa.struct([("x", pa.int8()), ("y", pa.string())]): st.fixed_dictionaries(
        {"x": st.integers(-9, 9) | st.none(), "y": st.text("ab", max_size=2)}
    ),
    pa.map_(pa.string(), pa.int32()): st.dictionaries(
        st.text("ab", max_size=2), st.integers(-9, 9), max_size=2
    ).map(lambda d: list(d.items())),
    pa.null(): st.none(),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 40))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    columns, fields = [], []
    for name in names:
        type_ = draw(st.sampled_from(list(VALUES)))
        nullable = draw(st.booleans()) or pa.types.is_null(type_)
        value = VALUES[type_] | st.none() if nullable else VALUES[type_]
        values = draw(st.lists(value, min_size=rows, max_size=rows))
        array = pa.array(values, type_)
        if type_ == pa.string() and draw(st.booleans()):
            array = array.dictionary_encode()
        columns.append(array)
        fields.append(pa.field(name, array.type, nullable=nullable))
    schema = pa.schema(fields, metadata=draw(st.none() | st.just({"batuta.label": "{}"})))
    return pa.Table.from_arrays(columns, schema=schema)


WRITABLE = [
    pytest.param(ParquetReader(), ParquetWriter(), {}, id="parquet"),
    pytest.param(ParquetReader(), ParquetWriter(), {"compression": "snappy"}, id="parquet-snappy"),
    pytest.param(ArrowReader(), ArrowWriter(), {}, id="arrow"),
    pytest.param(ArrowReader(), ArrowWriter(), {"compression": "zstd"}, id="arrow-zstd"),
    pytest.param(AldReader(), AldWriter(), {}, id="ald"),
    pytest.param(AldReader(), AldWriter(), {"compression": "lz4"}, id="ald-lz4"),
    pytest.param(AldReader(), AldWriter(), {"layout": "B"}, id="ald-b"),
    pytest.param(AldReader(), AldWriter(), {"layout": "B", "compression": "none"}, id="ald-b-none"),
]


@pytest.mark.parametrize(("reader", "writer", "options"), WRITABLE)
@settings(max_examples=40)
@given(table=tables(), rows=st.integers(1, 20))
def test_what_is_written_is_read_from_anywhere_and_always_the_same(
    reader: Reader, writer: Writer, options: Mapping[str, Json], table: pa.Table, rows: int
) -> None:
    raw = written(writer, table, options, rows)
    assert written(writer, table, options, rows) == raw
    found = inspected(reader, raw)
    assert found.rows == table.num_rows
    assert found.cuts[0].position == "0"
    whole = batches(reader, raw, found)
    expected = table.replace_schema_metadata(None)
    if table.num_rows:
        result = table_of(whole)
        assert result.schema.equals(expected.schema)
        assert result.to_pylist() == expected.to_pylist()
    for index, batch in enumerate(whole):
        assert batch.rows.num_rows > 0
        left = batches(reader, raw, found, start=batch.next)
        assert [b.next for b in left] == [b.next for b in whole[index + 1 :]]
        assert [b.rows for b in left] == [b.rows for b in whole[index + 1 :]]
    ends = [*(cut.position for cut in found.cuts[1:]), None]
    for cut, end in zip(found.cuts, ends, strict=True):
        piece = batches(reader, raw, found, start=cut.position, end=end)
        assert sum(b.rows.num_rows for b in piece) == cut.rows


@given(st.binary(max_size=600), st.integers(0, 600))
def test_both_checksums_agree_and_do_not_depend_on_pieces(data: bytes, cut: int) -> None:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = checksum.TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    assert checksum.update(0, data) == checksum.update_in_python(0, data) == crc ^ 0xFFFFFFFF
    assert checksum.update(checksum.update(0, data[:cut]), data[cut:]) == crc ^ 0xFFFFFFFF


GOLDEN = Path(__file__).parents[1] / "data" / "ald"
SMALL = sorted(p for p in (GOLDEN / "reference").glob("*.ald") if p.stat().st_size < 7000)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(st.sampled_from(SMALL)).read_bytes())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw) - 1) | st.integers(0, 40))
        raw[at : at + 4] = draw(
            st.sampled_from([b"\xff\xff\xff\x7f", b"\xff" * 4, bytes(4), b"\1\0\0\0"])
            | st.binary(min_size=1, max_size=1)
        )
    raw = raw[: draw(st.integers(0, len(raw)) | st.just(len(raw)))]
    if draw(st.booleans()) and len(raw) > 4:  # who damages a file may also mend its checksum
        raw[-4:] = checksum.update(0, bytes(raw[:-4])).to_bytes(4, "little")
    return bytes(raw)


@settings(max_examples=400)
@given(damaged())
def test_no_damage_to_an_ald_file_gives_anything_but_a_table_or_a_diagnostic(raw: bytes) -> None:
    before = pa.total_allocated_bytes()
    with only_diagnostics("FMT14"):
        found = inspected(AldReader(), raw)
        sum(b.rows.num_rows for b in batches(AldReader(), raw, found))
    assert pa.total_allocated_bytes() - before < 2**20


@settings(max_examples=100)
@given(st.data())
def test_one_changed_byte_under_a_checksum_is_always_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["plain_none", "plain_zstd3", "mixed_types", "cookbook_zstd"]))
    raw = bytearray((GOLDEN / "reference" / f"{name}.ald").read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ConnectorError):
        inspected(AldReader(), bytes(raw))


CSV_TEXT = st.text('ab,"\n\r;é 0', max_size=6)


def as_csv(rows: list[tuple[str | None, str]]) -> bytes:
    def quoted(field: str | None) -> str:
        return "" if field is None else '"' + field.replace('"', '""') + '"'

    lines = (f"{quoted(a)},{quoted(b)}" for a, b in rows)
    return ("\n".join(["a,b", *lines]) + "\n").encode()


@given(st.lists(st.tuples(st.none() | CSV_TEXT, CSV_TEXT), min_size=1, max_size=20))
def test_any_text_is_read_from_csv_as_it_was_written(rows: list[tuple[str | None, str]]) -> None:
    table = read(CsvReader(), as_csv(rows), a="string", b="string")
    assert list(zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True)) == rows


@given(st.text('ab,"\n\r', max_size=60))
def test_both_ways_to_find_the_last_record_agree(text: str) -> None:
    records, raw = Records(",", '"'), text.encode()
    ends = [end for _, end in records.split(raw) if raw[end - 1] in b"\r\n"]
    if ends and ends[-1] == len(raw) and raw.endswith(b"\r"):
        ends.pop()
    assert records.last_end(raw) == (ends[-1] if ends else 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_diagnostic(raw: bytes) -> None:
    for reader in (CsvReader(), JsonlReader(), ParquetReader(), ArrowReader(), AldReader()):
        for bad in (raw, b"PAR1" + raw + b"PAR1", b"ARROW1\0\0" + raw + b"ARROW1", b"ALDF" + raw):
            with only_diagnostics("FMT1"):
                batches(reader, bad, inspected(reader, bad))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"n": st.integers(-(2**63), 2**63 - 1)},
            optional={
                "t": st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.none(),
                "l": st.lists(st.booleans() | st.none(), max_size=3),
                "s": st.fixed_dictionaries({"x": st.floats(-1e9, 1e9)}),
            },
        ),
        min_size=1,
        max_size=20,
    )
)
def test_objects_are_read_from_json_lines_as_they_were_written(rows: list[dict[str, Any]]) -> None:
    raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
    result = read(JsonlReader(), raw).to_pylist()
    for row, found in zip(rows, result, strict=True):
        assert {k: v for k, v in found.items() if v is not None} == {
            k: v for k, v in row.items() if v is not None
        }


def test_sinks_of_all_formats_but_layout_b_are_only_appended_to() -> None:
    class Forward(io.BytesIO):
        def seek(self, *args: Any) -> int:
            raise AssertionError("seek")

    table = pa.table({"a": range(100)})
    writers: list[Writer] = [ParquetWriter(), ArrowWriter(), AldWriter()]
    for writer in writers:
        sink = Forward()
        writer.write(sink, table.schema, iter(table.to_batches()), {})
        assert len(sink.getvalue()) > 100
