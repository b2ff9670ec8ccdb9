"""What a run tells while it goes on, and the report at its end. Renderers listen; nobody prints."""

from dataclasses import dataclass
from typing import Literal

from batuta.model.diagnostic import Diagnostic
from batuta.model.log import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Observing:
    """Looking at sources and destinations: `done` of `total`, now at `what`."""

    done: int
    total: int
    what: str
    kind: Literal["observing"] = "observing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run begins; `resumes` is the dead run whose chunks are taken up, if any."""

    run: str
    plan: str
    actions: int
    resumes: str | None = None
    kind: Literal["run-started"] = "run-started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStarted:
    """One action begins. Totals are 0 where nothing moves."""

    address: str
    action: str
    total_bytes: int = 0
    total_rows: int | None = None
    kind: Literal["action-started"] = "action-started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionProgress:
    """How far an action has come since it began, chunks of earlier runs included."""

    address: str
    bytes_done: int
    rows_done: int
    files_done: int
    kind: Literal["action-progress"] = "action-progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """A failed step is tried again after `wait_s` seconds."""

    address: str
    attempt: int
    wait_s: float
    reason: str
    kind: Literal["retrying"] = "retrying"


ActionStatus = Literal["done", "failed", "skipped", "not-started", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFinished:
    """One action ended. `because_of` names the resource whose failure made this one skip."""

    address: str
    action: str
    status: ActionStatus
    diagnostics: tuple[Diagnostic, ...] = ()
    because_of: str | None = None
    head: Head | None = None
    bytes_read: int = 0
    rows: int | None = None
    files: int = 0
    enforced: bool = False
    kind: Literal["action-finished"] = "action-finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """All outcomes of a run, in plan order. `seconds` is wall time."""

    run: str
    plan: str
    status: Literal["done", "partial", "failed", "cancelled"]
    outcomes: tuple[ActionFinished, ...]
    bytes_read: int
    seconds: float
    kind: Literal["run-finished"] = "run-finished"


Event = (
    Observing | RunStarted | ActionStarted | ActionProgress | Retrying | ActionFinished | RunReport
)
