"""Reads CSV: types from the whole file, rows from any block on."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.csv as pa_csv

from batuta.formats.csv import faults
from batuta.formats.csv.dialect import Dialect, Records, dialect_of
from batuta.formats.csv.infer import Kind, kinds_of, type_of_kinds
from batuta.formats.csv.text import Block, Text, blocks, head, line_at
from batuta.model.arrow import to_arrow, type_of
from batuta.model.arrow_names import parse_type, spell
from batuta.model.diagnostic import ConnectorError
from batuta.model.format import Batch, Inspection, Options
from batuta.model.observed import Cut
from batuta.model.table import Column, TableSchema

_BLOCKS_PER_CUT = 3
_TRUE = ["true", "True", "TRUE", "1"]
_FALSE = ["false", "False", "FALSE", "0"]
_OTHERS = (";", "\t", "|")
_ROW_PREFIX = re.compile(r"Row #\d+: ")


class CsvReader:
    """Reads one CSV file, gzipped or not."""

    def inspect(
        self, file: pa.NativeFile, options: Options, types: Mapping[str, str]
    ) -> Inspection:
        """Return the schema that all rows fit, their number, and a cut every 12 MiB or so.

        Reads the file once. `types` are taken as given and checked against every value. A
        gzipped file, or one in another encoding than UTF-8, has one cut only.
        """
        layout = _Layout.of(file, options)
        types = _declared(types, layout.names)
        seen: dict[str, set[Kind]] = {n: set() for n in layout.names if n not in types}
        probed = {name: types.get(name, "string") for name in layout.names}
        parser = _Parser(file, layout, {n: type_of(t) for n, t in probed.items()})
        cuts: list[Cut] = []
        for count, block in enumerate(layout.blocks(file, None, None)):
            table = parser.table(block, layout.names)
            for name, kinds in seen.items():
                if Kind.TEXT not in kinds:
                    kinds.update(_kinds(table.column(name), layout.dialect))
            if count % _BLOCKS_PER_CUT == 0 and (layout.seekable or count == 0):
                cuts.append(Cut(str(block.offset) if count else "0", 0, 0))
            cuts[-1] = _grown(cuts[-1], len(block.text), table.num_rows)
        columns = tuple(_column(name, types, seen, layout.dialect) for name in layout.names)
        rows = sum(cut.rows or 0 for cut in cuts)
        return Inspection(
            schema=TableSchema(columns), rows=rows, cuts=tuple(cuts) or (Cut("0", 0, 0),)
        )

    def batches(
        self,
        file: pa.NativeFile,
        *,
        start: str | None,
        end: str | None,
        columns: Sequence[str] | None,
        schema: TableSchema,
        options: Options,
    ) -> Iterator[Batch]:
        """Yield the records from `start` up to `end`, a block of about 4 MiB at a time."""
        layout = _Layout.of(file, options)
        if layout.names != list(schema.names):
            raise faults.bad_header("The file's columns are not those that were inspected.")
        wanted = to_arrow(schema)
        names = list(schema.names if columns is None else columns)
        parser = _Parser(file, layout, {f.name: f.type for f in wanted})
        for block in layout.blocks(file, start, end):
            table = parser.table(block, names)
            after = str(block.offset + len(block.text))
            if table.num_rows:
                yield Batch(_as_batch(table, wanted, names), after)


def _declared(types: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the declared types in canonical spelling."""
    missing = [name for name in types if name not in names]
    if missing:
        raise faults.unknown_columns(missing)
    try:
        return {name: spell(parse_type(text)) for name, text in types.items()}
    except ValueError as error:
        raise faults.bad_option(f"{error}.") from error


def _kinds(column: pa.ChunkedArray, dialect: Dialect) -> set[Kind]:
    found: set[Kind] = set()
    for chunk in column.chunks:
        found |= kinds_of(chunk, dialect.timestamp_format, dialect.decimal)
    return found


def _column(
    name: str, types: Mapping[str, str], seen: Mapping[str, set[Kind]], dialect: Dialect
) -> Column:
    if name in types:
        return Column(name, types[name])
    return Column(name, type_of_kinds(seen[name], dialect.timestamp_format))


