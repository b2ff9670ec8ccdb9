"""The exit codes: one table, frozen by a test, and what each outcome maps to.

The numbers are a promise to scripts. A code that is new here is new in the documentation too.
"""

from collections.abc import Iterable
from enum import IntEnum

from batuta.model.diagnostic import (
    BatutaError,
    CommitConflict,
    ConnectorError,
    Diagnostic,
    Failure,
    Severity,
    StalePlan,
    StateLocked,
)
from batuta.model.event import RunReport
from batuta.model.plan import Blocked, Plan


class Exit(IntEnum):
    """What the process says when it ends."""

    OK = 0
    ERROR = 1
    CHANGES = 2
    INVALID = 3
    POLICY = 4
    COST = 5
    STALE = 6
    LOCKED = 7
    PARTIAL = 8
    CANCELLED = 9
    TIMEOUT = 10
    DRIFT = 11
    AUTH = 12
    STOPPED = 13
    SOVEREIGNTY = 14
    ENFORCEMENT = 15
    EXPIRED = 16
    BUG = 70


MEANING = {
    Exit.OK: "success; for `plan` also when there are changes, unless `--detailed-exitcode` is given",
    Exit.ERROR: "an error that no other code names",
    Exit.CHANGES: "`--detailed-exitcode` only: changes are pending",
    Exit.INVALID: "invalid manifests or flags, or a secret in the arguments; nothing was contacted",
    Exit.POLICY: "policy denied, or an approval is missing",
    Exit.COST: "a cost gate stopped the line",
    Exit.STALE: "the plan is stale, or its digest is not the approved one",
    Exit.LOCKED: "the lock on the state was not obtained",
    Exit.PARTIAL: "applied partially; the same command resumes",
    Exit.CANCELLED: "cancelled cleanly (Ctrl-C, SIGTERM)",
    Exit.TIMEOUT: "a time limit was reached",
    Exit.DRIFT: "`drift --detailed-exitcode` only: there is drift",
    Exit.AUTH: "authentication or authorisation failed",
    Exit.STOPPED: "stopped by drift, or by an action that would lose data",
    Exit.SOVEREIGNTY: "a tier, label or egress rule refused",
    Exit.ENFORCEMENT: "the enforcement that the tier needs is not available here",
    Exit.EXPIRED: "credentials expired during the run; the same command resumes",
    Exit.BUG: "a bug in batuta; a report was written",
}

# By the three letters of a diagnostic's code; codes that differ from their area follow.
AREAS = {
    "CLI": Exit.INVALID,
    "MAN": Exit.INVALID,
    "SOV": Exit.SOVEREIGNTY,
    "EGR": Exit.SOVEREIGNTY,
    "LBL": Exit.SOVEREIGNTY,
    "CST": Exit.COST,
    "DRF": Exit.STOPPED,
    "POL": Exit.POLICY,
}
CODES = {
    "AWS101": Exit.AUTH,
    "AWS102": Exit.AUTH,
    "AWS108": Exit.EXPIRED,
    "CLI103": Exit.ERROR,
    "CLI105": Exit.STALE,
    "CLI106": Exit.STOPPED,
    "CLI107": Exit.COST,
    "CLI109": Exit.ERROR,
    "CLI110": Exit.ERROR,
    "CLI111": Exit.ERROR,
    "CLI112": Exit.ERROR,
    "DAT102": Exit.INVALID,
    "DAT103": Exit.INVALID,
    "DLT110": Exit.AUTH,
    "EGR201": Exit.ENFORCEMENT,
    "EGR202": Exit.ENFORCEMENT,
    "EGR203": Exit.ERROR,
    "EGR204": Exit.ERROR,
    "EGR401": Exit.INVALID,
    "EGR402": Exit.INVALID,
    "EGR403": Exit.INVALID,
    "EXT101": Exit.INVALID,
    "EXT103": Exit.INVALID,
    "EXT104": Exit.INVALID,
    "LCK101": Exit.LOCKED,
    "LCK102": Exit.LOCKED,
    "PLN108": Exit.POLICY,
    "PLN112": Exit.STOPPED,
    "PLN117": Exit.INVALID,
    "PLN128": Exit.INVALID,
    "PLN131": Exit.INVALID,
    "PLN132": Exit.INVALID,
    "PLN133": Exit.INVALID,
    "PLN141": Exit.INVALID,
    "PLN142": Exit.INVALID,
    "PLN143": Exit.INVALID,
    "PLN144": Exit.INVALID,
    "PLN190": Exit.INVALID,
    "PLN191": Exit.INVALID,
    "PLN192": Exit.STALE,
    "SEC101": Exit.AUTH,
}

