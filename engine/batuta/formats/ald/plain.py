"""Casts the Arrow types that readers of `.ald` in other languages may lack.

String, binary and list views become the plain types of the same content, run ends are
expanded. All other types are kept.
"""

import pyarrow as pa
import pyarrow.compute as pc

from batuta.formats.ald import faults

_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return `schema` with the types that are written; names and metadata stay."""
    fields = [_plain_field(field) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return `batch` in the types of `schema`, which `plain_schema` gave.

    Raises:
        ConnectorError: a type within another one cannot be cast (FMT144).
    """
    try:
        columns = [
            _plain_array(column, field.type)
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        if columns:
            return pa.RecordBatch.from_arrays(columns, schema=schema)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise faults.not_storable(f"{str(error).splitlines()[0][:300]}.") from error
    raise faults.not_storable("The table has no columns.")


def _plain_array(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if array.type == wanted:
        return array
    types = pa.types
    if types.is_run_end_encoded(array.type):
        return _plain_array(pc.run_end_decode(array), wanted)
    if types.is_struct(wanted):
        members = [_plain_array(array.field(i), f.type) for i, f in enumerate(wanted)]
        mask = array.is_null()
        return pa.StructArray.from_arrays(members, fields=list(wanted), mask=mask)
    if types.is_list(wanted) or types.is_large_list(wanted):
        return _plain_lists(array, wanted)
    if _holds_list_view(array.type):
        raise pa.ArrowNotImplementedError(f"{array.type} cannot be cast to {wanted}")
    return array.cast(wanted)


def _plain_lists(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Build the lists anew: Arrow's own cast from views of lists gives broken offsets."""
    values = _plain_array(array.flatten(), wanted.value_type)
    lengths = pc.list_value_length(array).fill_null(0).cast(pa.int64())
    large = pa.types.is_large_list(wanted)
    width = pa.int64() if large else pa.int32()
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends]).cast(width)
    factory = pa.LargeListArray if large else pa.ListArray
    return factory.from_arrays(offsets, values, type=wanted, mask=array.is_null())


def _holds_list_view(type_: pa.DataType) -> bool:
    return "list_view<" in str(type_)


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(_plain_type(field.type))


def _plain_type(type_: pa.DataType) -> pa.DataType:
    types = pa.types
    if type_ in _VIEWS:
        return _VIEWS[type_]
    if types.is_run_end_encoded(type_):
        return _plain_type(type_.value_type)
    if types.is_struct(type_):
        return pa.struct([_plain_field(field) for field in type_])
    if types.is_map(type_):
        return pa.map_(
            _plain_field(type_.key_field), _plain_field(type_.item_field), type_.keys_sorted
        )
    if types.is_dictionary(type_):
        return pa.dictionary(type_.index_type, _plain_type(type_.value_type), type_.ordered)
    return _plain_list(type_)


def _plain_list(type_: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_list(type_) or types.is_list_view(type_):
        return pa.list_(_plain_field(type_.value_field))
    if types.is_large_list(type_) or types.is_large_list_view(type_):
        return pa.large_list(_plain_field(type_.value_field))
    if types.is_fixed_size_list(type_):
        return pa.list_(_plain_field(type_.value_field), type_.list_size)
    return type_
