"""Parquet: the columnar files that most platforms keep and take."""

from typing import TYPE_CHECKING

from batuta.model.format import Format, OptionSpec

if TYPE_CHECKING:
    from batuta.model.format import Reader, Writer


def _reader() -> "Reader":
    from batuta.formats.parquet.reader import ParquetReader

    return ParquetReader()


def _writer() -> "Writer":
    from batuta.formats.parquet.writer import ParquetWriter

    return ParquetWriter()


FORMAT = Format(
    name="parquet",
    suffixes=(".parquet",),
    reader=_reader,
    writer=_writer,
    write_options=(
        OptionSpec(
            name="compression",
            type="string",
            help="How pages are compressed. Alimentar's own Parquet build reads none, snappy, zstd.",
            choices=("zstd", "snappy", "none", "gzip", "lz4", "brotli"),
            default="zstd",
        ),
        OptionSpec(
            name="level",
            type="integer",
            help="Compression level of zstd (1 to 22), gzip (1 to 9) or brotli (1 to 11).",
        ),
    ),
)
