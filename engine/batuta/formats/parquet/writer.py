"""Writes Parquet in row groups of bounded size.

The settings are those that measured best: without the small dictionary limit a column of many
values fills a dictionary of 1 MiB in every row group and is stored plainly afterwards.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batuta.formats.parquet import faults
from batuta.formats.parquet.encoding import encodings
from batuta.model.format import Options

_ROW_GROUP_BYTES = 16 * 1024 * 1024
_ROW_GROUP_ROWS = 1024 * 1024
_DICTIONARY_BYTES = 65_536
_LEVELS = {"zstd": (1, 22, 3), "gzip": (1, 9, 6), "brotli": (1, 11, 5)}


class ParquetWriter:
    """Writes one Parquet file; it only appends to the sink."""

    def write(
        self,
        sink: BinaryIO,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        options: Options,
    ) -> int:
        """Write all batches and return the rows. At most one row group is held in memory."""
        settings = _settings(options)
        rows = 0
        try:
            groups = _row_groups(schema, batches)
            first = list(islice(groups, 1))
            settings |= encodings(first[0] if first else schema.empty_table())
            with pq.ParquetWriter(sink, schema, **settings) as writer:
                # The first row group is let go of before the second one is gathered.
                for table in chain(_drained(first), groups):
                    writer.write_table(table, row_group_size=max(1, table.num_rows))
                    rows += table.num_rows
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise faults.not_storable(f"{str(error).splitlines()[0][:300]}.") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise faults.not_storable(f"{str(error).splitlines()[0][:300]}.") from error
        return rows


def _drained(tables: list[pa.Table]) -> Iterator[pa.Table]:
    while tables:
        yield tables.pop(0)


def _row_groups(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    held_bytes = held_rows = 0
    for batch in batches:
        held.append(batch)
        held_bytes += batch.nbytes
        held_rows += batch.num_rows
        if held_bytes >= _ROW_GROUP_BYTES or held_rows >= _ROW_GROUP_ROWS:
            yield pa.Table.from_batches(held, schema)
            held, held_bytes, held_rows = [], 0, 0
    if held_rows:
        yield pa.Table.from_batches(held, schema)


def _settings(options: Options) -> dict[str, Any]:
    compression = options.get("compression", "zstd")
    if compression not in {"zstd", "snappy", "none", "gzip", "lz4", "brotli"}:
        raise faults.bad_option(f"`compression: {compression}` is not known.")
    level = options.get("level")
    settings: dict[str, Any] = {
        "compression": str(compression),
        "dictionary_pagesize_limit": _DICTIONARY_BYTES,
        "write_page_index": False,
        "store_schema": True,
    }
    if compression in _LEVELS:
        low, high, usual = _LEVELS[str(compression)]
        settings["compression_level"] = usual if level is None else level
        level = settings["compression_level"]
        if not isinstance(level, int) or isinstance(level, bool) or not low <= level <= high:
            raise faults.bad_option(f"`level` of {compression} is from {low} to {high}.")
    elif level is not None:
        raise faults.bad_option(f"`compression: {compression}` has no level.")
    return settings
