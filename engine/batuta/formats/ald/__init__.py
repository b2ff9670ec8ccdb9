"""`.ald`: the dataset files of alimentar, written and read so that its own code agrees."""

from typing import TYPE_CHECKING

from batuta.model.format import Format, OptionSpec

if TYPE_CHECKING:
    from batuta.model.format import Reader, Writer


def _reader() -> "Reader":
    from batuta.formats.ald.reader import AldReader

    return AldReader()


def _writer() -> "Writer":
    from batuta.formats.ald.writer import AldWriter

    return AldWriter()


FORMAT = Format(
    name="ald",
    suffixes=(".ald",),
    reader=_reader,
    writer=_writer,
    write_options=(
        OptionSpec(
            name="layout",
            type="string",
            help="A: one checksummed block, which every build of alimentar reads. B: chunks of"
            " 65,536 rows without a checksum. Left out: A, or B where a part is over 64 MiB.",
            choices=("A", "B"),
        ),
        OptionSpec(
            name="compression",
            type="string",
            help="How the payload is compressed. lz4 exists in layout A only.",
            choices=("none", "zstd", "zstd19", "lz4"),
            default="zstd",
        ),
    ),
)
