"""Rows with view types, which Arrow reads and writes but can neither filter nor compare.

Some writers store them (Parquet files of DataFusion). Here they are cast for the moment that
they are in the way, and cast back.
"""

import re
from typing import TypeVar

import pyarrow as pa

from batuta.model.arrow import type_name, type_of

_Rows = TypeVar("_Rows", pa.RecordBatch, pa.Table)
_VIEWS = (
    (re.compile(r"\b(string|binary)_view\b"), r"large_\1"),
    (re.compile(r"\b(?:large_)?list_view<"), "large_list<"),
)


def unviewed(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return `array` in a type without views that holds the same values."""
    spelled = plain = type_name(array.type)
    for pattern, replacement in _VIEWS:
        plain = pattern.sub(replacement, plain)
    return array if plain == spelled else array.cast(type_of(plain))


def filtered(rows: _Rows, mask: pa.Array | pa.ChunkedArray) -> _Rows:
    """Return the rows for which `mask` is true."""
    try:
        return rows.filter(mask)
    except pa.ArrowNotImplementedError:
        columns = [
            unviewed(column).filter(mask).cast(field.type)
            for column, field in zip(rows.columns, rows.schema, strict=True)
        ]
        return type(rows).from_arrays(columns, schema=rows.schema)


def taken(rows: pa.Table, places: pa.Array) -> pa.Table:
    """Return the rows at `places`."""
    try:
        return rows.take(places)
    except pa.ArrowNotImplementedError:
        columns = [
            unviewed(column).take(places).cast(field.type)
            for column, field in zip(rows.columns, rows.schema, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=rows.schema)
