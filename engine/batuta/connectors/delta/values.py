"""Partition values as text: one canonical spelling per value, which Arrow's own cast reads back.

`2021-01-02T03:04:05.678901Z` for an instant, the same without `Z` for a local time,
`2021-01-02`, `true`, `-2.25`, and the text itself for a string. None is null.
"""

import base64
import re
import zlib
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batuta.connectors.delta.problems import problem
from batuta.connectors.delta.snapshot import PartitionTexts

_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


def partition_texts(batch: pa.RecordBatch) -> list[PartitionTexts]:
    """Return, for each add action, its partition columns with their texts.

    Raises:
        ConnectorError: DLT103, a column is of a type whose values the log does not spell in
            one way (binary).
    """
    if "partition" not in batch.schema.names:
        return [()] * batch.num_rows
    column = batch.column("partition")
    names = [field.name for field in column.type]
    texts = [texts_of(name, values) for name, values in zip(names, column.flatten(), strict=True)]
    return [tuple(zip(names, row, strict=True)) for row in zip(*texts, strict=True)]


def texts_of(name: str, values: pa.Array) -> list[str | None]:
    """Return the canonical texts of one partition column's values."""
    kinds = pa.types
    type_ = values.type
    if kinds.is_binary(type_) or kinds.is_large_binary(type_) or kinds.is_nested(type_):
        raise problem(
            "DLT103",
            f"Partition column {name} is of type {type_}: writers spell such values in the log "
            "in different ways.",
        )
    if kinds.is_timestamp(type_):
        zone = "Z" if type_.tz else ""
        micros = values.cast(pa.int64()) if type_.unit == "us" else None
        if micros is None:
            raise problem("DLT104", f"Partition column {name} has values in {type_}.")
        return [None if m is None else f"{_iso(m)}{zone}" for m in micros.to_pylist()]
    if kinds.is_boolean(type_):
        return [None if v is None else str(v).lower() for v in values.to_pylist()]
    cast: list[str | None] = pc.cast(values, pa.string()).to_pylist()
    return cast


def from_log(name: str, raw: str | None, type_: pa.DataType) -> str | None:
    """Return the canonical text of a value as the log spells it; empty text is null there."""
    if raw is None or raw == "":
        return None
    zoneless = pa.types.is_timestamp(type_) and type_.tz and not _ZONE.search(raw)
    try:
        value = pa.array([raw + "Z" if zoneless else raw], pa.string()).cast(type_)
    except pa.ArrowInvalid as error:
        raise problem("DLT104", f"Partition column {name} has the value {raw!r}: {error}") from None
    return texts_of(name, value)[0]


def constant(text: str | None, type_: pa.DataType, length: int) -> pa.Array:
    """Return `length` times the value that the canonical `text` spells in `type_`."""
    if text is None:
        return pa.nulls(length, type_)
    return pa.repeat(pa.array([text], pa.string()).cast(type_)[0], length)


def pack_ordinals(ordinals: tuple[int, ...]) -> str:
    """Return sorted row ordinals as text: about a bit a row, less where they are few."""
    if not ordinals:
        return ""
    bits = np.zeros(ordinals[-1] + 1, dtype=np.bool_)
    bits[list(ordinals)] = True
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes(), 6)).decode()


def unpack_ordinals(text: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the ordinals that `pack_ordinals` packed, in order."""
    if not text:
        return np.empty(0, dtype=np.int64)
    packed = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(packed)).astype(np.int64)


def _iso(micros: int) -> str:
    seconds, rest = divmod(micros, 1_000_000)
    days, second = divmod(seconds, 86_400)
    day = datetime.fromordinal(days + 719_163)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{rest:06}"
    return f"{day.year:04}-{day.month:02}-{day.day:02}T{clock}"
