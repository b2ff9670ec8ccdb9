"""Writes the Arrow IPC file format, which any Arrow reader can map.

The format has one dictionary per column for the whole file, to which a batch may only add.
Batches from different places have dictionaries of their own, so each is mapped onto the
file's before it is written.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from batuta.formats.arrow import faults
from batuta.model.format import Options


class ArrowWriter:
    """Writes one Arrow IPC file; it only appends to the sink."""

    def write(
        self,
        sink: BinaryIO,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        options: Options,
    ) -> int:
        """Write all batches as they come and return the rows."""
        compression = options.get("compression", "none")
        if compression not in {"none", "lz4", "zstd"}:
            raise faults.bad_option(f"`compression: {compression}` is not known.")
        settings = pa.ipc.IpcWriteOptions(
            compression=None if compression == "none" else compression,
            emit_dictionary_deltas=True,
            use_threads=False,
        )
        growing = {
            i: _Dictionary(field.type)
            for i, field in enumerate(schema)
            if pa.types.is_dictionary(field.type)
        }
        rows = 0
        try:
            with pa.ipc.new_file(sink, schema, options=settings) as writer:
                for batch in batches:
                    writer.write_batch(_mapped(batch, schema, growing))
                    rows += batch.num_rows
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise faults.not_storable(f"{str(error).splitlines()[0][:300]}.") from error
        return rows


class _Dictionary:
    """The values of one column so far, in the order in which they came."""

    def __init__(self, type_: pa.DictionaryType) -> None:
        self.type = type_
        self.values = pa.array([], type_.value_type)

    def map(self, column: pa.DictionaryArray) -> pa.DictionaryArray:
        if column.dictionary.equals(self.values):
            return column
        fresh = pc.unique(column.dictionary)
        fresh = fresh.filter(pc.invert(pc.is_in(fresh, self.values)))
        self.values = pa.concat_arrays([self.values, fresh])
        places = pc.index_in(column.dictionary, self.values)
        indices = places.take(column.indices).cast(self.type.index_type)
        return pa.DictionaryArray.from_arrays(indices, self.values, ordered=self.type.ordered)


def _mapped(
    batch: pa.RecordBatch, schema: pa.Schema, growing: dict[int, _Dictionary]
) -> pa.RecordBatch:
    if not growing:
        return batch
    columns = [
        growing[i].map(column) if i in growing else column for i, column in enumerate(batch.columns)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
