"""Batches of rows as CSV, JSON Lines, an Arrow stream or a table, in bounded memory."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from batuta.cli.views.page import shorten, table
from batuta.cli.views.screen import Screen

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that become Python objects at once: a batch of a million strings would not be bounded.
_SLICE = 1024
_CELL = 60


def as_csv(screen: Screen, batches: "Iterable[pa.RecordBatch]") -> None:
    """Write a header and the rows (RFC 4180); null is an empty field, an empty text is `""`."""
    first = True
    for names, rows in _rows(batches):
        if first:
            screen.stream.write(",".join(_quoted(name) for name in names) + "\r\n")
            first = False
        screen.stream.writelines(
            ",".join("" if value is None else _quoted(_text(value)) for value in row) + "\r\n"
            for row in rows
        )


def _quoted(text: str) -> str:
    if text and text == text.strip() and not any(c in text for c in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def as_jsonl(screen: Screen, batches: "Iterable[pa.RecordBatch]") -> None:
    """Write one JSON object a row; decimals, times and bytes (base64) are text."""
    for names, rows in _rows(batches):
        for row in rows:
            values = dict(zip(names, (_plain(value) for value in row), strict=True))
            screen.stream.write(json.dumps(values, ensure_ascii=False) + "\n")


def as_arrow(screen: Screen, batches: "Iterable[pa.RecordBatch]") -> None:
    """Write an Arrow IPC stream to the bytes below the text stream."""
    import pyarrow as pa

    writer = None
    for batch in batches:
        if writer is None:
            writer = pa.ipc.new_stream(screen.stream.buffer, batch.schema)
        writer.write_batch(batch)
    if writer is not None:
        writer.close()


def as_table(screen: Screen, batches: "Iterable[pa.RecordBatch]") -> None:
    """Write the rows under each other; long values are shortened."""
    glyphs = screen.page.glyphs
    header: list[str] = []
    shown: list[list[str]] = []
    for names, rows in _rows(batches):
        header = names
        shown += [[shorten(_cell(value), _CELL, glyphs) for value in row] for row in rows]
    lines = table(screen.page, header, shown)
    screen.write(lines or table(screen.page, header, [[""] * len(header)])[:1] if header else [])
    screen.say(f"({len(shown):,} rows)")


WRITERS: "dict[str, Callable[[Screen, Iterable[pa.RecordBatch]], None]]" = {
    "csv": as_csv,
    "jsonl": as_jsonl,
    "arrow": as_arrow,
    "table": as_table,
}


def _rows(
    batches: "Iterable[pa.RecordBatch]",
) -> Iterator[tuple[list[str], Iterable[tuple[Any, ...]]]]:
    """Yield names and rows, a bounded number at a time; an empty batch yields its names."""
    for batch in batches:
        names = list(batch.schema.names)
        if batch.num_rows == 0:
            yield names, []
        for start in range(0, batch.num_rows, _SLICE):
            part = batch.slice(start, _SLICE)
            yield names, zip(*(_values(column) for column in part.columns), strict=True)


def _values(column: "pa.Array") -> list[Any]:
    """Return Python values; times as text, since Python has neither nanoseconds nor year 10000."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    wanted = _textual(column.type)
    values: list[Any] = (column if wanted == column.type else column.cast(wanted)).to_pylist()
    return values


def _textual(kind: "pa.DataType") -> "pa.DataType":
    """Return the type with text in place of times and dates, and integers for durations."""
    import pyarrow as pa

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
    return "" if value is None else _text(value).replace("\n", "\\n")
