"""Reads JSON Lines: types from the whole file, rows from any block on."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from batuta.formats.jsonl import faults, infer
from batuta.formats.jsonl.lines import Block, blocks, is_packed, line_at
from batuta.model.arrow import to_arrow, type_name, type_of
from batuta.model.diagnostic import ConnectorError
from batuta.model.format import Batch, Inspection, Options
from batuta.model.observed import Cut
from batuta.model.table import Column, TableSchema

_BLOCKS_PER_CUT = 3
_BIG = pa.decimal128(38, 0)
_CLOCK = ("%H", "%I", "%M", "%S", "%T", "%R", "%p", "%s")
_IN_ROW = re.compile(r"^JSON parse error: | in row \d+$")


class JsonlReader:
    """Reads one JSON Lines file, gzipped or not."""

    def inspect(
        self, file: pa.NativeFile, options: Options, types: Mapping[str, str]
    ) -> Inspection:
        """Return the schema that all lines fit, their number, and a cut every 12 MiB or so.

        Reads the file once. Fields are in the order in which they first appear. `types` are
        taken as given and checked against every value. A gzipped file has one cut.
        """
        _check_start(file)
        seen = _Seen(file, _declared(types), _format(options))
        cuts: list[Cut] = []
        packed = is_packed(file)
        for block in blocks(file, 0, None):
            if not block.text.strip():
                continue
            rows = seen.add(block)
            if not cuts or (not packed and seen.blocks % _BLOCKS_PER_CUT == 1):
                cuts.append(Cut(str(block.offset) if cuts else "0", 0, 0))
            cuts[-1] = _grown(cuts[-1], len(block.text), rows)
        if not cuts:
            raise faults.not_lines("The file has no lines.")
        rows = sum(cut.rows or 0 for cut in cuts)
        return Inspection(schema=seen.schema(), rows=rows, cuts=tuple(cuts))

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
        """Yield the lines from `start` up to `end`, a block of about 4 MiB at a time."""
        wanted = to_arrow(schema)
        names = list(wanted.names if columns is None else columns)
        wanted = pa.schema([wanted.field(name) for name in names])
        parser = _Parser(file, _format(options))
        for block in blocks(file, _position(start), _position(end) or None):
            if not block.text.strip():
                continue
            rows = parser.batch(block, wanted)
            if rows.num_rows:
                yield Batch(rows, str(block.offset + len(block.text)))


def _check_start(file: pa.NativeFile) -> None:
    first = next(blocks(file, 0, None), Block(0, b"")).text.lstrip()
    if first.startswith(b"["):
        raise faults.not_lines("The file is one JSON array.")


def _declared(types: Mapping[str, str]) -> dict[str, pa.DataType]:
    try:
        return {name: type_of(text) for name, text in types.items()}
    except ValueError as error:
        raise faults.bad_option(f"{error}.") from error


def _format(options: Options) -> str | None:
    value = options.get("timestampFormat")
    if value is not None and "%" not in str(value):
        raise faults.bad_option("`timestampFormat` holds no directive such as %Y.")
    return None if value is None else str(value)


def _position(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isdecimal():
        raise faults.bad_option(f"{text[:80]!r} is no position in a JSON Lines file.")
    return int(text)


def _grown(cut: Cut, size_bytes: int, rows: int) -> Cut:
    return Cut(cut.position, cut.size_bytes + size_bytes, (cut.rows or 0) + rows)


class _Parser:
    """Turns blocks into tables, and the parser's errors into lines."""

    def __init__(self, file: pa.NativeFile, timestamp_format: str | None) -> None:
        self.file = file
        self.timestamp_format = timestamp_format

    def batch(self, block: Block, wanted: pa.Schema) -> pa.RecordBatch:
        """Return the block's rows in `wanted`; fields that it lacks are passed over."""
        stored = pa.schema([f.with_type(self._as_parsed(f.type)) for f in wanted])
        table = self.table(block, stored, known_only=True)
        try:
            columns = [self._converted(table.column(field.name), field.type) for field in wanted]
        except pa.ArrowInvalid as error:
            detail = f"{str(error).splitlines()[0][:300]}."
            raise faults.bad_value(line_at(self.file, block.offset), detail) from error
        if not columns:
            return pa.record_batch({"": pa.nulls(table.num_rows)}).select([])
        return pa.RecordBatch.from_arrays(columns, schema=wanted)

    def table(self, block: Block, given: pa.Schema, *, known_only: bool) -> pa.Table:
        """Parse the block with the types in `given`; other fields are inferred or left out."""
        try:
            return self._parsed(block.text, given, known_only=known_only)
        except pa.ArrowInvalid as error:
            raise self.located(block, given, known_only=known_only) from error

    def located(self, block: Block, given: pa.Schema, *, known_only: bool) -> ConnectorError:
        """Find the first line with which the block no longer parses."""
        ends = [match.end() for match in re.finditer(rb"\n|\Z", block.text)]
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            if self._fault(block.text[: ends[middle]], given, known_only):
                high = middle
            else:
                low = middle + 1
        error = self._fault(block.text[: ends[low]], given, known_only) or "it is not readable"
        detail = f"{_IN_ROW.sub('', error.splitlines()[0])[:300]}."
        line = line_at(self.file, block.offset) + low
        if "changed from" in detail or "convert" in detail:
            return faults.bad_value(line, detail)
        return faults.bad_line(line, detail)

    def _fault(self, text: bytes, given: pa.Schema, known_only: bool) -> str:
        try:
            if text.strip():
                self._parsed(text, given, known_only=known_only)
        except pa.ArrowInvalid as error:
            return str(error)
        return ""

    def _parsed(self, text: bytes, given: pa.Schema, *, known_only: bool) -> pa.Table:
        behavior = "ignore" if known_only else "infer"
        if known_only and not given.names:
            behavior = "infer"  # rows cannot be counted without a column
        return pa_json.read_json(
            io.BytesIO(text),
            pa_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            pa_json.ParseOptions(explicit_schema=given, unexpected_field_behavior=behavior),
        )

    def _as_parsed(self, type_: pa.DataType) -> pa.DataType:
        timed = pa.types.is_timestamp(type_) or pa.types.is_date(type_)
        return pa.string() if timed and self.timestamp_format else type_

    def _converted(self, column: pa.ChunkedArray, type_: pa.DataType) -> pa.Array:
        array = column.combine_chunks()
        if array.type == type_:
            return array
        try:
            times = pc.strptime(array, format=self.timestamp_format, unit="us", error_is_null=False)
        except pa.ArrowInvalid:
            return array.cast(type_)
        if pa.types.is_timestamp(type_) and type_.tz is not None:
            times = times.cast(pa.timestamp("us", "UTC"))
        return times.cast(type_)


