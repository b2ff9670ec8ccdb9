"""Arrow types and schemas to the model's spelling and back.

The one module of the model that needs Arrow itself; only code that touches data imports it.
"""

from collections.abc import Callable

import pyarrow as pa

from batuta.model.arrow_names import ArrowType, parse_type, spell
from batuta.model.table import Column, TableSchema

_FACTORIES: dict[str, Callable[..., pa.DataType]] = {
    "halffloat": pa.float16,
    "float": pa.float32,
    "double": pa.float64,
    "bool": pa.bool_,
    "fixed_size_binary": pa.binary,
    "time32": pa.time32,
    "time64": pa.time64,
    "list": pa.list_,
    "fixed_size_list": pa.list_,
}
"""Where Arrow's factory has another name than its type; elsewhere `pa.<name>` is called."""

_EXTENSIONS: dict[str, Callable[[], pa.DataType]] = {
    "arrow.uuid": pa.uuid,
    "arrow.json": pa.json_,
    "arrow.bool8": pa.bool8,
}


def type_name(type_: pa.DataType) -> str:
    """Return the spelling of `type_`; `type_of` gives an equal type back.

    An extension type that Arrow does not define itself is spelled as the type it is stored in.
    """
    return spell(_take_apart(type_))


def type_of(text: str) -> pa.DataType:
    """Return the Arrow type that `text` spells.

    Raises:
        ValueError: the text is no type; the message is a sentence that quotes it.
    """
    parsed = parse_type(text)
    try:
        return _build(parsed)
    except (pa.ArrowInvalid, TypeError, AttributeError, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{text!r} is not an Arrow type: {error}") from error


def schema_of(schema: pa.Schema) -> TableSchema:
    """Return names, types and nullability of `schema`; its metadata is left behind."""
    return TableSchema(
        tuple(Column(field.name, type_name(field.type), field.nullable) for field in schema)
    )


def to_arrow(schema: TableSchema) -> pa.Schema:
    """Return `schema` as Arrow has it, without metadata.

    Raises:
        ValueError: the spelling of one column's type is wrong.
    """
    return pa.schema([_field(column) for column in schema.columns])


def aligned(rows: pa.RecordBatch, schema: TableSchema) -> pa.RecordBatch:
    """Return `rows` with the columns of `schema` in their order; what they lack is null."""
    columns, fields = [], []
    for column in schema.columns:
        wanted = type_of(column.type)
        if column.name in rows.schema.names:
            columns.append(rows.column(column.name).cast(wanted))
        else:
            columns.append(pa.nulls(rows.num_rows, wanted))
        fields.append(pa.field(column.name, wanted, column.nullable))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _column(name: str, field: pa.Field) -> Column:
    return Column(name, type_name(field.type), field.nullable)


def _take_apart(type_: pa.DataType) -> ArrowType:
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return _take_extension_apart(type_)
    if types.is_dictionary(type_):
        index = Column("index", type_name(type_.index_type))
        value = Column("value", type_name(type_.value_type))
        return ArrowType("dictionary", ("ordered",) if type_.ordered else (), (index, value))
    if types.is_map(type_):
        key = Column("key", type_name(type_.key_type), nullable=False)
        value = _column("value", type_.item_field)
        return ArrowType("map", ("keys_sorted",) if type_.keys_sorted else (), (key, value))
    if types.is_struct(type_):
        return ArrowType("struct", (), tuple(_column(f.name, f) for f in type_))
    if types.is_union(type_):
        members = tuple(type_.field(i) for i in range(type_.num_fields))
        columns = tuple(_column(member.name, member) for member in members)
        return ArrowType(f"{type_.mode}_union", tuple(type_.type_codes), columns)
    if types.is_run_end_encoded(type_):
        ends = Column("run_ends", type_name(type_.run_end_type), nullable=False)
        return ArrowType(
            "run_end_encoded", (), (ends, Column("values", type_name(type_.value_type)))
        )
    if types.is_nested(type_):
        return _take_list_apart(type_)
    return parse_type(str(type_))


def _take_list_apart(type_: pa.DataType) -> ArrowType:
    item = _column("item", type_.value_field)
    name = str(type_).partition("<")[0]
    params = (int(type_.list_size),) if pa.types.is_fixed_size_list(type_) else ()
    return ArrowType(name, params, (item,))


def _take_extension_apart(type_: pa.BaseExtensionType) -> ArrowType:
    known = _EXTENSIONS.get(type_.extension_name)
    if known is None or known() != type_:
        return _take_apart(type_.storage_type)
    return ArrowType("extension", (str(type_.extension_name),))


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, type_of(column.type), nullable=column.nullable)


def _build(parsed: ArrowType) -> pa.DataType:
    fields = [_field(column) for column in parsed.fields]
    match parsed.name:
        case "extension":
            return _EXTENSIONS[str(parsed.params[0])]()
        case "timestamp" if len(parsed.params) == 2:
            return pa.timestamp(parsed.params[0], tz=parsed.params[1])
        case "struct":
            return pa.struct(fields)
        case "map":
            return pa.map_(fields[0].type, fields[1], keys_sorted=bool(parsed.params))
        case "dictionary":
            return pa.dictionary(fields[0].type, fields[1].type, ordered=bool(parsed.params))
        case "run_end_encoded":
            return pa.run_end_encoded(fields[0].type, fields[1].type)
        case "dense_union" | "sparse_union":
            return pa.union(fields, mode=parsed.name[:-6], type_codes=list(parsed.params))
        case name:
            factory = _FACTORIES.get(name) or getattr(pa, name)
            params = () if name in {"date32", "date64"} else parsed.params
            return factory(*fields, *params)