def _grown(cut: Cut, size_bytes: int, rows: int) -> Cut:
    return Cut(cut.position, cut.size_bytes + size_bytes, (cut.rows or 0) + rows)


def _as_batch(table: pa.Table, wanted: pa.Schema, names: list[str]) -> pa.RecordBatch:
    schema = pa.schema([wanted.field(name) for name in names])
    batches = table.combine_chunks().to_batches()
    if not names:
        return batches[0].select([])
    return pa.RecordBatch.from_arrays(batches[0].columns, schema=schema)


class _Layout:
    """What the first record says, and where the records after it begin."""

    def __init__(self, dialect: Dialect, records: Records, names: list[str], data_at: int) -> None:
        self.dialect = dialect
        self.records = records
        self.names = names
        self.data_at = data_at
        self.seekable = False

    @classmethod
    def of(cls, file: pa.NativeFile, options: Options) -> "_Layout":
        dialect = dialect_of(options)
        mark, text = head(file, dialect)
        dialect = _with_delimiter(dialect, text)
        records = Records(dialect.delimiter or ",", dialect.quote)
        first = records.first(text)
        if not first.strip(b"\r\n") and text.strip(b"\r\n"):
            text, mark = text.lstrip(b"\r\n"), mark + len(text) - len(text.lstrip(b"\r\n"))
            first = records.first(text)
        if not first.strip(b"\r\n"):
            raise faults.bad_header("The file has no records; a header would name its columns.")
        names = _names(dialect, first)
        found = cls(dialect, records, names, mark + (len(first) if dialect.header else 0))
        found.seekable = Text(file, dialect.encoding).seekable
        return found

    def blocks(self, file: pa.NativeFile, start: str | None, end: str | None) -> Iterator[Block]:
        first = _position(start) or self.data_at
        return blocks(file, self.dialect, self.records, first, _position(end) or None)


