"""CSV and its relatives: text with one record per line, read only."""

from typing import TYPE_CHECKING

from batuta.model.format import Format, OptionSpec

if TYPE_CHECKING:
    from batuta.model.format import Reader


def _reader() -> "Reader":
    from batuta.formats.csv.reader import CsvReader

    return CsvReader()


FORMAT = Format(
    name="csv",
    suffixes=(".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    reader=_reader,
    read_options=(
        OptionSpec(
            name="delimiter",
            type="string",
            help="The one character between fields. Left out: a comma, or a tab where the first"
            " record has tabs and no commas.",
        ),
        OptionSpec(
            name="quote",
            type="string",
            help='The character around fields that hold delimiters; "" where there is none.',
            default='"',
        ),
        OptionSpec(
            name="header",
            type="boolean",
            help="Whether the first record names the columns; if not they are column1, column2, …",
            default=True,
        ),
        OptionSpec(
            name="encoding",
            type="string",
            help="The encoding, by its Python name. Other than utf-8 is read from its start only.",
            default="utf-8",
        ),
        OptionSpec(
            name="null",
            type="list",
            help="Unquoted texts that mean null. A quoted empty text is an empty string.",
            default=("",),
        ),
        OptionSpec(
            name="timestampFormat",
            type="string",
            help="How dates and times are written, in strptime's directives. Left out: ISO 8601.",
        ),
        OptionSpec(
            name="decimal",
            type="string",
            help="The decimal mark.",
            choices=(".", ","),
            default=".",
        ),
    ),
)
