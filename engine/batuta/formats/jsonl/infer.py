"""Which type each field has, from all lines.

Types of blocks are merged, so that neither the first line nor the first block decides. Whole
numbers and fractions meet in a double where all of them are exact there; whole numbers beyond
64 bits are decimal. Texts stay texts. Anything else that differs is an error with its line.
"""

import json
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

_MAX_EXACT_INTEGER = 2**53
_LONG = re.compile(rb"(?<![0-9.])[0-9]{16,}(?![0-9.eE])")

Path = tuple[str, ...]


class Conflict(ValueError):
    """Two values of one field have types with nothing in common."""


def normal(type_: pa.DataType) -> pa.DataType:
    """Return the type that a field keeps: what the parser takes for times is text."""
    if pa.types.is_timestamp(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(normal(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, normal(field.type)) for field in type_])
    return type_


def merged(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of both.

    Raises:
        Conflict: there is none.
    """
    types = pa.types
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if types.is_decimal(one) and other == pa.int64():
        return one
    if types.is_decimal(other) and one == pa.int64():
        return other
    if types.is_list(one) and types.is_list(other):
        return pa.list_(merged(one.value_type, other.value_type))
    if types.is_struct(one) and types.is_struct(other):
        return pa.struct(list(_union(one, other).items()))
    raise Conflict(f"{one} and {other} have no common type")


def _union(one: pa.StructType, other: pa.StructType) -> dict[str, pa.DataType]:
    fields = {field.name: field.type for field in one}
    for field in other:
        known = fields.get(field.name, pa.null())
        fields[field.name] = merged(known, field.type)
    return fields


def final(type_: pa.DataType) -> pa.DataType:
    """Return the type of a field after all lines: one that was always null is text."""
    if pa.types.is_null(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(final(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, final(field.type)) for field in type_])
    return type_


def floats(path: Path, type_: pa.DataType) -> Iterator[Path]:
    """Yield the paths of all doubles in a field; the items of a list share its path."""
    if pa.types.is_floating(type_):
        yield path
    elif pa.types.is_list(type_):
        yield from floats(path, type_.value_type)
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from floats((*path, field.name), field.type)


def wide_columns(path: Path, array: pa.Array) -> Iterator[Path]:
    """Yield the paths of 64-bit integers that hold a number which no double has."""
    type_ = array.type
    if pa.types.is_int64(type_):
        extremes = pc.min_max(array)
        low, high = extremes["min"].as_py() or 0, extremes["max"].as_py() or 0
        if max(-low, high) > _MAX_EXACT_INTEGER:
            yield path
    elif pa.types.is_list(type_):
        yield from wide_columns(path, array.flatten())
    elif pa.types.is_struct(type_):
        for index, field in enumerate(type_):
            yield from wide_columns((*path, field.name), array.field(index))


def wide_numbers(text: bytes) -> set[Path]:
    """Return the paths of whole numbers beyond 2^53, read from the lines that have any.

    The parser turns them into doubles where a fraction, or a number beyond 64 bits, is near.
    """
    found: set[Path] = set()
    for match in _LONG.finditer(text):
        start = text.rfind(b"\n", 0, match.start()) + 1
        end = text.find(b"\n", match.end())
        line = text[start : len(text) if end < 0 else end]
        try:
            _collect((), json.loads(line, parse_constant=float), found)
        except ValueError:
            continue  # more than one object in the line; the parser has accepted it
    return found


def _collect(path: Path, value: object, found: set[Path]) -> None:
    if isinstance(value, dict):
        for key, member in value.items():
            _collect((*path, key), member, found)
    elif isinstance(value, list):
        for member in value:
            _collect(path, member, found)
    elif isinstance(value, int) and abs(value) > _MAX_EXACT_INTEGER:
        found.add(path)
