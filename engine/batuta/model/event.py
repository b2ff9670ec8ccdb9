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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRefused:
    """A worker tried to reach what its policy does not let it, and was refused.

    `dataset` is whom it worked for, `action` the resource of the action (empty while looking).
    `code` is the gateway's verdict, `rule` and `line` the rule that said so, where one did.
    """

    dataset: str
    action: str
    host: str
    port: int
    code: str
    detail: str
    rule: str = ""
    line: str = ""
    kind: Literal["connection-refused"] = "connection-refused"


ActionStatus = Literal["done", "failed", "skipped", "not-started", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFinished:
    """One action ended. `because_of` names the resource whose failure made this one skip.

    `level` is the weakest at which a worker was confined that made what was committed, None
    where none did; `enforced` says whether the operating system held it.
    """

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
    level: str | None = None
    kind: Literal["action-finished"] = "action-finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """All outcomes of a run, in plan order. `seconds` is wall time.

    `refused` counts the connections of workers that were refused.
    """

    run: str
    plan: str
    status: Literal["done", "partial", "failed", "cancelled"]
    outcomes: tuple[ActionFinished, ...]
    bytes_read: int
    seconds: float
    refused: int = 0
    kind: Literal["run-finished"] = "run-finished"


Event = (
    Observing
    | RunStarted
    | ActionStarted
    | ActionProgress
    | Retrying
    | ConnectionRefused
    | ActionFinished
    | RunReport
)
