"""Delta tables for tests: read through the connector, through the library, or written by hand."""

import base64
import json
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder

from batuta.connectors.delta import CONNECTOR
from batuta.connectors.delta.reader import DeltaReader
from batuta.connectors.delta.source import DeltaSource
from batuta.formats.parquet import FORMAT as PARQUET
from batuta.model.address import Address
from batuta.model.arrow import to_arrow
from batuta.model.connector import Connection
from batuta.model.observed import SourceState, Unit
from batuta.model.resource import SourceSpec
from batuta.model.transfer import Partition
from batuta.runtime.mover import open_input
from batuta.runtime.worker.rows import Shape, shaped

FORMATS = {"parquet": PARQUET}
DATA = Path(__file__).parents[2] / "data" / "delta"
CONNECTION = Connection(formats=FORMATS, open_input=open_input, root="/")
Rows = Counter[str]


def spec_of(table: Path | str, version: int | str | None = None) -> SourceSpec:
    """What a manifest would say of the table."""
    pinned = None if version is None else str(version)
    return SourceSpec(address=Address("delta", str(table)), version=pinned)


def observe(
    table: Path | str, version: int | str | None = None, known: SourceState | None = None
) -> SourceState:
    """The table as the connector sees it."""
    return DeltaSource(CONNECTION).observe(spec_of(table, version), known)


@dataclass(frozen=True)
class Read:
    """What came out of the connector, and which readers gave it."""

    state: SourceState
    rows: pa.Table
    readers: frozenset[str]


def read(
    table: Path | str,
    version: int | str | None = None,
    *,
    units: Sequence[Unit] | None = None,
    target_bytes: int = 1,
) -> Read:
    """All rows of `units` (default: of the table) through partitions as small as they get."""
    state = observe(table, version)
    chosen = state.units if units is None else units
    source = DeltaSource(CONNECTION)
    parts = source.partitions(spec_of(table, version), state, chosen, target_bytes)
    assert len({part.id for part in parts}) == len(parts)
    tables = [rows_of(part, state) for part in parts]
    for part, rows in zip(parts, tables, strict=True):
        assert part.rows in {None, rows.num_rows}
    assert state.schema is not None
    empty = to_arrow(state.schema).empty_table()
    return Read(state, pa.concat_tables([empty, *tables]), frozenset(p.reader for p in parts))


def rows_of(part: Partition, state: SourceState) -> pa.Table:
    """The rows of one partition, as a worker reads them."""
    assert state.schema is not None
    names = state.schema.names
    shape = Shape(columns=tuple((n, n) for n in names), source=state.schema, output=state.schema)
    reader = DeltaReader(CONNECTION) if part.reader == CONNECTOR.name else None
    batches = [b.rows for b in shaped(part, None, shape, FORMATS, reader)]
    return pa.Table.from_batches(batches, to_arrow(state.schema))


def library_rows(table: Path | str, version: int | None = None) -> Rows:
    """The same table through the library's query engine."""
    opened = DeltaTable(str(table), version=version)
    result = QueryBuilder().register("t", opened).execute("select * from t").read_all()
    return multiset(pa.table(result))


def multiset(table: pa.Table) -> Rows:
    """Rows without order; columns by name; NaN equal to itself."""
    names = sorted(table.column_names)
    return Counter(repr([(n, row[n]) for n in names]) for row in table.to_pylist())


def column(name: str, type_: Any, nullable: bool = True, **metadata: Any) -> dict[str, Any]:
    """One field of a Delta schema."""
    keys = {f"delta.columnMapping.{k}": v for k, v in metadata.items()}
    return {"name": name, "type": type_, "nullable": nullable, "metadata": keys}


