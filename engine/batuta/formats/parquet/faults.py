"""What can be wrong with a Parquet file, each with its code."""

from collections.abc import Sequence

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure


def _permanent(code: str, summary: str, detail: str, fix: str) -> ConnectorError:
    diagnostic = Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
    return ConnectorError(diagnostic, kind=Failure.PERMANENT)


def broken(detail: str) -> ConnectorError:
    """The bytes are no Parquet file, or a damaged one."""
    return _permanent(
        "FMT110",
        "The Parquet file cannot be read",
        detail,
        "Fetch or write the file again; if other tools read it, name its writer in an issue.",
    )


def encrypted() -> ConnectorError:
    """The file is encrypted with Parquet's modular encryption."""
    return _permanent(
        "FMT111",
        "The Parquet file is encrypted",
        "Its footer or one of its columns is encrypted, and no key can be given.",
        "Decrypt the file where the keys are, then point the source at the result.",
    )


def too_big(detail: str) -> ConnectorError:
    """Reading would take more memory than a worker has."""
    return _permanent(
        "FMT112",
        "The Parquet file expands beyond the limit",
        detail,
        "Write the file again with smaller values or row groups, or exclude the column.",
    )


def beyond_microseconds(column: str) -> ConnectorError:
    """An INT96 timestamp would lose digits."""
    return _permanent(
        "FMT113",
        "An INT96 timestamp cannot be read exactly",
        f"Column {column!r} holds INT96 timestamps that are nested, or finer than microseconds.",
        "Write the column again as a timestamp of Parquet's own type, or exclude it.",
    )


def not_storable(reason: str) -> ConnectorError:
    """A column's type has no place in Parquet."""
    return _permanent(
        "FMT114",
        "The table cannot be stored as Parquet",
        reason,
        "Exclude the column, or choose `format: arrow` or `format: ald`, which keep every type.",
    )


def bad_option(detail: str) -> ConnectorError:
    """A value under `formatOptions.parquet` is wrong."""
    return _permanent(
        "FMT115",
        "An option of the format parquet is wrong",
        detail,
        "Set `formatOptions.parquet` to a compression from the list, and a level that it has.",
    )


def missing_columns(names: Sequence[str]) -> ConnectorError:
    """The file lacks columns that its schema was said to have."""
    return broken(f"The file has no column {', '.join(map(repr, names))}.")
