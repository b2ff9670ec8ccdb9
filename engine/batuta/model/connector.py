"""The record that a connector folder exports, and the ports behind it.

A port is asked by one thread at a time unless it says otherwise. It raises `ConnectorError`
and nothing else on purpose; it never retries, prints, prompts or reads the environment.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from batuta.model.address import Address
from batuta.model.canonical import Json
from batuta.model.egress import HostNeed
from batuta.model.format import Format, OptionSpec
from batuta.model.log import UnitRef
from batuta.model.observed import SourceState, Unit
from batuta.model.request_signing import StandIns
from batuta.model.resource import SourceSpec
from batuta.model.seal import NO_SEAL, Seal
from batuta.model.tier import Network
from batuta.model.transfer import Input, Partition, Position

if TYPE_CHECKING:
    import pyarrow as pa

    from batuta.model.dataset import DatasetStore


@dataclass(frozen=True, slots=True)
class WayOut:
    """A proxy that a connector meets the world through, and the authorities to trust."""

    host: str
    port: int
    ca_file: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The proxy's address with its password, as libraries take it."""
        return f"http://batuta:{self.password}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class KeysOut:
    """How this process asks for keys: what gives them is one more host to be let out to.

    `way_out` is asked before each request. What answers on this machine itself (the metadata of an
    instance or a container) is asked past every proxy, inside of what `beside` returns for its host
    and port: that writes to the egress log.
    """

    way_out: Callable[[], WayOut]
    beside: Callable[[str, int], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A Platform ready to be used, in memory only: options, and secrets already resolved.

    `root` is the folder that relative local paths start at. `formats` are the formats that
    can be read, by name: a connector is handed them, since the two rooms are strangers.
    `sign` makes inputs for objects of an inner store, in order: each is named by its whole
    address (`s3://bucket/key`, not escaped), its size, and its ETag or empty text. `way_out` is
    asked before each request; None: what the process itself was started with. `keys_out` is how
    keys are asked for that no option states; None: as the vendor's library does by itself.
    """

    platform: str | None = None
    type: str = "local"
    network: Network = Network.LOCAL
    region: str | None = None
    endpoints: tuple[str, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    root: str = "."
    formats: Mapping[str, Format] = field(default_factory=dict, repr=False)
    open_input: "Callable[[Input], pa.NativeFile] | None" = field(default=None, repr=False)
    sign: Callable[[Sequence[tuple[str, int, str]]], Sequence[Input]] | None = field(
        default=None, repr=False
    )
    way_out: Callable[[], WayOut] | None = field(default=None, repr=False)
    keys_out: KeysOut | None = field(default=None, repr=False)


class SourceBatch(NamedTuple):
    """Rows a connector read itself, and where the next ones start (None: the end)."""

    rows: "pa.RecordBatch"
    next: Position | None


class Source(Protocol):
    """Reads what lies at addresses of this connector, pinned to one version."""

    def observe(self, spec: SourceSpec, known: SourceState | None) -> SourceState:
        """Return the source as it is now, or at `spec.version`.

        `known` is an earlier answer for the same spec: a unit whose stamp is unchanged is
        taken from it. Text formats are inferred over the whole file. Errors are
        ConnectorError with the connector's code.
        """
        ...

    def partitions(
        self, spec: SourceSpec, state: SourceState, units: Sequence[Unit], target_bytes: int
    ) -> Sequence[Partition]:
        """Return streams that together give the rows of `units` in order.

        Deterministic: the same units give the same partitions with the same ids. A partition
        aims at `target_bytes` of Arrow data, so that several can be read side by side.
        """
        ...

    def inputs(self, state: SourceState, units: Sequence[Unit]) -> Sequence[Input]:
        """Return, in order, one input per unit, freshly signed where that is needed."""
        ...


@runtime_checkable
class ChangeSource(Protocol):
    """What a Source may also be: one that knows which rows changed between two versions."""

    def changes(
        self, spec: SourceSpec, state: SourceState, since_version: str
    ) -> Sequence[Partition] | None:
        """Return the rows that changed from `since_version` to `state`, net of nothing.

        None means that nobody can tell; empty that no row changed. Else one partition yields
        the table's columns and `_change` (`upsert` or `delete`): the last word on a key holds.
        """
        ...


class PartitionReader(Protocol):
    """Reads partitions whose `reader` is this connector's name; runs in a data worker."""

    def read(self, partition: Partition, after: Position | None) -> Iterator[SourceBatch]:
        """Yield batches after `after` in the same order on every run."""
        ...


class FileInfo(NamedTuple):
    """One file of a store: its path with `/`, its size, its time (ns since 1970, UTC)."""

    path: str
    size_bytes: int
    modified_ns: int


class Files(Protocol):
    """A folder that a dataset lives in, local or on an object store. Paths are relative to it.

    `moves` is True where `move` is a cheap rename; on object stores it is False, and files
    are copied, then deleted. Calls may come from several threads.
    """

    moves: bool
    location: str

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[FileInfo]:
        """Yield files under `prefix`, in byte order of their paths; nothing where none is.

        Without `recursive`, files are left out whose paths have a `/` after the prefix.
        """
        ...

    def size(self, path: str) -> int | None:
        """Return the size of one file in bytes, None where it is not there."""
        ...

    def exists(self) -> bool:
        """True where the folder itself, or any object under it, is there."""
        ...

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes (None: all). FileNotFoundError where it is not there."""
        ...

    def open(self, path: str) -> "pa.NativeFile":
        """Return a seekable file for reading."""
        ...

    def create(self, path: str, content: bytes, *, check: Callable[[], None] | None = None) -> None:
        """Make `path` durable with `content`; FileExistsError where it is there already.

        Of any number of callers at once one wins. Nothing half-written is ever visible. What
        `check` raises keeps the file from being made. On a file system it is asked when a draft
        of the name `.<32 hex>` lies in `_staging/`: nothing is made where that is deleted since.
        """
        ...

    def publish(self, staged: Sequence[tuple[str, str]]) -> None:
        """Bring staged files to their final paths, and make that durable before returning.

        Each pair is (local staging file, path). A path that is there already with the same
        content is left alone: publishing twice leaves one copy. An object store tells contents
        apart by size alone.
        """
        ...

    def upload_inputs(self, staged: Sequence[tuple[str, str]]) -> "Sequence[SignedPut] | None":
        """Signed PUTs for the same pairs, or None where `publish` itself is the way."""
        ...

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Move files (from, to); a pair whose `from` is gone and whose `to` is there is done.

        Where that crosses file systems, here and in `publish`, a copy lies beside its place as
        `._batuta-<32 hex>` until it gets its name.
        """
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; those that are gone already are done."""
        ...

    def prepare(self) -> None:
        """Make the folder (and what its commits need) if it is not there."""
        ...

    def free_bytes(self) -> int | None:
        """Bytes free for new files; None where there is no such figure."""
        ...

    def inputs(self, parts: Sequence[tuple[str, int, UnitRef]]) -> Sequence[Input]:
        """Inputs, signed where needed, for (path, size, unit) triples, for a worker to read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """A signed PUT for one staged file."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()


class OpenDataset(Protocol):
    """Opens the dataset with a log that lies in a store of files."""

    def __call__(self, files: Files, seal: Seal = NO_SEAL) -> "DatasetStore":
        """Return the dataset; its log is signed and checked as `seal` says."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """One platform folder: its names, and how to open each of its ports.

    `extra` is the pip extra that installs the vendor library, None where none is needed.
    `dataset` opens the dataset with a log that lies in a store of files.
    `missing` is called before a port is opened and returns the name of a missing package.
    `hosts` says which hosts an address needs, without asking anybody; None: it needs none.
    `chain` gives the credentials and options of now that the platform's own tools would find, for
    a Platform that states no credentials; workers have no home to look for them in.
    `chain_hosts` says which hosts `chain` asks, without asking them; no worker may reach these.
    `stand_ins` says how the gateway signs what workers ask, so that they need no credentials; None:
    they are handed those of the Platform.
    """

    name: str
    schemes: tuple[str, ...]
    platform_type: str
    extra: str | None = None
    options: tuple[OptionSpec, ...] = ()
    credentials: tuple[OptionSpec, ...] = ()
    source: Callable[[Connection], Source] | None = None
    reader: Callable[[Connection], PartitionReader] | None = None
    files: Callable[[Connection, Address], Files] | None = None
    missing: Callable[[], str | None] = lambda: None
    implicit: Callable[[Mapping[str, str]], Mapping[str, Json]] | None = None
    dataset: "OpenDataset | None" = None
    hosts: "Callable[[Connection, Address], Sequence[HostNeed]] | None" = None
    chain: "Callable[[Connection], tuple[Mapping[str, str], Mapping[str, Json]]] | None" = None
    chain_hosts: "Callable[[Connection], Sequence[HostNeed]] | None" = None
    stand_ins: "Callable[[], StandIns] | None" = None
