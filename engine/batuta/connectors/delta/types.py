"""Delta's schema JSON as a tree of columns with Arrow types, names as stored, and field ids.

Source: the Delta transaction protocol, "Schema Serialization Format" and "Column Mapping".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from batuta.connectors.delta.problems import problem
from batuta.model.arrow import schema_of
from batuta.model.table import TableSchema

_MAX_DEPTH = 64
_PHYSICAL = "delta.columnMapping.physicalName"
_ID = "delta.columnMapping.id"
_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(-?\d+)\s*\)")
_VARIANT = pa.struct(
    [pa.field("value", pa.binary(), nullable=False), pa.field("metadata", pa.binary(), False)]
)
_PRIMITIVES: Mapping[str, pa.DataType] = {
    "byte": pa.int8(),
    "short": pa.int16(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "decimal": pa.decimal128(10, 0),
    "string": pa.string(),
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "timestamp_ntz": pa.timestamp("us"),
    "void": pa.null(),
    "variant": _VARIANT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One column or nested field: its name, its name in data files, and its Arrow type.

    `children` are the fields of a struct, the element of a list, or key and value of a map;
    empty for everything else. `field_id` is None where the table maps no columns.
    """

    name: str
    stored: str
    field_id: int | None
    nullable: bool
    type: pa.DataType
    children: tuple["Node", ...] = ()

    @property
    def renamed_inside(self) -> bool:
        """True where a nested field is stored under another name than the table's."""
        return any(c.name != c.stored or c.renamed_inside for c in self.children)


def parse_schema(text: str, *, mapped: bool) -> tuple[Node, ...]:
    """Return the columns that a table's `schemaString` declares, in order.

    Args:
        text: the JSON of the schema.
        mapped: True where column mapping is in force, so that stored names and ids count.

    Raises:
        ConnectorError: DLT103, a type has no Arrow form; DLT104, the text is no schema.
    """
    try:
        document = json.loads(text)
        nodes = tuple(_field(entry, mapped, 0) for entry in document["fields"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise problem("DLT104", f"The table's schema is damaged: {error!r}.") from None
    names = [node.name for node in nodes]
    if len(set(names)) != len(names):
        raise problem("DLT104", "The table's schema names a column twice.")
    return nodes


def table_schema(nodes: tuple[Node, ...]) -> TableSchema:
    """Return the columns of `nodes` in the model's spelling."""
    return schema_of(pa.schema([pa.field(n.name, n.type, n.nullable) for n in nodes]))


def _field(entry: Any, mapped: bool, depth: int) -> Node:
    metadata = entry.get("metadata") or {}
    name = str(entry["name"])
    if mapped and (_PHYSICAL not in metadata or _ID not in metadata):
        raise problem("DLT104", f"Column {name} has no mapping in a table that maps its columns.")
    shape = _type(entry["type"], mapped, depth, name)
    return replace(
        shape,
        name=name,
        stored=str(metadata[_PHYSICAL]) if mapped else name,
        field_id=int(metadata[_ID]) if mapped else None,
        nullable=bool(entry.get("nullable", True)),
    )


def _type(declared: Any, mapped: bool, depth: int, name: str) -> Node:
    """A node that carries type and children only; its caller gives it a name."""
    if depth > _MAX_DEPTH:
        raise problem("DLT104", f"Column {name} is nested more than {_MAX_DEPTH} levels deep.")
    if isinstance(declared, str):
        return _leaf(_primitive(declared, name))
    match declared["type"]:
        case "struct":
            fields = tuple(_field(f, mapped, depth + 1) for f in declared["fields"])
            return _leaf(pa.struct([_arrow(f) for f in fields]), fields)
        case "array":
            element = _inner("element", declared["elementType"], mapped, depth, name)
            element = replace(element, nullable=bool(declared["containsNull"]))
            return _leaf(pa.list_(_arrow(element)), (element,))
        case "map":
            key = _inner("key", declared["keyType"], mapped, depth, name)
            value = _inner("value", declared["valueType"], mapped, depth, name)
            key = replace(key, nullable=False)
            value = replace(value, nullable=bool(declared["valueContainsNull"]))
            return _leaf(pa.map_(key.type, _arrow(value)), (key, value))
        case other:
            raise problem("DLT103", f"Column {name} is of the type {other!r}, which is not read.")


def _inner(label: str, declared: Any, mapped: bool, depth: int, name: str) -> Node:
    return replace(_type(declared, mapped, depth + 1, name), name=label, stored=label)


def _leaf(type_: pa.DataType, children: tuple[Node, ...] = ()) -> Node:
    return Node(name="", stored="", field_id=None, nullable=True, type=type_, children=children)


def _arrow(node: Node) -> pa.Field:
    return pa.field(node.name, node.type, node.nullable)


def _primitive(declared: str, name: str) -> pa.DataType:
    if (found := _PRIMITIVES.get(declared)) is not None:
        return found
    if match := _DECIMAL.fullmatch(declared):
        precision, scale = int(match[1]), int(match[2])
        if 1 <= precision <= 38 and 0 <= scale <= precision:
            return pa.decimal128(precision, scale)
    if re.fullmatch(r"(var)?char\(\d+\)", declared) or declared.startswith("string collate "):
        return pa.string()
    raise problem("DLT103", f"Column {name} is of the type `{declared}`, which is not read.")
