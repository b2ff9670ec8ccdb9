"""Batches of rows as CSV, JSON Lines, an Arrow stream or cells of a table, in bounded pieces."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

# Rows that become Python objects at once: a batch of a million strings would not be bounded.
_SLICE_ROWS = 1024
_SLICE_BYTES = 4 * 1024 * 1024
_PIECE = 256 * 1024
_CELL = 4096
"""Characters of a cell that are sent; a table shows fewer."""

Row = tuple[Any, ...]
Render = Callable[[pa.RecordBatch, bool], Iterator[bytes]]
"""Renders a batch; True: no rows of the dataset were rendered before."""


def _csv(batch: pa.RecordBatch, first: bool) -> Iterator[bytes]:
    """A header and the rows (RFC 4180); null is an empty field, an empty text is `""`."""
    if first:
        yield (",".join(map(_quoted, batch.schema.names)) + "\r\n").encode()
    for rows in _rows(batch):
        yield from _pieces(
            ",".join("" if value is None else _quoted(_text(value)) for value in row) + "\r\n"
            for row in rows
        )


def _quoted(text: str) -> str:
    if text and text == text.strip() and not any(c in text for c in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _jsonl(batch: pa.RecordBatch, first: bool) -> Iterator[bytes]:
    """One JSON object a row; decimals, times and bytes (base64) are text."""
    del first
    names = batch.schema.names
    for rows in _rows(batch):
        yield from _pieces(
            json.dumps(dict(zip(names, map(_plain, row), strict=True)), ensure_ascii=False) + "\n"
            for row in rows
        )


class _Arrow:
    """An Arrow IPC stream without its end; whoever puts the parts together writes that."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def __call__(self, batch: pa.RecordBatch, first: bool) -> Iterator[bytes]:
        skipped = 0
        if self._writer is None:
            file = pa.PythonFile(self._sink, mode="w")
            self._writer = pa.ipc.new_stream(file, batch.schema)
            skipped = 0 if first else len(batch.schema.serialize())
        self._writer.write_batch(batch)
        for written in self._sink.taken():
            view = memoryview(written)[skipped:]
            skipped -= len(written) - len(view)
            for at in range(0, len(view), _PIECE):
                yield bytes(view[at : at + _PIECE])


class _Sink:
    """A file that is written to and taken from."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self.closed = False

    def write(self, content: bytes) -> int:
        self._written.append(bytes(content))
        return len(content)

    def taken(self) -> list[bytes]:
        taken, self._written = self._written, []
        return taken

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True


def _cells(batch: pa.RecordBatch, first: bool) -> Iterator[bytes]:
    """Names and rows of cells, as MessagePack, for a table that is laid out elsewhere."""
    names: list[str] = batch.schema.names
    if first:
        yield msgspec.msgpack.encode((names, []))
    for rows in _rows(batch):
        yield msgspec.msgpack.encode((names, [[_cell(value) for value in row] for row in rows]))


STYLES: dict[str, Callable[[], Render]] = {
    "csv": lambda: _csv,
    "jsonl": lambda: _jsonl,
    "arrow": _Arrow,
    "cells": lambda: _cells,
}
"""How to begin a part in each style."""


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """Put lines together and cut long ones, never inside of a character."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE:
            whole = "".join(held)
            yield from (whole[at : at + _PIECE].encode() for at in range(0, size, _PIECE))
            held, size = [], 0
    if held:
        yield "".join(held).encode()


# -- values -----------------------------------------------------------------------------------


def _rows(batch: pa.RecordBatch) -> Iterator[Iterable[Row]]:
    """Yield the rows, a bounded number at a time."""
    step = _step(batch)
    for start in range(0, batch.num_rows, step):
        part = batch.slice(start, step)
        yield zip(*(_values(column) for column in part.columns), strict=True)


def _step(batch: pa.RecordBatch) -> int:
    """Return how many rows become objects at once; a dictionary's values count as often as used."""
    size: int = batch.nbytes // max(1, batch.num_rows)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            size += column.dictionary.nbytes // max(1, len(column.dictionary))
    return max(1, min(_SLICE_ROWS, _SLICE_BYTES // max(1, size)))


def _values(column: pa.Array) -> list[Any]:
    """Return Python values; times as text, since Python has neither nanoseconds nor year 10000."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    wanted = _textual(column.type)
    values: list[Any] = (column if wanted == column.type else column.cast(wanted)).to_pylist()
    return values


def _textual(kind: pa.DataType) -> pa.DataType:
    """Return the type with text in place of times and dates, and integers for durations."""
    types = pa.types
    if types.is_duration(kind):
        return pa.int64()
    if types.is_temporal(kind):
        return pa.string()
    if types.is_struct(kind):
        return pa.struct([f.with_type(_textual(f.type)) for f in kind])
    if types.is_map(kind):
        return pa.map_(_textual(kind.key_type), _textual(kind.item_type))
    if types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_textual(kind.value_type)))
    if types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_textual(kind.value_type)), kind.list_size)
    if types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_textual(kind.value_type)))
    return kind


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            # JSON has no NaN and no infinity; text keeps what a reader would otherwise lose.
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case _:
            return str(value)


def _text(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False)


def _cell(value: Any) -> str:
    return "" if value is None else _text(value)[:_CELL].replace("\n", "\\n")
