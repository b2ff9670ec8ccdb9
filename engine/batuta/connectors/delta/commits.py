"""One commit of a Delta log, as its JSON lines say: for what the library does not answer.

Unknown actions and fields are passed over, as the protocol asks of readers; what would change
the meaning of rows is guarded by the protocol's features, checked elsewhere.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batuta.connectors.delta.problems import problem

IN_COMMIT = "delta.enableInCommitTimestamps"
CHANGE_FEED = "delta.enableChangeDataFeed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFile:
    """A file of the change feed; `partition` has physical names and the log's own texts."""

    path: str
    size_bytes: int
    partition: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The table's metadata as one commit sets it."""

    table_id: str
    schema_json: str
    partition_columns: tuple[str, ...]
    configuration: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one commit did. `touches_files` counts rewrites without a change of rows as well."""

    version: int
    metadata: Metadata | None
    change_files: tuple[ChangeFile, ...]
    touches_files: bool
    changes_rows: bool


def parse_commit(version: int, text: bytes) -> Commit:
    """Return the actions of one commit that matter here.

    Raises:
        ConnectorError: DLT104, a line is no JSON object or an action lacks its fields.
    """
    metadata: Metadata | None = None
    feed: list[ChangeFile] = []
    touches = changes = False
    try:
        for name, action in _actions(text):
            match name:
                case "metaData":
                    metadata = _metadata(action)
                case "cdc":
                    values = tuple(action["partitionValues"].items())
                    size = int(action["size"])
                    feed.append(ChangeFile(path=action["path"], size_bytes=size, partition=values))
                case "add" | "remove":
                    touches = True
                    changes = changes or bool(action.get("dataChange", True))
                case _:
                    pass
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise problem("DLT104", f"Commit {version} of the log is damaged: {error!r}.") from None
    return Commit(
        version=version,
        metadata=metadata,
        change_files=tuple(feed),
        touches_files=touches,
        changes_rows=changes,
    )


def committed_ms(text: bytes) -> int | None:
    """When a commit was made, in milliseconds since 1970, None where it does not say."""
    try:
        for name, action in _actions(text):
            if name == "commitInfo":
                time = action.get("inCommitTimestamp", action.get("timestamp"))
                return None if time is None else int(time)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return None


def _actions(text: bytes) -> Iterator[tuple[str, Any]]:
    for line in text.splitlines():
        if line.strip():
            yield from json.loads(line).items()


def _metadata(action: Any) -> Metadata:
    return Metadata(
        table_id=str(action["id"]),
        schema_json=str(action["schemaString"]),
        partition_columns=tuple(action["partitionColumns"]),
        configuration=tuple(sorted((action.get("configuration") or {}).items())),
    )
