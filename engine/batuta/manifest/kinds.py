"""The shapes of the documents: the one truth for validation and for the JSON Schemas.

The kinds are typed dictionaries that pydantic checks strictly: a document that fits keeps
its values as they are, so the rest of the room reads it by these types, and a document that
the cache knows to fit needs no pydantic at all. Rules that span several fields are in
`rules` and `resolve`; here stands what one field may be.
"""

from typing import Annotated, Literal, NotRequired, Required, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, StrictBool, StrictInt, Tag, with_config
from typing_extensions import TypedDict

from batuta.manifest import scalars

CLOSED = ConfigDict(extra="forbid", strict=True)

Name = Annotated[str, Field(pattern=scalars.NAME.pattern)]
Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, Field(pattern=scalars.DURATION.pattern)]
Money = Annotated[str, Field(pattern=scalars.MONEY.pattern)]
Host = Annotated[str, Field(pattern=scalars.HOST.pattern)]
Reference = Annotated[str, Field(pattern=scalars.REFERENCE.pattern)]
Count = Annotated[StrictInt, Field(ge=0)]


def _text_or_not(value: object) -> str:
    return "text" if isinstance(value, str) else "other"


Size = Annotated[
    Annotated[str, Field(pattern=scalars.SIZE.pattern), Tag("text")]
    | Annotated[StrictInt, Field(ge=0), Tag("other")],
    Discriminator(_text_or_not),
]
Version = Annotated[
    Annotated[str, Field(min_length=1), Tag("text")] | Annotated[StrictInt, Tag("other")],
    Discriminator(_text_or_not),
]
TierName: TypeAlias = Literal["FullySovereign", "HybridSovereign", "PrivateCloud", "Standard"]
NetworkName: TypeAlias = Literal["Public", "Vpc", "PrivateLink", "OnPrem"]
DriftName: TypeAlias = Literal["Apply", "Skip", "Force", "Stop"]


@with_config(CLOSED)
class Metadata(TypedDict, total=False):
    """What a document is called."""

    name: Annotated[Required[Name], Field(description="Unique among the documents of its kind.")]
    tags: Annotated[dict[str, str], Field(description="Words of your own to select by.")]
    annotations: Annotated[
        dict[str, object], Field(description="The one open map: batuta keeps it and reads nothing.")
    ]


@with_config(CLOSED)
class Columns(TypedDict, total=False):
    """Which columns are read, and under which names they are kept."""

    include: list[Text]
    exclude: list[Text]
    rename: dict[str, Text]


