"""What a manifest can ask for: the desired state, resolved, with a place for every field.

Everything here is frozen and free of secrets: a credential is a reference in text. `places`
maps a field's path (`spec.source.address`) to where a person wrote it, through overlays and
variables; a field that was left out has no entry and `place` falls back to its parents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from batuta.model.address import Address
from batuta.model.canonical import Json
from batuta.model.diagnostic import Location
from batuta.model.tier import Network, Tier


class Mode(StrEnum):
    """How a destination follows its source."""

    SNAPSHOT = "Snapshot"
    INCREMENTAL = "Incremental"
    MIRROR = "Mirror"


class DriftChoice(StrEnum):
    """What to do with one class of schema difference."""

    APPLY = "Apply"
    SKIP = "Skip"
    FORCE = "Force"
    STOP = "Stop"


class OnSourceDelete(StrEnum):
    """Whether what is gone at the source goes (into history) or stays."""

    REMOVE = "Remove"
    KEEP = "Keep"


class DeletionPolicy(StrEnum):
    """What a removed document does to the data it described."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Origin(StrEnum):
    """Whether a resource stands in a manifest or was made by a one-line command."""

    MANIFEST = "Manifest"
    COMMAND = "Command"


class MergeConflict(StrEnum):
    """Which row holds where two sources of a merge have one key."""

    FAIL = "Fail"
    FIRST = "First"
    LAST = "Last"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """What is read from one place. `options`, `types` and `rename` keep the order of writing.

    Exactly one of `address` and `dataset` is set; `dataset` names another Dataset, whose
    destination is then read through its log. `types` are Arrow spellings for text formats.
    `opaque` asks for files as they are, hidden ones too, instead of the table in them.
    """

    address: Address | None = None
    dataset: str | None = None
    platform: str | None = None
    version: str | None = None
    files: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    where: str | None = None
    options: tuple[tuple[str, Json], ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    origin_tier: Tier | None = None
    origin_region: str | None = None
    opaque: bool = False

    @property
    def reshapes(self) -> bool:
        """True where columns or rows are chosen, so that bytes cannot be copied as they are."""
        return bool(self.include or self.exclude or self.rename or self.where or self.types)

    @property
    def spec(self) -> "SourceSpec":
        """The same as a source of its own."""
        return SourceSpec(**{each.name: getattr(self, each.name) for each in fields(SourcePart)})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec(SourcePart):
    """One end that is read: a place, or a merge of several, in order.

    With `merge` neither `address` nor `dataset` is set. Without `on` the rows of all are taken,
    columns by name; with it a row a key, and `conflict` says whose.
    """

    merge: tuple[SourcePart, ...] = ()
    on: tuple[str, ...] = ()
    conflict: MergeConflict = MergeConflict.FAIL

    @property
    def upstreams(self) -> tuple[str, ...]:
        """Names of the Datasets that are read, each once, in order."""
        parts: tuple[SourcePart, ...] = self.merge or (self,)
        return tuple(dict.fromkeys(part.dataset for part in parts if part.dataset is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPolicy:
    """The choice for each class of schema difference; Stop where nothing is said."""

    additive: DriftChoice = DriftChoice.STOP
    widening: DriftChoice = DriftChoice.STOP
    breaking: DriftChoice = DriftChoice.STOP
    semantic: DriftChoice = DriftChoice.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalSpec:
    """Rows newer than the last `cursor`, less `lookback_s` seconds, merged by `key`."""

    cursor: str | None = None
    key: tuple[str, ...] = ()
    lookback_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySpec:
    """How long superseded files are kept: seconds, or a number of versions, whichever is more."""

    keep_s: int = 7 * 24 * 3600
    versions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """Limits on one run and one month (decimal strings with a currency) and on bytes read."""

    per_run: str | None = None
    per_month: str | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One dataset that the organisation wants: from where, to where, in which shape.

    `tier` is None where it is to be derived. `depends_on` holds names of Datasets, the one
    behind `source.dataset` included. `format_options` are those of `format` alone.
    """

    name: str
    source: SourceSpec
    destination: Address
    destination_platform: str | None = None
    format: str = "ald"
    mode: Mode = Mode.SNAPSHOT
    on_source_delete: OnSourceDelete = OnSourceDelete.REMOVE
    format_options: tuple[tuple[str, Json], ...] = ()
    incremental: IncrementalSpec | None = None
    tier: Tier | None = None
    egress: str | None = None
    on_drift: DriftPolicy = DriftPolicy()
    budget: BudgetSpec = BudgetSpec()
    freshness: str | None = None
    history: HistorySpec = HistorySpec()
    residency: tuple[str, ...] = ()
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    protect: bool = False
    depends_on: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    origin: Origin = Origin.MANIFEST
    manifest_digest: str = ""
    places: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)

    @property
    def address(self) -> str:
        """The resource's address, `Dataset/<name>`."""
        return f"Dataset/{self.name}"

    def place(self, path: str) -> tuple[Location, ...]:
        """Where `path` was written, or the nearest parent that was; empty for a bare value."""
        while path:
            if (found := self.places.get(path)) is not None:
                return (found,)
            path = path.rpartition(".")[0]
        whole = self.places.get("")
        return () if whole is None else (whole,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One account or endpoint. `credentials` maps a name to a reference such as `env:NAME`.

    `options` is the block named after `type`, validated by the connector's declaration.
    `residency` are the regions that data which comes from there may lie in; empty for anywhere.
    """

    name: str
    type: str
    network: Network = Network.PUBLIC
    region: str | None = None
    endpoints: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    credentials: tuple[tuple[str, str], ...] = ()
    residency: tuple[str, ...] = ()
    max_concurrent: int | None = None
    options: tuple[tuple[str, Json], ...] = ()
    implicit: bool = False
    places: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRule:
    """One host pattern with its ports and the bytes that may be sent to it (None: no cap)."""

    host: str
    ports: tuple[int, ...] = (443,)
    max_upload_bytes: int | None = None


class OnViolation(StrEnum):
    """What a connection that was refused does to the worker that tried it."""

    CONTINUE = "Continue"
    STOP = "Stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Hosts allowed and denied for tiers or named datasets.

    `filtered` says that a HybridSovereign worker may run at the level *filtered*.
    """

    name: str
    tiers: tuple[Tier, ...] = ()
    datasets: tuple[str, ...] = ()
    allow: tuple[EgressRule, ...] = ()
    deny: tuple[EgressRule, ...] = ()
    require_tls: bool = True
    max_bytes: int | None = None
    filtered: bool = False
    on_violation: OnViolation = OnViolation.CONTINUE
    places: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps on what one apply may do; 0 deletes means that deleting is off."""

    deletes: int = 0
    files: int = 1000
    replaces: int | None = None
    datasets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What of a workspace says how its workers are kept.

    `proxy` is the house's, which the gateway chains to; `ca_file` holds authorities to trust
    beside the system's, relative to the workspace. `required`: no worker goes on without a level.
    """

    proxy: str | None = None
    ca_file: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The workspace itself, with the environment that was chosen already resolved."""

    name: str = "default"
    environment: str | None = None
    default_tier: Tier | None = None
    weakest_tier: Tier | None = None
    enforcement: str = "Declared"
    proxy: str | None = None
    ca_file: str | None = None
    region: str | None = None
    state: str = "local"
    limits: Limits = Limits()
    budget: BudgetSpec = BudgetSpec()
    places: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)

    @property
    def site(self) -> Site:
        """How the workers of this workspace are kept."""
        required = self.enforcement == "Required"
        return Site(proxy=self.proxy, ca_file=self.ca_file, required=required)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """All that the manifests ask for; names are unique per kind, order is by name."""

    workspace: Workspace
    datasets: tuple[Dataset, ...] = ()
    platforms: tuple[Platform, ...] = ()
    egress_policies: tuple[EgressPolicy, ...] = ()
