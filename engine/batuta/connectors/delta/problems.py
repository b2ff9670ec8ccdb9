"""Every refusal of this connector, by code: the summary and the way out stand here once."""

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure

_TEXTS = {
    "DLT101": (
        "No Delta table there",
        "Check the address: it names the folder that holds `_delta_log`.",
    ),
    "DLT102": (
        "Version of the table not there",
        "Pin `source.version` to a version that `_delta_log` still holds, or leave it out.",
    ),
    "DLT103": (
        "Delta feature not supported",
        "Exclude the table, drop the feature at the source, or read the table through its "
        "platform's own connector.",
    ),
    "DLT104": (
        "Delta log cannot be read",
        "Repair the table with the engine that writes it, or pin `source.version` to a version "
        "before the damage.",
    ),
    "DLT105": (
        "Data file missing or changed",
        "Pin `source.version` to a newer version, restore the file from a backup, or let the "
        "engine that writes the table drop the entry (FSCK REPAIR TABLE).",
    ),
    "DLT106": (
        "Column cannot be read as the table declares it",
        "Rewrite the file with the engine that writes the table (OPTIMIZE or REORG TABLE), or "
        "change the column's type there.",
    ),
    "DLT107": (
        "Address not readable as a Delta table",
        "Use `delta+PATH` or `delta+s3://BUCKET/PREFIX`, with a path without percent signs "
        "and backslashes.",
    ),
    "DLT108": (
        "Table version not understood",
        "Write `source.version` as a whole number (`12`) or an RFC 3339 time with its zone "
        "(`2026-03-01T00:00:00Z`).",
    ),
    "DLT109": (
        "Storage did not answer",
        "Check the endpoint and the network, then run the same command again.",
    ),
    "DLT110": (
        "Storage refused access",
        "Check the credentials of the Platform that the table's bucket belongs to, and their "
        "right to list and read under the table's prefix.",
    ),
}


def problem(code: str, detail: str, kind: Failure = Failure.PERMANENT) -> ConnectorError:
    """Return the error of `code` with `detail`, a full sentence that names the thing."""
    summary, fix = _TEXTS[code]
    return ConnectorError(Diagnostic(code=code, summary=summary, detail=detail, fix=fix), kind=kind)