class _Seen:
    """The types of all blocks so far."""

    def __init__(
        self,
        file: pa.NativeFile,
        declared: Mapping[str, pa.DataType],
        timestamp_format: str | None,
    ) -> None:
        self.parser = _Parser(file, timestamp_format)
        self.format = timestamp_format
        self.declared = declared
        self.given = pa.schema(list(declared.items()))
        self.types: dict[str, pa.DataType] = {}
        self.wide: set[infer.Path] = set()
        self.untimed: set[str] = set()
        self.blocks = 0

    def add(self, block: Block) -> int:
        """Take the block's types in and return its rows."""
        self.blocks += 1
        stored = pa.schema([f.with_type(self.parser._as_parsed(f.type)) for f in self.given])
        table = self.parser.table(block, stored, known_only=False)
        if self.given.names:
            self.parser.batch(block, self.given)
        types = {f.name: infer.normal(f.type) for f in table.schema if f.name not in self.declared}
        self._widen(block, table, types)
        for name in self._ordered(table, types):
            try:
                self.types[name] = infer.merged(self.types.get(name, pa.null()), types[name])
            except infer.Conflict as error:
                earlier = pa.schema([(name, infer.final(self.types[name]))])
                raise self.parser.located(block, earlier, known_only=True) from error
        self._try_format(block)
        return int(table.num_rows)

    def _ordered(self, table: pa.Table, types: Mapping[str, pa.DataType]) -> list[str]:
        return [name for name in table.schema.names if name in types]

    def _widen(self, block: Block, table: pa.Table, types: dict[str, pa.DataType]) -> None:
        for name in types:
            for chunk in table.column(name).chunks:
                self.wide.update(infer.wide_columns((name,), chunk))
        doubles = {path for name, t in types.items() for path in infer.floats((name,), t)}
        if not doubles:
            return
        wide = infer.wide_numbers(block.text) & doubles
        for path in wide:
            if len(path) > 1 or not pa.types.is_floating(types[path[0]]):
                raise faults.inexact(".".join(path))
            if self.parser._fault(block.text, pa.schema([(path[0], _BIG)]), known_only=True):
                raise faults.inexact(path[0])
            types[path[0]] = _BIG

    def _try_format(self, block: Block) -> None:
        if self.format is None:
            return
        texts = [n for n, t in self.types.items() if t == pa.string() and n not in self.untimed]
        if not texts:
            return
        schema = pa.schema([(name, pa.string()) for name in texts])
        table = self.parser.table(block, schema, known_only=True)
        for name in texts:
            try:
                pc.strptime(table.column(name), format=self.format, unit="us", error_is_null=False)
            except pa.ArrowInvalid:
                self.untimed.add(name)

    def schema(self) -> TableSchema:
        """Return the type of each field, declared ones behind the others."""
        for name, type_ in self.types.items():
            exact = self.wide & set(infer.floats((name,), type_))
            if exact:
                raise faults.inexact(".".join(min(exact)))
        found = {name: self._final(name, type_) for name, type_ in self.types.items()}
        found.update(self.declared)
        if not found:
            raise faults.not_lines("No line has a field.")
        return TableSchema(tuple(Column(name, type_name(t)) for name, t in found.items()))

    def _final(self, name: str, type_: pa.DataType) -> pa.DataType:
        if self.format is None or type_ != pa.string() or name in self.untimed:
            return infer.final(type_)
        if not any(directive in self.format for directive in _CLOCK):
            return pa.date32()
        return pa.timestamp("us", "UTC") if "%z" in self.format else pa.timestamp("us")