@with_config(CLOSED)
class ReadOptions(TypedDict, total=False):
    """How CSV and JSON Lines are read."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)]
    header: StrictBool
    encoding: Text
    null: Annotated[list[str], Field(description="Texts that stand for a missing value.")]
    timestampFormat: Annotated[Text, Field(description="strptime format, such as `%d.%m.%Y`.")]


@with_config(CLOSED)
class DeclaredOrigin(TypedDict, total=False):
    """What the owner states of data that carries no label."""

    tier: TierName
    region: Text


@with_config(CLOSED)
class MergeEnd(TypedDict, total=False):
    """One of the sources of a merge."""

    address: Annotated[Text, Field(description="A path or URL; or write `dataset` instead.")]
    dataset: Annotated[Name, Field(description="Read what another Dataset keeps.")]
    platform: Annotated[Name, Field(description="A Platform's name.")]
    version: Annotated[Version, Field(description="Pin: a table version, commit, tag or time.")]
    files: Annotated[list[Text], Field(description="Globs within a prefix or folder.")]
    columns: Columns
    where: Annotated[Text, Field(description="A condition that the source evaluates.")]
    options: ReadOptions
    schema: Annotated[dict[str, Text], Field(description="Arrow types of columns of text formats.")]
    origin: DeclaredOrigin


MergeSource = Annotated[
    Annotated[str, Field(min_length=1), Tag("text")] | Annotated[MergeEnd, Tag("other")],
    Discriminator(_text_or_not),
]


@with_config(CLOSED)
class SourceEnd(MergeEnd, total=False):
    """Where data is read."""

    merge: Annotated[
        list[MergeSource],
        Field(min_length=2, description="Several sources: rows of all, columns by name."),
    ]
    on: Annotated[
        list[Text], Field(min_length=1, description="Merge by this key: one row for each key.")
    ]
    conflict: Annotated[
        Literal["Fail", "First", "Last"],
        Field(description="Whose row holds where two sources have one key; `Fail` when left out."),
    ]


@with_config(CLOSED)
class DestinationEnd(TypedDict, total=False):
    """Where data is kept."""

    address: Required[Text]
    platform: Name


Source = Annotated[
    Annotated[str, Field(min_length=1), Tag("text")] | Annotated[SourceEnd, Tag("other")],
    Discriminator(_text_or_not),
]
Destination = Annotated[
    Annotated[str, Field(min_length=1), Tag("text")] | Annotated[DestinationEnd, Tag("other")],
    Discriminator(_text_or_not),
]


@with_config(CLOSED)
class ParquetOptions(TypedDict, total=False):
    """How Parquet parts are written."""

    compression: Literal["none", "snappy", "gzip", "zstd", "lz4", "brotli"]
    level: Annotated[StrictInt, Field(ge=1, le=22)]


@with_config(CLOSED)
class AldOptions(TypedDict, total=False):
    """How `.ald` parts are written."""

    layout: Literal["A", "B"]
    compression: Literal["none", "zstd", "zstd19", "lz4"]


@with_config(CLOSED)
class FormatOptions(TypedDict, total=False):
    """Settings of the output format, under its name."""

    parquet: ParquetOptions
    ald: AldOptions


@with_config(CLOSED)
class Incremental(TypedDict, total=False):
    """How newer rows are found and merged."""

    cursor: Text
    key: Annotated[list[Text], Field(min_length=1)]
    lookback: Duration


@with_config(CLOSED)
class OnDrift(TypedDict, total=False):
    """What to do with each class of schema difference; `Stop` where nothing is said."""

    additive: DriftName
    widening: DriftName
    breaking: DriftName
    semantic: DriftName


@with_config(CLOSED)
class Budget(TypedDict, total=False):
    """Limits on money and bytes."""

    perRun: Money
    perMonth: Money
    maxBytes: Size


@with_config(CLOSED)
class History(TypedDict, total=False):
    """How long superseded files are kept."""

    keep: Duration
    versions: Count


@with_config(CLOSED)
class DatasetSpec(TypedDict, total=False):
    """From where, to where, in which shape, under which rules."""

    source: Required[Source]
    destination: Required[Destination]
    format: Annotated[
        Literal["ald", "parquet", "arrow", "files"],
        Field(description="`ald` for tables, `files` for folders where nothing is said."),
    ]
    mode: Literal["Snapshot", "Incremental", "Mirror"]
    onSourceDelete: Literal["Remove", "Keep"]
    formatOptions: FormatOptions
    incremental: Incremental
    tier: TierName
    egress: Annotated[Name, Field(description="An EgressPolicy's name.")]
    onDrift: OnDrift
    budget: Budget
    freshness: Annotated[str, Field(pattern=scalars.FRESHNESS.pattern)]
    history: History
    residency: list[Text]
    deletionPolicy: Literal["Retain", "Delete"]
    protect: StrictBool
    dependsOn: list[Name]


@with_config(CLOSED)
class Pacing(TypedDict, total=False):
    """How hard the platform may be pressed."""

    maxConcurrent: Annotated[StrictInt, Field(ge=1, le=1024)]


@with_config(ConfigDict(extra="allow", strict=True))
class PlatformSpec(TypedDict, total=False):
    """One account or endpoint. The block named after `type` holds the connector's options."""

    type: Required[Text]
    network: NetworkName
    region: Text
    endpoints: list[Text]
    cidrs: list[Annotated[str, Field(pattern=scalars.CIDR.pattern)]]
    residency: list[Text]
    credentials: dict[str, Reference]
    pacing: Pacing
    budget: Budget


