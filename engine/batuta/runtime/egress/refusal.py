"""A refused connection as a diagnostic: which host, why, and the line that could change it."""

from batuta.core.egress.codes import MEANING, UNREACHED, Code
from batuta.model.diagnostic import Diagnostic
from batuta.runtime.egress.audit import Row

GONE = "gone"
"""The code of a worker that went away before there was a verdict."""
_SPENT: dict[str, str] = {
    Code.BUDGET_UPLOAD: "If so much may go there, raise `maxUpload` of the rule.",
    Code.BUDGET_BYTES: "If so much may move, raise `maxBytes` of the EgressPolicy that applies.",
}
_FAILED = UNREACHED | {GONE}


def has_failed(row: Row) -> bool:
    """True where nobody was reached or asked, which is no refusal.

    By the code, since older logs have no verdict of its own for it.
    """
    return row.verdict in {"deny", "fail"} and row.code in _FAILED


def diagnostic_of(row: Row) -> Diagnostic | None:
    """Return what a line of the log means to the user; None where nothing was refused.

    The detail says who named the host where a redirect did, since the user may never have heard
    of it.
    """
    if row.verdict not in {"deny", "fail"} or row.code == GONE:
        return None
    place = f"{row.host}:{row.port}" if row.host else ascii(row.target)[1:-1] or "the gateway"
    meaning = MEANING[Code(row.code)] if row.code in set(Code) else row.code
    asked = f"{row.referrer} redirected to it. " if row.referrer else ""
    what = f" for {row.dataset}" if row.dataset else ""
    rule = f" The rule is {row.rule} ({row.line})." if row.rule else ""
    if has_failed(row):
        return Diagnostic(
            code="EGR307",
            summary="A host could not be reached",
            detail=f"{place}{what}: {row.detail or meaning} (`{row.code}`).{rule}",
            fix="Check the host's name and the network of this machine, then run it again.",
            address=row.action or None,
        )
    return Diagnostic(
        code="EGR306",
        summary="A connection was refused",
        detail=f"{place}{what}: {asked}{meaning} {row.detail} (`{row.code}`).{rule}",
        fix=_SPENT.get(row.code)
        or "If the host belongs to this dataset, allow it under `allow` of the EgressPolicy that "
        f"applies; `batuta egress explain {row.host or 'HOST'} --dataset"
        f" {row.dataset.removeprefix('Dataset/') or 'DATASET'}` says which one that is.",
        address=row.action or None,
    )
