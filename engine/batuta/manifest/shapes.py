"""Fields of one Dataset that contradict each other: format, mode, source and output settings."""

from batuta.manifest.document import Path
from batuta.manifest.reporter import Reporter
from batuta.model.resource import Dataset, Mode, SourcePart, SourceSpec

# The highest level of each compression of Parquet that has levels.
_LEVELS = {"zstd": 22, "gzip": 9, "brotli": 11}


def check_shape(dataset: Dataset, report: Reporter) -> None:
    """Report fields that contradict the format: modes, settings, columns of bytes, globs of tables."""
    files, source = dataset.format == "files", dataset.source
    if files != (dataset.mode is Mode.MIRROR):
        fix = "Write `mode: Mirror`, or leave it out." if files else "Use `Snapshot`."
        detail = f"The format `{dataset.format}` cannot have the mode `{dataset.mode}`."
        report.add("MAN120", ("spec", "mode"), detail, fix)
    if dataset.incremental is not None and dataset.mode is not Mode.INCREMENTAL:
        detail = f"`incremental` has no effect with the mode `{dataset.mode}`."
        report.add("MAN120", ("spec", "incremental"), detail, "Write `mode: Incremental`.")
    is_table = source.address is not None and source.address.is_table
    if source.merge:
        _check_merged(dataset, report)
    if files and is_table:
        detail = "A table has rows, and no files of its own to copy."
        report.add("MAN120", ("spec", "format"), detail, "Use `ald`, `parquet` or `arrow`.")
    if files and (source.reshapes or source.options):
        detail = "With `files` bytes are copied as they are: no columns, rows or types are chosen."
        fix = "Write `format: ald`, `parquet` or `arrow`, or remove these fields."
        report.add("MAN120", ("spec", "source", _reshaping(source)), detail, fix)
    if is_table:
        _check_table(source, ("spec", "source"), report)
    _check_settings(dataset, report)


def _check_settings(dataset: Dataset, report: Reporter) -> None:
    options = dict(dataset.format_options)
    compression = str(options.get("compression", "zstd"))
    path: Path = ("spec", "formatOptions", dataset.format)
    if dataset.format == "ald" and options.get("layout") == "B" and compression == "lz4":
        detail = "Layout B with lz4 cannot be read back by alimentar."
        report.add("MAN120", (*path, "compression"), detail, "Use zstd, or `layout: A`.")
    level = options.get("level")
    if dataset.format != "parquet" or not isinstance(level, int):
        return
    highest = _LEVELS.get(compression)
    if highest is None:
        detail = f"The compression `{compression}` has no level."
        report.add("MAN120", (*path, "level"), detail, "Remove `level`.")
    elif level > highest:
        detail = f"The level of {compression} is from 1 to {highest}."
        report.add("MAN120", (*path, "level"), detail, f"Write {highest} or less.")


def _check_merged(dataset: Dataset, report: Reporter) -> None:
    for i, part in enumerate(dataset.source.merge):
        if part.address is not None and part.address.is_table:
            _check_table(part, ("spec", "source", "merge", i), report)
    if dataset.format == "files":
        detail = "Rows of tables alone can be merged; `files` has none."
        report.add("MAN120", ("spec", "format"), detail, "Use `ald`, `parquet` or `arrow`.")
    if dataset.source.on and dataset.mode is Mode.INCREMENTAL:
        detail = "A merge by key is read whole: there is no way to follow it incrementally."
        report.add("MAN120", ("spec", "mode"), detail, "Use `Snapshot`.")


def _reshaping(source: SourceSpec) -> str:
    if source.include or source.exclude or source.rename:
        return "columns"
    if source.where:
        return "where"
    return "schema" if source.types else "options"


def _check_table(source: SourcePart, path: Path, report: Reporter) -> None:
    for name, written, of in (
        ("files", source.files, "folders and prefixes"),
        ("options", source.options, "CSV and JSON Lines"),
        ("schema", source.types, "CSV and JSON Lines"),
    ):
        if written:
            detail = f"`{name}` is a field of {of}; the source is a table."
            report.add("MAN120", (*path, name), detail, f"Remove `{name}`.")
