"""A table pinned to one version: what the log says there, checked, and what names its content."""

from collections.abc import Sequence
from dataclasses import dataclass

from batuta.connectors.delta.commits import Metadata, parse_commit
from batuta.connectors.delta.features import check, has_deletions, mapping_mode
from batuta.connectors.delta.snapshot import DataFile, Table, TableVersion
from batuta.connectors.delta.types import Node, parse_schema, table_schema
from batuta.model.canonical import Json, digest

_NEUTRAL_COMMITS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A table at one version with all that the log says, checked against what is honoured."""

    table: Table
    head: TableVersion
    nodes: tuple[Node, ...]
    files: tuple[DataFile, ...]

    @property
    def content(self) -> str:
        """16 hex digits that are equal where id, schema, files and deleted rows are."""
        columns = table_schema(self.nodes).columns
        rows: list[Json] = [[c.name, c.type, c.nullable] for c in columns]
        names: list[Json] = [[n.name, n.stored] for n in self.nodes]
        units: list[Json] = [[f.key, unit_version(f)] for f in sorted_by_key(self.files)]
        parts = list(self.head.partition_columns)
        return digest([self.head.table_id, rows, names, parts, units])[:16]


def sorted_by_key(files: Sequence[DataFile]) -> list[DataFile]:
    """Files in the order of their paths."""
    return sorted(files, key=lambda file: file.key)


def unit_version(file: DataFile) -> str:
    """What identifies a file's rows beside its path: its size and its deleted rows.

    Delta never writes a data file twice under one name; deletion vectors come and go.
    """
    if not file.dropped:
        return str(file.size_bytes)
    return f"{file.size_bytes}-{digest(list(file.dropped))[:16]}"


def pin(table: Table, version: int) -> Pinned:
    """Return the table at `version`, refused where its protocol asks for more than is honoured.

    Raises:
        ConnectorError: DLT101 to DLT104, DLT109, DLT110.
    """
    head = table.snapshot(version)
    check(head)
    nodes = parse_schema(head.schema_json, mapped=mapping_mode(head) != "none")
    files = table.files(version, deletions=has_deletions(head))
    return Pinned(table=table, head=head, nodes=nodes, files=files)


def born(pinned: Pinned) -> int:
    """The Delta version at which the pinned content came to be; see `source`."""
    head = pinned.head
    for version in range(head.version, max(head.version - _NEUTRAL_COMMITS, 0), -1):
        text = pinned.table.commit(version)
        if text is None:
            return version
        commit = parse_commit(version, text)
        if commit.touches_files or not _keeps_schema(pinned, commit.metadata):
            return version
    return max(head.version - _NEUTRAL_COMMITS, 0)


def _keeps_schema(pinned: Pinned, metadata: Metadata | None) -> bool:
    if metadata is None:
        return True
    # How columns are mapped is a property, so a metadata action that sets other properties
    # is told from one that maps by the stored names that follow from it.
    mode = dict(metadata.configuration).get("delta.columnMapping.mode", "none")
    return (
        metadata.table_id == pinned.head.table_id
        and metadata.partition_columns == pinned.head.partition_columns
        and parse_schema(metadata.schema_json, mapped=mode != "none") == pinned.nodes
    )
