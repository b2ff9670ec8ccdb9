"""What went wrong or is worth knowing: values that say what, where and how to fix it.

Functions that check user input return all the diagnostics they find. Exceptions mean
that the action at hand cannot go on; each carries at least one diagnostic. Anything
else that is raised is a bug and keeps its traceback.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """How much a diagnostic matters: an error stops, a warning and a note do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a text that a person wrote; line and column count from 1.

    `file` is relative to the workspace, or `<command line>`. `length` is the number of
    characters to underline, 0 where it is not known.
    """

    file: str
    line: int
    column: int
    length: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding: a stable code, a fixed summary, a detail in full sentences, a fix.

    `code` is three letters for the area and three digits (`MAN101`). `summary` is the same
    for every use of the code and holds no user text. `detail` names the thing. `fix` is an
    action the reader can take now. `address` is the resource, for example `Dataset/orders`.
    """

    code: str
    summary: str
    detail: str
    fix: str
    severity: Severity = Severity.ERROR
    locations: tuple[Location, ...] = ()
    address: str | None = None


_RESYNC = re.compile(r"with `batuta apply --resync [^`]*`")


def typed_again(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return findings with the way out of a one-line command, which no manifest stands behind."""
    way = "by typing the command that made it again with `--resync`"
    return tuple(replace(each, fix=_RESYNC.sub(way, each.fix)) for each in found)


class BatutaError(Exception):
    """The action at hand cannot go on. Carries one or more diagnostics, the first the cause."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return "; ".join(f"{d.code} {d.summary}: {d.detail}" for d in self.diagnostics)


class ConnectorError(BatutaError):
    """A platform, a file or a format refused. `kind` says whether another try can help."""

    def __init__(
        self, diagnostic: Diagnostic, *, kind: "Failure", retry_after_s: float = 0
    ) -> None:
        super().__init__(diagnostic)
        self.kind = kind
        self.retry_after_s = retry_after_s


class Failure(StrEnum):
    """The classes of failure that a retry policy tells apart.

    TRANSIENT and THROTTLED are tried again; EXPIRED means that an address was signed too
    long ago and is tried again with a fresh one; CHANGED means that the source moved under
    the reader and a new plan is needed; AUTH, CONFLICT and PERMANENT are final.
    """

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    EXPIRED = "expired"
    CHANGED = "changed"
    AUTH = "auth"
    CONFLICT = "conflict"
    PERMANENT = "permanent"


class StalePlan(BatutaError):
    """The world moved since the plan was made; the diagnostics say what moved."""


class StateLocked(BatutaError):
    """Another run holds the lease on the state; waiting or `batuta lock steal` may help."""


class CommitConflict(BatutaError):
    """Another writer committed this log version first. Never retried blindly: plan again."""


class CommitUnsettled(BatutaError):
    """The entry is there, or may be, and what comes after it was refused: recovery settles it."""
