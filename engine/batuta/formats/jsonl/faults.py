"""What can be wrong with a JSON Lines file, each with its code."""

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure


def _permanent(code: str, summary: str, detail: str, fix: str) -> ConnectorError:
    diagnostic = Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
    return ConnectorError(diagnostic, kind=Failure.PERMANENT)


def bad_line(line: int, detail: str) -> ConnectorError:
    """A line is no JSON object."""
    return _permanent(
        "FMT130",
        "A line of the JSON Lines file cannot be read",
        f"Line {line}: {detail}",
        "Correct the line; each one is a JSON object in UTF-8.",
    )


def not_lines(detail: str) -> ConnectorError:
    """The file is JSON, but not one object per line."""
    return _permanent(
        "FMT131",
        "The file is not JSON Lines",
        detail,
        "Write one object per line, for example with `jq -c '.[]'`.",
    )


def bad_value(line: int, detail: str) -> ConnectorError:
    """A value is not of its column's type."""
    return _permanent(
        "FMT132",
        "A value of the JSON Lines file is not of its column's type",
        f"Line {line}: {detail}",
        "Give the field one kind of value in all lines, or exclude it from the export.",
    )


def inexact(column: str) -> ConnectorError:
    """Whole numbers too big for a double stand in a column of fractions."""
    return _permanent(
        "FMT133",
        "Numbers of the JSON Lines file have no exact common type",
        f"Field {column!r} holds fractions and whole numbers beyond 2^53, or nested ones beyond"
        " 64 bits.",
        "Declare its type in `source.schema`, for example double or decimal128(38, 6).",
    )


def bad_option(detail: str) -> ConnectorError:
    """A value under `source.options` or `source.schema` is wrong."""
    return _permanent(
        "FMT134",
        "An option for the JSON Lines file is wrong",
        detail,
        "Correct it under `source.options` or `source.schema`.",
    )


def too_long(line: int, limit_bytes: int) -> ConnectorError:
    """A line is longer than a reader holds."""
    return _permanent(
        "FMT135",
        "A line of the JSON Lines file is too long",
        f"Line {line} does not end within {limit_bytes} bytes.",
        "Write one object per line.",
    )


def cut_archive(detail: str) -> ConnectorError:
    """The compressed file is damaged."""
    return _permanent(
        "FMT136",
        "The compressed JSON Lines file is damaged",
        detail,
        "Fetch or compress the file again.",
    )
