"""The change feed of a table between two versions, from its log and files.

Source: the Delta transaction protocol, "Change Data Files" and "Add CDC File". A commit that
wrote change files is told by them alone; any other by the files it added and removed, and by
the rows that deletion vectors took or gave back. Commits without a change of rows (OPTIMIZE)
say nothing. The library's own feed refuses tables that map columns and keeps no order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from batuta.connectors.delta.commits import CHANGE_FEED, ChangeFile, Commit, Metadata, parse_commit
from batuta.connectors.delta.features import check, has_deletions, mapping_mode
from batuta.connectors.delta.pinned import Pinned
from batuta.connectors.delta.snapshot import DataFile, PartitionTexts, Table
from batuta.connectors.delta.types import parse_schema
from batuta.connectors.delta.values import from_log

CHANGE = "_change"
"""The name of the column that says what became of a row; a table that has one has no feed."""
_GONE = ("delete", "update_preimage")
_CAME = ("insert", "update_postimage")
_MOST_COMMITS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Rows of one file that one commit deleted or brought.

    `dropped` are ordinals of rows to leave out, `only` those to keep (None: all). `kinds` are
    the change file's own words for the wanted rows, empty for a data file.
    """

    file: DataFile
    change: str
    only: tuple[int, ...] | None = None
    kinds: tuple[str, ...] = ()


def feed(table: Table, before: Pinned, last: int) -> tuple[Entry, ...] | None:
    """Return what changed after `before` up to version `last`, or None where no feed tells.

    Raises:
        ConnectorError: DLT103, DLT104, DLT109, DLT110.
    """
    first = before.head.version
    names = {node.name for node in before.nodes}
    if last - first > _MOST_COMMITS or names & {CHANGE, "_change_type"}:
        return None
    enabled = before.head.setting(CHANGE_FEED, "false") == "true"
    found: list[Entry] = []
    for version in range(first + 1, last + 1):
        text = table.commit(version)
        if text is None:
            return None
        commit = parse_commit(version, text)
        if commit.metadata is not None:
            if not _same_shape(before, commit.metadata):
                return None
            enabled = dict(commit.metadata.configuration).get(CHANGE_FEED) == "true"
        if commit.changes_rows or commit.change_files:
            if not enabled:
                return None
            found.extend(_of_commit(table, before, commit))
    check(table.snapshot(last))
    keys = {entry.file.key for entry in found}
    # A feed whose files were vacuumed tells only a part of the story.
    return None if any(table.size(key) is None for key in keys) else tuple(found)


def _same_shape(before: Pinned, metadata: Metadata) -> bool:
    mode = dict(metadata.configuration).get("delta.columnMapping.mode", "none")
    return (
        mode == mapping_mode(before.head)
        and metadata.table_id == before.head.table_id
        and metadata.partition_columns == before.head.partition_columns
        and parse_schema(metadata.schema_json, mapped=mode != "none") == before.nodes
    )


def _of_commit(table: Table, before: Pinned, commit: Commit) -> Iterator[Entry]:
    if commit.change_files:
        files = [_change_file(before, file) for file in commit.change_files]
        yield from (Entry(file=f, change="delete", kinds=_GONE) for f in files)
        yield from (Entry(file=f, change="upsert", kinds=_CAME) for f in files)
        return
    old = _by_key(table, commit.version - 1)
    new = _by_key(table, commit.version)
    for key, file in old.items():
        if key not in new:
            yield Entry(file=file, change="delete")
        elif gone := _difference(new[key].dropped, file.dropped):
            yield Entry(file=file, change="delete", only=gone)
    for key, file in new.items():
        if key not in old:
            yield Entry(file=file, change="upsert")
        elif back := _difference(old[key].dropped, file.dropped):
            yield Entry(file=file, change="upsert", only=back)


def _by_key(table: Table, version: int) -> dict[str, DataFile]:
    files = table.files(version, deletions=has_deletions(table.snapshot(version)))
    return {file.key: file for file in sorted(files, key=lambda f: f.key)}


def _difference(these: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(these) - set(others)))


def _change_file(before: Pinned, file: ChangeFile) -> DataFile:
    texts = dict(file.partition)
    values: PartitionTexts = tuple(
        (node.name, from_log(node.name, texts.get(node.stored), node.type))
        for node in before.nodes
        if node.name in before.head.partition_columns
    )
    key = unquote(file.path)
    return DataFile(key=key, size_bytes=file.size_bytes, modified_ms=0, partition=values)
