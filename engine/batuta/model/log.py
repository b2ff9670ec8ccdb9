"""The log of an Alimentar dataset: what each commit added and removed, and why.

An entry is canonical JSON with its fields in snake case; its digest is the SHA-256 of its
bytes and stands in the next entry as `parent`. The log is the authority on what is there.
"""

import json
from dataclasses import dataclass
from typing import Literal

from batuta.model.canonical import Json, canonical_bytes
from batuta.model.table import TableSchema

LOG_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class UnitRef:
    """A unit of the source (a file, an object, a table's data file) at one version of it."""

    key: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One immutable file of the dataset. `path` is relative to the dataset, with `/`.

    `rows` is None for files that are not tables. `units` are the units of the source whose
    rows or bytes it holds, in order; empty where a part cannot be tied to units.
    """

    path: str
    size_bytes: int
    sha256: str
    rows: int | None = None
    units: tuple[UnitRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRef:
    """What was read: the canonical address and the version that was pinned.

    `cursor` is the canonical JSON of a column's name and its highest value as text: a value
    without its column would be compared with those of another one.
    """

    address: str
    version: str
    platform: str | None = None
    cursor: str | None = None

    def since(self, column: str | None) -> str | None:
        """Return how far `column` was read; None where another one was followed, or none."""
        try:
            found = json.loads(self.cursor or "null")
        except ValueError:
            return None
        if not isinstance(found, list) or len(found) != 2 or found[0] != column:
            return None
        return found[1] if isinstance(found[1], str) else None


def cursor_text(column: str | None, value: str | None) -> str | None:
    """Return what the log keeps of a cursor; None where there is none."""
    if column is None or value is None:
        return None
    return canonical_bytes([column, value]).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The label that the data carries. Tiers are names; `declared` means stated, not proven."""

    confidentiality: str
    integrity: str
    residency: tuple[str, ...] = ()
    declared: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a dataset *is*: the same type for the wanted, the live and the recorded side.

    `source` is the canonical spelling of the source with its selection; `settings` the
    output settings by name, as text. `schema` is None for `files`. `deletion_policy` is what
    happens to the data when its document is gone, kept here because it must outlive it.
    """

    source: str
    source_version: str
    schema: TableSchema | None
    format: str
    mode: str
    settings: tuple[tuple[str, str], ...] = ()
    tier: str
    tier_derived: bool
    protect: bool = False
    on_source_delete: str = "Remove"
    history: str = ""
    residency: tuple[str, ...] = ()
    deletion_policy: str = "Retain"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One commit. `written_at` is RFC 3339 in UTC and the only clock in it.

    `owner` is `Created` for data that batuta made and `Imported` for what it adopted: only
    these are ever deleted. `plan` is the digest of the plan that asked for the commit.
    """

    format_version: int = LOG_FORMAT_VERSION
    version: int
    parent: str | None
    written_at: str
    batuta_version: str
    action: str
    resource: str
    owner: Literal["Created", "Imported"]
    plan: str | None
    facts: Facts
    source: SourceRef | None
    label: Label
    added: tuple[Part, ...] = ()
    removed: tuple[str, ...] = ()
    rows: int | None = None
    decisions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a log: its number and the SHA-256 of its bytes."""

    version: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A dataset at one version: the entry and the parts that are current then, in row order."""

    head: Head
    entry: LogEntry
    parts: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the current parts."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def rows(self) -> int | None:
        """Rows of the current parts; None where any of them is not a table."""
        counts = [part.rows for part in self.parts]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


SettingsJson = dict[str, Json]
