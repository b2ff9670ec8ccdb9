"""What a run writes down of itself while it happens, for whoever asks later.

None of it can be found out afterwards: which egress policies were in force, how workers were
confined, how far the egress log had come. It goes into the journal of steps and, where there is
a key, into the signature of each entry that the run commits.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from batuta.model.canonical import Json
from batuta.model.egress import LogHead
from batuta.model.plan import Action
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.seals import Seals


@dataclass(frozen=True, slots=True)
class Confined:
    """How the workers of one version were confined: the weakest of them counts.

    `level` is None where no worker of this run made what was committed.
    """

    level: str | None
    enforced: bool

    @staticmethod
    def of(levels: Collection[str]) -> "Confined":
        """Return the weakest; where there is none, or an unknown one, nothing is claimed."""
        order = [level.value for level in Level]
        if not levels or not set(levels) <= set(order):
            return Confined(None, enforced=False)
        weakest = Level(max(levels, key=order.index))
        return Confined(weakest.value, weakest.enforced)

    @property
    def facts(self) -> dict[str, Json]:
        """What is recorded of it."""
        return {"enforced": self.enforced, "level": self.level}


@dataclass
class Witness:
    """The record that one run makes of itself. Safe for several threads.

    `policies` answers with the digest of the egress policies in force for a dataset, by name, and
    `head` with the last line of the egress log.
    """

    seals: Seals | None
    policies: Callable[[str], str]
    head: Callable[[], LogHead]
    _stood: dict[str, frozenset[str]] = field(default_factory=dict)
    _sets: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)  # one of each
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def heard(self, dataset: str, level: str) -> None:
        """Take note of how a worker that is about to serve a dataset is confined."""
        with self._guard:
            stood = self._stood.get(dataset, frozenset()) | {level}
            self._stood[dataset] = self._sets.setdefault(stood, stood)

    def begun(self, action: Action) -> dict[str, Json]:
        """Return what the intent of an action says; recovery looks at the destination with it."""
        return {
            "destination": action.target.destination,
            "platform": action.target.destination_platform,
            "origin": action.target.origin,
            "manifest": action.preconditions.manifest,
            "policies": self.policies(_name(action)),
        }

    def ended(self, action: Action) -> dict[str, Json]:
        """Return what the outcome of an action says, whatever it was."""
        with self._guard:
            confined = Confined.of(self._stood.get(_name(action), ()))
        return {
            "destination": action.target.destination,
            "platform": action.target.destination_platform,
            "policies": self.policies(_name(action)),
            **confined.facts,
        }

    def committing(self, action: Action, confined: Confined) -> None:
        """Have the signature of the entry that is committed now say what is known."""
        if self.seals is None:
            return
        head = self.head()
        self.seals.tell(
            action.target.resource,
            enforcement=confined.facts,
            policies=self.policies(_name(action)),
            egress_head={"n": head.n, "digest": head.digest},
        )


def _name(action: Action) -> str:
    return action.target.resource.partition("/")[2]
