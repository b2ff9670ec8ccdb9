"""How this machine keeps the workers of a plan: asked before anything is contacted, and shown.

A level is a fact of the machine and no part of the plan, so that a plan has the same digest
wherever it is made; what cannot be kept as its tier demands is blocked in it all the same.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from batuta.model.diagnostic import BatutaError, Diagnostic, Location
from batuta.model.plan import Blocked, Kept, NoOp, Plan, Release
from batuta.runtime.borders import Border, Borders
from batuta.runtime.sandbox import levels
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Choice, Need

Choose = Callable[[Need], Choice]


@dataclass
class Keeping:
    """Which level each need gets here; each is found once. `choose` raises EGR201."""

    choose: Choose = levels.choose
    _found: dict[Need, Choice | Diagnostic] = field(default_factory=dict)

    def of(self, need: Need) -> Choice | Diagnostic:
        """Return the level that a need gets, or why it gets none."""
        if need not in self._found:
            try:
                self._found[need] = self.choose(need)
            except BatutaError as error:
                self._found[need] = error.diagnostics[0]
        return self._found[need]

    def refusal(
        self, border: Border, address: str, where: tuple[Location, ...]
    ) -> Diagnostic | None:
        """Return why nothing may be started for a dataset on this machine, None where it may."""
        found = self.of(border.need)
        if isinstance(found, Choice):
            return None
        return replace(found, address=address, locations=where)

    def workers(self, plan: Plan, borders: Borders) -> tuple[Kept, ...]:
        """Return how the workers of a plan are kept, the level of most of them first."""
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
        for action in plan.actions:
            if isinstance(action, NoOp | Blocked | Release):
                continue
            resource = action.target.resource
            found = self.of(borders.of(resource.partition("/")[2]).need)
            if isinstance(found, Choice):
                lost = () if found.enforced else found.lost
                groups[found.level.value, lost].append(resource)
        ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
        return tuple(
            Kept(
                level=level,
                enforced=level != Level.ADVISORY,
                resources=tuple(sorted(names)),
                lost=lost,
            )
            for (level, lost), names in ordered
        )
