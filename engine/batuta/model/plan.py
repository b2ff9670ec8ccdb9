"""A plan: what would be done, why, and under which preconditions.

Immutable, storable, named by the digest of its canonical JSON. It is the executable graph:
apply reads nothing else. Every action has a literal `kind`; `match` over `Action` is closed.
"""

from dataclasses import dataclass, field
from typing import Literal

from batuta.model.canonical import Json
from batuta.model.change import Change, Effect
from batuta.model.cost import CostEstimate
from batuta.model.diagnostic import Diagnostic, Location
from batuta.model.log import Facts, Head, Label
from batuta.model.resource import (
    EgressPolicy,
    HistorySpec,
    IncrementalSpec,
    Platform,
    Site,
    SourceSpec,
)
from batuta.model.table import TableSchema
from batuta.model.tier import Tier
from batuta.model.transfer import Output

PLAN_FORMAT_VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an action is in the plan: a code of the closed list, one sentence, the line."""

    code: str
    text: str
    locations: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditions:
    """What must still hold when the action starts. None means "must be absent".

    `revision` is the resource's own in the state; a change of another resource does not count.
    `labels` is a digest of the labels of what is read, empty where nothing of it carries one.
    """

    source_version: str | None = None
    labels: str = ""
    head: Head | None = None
    revision: int = 0
    manifest: str = ""
    policies: str = ""
    prices: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Bytes an action reads, stages, adds and leaves in history; rows where they are known.

    `parts_kept` and `units_read` say how much of the dataset the action touches.
    """

    read_bytes: int = 0
    staging_bytes: int = 0
    new_bytes: int = 0
    history_bytes: int = 0
    rows: int | None = None
    units_read: int = 0
    units_kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The dataset that an action touches, with all that apply needs to know of it.

    `egress` is the EgressPolicy that it names. `tier` is the declared one, or the recorded one
    where no document is left; None where the facts of the action hold it.
    """

    resource: str
    destination: str
    destination_platform: str | None
    history: HistorySpec
    origin: str
    depends_on: tuple[str, ...] = ()
    egress: str | None = None
    tier: Tier | None = None
    tier_derived: bool = False
    locations: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What is read and how it is written.

    `scope` is `all` (every unit is read anew), `units` (only units that no current part
    holds are read; parts whose units are gone are removed or kept as the facts say), `merge`
    (rows by key, those with a cursor from `since` on) or `changes` (rows by key, those that the
    source says changed after its version `since`). `copy` means byte for byte. `columns` pairs
    source and output names.
    """

    source: SourceSpec
    source_version: str
    source_schema: TableSchema | None
    columns: tuple[tuple[str, str], ...]
    scope: Literal["all", "units", "merge", "changes"]
    copy: bool
    output: Output
    incremental: IncrementalSpec | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What every action carries. `facts` is the dataset after the action."""

    target: Target
    preconditions: Preconditions
    reasons: tuple[Reason, ...] = ()
    changes: tuple[Change, ...] = ()
    effect: Effect = Effect.NONE
    volume: Volume = Volume()
    cost: CostEstimate | None = None
    decisions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(_Step):
    """Nothing is there; the dataset is made."""

    transfer: Transfer
    facts: Facts
    label: Label
    kind: Literal["create"] = "create"


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(_Step):
    """Rows or files are added; what is there stays as it is."""

    transfer: Transfer
    facts: Facts
    label: Label
    kind: Literal["append"] = "append"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace(_Step):
    """Parts are replaced or removed; the superseded ones go to history."""

    transfer: Transfer
    facts: Facts
    label: Label
    kind: Literal["replace"] = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolveSchema(_Step):
    """The dataset is written anew under another schema."""

    transfer: Transfer
    facts: Facts
    label: Label
    kind: Literal["evolve-schema"] = "evolve-schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert(_Step):
    """The same rows in another format or with other output settings."""

    transfer: Transfer
    facts: Facts
    label: Label
    kind: Literal["convert"] = "convert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel(_Step):
    """A log entry without files: tier, protection, history or another field of the log.

    `source` is not read but for its label, which the data goes on to carry.
    """

    source: SourceSpec
    facts: Facts
    label: Label
    kind: Literal["relabel"] = "relabel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(_Step):
    """The dataset goes to another destination; what was at `origin_destination` stays there."""

    transfer: Transfer
    facts: Facts
    label: Label
    origin_destination: str
    kind: Literal["move"] = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(_Step):
    """Data that batuta made goes, and its log. What goes is listed before it runs.

    `paths` are the current files, which have `rows`; `history` those of earlier versions.
    """

    paths: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    rows: int | None = None
    kind: Literal["delete"] = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(_Step):
    """The document is gone; the data stays and batuta forgets it."""

    kind: Literal["release"] = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOp(_Step):
    """Nothing to do. `adopt_state` says that the state is brought up to what the log shows."""

    adopt_state: bool = False
    kind: Literal["no-op"] = "no-op"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(_Step):
    """Cannot be done as things are; the diagnostics say why and the way out.

    `question` is `drift` where the specification's question may be asked at a terminal.
    """

    diagnostics: tuple[Diagnostic, ...] = ()
    question: str | None = None
    kind: Literal["blocked"] = "blocked"


TransferAction = Create | Append | Replace | EvolveSchema | Convert | Move
Action = (
    Create | Append | Replace | EvolveSchema | Convert | Relabel | Move
    | Delete | Release | NoOp | Blocked
)  # fmt: skip


def source_read(action: Action) -> SourceSpec | None:
    """Return what an action reads, be it for its label alone; None where it reads nothing."""
    if isinstance(action, Relabel):
        return action.source
    return action.transfer.source if isinstance(action, TransferAction) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where a Dataset lies that another one reads."""

    name: str
    destination: str
    destination_platform: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions in the order they run (dependencies first, then by resource).

    `platforms` and `upstreams` are what apply opens addresses with, `egress` and `site` what it
    keeps its workers by: it reads no manifests. `egress` has only the documents that apply.

    `partial` is true where selectors left resources out; `not_selected` counts them.
    `read` names the platforms that were read; empty means offline. No clock in here.
    """

    format_version: int = PLAN_FORMAT_VERSION
    batuta_version: str
    workspace: str
    environment: str | None = None
    partial: bool = False
    not_selected: int = 0
    read: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    limits: tuple[tuple[str, Json], ...] = ()
    platforms: tuple[Platform, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    egress: tuple[EgressPolicy, ...] = ()
    site: Site = field(default_factory=Site)

    @property
    def has_changes(self) -> bool:
        """True where apply would do something."""
        return any(not isinstance(a, NoOp | Blocked) for a in self.actions)

    @property
    def is_blocked(self) -> bool:
        """True where at least one action cannot be done as things are."""
        return any(isinstance(a, Blocked) for a in self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How this machine keeps the workers of some of a plan's resources.

    `level` is `isolated`, `sealed`, `filtered` or `advisory`; the last one keeps nothing, and
    then `lost` says which levels were tried and what each of them lacked.
    """

    level: str
    enforced: bool
    resources: tuple[str, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is volatile about a plan and so stays out of its digest.

    `created_at` is RFC 3339 UTC; `free_bytes` pairs destinations with the space found there.
    `workers` says how this machine keeps those of the actions that do something, the level of
    most of them first; it is empty where no platform was read.
    """

    created_at: str
    digest: str
    plan: Plan
    state_serial: int = 0
    free_bytes: tuple[tuple[str, int], ...] = ()
    workers: tuple[Kept, ...] = ()
    timings_ms: tuple[tuple[str, int], ...] = ()