@dataclass
class HandMade:
    """A table whose log is written line by line, for what the library cannot write."""

    folder: Path
    version: int = 0

    def create(
        self,
        columns: Sequence[Mapping[str, Any]],
        *,
        features: Sequence[str] = (),
        partition_by: Sequence[str] = (),
        configuration: Mapping[str, str] | None = None,
        protocol: Mapping[str, Any] | None = None,
    ) -> "HandMade":
        """Write version 0: protocol and metadata, no file."""
        named = {"readerFeatures": list(features), "writerFeatures": list(features)}
        modern = {"minReaderVersion": 3, "minWriterVersion": 7, **named}
        classic = {"minReaderVersion": 1, "minWriterVersion": 2}
        asked = protocol or (modern if features else classic)
        metadata = {
            "id": "11111111-2222-3333-4444-555555555555",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": list(columns)}),
            "partitionColumns": list(partition_by),
            "configuration": dict(configuration or {}),
            "createdTime": 0,
        }
        self._commit(0, [{"protocol": asked}, {"metaData": metadata}])
        return self

    def store(self, name: str, rows: pa.Table, **options: Any) -> int:
        """Write a data file and return its size."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path, **options)
        return path.stat().st_size

    def add(
        self,
        name: str,
        rows: pa.Table,
        *,
        dropped: Sequence[int] | None = None,
        partition: Mapping[str, str | None] | None = None,
        **options: Any,
    ) -> None:
        """Commit one more data file, with a deletion vector where rows are dropped."""
        size = self.store(name, rows, **options)
        self.commit(self.action(name, size, rows.num_rows, dropped, partition))

    def action(
        self,
        name: str,
        size: int,
        count: int,
        dropped: Sequence[int] | None = None,
        partition: Mapping[str, str | None] | None = None,
    ) -> dict[str, Any]:
        """An add action."""
        add: dict[str, Any] = {
            "path": name,
            "partitionValues": dict(partition or {}),
            "size": size,
            "modificationTime": 1000 + self.version,
            "dataChange": True,
            "stats": json.dumps({"numRecords": count}),
        }
        if dropped is not None:
            add["deletionVector"] = deletion_vector(dropped)
        return {"add": add}

    def commit(self, *actions: Mapping[str, Any]) -> None:
        """Write the next version."""
        self.version += 1
        self._commit(self.version, actions)

    def _commit(self, version: int, actions: Sequence[Mapping[str, Any]]) -> None:
        log = self.folder / "_delta_log"
        log.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(action) for action in actions]
        (log / f"{version:020}.json").write_text("\n".join(lines) + "\n")


def removal(action: Mapping[str, Any]) -> dict[str, Any]:
    """The remove action that takes back an add, its deletion vector included."""
    add = action["add"]
    kept = {key: add[key] for key in ("path", "deletionVector") if key in add}
    return {"remove": {**kept, "dataChange": True, "deletionTimestamp": 1}}


def deletion_vector(ordinals: Sequence[int]) -> dict[str, Any]:
    """An inline deletion vector, as the protocol spells it: Z85 over a roaring bitmap array."""
    body = struct.pack("<iqI", 1681511377, 1, 0) + _roaring(sorted(ordinals))
    size = len(body)
    padded = body + b"\0" * (-size % 4)
    text = base64.b85encode(padded).decode().translate(_Z85)
    return {
        "storageType": "i",
        "pathOrInlineDv": text,
        "sizeInBytes": size,
        "cardinality": len(ordinals),
    }


_B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = str.maketrans(
    _B85, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)


def _roaring(ordinals: Sequence[int]) -> bytes:
    groups: dict[int, list[int]] = {}
    for ordinal in ordinals:
        groups.setdefault(ordinal >> 16, []).append(ordinal & 0xFFFF)
    heads, bodies = b"", []
    for key, low in groups.items():
        heads += struct.pack("<HH", key, len(low) - 1)
        bodies.append(_container(low))
    start = 8 + len(heads) + 4 * len(groups)
    offsets = b""
    for body in bodies:
        offsets += struct.pack("<I", start)
        start += len(body)
    return struct.pack("<II", 12346, len(groups)) + heads + offsets + b"".join(bodies)


def _container(low: Sequence[int]) -> bytes:
    if len(low) <= 4096:
        return struct.pack(f"<{len(low)}H", *low)
    bits = bytearray(8192)
    for value in low:
        bits[value >> 3] |= 1 << (value & 7)
    return bytes(bits)
