"""Arrow IPC: the file format (written, and read) and the stream format (read)."""

from typing import TYPE_CHECKING

from batuta.model.format import Format, OptionSpec

if TYPE_CHECKING:
    from batuta.model.format import Reader, Writer


def _reader() -> "Reader":
    from batuta.formats.arrow.reader import ArrowReader

    return ArrowReader()


def _writer() -> "Writer":
    from batuta.formats.arrow.writer import ArrowWriter

    return ArrowWriter()


FORMAT = Format(
    name="arrow",
    suffixes=(".arrow", ".feather", ".ipc", ".arrows"),
    reader=_reader,
    writer=_writer,
    write_options=(
        OptionSpec(
            name="compression",
            type="string",
            help="How each column's buffers are compressed; none can be mapped without decoding.",
            choices=("none", "lz4", "zstd"),
            default="none",
        ),
    ),
)
