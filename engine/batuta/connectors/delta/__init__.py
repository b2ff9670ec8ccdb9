"""Delta tables, local or on S3: read only, pinned to one version of the table.

The log is read through the deltalake library (`client.py`); data files are read as Parquet,
either by the worker's own reader or, where a file's columns differ in form from the table's,
by `reader.py`. No row passes through the library's query engine.
"""

import importlib.util
from typing import TYPE_CHECKING

from batuta.model.connector import Connection, Connector

if TYPE_CHECKING:
    from batuta.connectors.delta.reader import DeltaReader
    from batuta.connectors.delta.source import DeltaSource


def _source(connection: Connection) -> "DeltaSource":
    from batuta.connectors.delta.source import DeltaSource

    return DeltaSource(connection)


def _reader(connection: Connection) -> "DeltaReader":
    from batuta.connectors.delta.reader import DeltaReader

    return DeltaReader(connection)


def _missing() -> str | None:
    return None if importlib.util.find_spec("deltalake") else "deltalake"


CONNECTOR = Connector(
    name="delta",
    schemes=("delta",),
    platform_type="delta",
    extra="delta",
    source=_source,
    reader=_reader,
    missing=_missing,
)
