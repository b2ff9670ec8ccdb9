"""What can be wrong with a CSV file, each with its code."""

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure


def _permanent(code: str, summary: str, detail: str, fix: str) -> ConnectorError:
    diagnostic = Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
    return ConnectorError(diagnostic, kind=Failure.PERMANENT)


def bad_record(line: int, detail: str) -> ConnectorError:
    """A record does not have the shape of the others."""
    return _permanent(
        "FMT120",
        "A record of the CSV file cannot be read",
        f"Line {line}: {detail}",
        "Correct the record, or set `source.options` (delimiter, quote) to what the file uses.",
    )


def bad_option(detail: str) -> ConnectorError:
    """A value under `source.options` is wrong."""
    return _permanent(
        "FMT121",
        "An option for the CSV file is wrong",
        detail,
        "Correct it under `source.options`.",
    )


def bad_header(detail: str) -> ConnectorError:
    """The first record does not name the columns."""
    return _permanent(
        "FMT122",
        "The header of the CSV file cannot be used",
        detail,
        "Give each column a name of its own, or set `source.options.header: false`.",
    )


def bad_text(line: int, encoding: str, detail: str) -> ConnectorError:
    """Bytes that the encoding has not."""
    return _permanent(
        "FMT123",
        "The CSV file is not in the encoding that was stated",
        f"Line {line} is not {encoding}: {detail}",
        "Set `source.options.encoding` to the file's own, for example cp1252 or utf-16.",
    )


def too_long(line: int, limit_bytes: int) -> ConnectorError:
    """A record is longer than a reader holds; mostly a quote that is never closed."""
    return _permanent(
        "FMT124",
        "A record of the CSV file is too long",
        f"The record that begins in line {line} does not end within {limit_bytes} bytes.",
        "Look for a quote that is never closed, or set `source.options.quote`.",
    )


def bad_value(line: int, detail: str) -> ConnectorError:
    """A value is not of its column's type."""
    return _permanent(
        "FMT125",
        "A value of the CSV file is not of its column's type",
        f"Line {line}: {detail}",
        "Correct the value, add it to `source.options.null`, or declare the column as string in"
        " `source.schema`.",
    )


def unknown_columns(names: list[str]) -> ConnectorError:
    """Types were declared for columns that the file has not."""
    return _permanent(
        "FMT126",
        "A declared column is not in the file",
        f"The file has no column {', '.join(map(repr, names))}.",
        "Correct the names under `source.schema`; they are case-sensitive.",
    )


def cut_archive(detail: str) -> ConnectorError:
    """The compressed file is damaged."""
    return _permanent(
        "FMT127",
        "The compressed text file is damaged",
        detail,
        "Fetch or compress the file again.",
    )
