"""What a worker is started for: its part in the work, how it must be kept, and what it may see.

A worker serves requests of one posting only, so that nothing which it was given for one piece of
work is there for work of another clearance, policy or set of credentials.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from batuta.core.egress.policy import Policy
from batuta.model.tier import Tier
from batuta.runtime.sandbox.levels import Choice, Need

if TYPE_CHECKING:
    from batuta.runtime.egress.station import CredentialHook


class Role(StrEnum):
    """The part that a worker plays."""

    CONTROL = "control"
    DATA = "data"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The only way out of a worker: what it may reach, and whose budgets count.

    `policy` is what the gateway goes by; `whole` is the dataset's own, whose caps the workers of
    a run share. `credentials` signs requests for the worker, which then holds stand-ins, and the
    posting's `holder` names them; `keeps` lets those go out that it has itself, and is for workers
    that are given keys.
    """

    policy: Policy
    whole: Policy
    credentials: "CredentialHook | None" = field(default=None, compare=False)
    keeps: bool = False


_NOTHING = Policy(tier=Tier.FULLY_SOVEREIGN)
CLOSED = Way(policy=_NOTHING, whole=_NOTHING)
"""A way that leads nowhere, so that what is tried on it is refused, and in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Workers of equal postings may stand in for each other.

    `clearance` is the confidentiality of what such a worker may see; `holder` names the
    credentials that it is handed, empty for none. `read` and `write` are absolute paths.
    `way` None: no network at all. `stop`: it ends with the first connection that is refused.
    """

    role: Role
    need: Need
    clearance: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    way: Way | None = None
    holder: str = ""
    stop: bool = False

    def is_elsewhere(self, other: "Posting") -> bool:
        """True where `other` is for the same kind of work in other folders."""
        if self.role is not other.role or (self.read, self.write) == (other.read, other.write):
            return False
        return replace(self, read=other.read, write=other.write) == other


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One request's worker: of which posting, and for whom it goes.

    `uses` are those of the posting's paths that this request needs; where one of them is not
    what it was when a worker started, that worker cannot see it and another one is started.
    `stood` hears how the worker that is about to serve is confined.
    """

    posting: Posting
    dataset: str
    action: str = ""
    uses: tuple[str, ...] = ()
    stood: Callable[[Choice], None] = lambda _choice: None
