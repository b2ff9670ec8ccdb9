"""What can be wrong with an Arrow file, each with its code."""

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure


def _permanent(code: str, summary: str, detail: str, fix: str) -> ConnectorError:
    diagnostic = Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
    return ConnectorError(diagnostic, kind=Failure.PERMANENT)


def broken(detail: str) -> ConnectorError:
    """The bytes are no Arrow IPC, or damaged."""
    return _permanent(
        "FMT101",
        "The Arrow file cannot be read",
        detail,
        "Fetch or write the file again.",
    )


def feather_one() -> ConnectorError:
    """The file is of the first Feather format, which is not Arrow IPC."""
    return _permanent(
        "FMT102",
        "Feather version 1 is not supported",
        "The file is of the first Feather format, which holds no Arrow schema.",
        "Write it again as Arrow IPC (Feather version 2) or as Parquet.",
    )


def not_storable(reason: str) -> ConnectorError:
    """Arrow refused to store the batches."""
    return _permanent(
        "FMT103",
        "The table cannot be stored as an Arrow file",
        reason,
        "Exclude the column, or choose `format: parquet`.",
    )


def bad_option(detail: str) -> ConnectorError:
    """A value under `formatOptions.arrow` is wrong."""
    return _permanent(
        "FMT104",
        "An option of the format arrow is wrong",
        detail,
        "Set `formatOptions.arrow.compression` to none, lz4 or zstd.",
    )


def too_big(detail: str) -> ConnectorError:
    """A batch would take more memory than a worker has."""
    return _permanent(
        "FMT105",
        "A batch of the Arrow file is beyond the limit",
        detail,
        "Write the file again with smaller record batches.",
    )
