"""What the log of a Delta table says at one version: values, without the library behind them."""

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

PartitionTexts = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One active data file.

    `key` is the path relative to the table, decoded. `rows` counts stored rows, deleted ones
    included, None where the log has no statistics. `partition` pairs logical partition
    columns with canonical text (None: null). `dropped` are ordinals of deleted rows, sorted.
    """

    key: str
    size_bytes: int
    modified_ms: int
    rows: int | None = None
    partition: PartitionTexts = ()
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVersion:
    """A table at one version: its protocol and metadata as the log says."""

    uri: str
    version: int
    table_id: str
    min_reader_version: int
    reader_features: frozenset[str]
    writer_features: frozenset[str]
    configuration: tuple[tuple[str, str], ...]
    schema_json: str
    partition_columns: tuple[str, ...]

    def setting(self, name: str, default: str) -> str:
        """The table property `name`, or `default` where it is not set."""
        return dict(self.configuration).get(name, default)


class Table(Protocol):
    """A Delta table that is open for reading, whatever store it lies in."""

    def newest(self) -> int:
        """The newest version in the log."""
        ...

    def version_at(self, time: str) -> int:
        """The newest version committed at or before `time`, an RFC 3339 time with its zone."""
        ...

    def snapshot(self, version: int) -> TableVersion:
        """Protocol and metadata at `version`."""
        ...

    def files(self, version: int, *, deletions: bool) -> tuple[DataFile, ...]:
        """The active files at `version`, in no order; deleted rows only where `deletions`."""
        ...

    def commit(self, version: int) -> bytes | None:
        """The text of one commit, None where the log no longer holds it."""
        ...

    def open(self, key: str) -> pa.NativeFile:
        """A file of the table, seekable; DLT105 where it is missing."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes of a file of the table, None where it is missing."""
        ...