def _position(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isdecimal():
        raise faults.bad_option(f"{text[:80]!r} is no position in a CSV file.")
    return int(text)


def _with_delimiter(dialect: Dialect, text: bytes) -> Dialect:
    if dialect.delimiter is not None:
        return dialect
    first = Records(",", dialect.quote).first(text)
    others = [c for c in _OTHERS if c.encode() in first]
    if b"," in first or not others:
        return replace(dialect, delimiter=",")
    if others == ["\t"]:
        return replace(dialect, delimiter="\t")
    raise faults.bad_option(
        f"The first record holds no comma, but {others[0]!r}; state `delimiter` to be sure."
    )


def _names(dialect: Dialect, first: bytes) -> list[str]:
    fields = _fields(dialect, first)
    if not dialect.header:
        return [f"column{i}" for i in range(1, len(fields) + 1)]
    names = [field or f"column{i}" for i, field in enumerate(fields, start=1)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise faults.bad_header(f"Two columns are named {repeated[0]!r}.")
    return names


def _fields(dialect: Dialect, record: bytes) -> list[str]:
    try:
        record.decode()
        read = pa_csv.ReadOptions(
            autogenerate_column_names=True, block_size=len(record) + 1, use_threads=False
        )
        parse = _parse_options(dialect, single=False)
        most = record.count((dialect.delimiter or ",").encode()) + 1
        convert = pa_csv.ConvertOptions(
            column_types={f"f{i}": pa.string() for i in range(most)}, null_values=[]
        )
        table = pa_csv.read_csv(io.BytesIO(record), read, parse, convert)
    except UnicodeDecodeError as error:
        raise faults.bad_text(1, dialect.encoding, f"{error.reason}.") from error
    except pa.ArrowInvalid as error:
        raise faults.bad_header(f"{str(error).splitlines()[0][:300]}.") from error
    return [str(column[0].as_py() or "") for column in table.columns]


def _parse_options(dialect: Dialect, *, single: bool) -> pa_csv.ParseOptions:
    return pa_csv.ParseOptions(
        delimiter=dialect.delimiter or ",",
        quote_char=dialect.quote or False,
        newlines_in_values=dialect.quote is not None,
        ignore_empty_lines=not single,  # in a table of one column an empty line is a null
    )


class _Parser:
    """Turns blocks into tables of given types."""

    def __init__(
        self, file: pa.NativeFile, layout: _Layout, types: Mapping[str, pa.DataType]
    ) -> None:
        self.file = file
        self.layout = layout
        self.types = types

    def table(self, block: Block, names: Sequence[str]) -> pa.Table:
        """Return the block's records.

        Raises:
            ConnectorError: a record cannot be read, with its line (FMT120, FMT123, FMT125).
        """
        if b"\0" in block.text:
            before = block.text.partition(b"\0")[0].count(b"\n")
            raise faults.bad_record(self._line(block, 0) + before, "it holds a NUL byte.")
        try:
            return self._parsed(block.text, names)
        except pa.ArrowInvalid as error:
            raise self._located(block, names, error) from error

    def _parsed(self, text: bytes, names: Sequence[str]) -> pa.Table:
        quote = (self.layout.dialect.quote or "").encode()
        texts = [n for n in names if pa.types.is_string(self.types[n])]
        others = [n for n in names if not pa.types.is_string(self.types[n])]
        if not quote or quote + quote not in text or not texts or not others:
            return self._read(text, list(names), empty_is_null=not texts)
        # A quoted empty text is a string in columns of text and nothing in all others.
        left = self._read(text, texts, empty_is_null=False)
        right = self._read(text, others, empty_is_null=True)
        both = {n: (left if n in texts else right).column(n) for n in names}
        return pa.table(both)

    def _read(self, text: bytes, names: list[str], *, empty_is_null: bool) -> pa.Table:
        dialect = self.layout.dialect
        parsers: list[object] = [pa_csv.ISO8601]
        if dialect.timestamp_format:
            parsers.insert(0, dialect.timestamp_format)
        shown = names or self.layout.names[:1]
        convert = pa_csv.ConvertOptions(
            column_types={name: self._as_parsed(self.types[name]) for name in shown},
            include_columns=shown,
            null_values=list(dialect.nulls),
            strings_can_be_null=True,
            quoted_strings_can_be_null=empty_is_null,
            true_values=_TRUE,
            false_values=_FALSE,
            timestamp_parsers=parsers,
            decimal_point=dialect.decimal,
        )
        read = pa_csv.ReadOptions(
            column_names=self.layout.names, block_size=len(text) + 1, use_threads=False
        )
        parse = _parse_options(dialect, single=len(self.layout.names) == 1)
        table = pa_csv.read_csv(io.BytesIO(text), read, parse, convert)
        return table.cast(pa.schema([(name, self.types[name]) for name in shown]))

    def _as_parsed(self, type_: pa.DataType) -> pa.DataType:
        # The parser applies a format to timestamps alone; a date is its timestamp's day.
        formatted = self.layout.dialect.timestamp_format is not None
        return pa.timestamp("us") if formatted and pa.types.is_date(type_) else type_

    def _located(
        self, block: Block, names: Sequence[str], error: pa.ArrowInvalid
    ) -> ConnectorError:
        """Find the record at fault by halves, and say in which line it begins."""
        records = self.layout.records.split(block.text)
        low, high = 0, len(records)
        while high - low > 1:
            middle = (low + high) // 2
            found = self._fault(block.text[records[low][0] : records[middle - 1][1]], names)
            low, high, error = (low, middle, found) if found else (middle, high, error)
        start, end = records[low] if records else (0, len(block.text))
        error = self._fault(block.text[start:end], names) or error
        line = self._line(block, start)
        detail = _ROW_PREFIX.sub("", str(error)).splitlines()[0][:300]
        if "UTF8" in detail or "UTF-8" in detail:
            return faults.bad_text(line, self.layout.dialect.encoding, "it has invalid bytes.")
        if "conversion error" in detail:
            return faults.bad_value(line, f"{detail}.")
        return faults.bad_record(line, f"{detail}.")

    def _fault(self, text: bytes, names: Sequence[str]) -> pa.ArrowInvalid | None:
        try:
            self._parsed(text, names)
        except pa.ArrowInvalid as error:
            return error
        return None

    def _line(self, block: Block, start: int) -> int:
        first = line_at(self.file, self.layout.dialect, block.offset)
        return first + block.text.count(b"\n", 0, start)
