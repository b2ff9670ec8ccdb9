"""JSON Lines: one object per line, read only."""

from typing import TYPE_CHECKING

from batuta.model.format import Format, OptionSpec

if TYPE_CHECKING:
    from batuta.model.format import Reader


def _reader() -> "Reader":
    from batuta.formats.jsonl.reader import JsonlReader

    return JsonlReader()


FORMAT = Format(
    name="jsonl",
    suffixes=(".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz"),
    reader=_reader,
    read_options=(
        OptionSpec(
            name="timestampFormat",
            type="string",
            help="How texts spell dates and times, in strptime's directives. Left out: texts stay"
            " texts, and columns declared as timestamps are read as ISO 8601.",
        ),
    ),
)