# Where several reasons meet: what the user must repair first, most general last.
_FIRST = (
    Exit.INVALID,
    Exit.AUTH,
    Exit.ENFORCEMENT,
    Exit.SOVEREIGNTY,
    Exit.POLICY,
    Exit.COST,
    Exit.STOPPED,
    Exit.STALE,
    Exit.LOCKED,
    Exit.EXPIRED,
    Exit.TIMEOUT,
)


def of_diagnostics(diagnostics: Iterable[Diagnostic]) -> Exit:
    """Return the code for findings: OK where none is an error, else the first in importance."""
    errors = [d for d in diagnostics if d.severity is Severity.ERROR]
    if not errors:
        return Exit.OK
    found = {CODES.get(d.code, AREAS.get(d.code[:3], Exit.ERROR)) for d in errors}
    return next((code for code in _FIRST if code in found), Exit.ERROR)


def of_error(error: BatutaError) -> Exit:
    """Return the code for an exception that ended the command."""
    match error:
        case StateLocked():
            return Exit.LOCKED
        case StalePlan() | CommitConflict():
            return Exit.STALE
        case ConnectorError(kind=Failure.AUTH):
            return Exit.AUTH
        case ConnectorError(kind=Failure.EXPIRED):
            return Exit.EXPIRED
        case ConnectorError(kind=Failure.CHANGED):
            return Exit.STALE
        case _:
            code = of_diagnostics(error.diagnostics)
            return Exit.ERROR if code is Exit.OK else code


def of_plan(plan: Plan, *, detailed: bool = False) -> Exit:
    """Return the code of `plan`: the gate that stops it, else success or pending changes."""
    found = [*plan.diagnostics]
    for action in plan.actions:
        if isinstance(action, Blocked):
            found += action.diagnostics
    code = of_diagnostics(found)
    if code is Exit.OK and plan.is_blocked:
        return Exit.ERROR
    if code is Exit.OK and detailed and plan.has_changes:
        return Exit.CHANGES
    return code


# What a refused connection does not outweigh.
_BEFORE_REFUSALS = frozenset(
    (Exit.INVALID, Exit.AUTH, Exit.ENFORCEMENT, Exit.CANCELLED, Exit.LOCKED, Exit.STALE)
)


def with_refusals(code: Exit, refused: int) -> Exit:
    """Return the code of a command in which so many connections of workers were refused."""
    return Exit.SOVEREIGNTY if refused and code not in _BEFORE_REFUSALS else code


def of_report(report: RunReport) -> Exit:
    """Return the code of a run that has ended."""
    return with_refusals(_of_status(report), report.refused)


def _of_status(report: RunReport) -> Exit:
    match report.status:
        case "done":
            return Exit.OK
        case "cancelled":
            return Exit.CANCELLED
        case "partial" | "failed":
            found = [d for outcome in report.outcomes for d in outcome.diagnostics]
            code = of_diagnostics(found)
            if report.status == "failed":
                return Exit.ERROR if code is Exit.OK else code
            return Exit.EXPIRED if code is Exit.EXPIRED else Exit.PARTIAL
