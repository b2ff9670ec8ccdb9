"""What was found when looking: the source at one version, the destination as it lies there."""

from dataclasses import dataclass
from typing import Literal

from batuta.model.decision import Approval
from batuta.model.diagnostic import Diagnostic
from batuta.model.log import Head, Label, Snapshot, UnitRef
from batuta.model.table import TableSchema


@dataclass(frozen=True, slots=True)
class Cut:
    """A place where a unit can be read from: an opaque position, and what follows up to the next.

    `size_bytes` is the decoded (Arrow) size where the format knows it, else stored bytes.
    """

    position: str
    size_bytes: int
    rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One file, object or table data file of a source.

    `version` identifies the content (SHA-256, ETag, a Delta add with its deletion vector) and
    is the same on every machine. `stamp` is what is cheap to compare on this machine (size,
    time, inode) and tells whether `version` still holds; it is never part of a plan.
    `schema` is an index into `SourceState.schemas`. `extra` is the connector's own, as JSON
    text (partition values, deletion vector).
    """

    key: str
    version: str
    size_bytes: int
    stamp: str = ""
    rows: int | None = None
    schema: int | None = None
    cuts: tuple[Cut, ...] = ()
    extra: str = ""

    @property
    def ref(self) -> UnitRef:
        """What a part remembers of this unit."""
        return UnitRef(self.key, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """A source, pinned. `version` names the whole; units are in the order rows are read in.

    `schema` is what the units unite to before any selection of columns, None for `files`.
    `format` is the units' own format (`parquet`, `csv`, …) or None for opaque files.
    `copyable` says that each unit's bytes are exactly its rows in `schema`, so that an output
    in the same format may be a copy. `shows_deletes` is False where rows that vanish at the
    source cannot be seen. `label` is what a log at the source says, None where there is none.
    `stable_units` is False where a unit that is gone says nothing of its rows: tables move rows
    between their files. `has_log` says whether `_log/` lies right under the address; None where
    that was not looked for, and False where the label is only known of the contents. `decisions` are those of the log at the source; `approvals` those among
    them that hold now.
    """

    address: str
    version: str
    kind: Literal["table", "files"]
    schema: TableSchema | None = None
    schemas: tuple[TableSchema, ...] = ()
    units: tuple[Unit, ...] = ()
    size_bytes: int = 0
    rows: int | None = None
    format: str | None = None
    copyable: bool = False
    shows_deletes: bool = True
    stable_units: bool = True
    native_version: str | None = None
    has_log: bool | None = None
    notes: tuple[Diagnostic, ...] = ()
    label: Label | None = None
    decisions: tuple[tuple[str, str], ...] = ()
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedState(SourceState):
    """Several sources as one: `parts` are what was found at each, in order.

    A type of its own, since what goes over the wire must not name itself.
    """

    parts: tuple[SourceState, ...]


def states_of(state: SourceState) -> tuple[SourceState, ...]:
    """Return what was found at each place: one unless it is a merge."""
    return state.parts if isinstance(state, MergedState) else (state,)


Condition = Literal["absent", "empty", "foreign", "dataset", "damaged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationState:
    """A destination as it lies there.

    `absent`: no folder or no object. `empty`: a folder without files. `foreign`: files, but
    no `_log/`. `dataset`: a log that can be read; `snapshot` is its head. `damaged`: a log
    that cannot be read, or parts that are missing or have another size; `problems` says which.
    `strangers` are files there that the log does not name; `history` those that it keeps of
    earlier versions. `oldest_history_ns` is when the oldest of these was written (nanoseconds
    since 1970, UTC), None where there is none: it was superseded then at the earliest.
    `free_bytes` is None on object stores.
    """

    address: str
    condition: Condition
    snapshot: Snapshot | None = None
    strangers: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    free_bytes: int | None = None
    problems: tuple[Diagnostic, ...] = ()
    oldest_history_ns: int | None = None

    @property
    def head(self) -> Head | None:
        """The head of the log, None where there is none."""
        return self.snapshot.head if self.snapshot else None
