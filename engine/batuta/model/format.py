"""The record that a format folder exports, and the ports behind it.

Formats see open files, batches and options; no paths, no network, no clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from batuta.model.canonical import Json
from batuta.model.diagnostic import Diagnostic
from batuta.model.observed import Cut
from batuta.model.table import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

Options = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a file says of itself. `cuts` are in reading order; the first has position `"0"`.

    `rows` is None where only reading would tell (never for what `inspect` read whole).
    `notes` are warnings about the file, without a location.
    """

    schema: TableSchema
    rows: int | None
    cuts: tuple[Cut, ...]
    notes: tuple[Diagnostic, ...] = ()


class Batch(NamedTuple):
    """Rows, and the position of the row after the last of them."""

    rows: "pa.RecordBatch"
    next: str


class Reader(Protocol):
    """Reads one file of a format; `file` is a seekable Arrow native file."""

    def inspect(
        self, file: "pa.NativeFile", options: Options, types: Mapping[str, str]
    ) -> Inspection:
        """Return schema, rows and cuts without building the table in memory."""
        ...

    def batches(
        self,
        file: "pa.NativeFile",
        *,
        start: str | None,
        end: str | None,
        columns: Sequence[str] | None,
        schema: TableSchema,
        options: Options,
    ) -> Iterator[Batch]:
        """Yield batches of the stored columns `columns` from `start` up to `end`, in file order.

        `schema` is the file's own as `inspect` found it. Batches are bounded in size, and the
        same arguments give the same batches on every run.
        """
        ...


class Writer(Protocol):
    """Writes one file of a format."""

    def write(
        self,
        sink: BinaryIO,
        schema: "pa.Schema",
        batches: Iterator["pa.RecordBatch"],
        options: Options,
    ) -> int:
        """Write all batches to `sink`, which can seek; return the number of rows.

        The schema's metadata is written as it is. The same input gives the same bytes.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """One option of a format or connector: how it is written, checked and documented."""

    name: str
    type: str
    help: str
    required: bool = False
    secret: bool = False
    choices: tuple[str, ...] = ()
    default: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format folder: its name, file endings, options, and how to get its ports.

    `reader` and `writer` import what they need when called; None means "cannot".
    `target_bytes` is the Arrow size at which a part of this format ends.
    """

    name: str
    suffixes: tuple[str, ...]
    reader: Callable[[], Reader] | None = None
    writer: Callable[[], Writer] | None = None
    read_options: tuple[OptionSpec, ...] = ()
    write_options: tuple[OptionSpec, ...] = ()
    target_bytes: int = 48 * 1024 * 1024
