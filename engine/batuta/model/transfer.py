"""How bytes move: partition → chunk → file, as messages between driver and worker.

A worker gets everything in one message: addresses it may open, output settings, the staging
folder. It answers with receipts. Nothing here holds a key; a signed URL lives only in a
message and is never stored.
"""

import re
from dataclasses import dataclass
from typing import Literal

from batuta.model.canonical import Json, digest
from batuta.model.log import Part, UnitRef
from batuta.model.table import TableSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One object that a worker may open: `file:///…`, or a signed `http(s)://…` URL.

    `validator` is sent as `If-Match` (an ETag, with its quotes) or, for a file, compared with
    its stamp; an object that no longer matches is an error, never a splice.
    """

    key: str
    url: str
    size_bytes: int
    validator: str
    headers: tuple[tuple[str, str], ...] = ()
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of one input: from `start` up to `end` (positions of the format; None: the ends).

    `constants` are columns that the file lacks, with values as text (None: null), typed by
    the partition's schema. `renames` maps a stored column name to the schema's.
    `schema` is the input's own (None: it has just the columns of the source's schema).
    `drop_rows` are ordinals of rows in the whole input that are deleted (deletion vectors).
    """

    input: Input
    unit: UnitRef
    start: str | None = None
    end: str | None = None
    first_row: int = 0
    schema: TableSchema | None = None
    constants: tuple[tuple[str, str | None], ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    drop_rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One stream that can be read again in the same order, pinned to one version.

    `id` is unique within the source's version and the same on every run. `reader` is `files`
    (segments decoded by `format`) or a connector's name, which then reads `spec` itself.
    """

    id: str
    reader: str = "files"
    format: str | None = None
    segments: tuple[Segment, ...] = ()
    size_bytes: int = 0
    rows: int | None = None
    options: tuple[tuple[str, Json], ...] = ()
    spec: tuple[tuple[str, Json], ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next chunk starts: a segment, a position of its format, rows read of it so far."""

    segment: int
    position: str
    row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The settings that decide a part's bytes. `label` is canonical JSON, written as a hint.

    `target_bytes` is the Arrow size at which a chunk, and so a part, ends. `selection` is a
    digest of what decides rows and columns beside the source's version: without it two
    selections from one version would have parts of one name.
    """

    format: str
    options: tuple[tuple[str, Json], ...] = ()
    label: str = ""
    selection: str = ""
    target_bytes: int = 48 * 1024 * 1024

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides the bytes."""
        return digest(
            {
                "format": self.format,
                "label": self.label,
                "options": [[k, v] for k, v in self.options],
                "selection": self.selection,
                "target_bytes": self.target_bytes,
            }
        )


def part_id(source_version: str, partition: str, chunk: int, output_digest: str) -> str:
    """Return a part's id: 16 hex digits that any run of the same work gives again."""
    return digest([source_version, partition, chunk, output_digest])[:16]


def is_staged_name(name: str, *, copy: bool) -> bool:
    """True for a name that workers stage under: a copy's is its id, an encoded part's its own."""
    return (_COPY if copy else _ENCODED).fullmatch(name) is not None


_COPY = re.compile(r"[0-9a-f]{16}")
_ENCODED = re.compile(r"part-[0-9a-f]{16}\.[a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertTask:
    """Read `partition` after `after`, write chunks from ordinal `chunk` on into `staging`.

    `columns` pairs each source column with its output name, in output order; `schema` is the
    output's. `source_version` and `output` name the parts. `cursor` is an output column whose
    highest value the receipts tell.
    """

    kind: Literal["convert"] = "convert"
    id: str
    source_version: str
    partition: Partition
    columns: tuple[tuple[str, str], ...]
    source_schema: TableSchema
    schema: TableSchema
    output: Output
    staging: str
    after: Position | None = None
    chunk: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyItem:
    """One input and the name, relative to staging, that its bytes get."""

    input: Input
    unit: UnitRef
    name: str
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTask:
    """Copy items byte for byte into `staging`, hashing on the way; one receipt for the batch.

    A large item is moved in ranges: `resume_bytes` of the first item are already durable.
    """

    kind: Literal["copy"] = "copy"
    id: str
    items: tuple[CopyItem, ...]
    staging: str
    chunk: int = 0
    resume_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadItem:
    """One staged file and the signed PUT that takes it; `headers` belong to the signature."""

    name: str
    url: str
    size_bytes: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTask:
    """Send staged files to the destination's host."""

    kind: Literal["upload"] = "upload"
    id: str
    items: tuple[UploadItem, ...]
    staging: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeTask:
    """Merge rows by `key`: parts that hold a key of `partition`'s rows are written anew.

    `parts` are inputs of the current snapshot in `part_format`. Rows of the partition win;
    a row whose `change_column` says `delete` only removes, or does nothing where `keeps_gone`.
    Untouched parts are named in the receipt's `kept`.
    """

    kind: Literal["merge"] = "merge"
    id: str
    source_version: str
    partitions: tuple[Partition, ...]
    columns: tuple[tuple[str, str], ...]
    source_schema: TableSchema
    schema: TableSchema
    key: tuple[str, ...]
    cursor: str | None
    since: str | None
    lookback_s: int = 0
    change_column: str | None
    keeps_gone: bool = False
    parts: tuple[CopyItem, ...]
    part_format: str
    output: Output
    staging: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitePart:
    """One source of a merge by key: its streams, and how its columns become the output's.

    A source name that the source has not stands for nulls.
    """

    name: str
    partitions: tuple[Partition, ...]
    columns: tuple[tuple[str, str], ...]
    source_schema: TableSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class UniteTask:
    """Write one row for each `key` found in `parts`, in their order.

    Where two parts have one key `conflict` decides: `Fail`, `First` or `Last`. Within a part a
    key is unique, else the task fails. `typed` says that a command asked for it, not a document.
    """

    kind: Literal["unite"] = "unite"
    id: str
    source_version: str
    parts: tuple[UnitePart, ...]
    schema: TableSchema
    key: tuple[str, ...]
    conflict: Literal["Fail", "First", "Last"]
    typed: bool = False
    output: Output
    staging: str


Task = ConvertTask | CopyTask | UploadTask | MergeTask | UniteTask


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReceipt:
    """Files of one chunk, durable in staging before this is sent.

    `next` is where the following chunk starts, None when the task is finished.
    `bytes_read` counts bytes taken from the source. `durable_bytes` is how much of a large
    copy lies safely in staging while it is still under way (then `files` is empty). `level` is
    how its worker was confined; the driver says so, whatever the worker told.
    """

    task: str
    chunk: int
    files: tuple[Part, ...] = ()
    next: Position | None = None
    done: bool = False
    bytes_read: int = 0
    durable_bytes: int = 0
    kept: tuple[str, ...] = ()
    cursor: str | None = None
    level: str = ""