@with_config(CLOSED)
class AppliesTo(TypedDict, total=False):
    """Which runs a policy is for."""

    tiers: list[TierName]
    datasets: Annotated[list[Text], Field(description="Globs over names of Datasets.")]


@with_config(CLOSED)
class AllowedHost(TypedDict, total=False):
    """A host that may be reached."""

    host: Required[Host]
    ports: Annotated[list[Annotated[StrictInt, Field(ge=1, le=65535)]], Field(min_length=1)]
    maxUpload: Size


@with_config(CLOSED)
class DeniedHost(TypedDict):
    """A host that may not be reached, whatever else is said."""

    host: Host


@with_config(CLOSED)
class EgressPolicySpec(TypedDict, total=False):
    """Hosts that workers may reach."""

    appliesTo: AppliesTo
    allow: list[AllowedHost]
    deny: list[DeniedHost]
    requireTls: StrictBool
    logAllRequests: StrictBool
    maxBytes: Size
    weakestLevel: Annotated[
        Literal["Filtered"],
        Field(
            description="`Filtered` lets HybridSovereign workers run at the level *filtered* where"
            " *isolated* cannot be had. PrivateCloud and Standard take it anyway."
        ),
    ]
    onViolation: Annotated[
        Literal["Continue", "Stop"],
        Field(
            description="What a refused connection does to its worker: it may go on without"
            " (default), or it ends and its action fails."
        ),
    ]


@with_config(CLOSED)
class Variable(TypedDict, total=False):
    """A variable's type, and its value where nobody gives one."""

    type: Required[Literal["string", "integer", "boolean"]]
    default: str | StrictInt | StrictBool
    description: str


@with_config(CLOSED)
class Environment(TypedDict, total=False):
    """One environment: what it lays over the documents, and its limits."""

    overlay: Annotated[Text, Field(description="A folder or file of partial documents.")]
    weakestTier: TierName
    variables: dict[str, str | StrictInt | StrictBool]


@with_config(CLOSED)
class ProxySettings(TypedDict, total=False):
    """The proxy and authority of the site's own network."""

    proxy: Text
    caFile: Text


@with_config(CLOSED)
class LimitsSpec(TypedDict, total=False):
    """Caps on what one apply may do."""

    deletes: Count
    files: Count
    replaces: Count
    datasets: Count


VariableName = Annotated[str, Field(pattern=scalars.VARIABLE.pattern)]


@with_config(CLOSED)
class WorkspaceSpec(TypedDict, total=False):
    """What holds for all documents below the workspace's folder."""

    requires: Annotated[str, Field(pattern=scalars.VERSIONS.pattern)]
    manifests: list[Text]
    state: Literal["local"]
    defaultTier: TierName
    enforcement: Literal["Declared", "Required"]
    variables: dict[VariableName, Variable]
    prices: dict[str, object]
    region: Text
    network: ProxySettings
    budget: Budget
    limits: LimitsSpec
    environments: dict[Name, Environment]


Api: TypeAlias = Literal["batuta.dev/v1"]


@with_config(CLOSED)
class DatasetDocument(TypedDict):
    """One dataset that the organisation wants."""

    apiVersion: Api
    kind: Literal["Dataset"]
    metadata: Metadata
    spec: DatasetSpec


@with_config(CLOSED)
class PlatformDocument(TypedDict):
    """One account or endpoint."""

    apiVersion: Api
    kind: Literal["Platform"]
    metadata: Metadata
    spec: PlatformSpec


@with_config(CLOSED)
class EgressPolicyDocument(TypedDict):
    """Hosts allowed and denied for tiers or named datasets."""

    apiVersion: Api
    kind: Literal["EgressPolicy"]
    metadata: Metadata
    spec: EgressPolicySpec


@with_config(CLOSED)
class WorkspaceDocument(TypedDict):
    """The workspace itself."""

    apiVersion: Api
    kind: Literal["Workspace"]
    metadata: NotRequired[Metadata]
    spec: WorkspaceSpec


KINDS: dict[str, type] = {
    "Dataset": DatasetDocument,
    "EgressPolicy": EgressPolicyDocument,
    "Platform": PlatformDocument,
    "Workspace": WorkspaceDocument,
}
