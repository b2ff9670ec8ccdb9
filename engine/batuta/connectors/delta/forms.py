"""How one data file's columns stand to the table's: read as they are, or brought into form.

A file is *plain* where its columns have the table's types, so that the worker's own reader
needs no more than renames and constants. All else goes through this connector's reader.
Nothing is guessed: a column that neither way gives right is refused by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from batuta.connectors.delta.problems import problem
from batuta.connectors.delta.projection import readable, same
from batuta.connectors.delta.types import Node

_GENERATED = re.compile(r"col-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a file is read. `renames` pairs stored names with the table's where they differ.

    `missing` are columns that the file lacks; `exact` says that its bytes are the table's rows.
    """

    plain: bool
    exact: bool
    renames: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()


def data_nodes(nodes: Sequence[Node], partition_columns: Sequence[str]) -> tuple[Node, ...]:
    """The columns that data files hold: all but those of the partitioning."""
    return tuple(node for node in nodes if node.name not in partition_columns)


def form_of(
    key: str, stored: pa.Schema, nodes: Sequence[Node], partition_columns: Sequence[str]
) -> Form:
    """Return how the file `key` is read.

    Raises:
        ConnectorError: DLT106, a column's type cannot become the table's, a required column is
            missing, or a name stands for two columns.
    """
    wanted = data_nodes(nodes, partition_columns)
    found = {node.name: _stored_field(key, stored, node) for node in wanted}
    plain = not set(stored.names) & set(partition_columns)
    for node in wanted:
        field = found[node.name]
        if field is None:
            if not node.nullable:
                raise problem("DLT106", f"{key} lacks the required column {node.name}.")
            # Another column's values under this column's name would pass for its own.
            plain = plain and node.name not in stored.names
            continue
        if not readable(field.type, node):
            raise problem(
                "DLT106",
                f"{key} stores column {node.name} as {field.type}; the table says {node.type}.",
            )
        as_is = same(field.type, node.type) and not node.renamed_inside
        plain = plain and as_is and (field.name == node.name or node.name not in stored.names)
    return Form(
        plain=plain,
        exact=plain and not partition_columns and _is_exact(stored, nodes),
        renames=tuple((f.name, n) for n, f in found.items() if f is not None and f.name != n),
        missing=tuple(n for n, f in found.items() if f is None),
    )


def _stored_field(key: str, stored: pa.Schema, node: Node) -> pa.Field | None:
    positions = stored.get_all_field_indices(node.stored)
    if not positions and node.field_id is None:
        # Spark matches names without regard to case and keeps the case of each writer.
        folded = node.stored.casefold()
        positions = [i for i, name in enumerate(stored.names) if name.casefold() == folded]
    if len(positions) > 1:
        raise problem("DLT106", f"{key} holds more than one column {node.stored}.")
    return stored.field(positions[0]) if positions else None


def _is_exact(stored: pa.Schema, nodes: Sequence[Node]) -> bool:
    return stored.names == [n.name for n in nodes] and all(
        field.type == node.type and (node.nullable or not field.nullable)
        for field, node in zip(stored, nodes, strict=True)
    )


def bind(nodes: Sequence[Node], names: Mapping[str, str]) -> tuple[Node, ...]:
    """Return `nodes` with the stored names that one file uses, as `names_by_id` gives them."""
    return tuple(replace(n, stored=names.get(n.stored, n.stored)) for n in nodes)


def names_by_id(
    key: str, footer: pa.Schema, nodes: Sequence[Node], partition_columns: Sequence[str]
) -> dict[str, str]:
    """Return, for columns that a file stores under another name, their name in this file.

    In a table that maps by id, the id in the file's footer decides, not the name.

    Raises:
        ConnectorError: DLT106, ids are missing, or a nested field has another name.
    """
    by_id = {_field_id(field): field for field in footer if _field_id(field) is not None}
    anonymous = {field.name for field in footer if _field_id(field) is None}
    moved: dict[str, str] = {}
    for node in data_nodes(nodes, partition_columns):
        field = by_id.get(node.field_id)
        if field is not None:
            moved[node.stored] = field.name
            _check_inside(key, field.type, node)
        elif node.stored not in anonymous:
            # No such id here: the name must not find another column instead.
            moved[node.stored] = f"\0{node.field_id}"
        elif not _is_unique(node):
            # Some writers leave ids out; only a generated name is never given out twice.
            raise problem("DLT106", f"{key} stores column {node.stored} without its field id.")
    return {stored: name for stored, name in moved.items() if stored != name}


def _is_unique(node: Node) -> bool:
    named = node.field_id is None or _GENERATED.fullmatch(node.stored) is not None
    return named and all(_is_unique(child) for child in node.children)


def _check_inside(key: str, type_: pa.DataType, node: Node) -> None:
    if pa.types.is_struct(type_) and pa.types.is_struct(node.type):
        for child in node.children:
            by_name = type_.get_field_index(child.stored)
            named = type_.field(by_name) if by_name >= 0 else None
            by_id = next((f for f in type_ if _field_id(f) == child.field_id), None)
            if (named is None) != (by_id is None) or (
                named is not None and _field_id(named) != child.field_id
            ):
                raise problem(
                    "DLT106",
                    f"{key} stores {node.name}.{child.name} under another name than the table's.",
                )
            if named is not None:
                _check_inside(key, named.type, child)
    elif pa.types.is_map(type_) and pa.types.is_map(node.type):
        _check_inside(key, type_.key_type, node.children[0])
        _check_inside(key, type_.item_type, node.children[1])
    elif pa.types.is_list(type_) and pa.types.is_list(node.type):
        _check_inside(key, type_.value_type, node.children[0])


def _field_id(field: pa.Field) -> int | None:
    text = (field.metadata or {}).get(b"PARQUET:field_id")
    return None if text is None else int(text)
