"""What batuta remembers: one record per resource, runs, and a journal of steps.

The state is the index of what was done and why; the destinations' logs are the authority on
what is there, and the records can be rebuilt from them.
"""

from dataclasses import dataclass
from typing import Literal

from batuta.model.canonical import Json
from batuta.model.egress import LogHead
from batuta.model.log import Facts, Head, Label

STATE_FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRecord:
    """What was last made true of one resource. `revision` grows with each write of it.

    `head` anchors the destination's log: an older or foreign head there may be a rollback.
    """

    address: str
    revision: int
    destination: str
    destination_platform: str | None
    origin: str
    owner: Literal["Created", "Imported"]
    head: Head
    facts: Facts
    label: Label
    run: str
    plan: str | None
    manifest: str = ""


RunStatus = Literal["running", "done", "partial", "failed", "cancelled", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One apply. Times are RFC 3339 UTC; `ended_at` is None while it runs or when it died.

    `egress_head` anchors the egress log: its last line when the run ended, or, of a run that did
    not end by itself, when it began. None where nothing was kept.
    """

    id: str
    command: str
    plan: str
    actor: str
    started_at: str
    ended_at: str | None
    status: RunStatus
    actions: int
    done: int
    failed: int
    bytes_read: int = 0
    refused: int = 0
    egress_head: LogHead | None = None


StepStatus = Literal["intent", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """An intent, later its outcome, for one step of one action; `detail` says what of."""

    run: str
    action: str
    step: str
    status: StepStatus
    detail: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who may write the state. `token` grows with every taking and fences older holders."""

    token: int
    holder: str
    host: str
    pid: int
    command: str
    taken_at: str
    beat_at: str
    expires_at: str
