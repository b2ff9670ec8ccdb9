"""What can be wrong with an `.ald` file, each with its code."""

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure, Severity


def _permanent(code: str, summary: str, detail: str, fix: str) -> ConnectorError:
    diagnostic = Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
    return ConnectorError(diagnostic, kind=Failure.PERMANENT)


def broken(detail: str) -> ConnectorError:
    """The bytes are no `.ald` file, or a damaged one."""
    return _permanent(
        "FMT140",
        "The .ald file cannot be read",
        detail,
        "Fetch or write the file again.",
    )


def wrong_checksum(stored: int, computed: int) -> ConnectorError:
    """The checksum at the end does not belong to the bytes before it."""
    return _permanent(
        "FMT141",
        "The checksum of the .ald file is wrong",
        f"The file says {stored:08x}, its bytes give {computed:08x}: some of them changed.",
        "Fetch the file again; a dataset is written anew with `batuta apply --resync NAME`.",
    )


def encrypted() -> ConnectorError:
    """The payload is encrypted."""
    return _permanent(
        "FMT142",
        "The .ald file is encrypted",
        "Its payload is encrypted for a password or a recipient, and no key can be given yet.",
        "Decrypt it with alimentar, then point the source at the result.",
    )


def too_big(detail: str) -> ConnectorError:
    """The file, or one of its batches, is beyond a limit."""
    return _permanent(
        "FMT143",
        "The .ald file is beyond a limit",
        detail,
        "Write smaller parts or batches, or `formatOptions.ald.layout: B`.",
    )


def not_storable(reason: str) -> ConnectorError:
    """A column's type has no place in an `.ald` file."""
    return _permanent(
        "FMT144",
        "The table cannot be stored as .ald",
        reason,
        "Exclude the column, or choose `format: arrow`.",
    )


def bad_option(detail: str) -> ConnectorError:
    """A value under `formatOptions.ald` is wrong."""
    return _permanent(
        "FMT145",
        "An option of the format ald is wrong",
        detail,
        "Set `layout` to A or B and `compression` to none, zstd, zstd19 or lz4 (A only).",
    )


def foreign_checksum() -> Diagnostic:
    """Say that the file carries a true CRC-32, which alimentar itself refuses."""
    return Diagnostic(
        code="FMT146",
        summary="The .ald file carries a true CRC-32",
        detail="A corrected or foreign writer made it; released builds of alimentar refuse it.",
        fix="Nothing is needed to read it here; write it again to make alimentar read it.",
        severity=Severity.WARNING,
    )


def signature_unchecked() -> Diagnostic:
    """Say that the file is signed and that nobody checked by whom."""
    return Diagnostic(
        code="FMT147",
        summary="The signature of the .ald file was not verified",
        detail="The file is signed; its bytes are whole, but whose signature it is was not asked.",
        fix="Verify it with alimentar and the signer's key where that matters.",
        severity=Severity.NOTE,
    )
