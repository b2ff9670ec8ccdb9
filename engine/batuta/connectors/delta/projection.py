"""Bringing a file's columns into the table's form: names, missing fields, nesting, width.

Old files hold what the table was when they were written: fewer fields, narrower numbers,
other spellings of a list's element, instants without a zone (INT96, which Spark means in UTC).
Every cast is safe: a value that does not fit is an error, never another value.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from batuta.connectors.delta.types import Node

_TEXT = frozenset({"string", "large_string", "string_view", "binary", "large_binary"})
_BYTES = frozenset({"binary", "large_binary", "binary_view"})


def same(stored: pa.DataType, wanted: pa.DataType) -> bool:
    """True where the two differ at most in nullability and in how a list's element is called."""
    kinds = pa.types
    if kinds.is_struct(stored) and kinds.is_struct(wanted):
        pairs = list(zip(stored, wanted, strict=False))
        names = [f.name for f in stored] == [f.name for f in wanted]
        return names and all(same(a.type, b.type) for a, b in pairs)
    if kinds.is_map(stored) and kinds.is_map(wanted):
        return same(stored.key_type, wanted.key_type) and same(stored.item_type, wanted.item_type)
    if kinds.is_list(stored) and kinds.is_list(wanted):
        return same(stored.value_type, wanted.value_type)
    return bool(stored == wanted)


def readable(stored: pa.DataType, node: Node) -> bool:
    """True where `project` can bring values of `stored` into the form of `node`."""
    kinds = pa.types
    if kinds.is_null(node.type) or kinds.is_null(stored):
        return True
    if kinds.is_struct(node.type):
        if not kinds.is_struct(stored):
            return False
        if not node.children:
            return same(stored, node.type) or _is_variant(stored, node.type)
        return all(_child_readable(stored, child) for child in node.children)
    if kinds.is_map(node.type):
        key, value = node.children
        return (
            kinds.is_map(stored)
            and readable(stored.key_type, key)
            and readable(stored.item_type, value)
        )
    if kinds.is_list(node.type):
        lists = kinds.is_list(stored) or kinds.is_large_list(stored)
        return lists and readable(stored.value_type, node.children[0])
    return _castable(stored, node.type)


def _child_readable(stored: pa.DataType, child: Node) -> bool:
    index = stored.get_field_index(child.stored)
    return child.nullable if index < 0 else readable(stored.field(index).type, child)


def _is_variant(stored: pa.DataType, wanted: pa.DataType) -> bool:
    names = sorted(field.name for field in stored)
    return names == sorted(f.name for f in wanted) and all(f.type == pa.binary() for f in stored)


def _castable(stored: pa.DataType, wanted: pa.DataType) -> bool:
    """The widenings of the protocol, and other spellings of the same values."""
    kinds = pa.types
    if kinds.is_dictionary(stored):
        stored = stored.value_type
    if stored == wanted:
        return True
    if kinds.is_string(wanted):
        return str(stored) in _TEXT
    if kinds.is_binary(wanted):
        return str(stored) in _BYTES or kinds.is_fixed_size_binary(stored)
    if kinds.is_timestamp(wanted):
        return kinds.is_timestamp(stored) or (kinds.is_date32(stored) and wanted.tz is None)
    if kinds.is_integer(wanted):
        return bool(kinds.is_integer(stored))
    if kinds.is_floating(wanted):
        small = kinds.is_integer(stored) and stored.bit_width < 64
        narrower = kinds.is_floating(stored) and stored.bit_width <= wanted.bit_width
        return bool(narrower or (small and wanted.bit_width == 64))
    if kinds.is_decimal(wanted):
        return bool(kinds.is_decimal(stored) or kinds.is_integer(stored))
    return False


def project(values: pa.Array, node: Node) -> pa.Array:
    """Return `values` in the form of `node`, nulls where the file lacks a field.

    Raises:
        pa.ArrowInvalid: a value does not fit the wanted type.
    """
    kinds = pa.types
    if values.type == node.type and not node.renamed_inside:
        return values
    if kinds.is_null(values.type):
        return pa.nulls(len(values), node.type)
    if kinds.is_struct(node.type):
        return _project_struct(values, node)
    if kinds.is_map(node.type):
        start, end, offsets = _bounds(values)
        keys = project(values.keys[start:end], node.children[0])
        items = project(values.items[start:end], node.children[1])
        mask = values.is_null()
        return pa.MapArray.from_arrays(offsets, keys, items, type=node.type, mask=mask)
    if kinds.is_list(node.type):
        if not kinds.is_list(values.type):
            values = values.cast(pa.list_(values.type.value_field))
        start, end, offsets = _bounds(values)
        elements = project(values.values[start:end], node.children[0])
        return pa.ListArray.from_arrays(offsets, elements, type=node.type, mask=values.is_null())
    return pc.cast(values, node.type)


def _project_struct(values: pa.StructArray, node: Node) -> pa.Array:
    flat = values.flatten()
    children: Sequence[Node] = node.children or _leaves(node.type)
    columns = []
    for child in children:
        index = values.type.get_field_index(child.stored)
        missing = pa.nulls(len(values), child.type)
        columns.append(missing if index < 0 else project(flat[index], child))
    return pa.StructArray.from_arrays(columns, fields=list(node.type), mask=values.is_null())


def _leaves(type_: pa.DataType) -> list[Node]:
    """The fields of a struct that the table's schema names as one type (a variant)."""
    return [
        Node(name=f.name, stored=f.name, field_id=None, nullable=f.nullable, type=f.type)
        for f in type_
    ]


def _bounds(values: pa.Array) -> tuple[int, int, pa.Array]:
    """Where the elements of a list array start and end in its child, and offsets from there.

    The child of a slice still holds the whole array's elements.
    """
    offsets = values.offsets
    start, end = offsets[0].as_py(), offsets[-1].as_py()
    return start, end, pc.subtract(offsets, start)
