"""What this machine enforces, as one report: each level tried, and what each tier gets of it."""

from collections.abc import Callable
from dataclasses import dataclass

from batuta.model.tier import Tier
from batuta.runtime.sandbox import advice
from batuta.runtime.sandbox.advice import Facts, Step
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Need, accepted
from batuta.runtime.sandbox.probe import Finding, finding


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelReport:
    """One level: whether it is given, the layers that stood, and what would raise it.

    `lost` are (layer, why) of parts that are missing from a level that is given; `step` and
    `reason` say what failed where it is not.
    """

    level: Level
    given: bool
    layers: tuple[str, ...]
    lost: tuple[tuple[str, str], ...]
    step: str
    reason: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """What a declared tier gets: a level between local folders, and one with a network end.

    `policy` is the level with a network end where the dataset's egress policy accepts
    *filtered*. None: such a run is refused.
    """

    tier: Tier
    local: Level | None
    network: Level | None
    policy: Level | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole answer of `batuta doctor`."""

    facts: Facts
    levels: tuple[LevelReport, ...]
    tiers: tuple[TierReport, ...]

    @property
    def whole(self) -> bool:
        """True where the best level is given with all of its layers."""
        return self.levels[0].given and not self.levels[0].lost


def doctor(found: Callable[[Level], Finding] = finding) -> Report:
    """Try every level and return what came of it. Starts a few tiny workers; changes nothing."""
    facts = advice.gather()
    tried = [level for level in Level if level.enforced]
    return Report(
        facts=facts,
        levels=tuple(_level(level, found(level), facts) for level in tried),
        tiers=tuple(_tier(tier, found) for tier in Tier),
    )


def _level(level: Level, got: Finding, facts: Facts) -> LevelReport:
    return LevelReport(
        level=level, given=got.given, layers=tuple(sorted(got.layers)),
        lost=tuple(sorted(got.lost.items())), step=got.step, reason=got.reason,
        steps=tuple(advice.raising(level, got, facts)),
    )  # fmt: skip


def _tier(tier: Tier, found: Callable[[Level], Finding]) -> TierReport:
    def best(*, local: bool, filtered: bool = False) -> Level | None:
        need = Need(tier=tier, local_ends=local, filtered_allowed=filtered)
        given = (level for level in accepted(need) if found(level).given)
        last = Level.ADVISORY if tier is Tier.STANDARD else None
        return next(given, last)

    return TierReport(
        tier=tier, local=best(local=True), network=best(local=False),
        policy=best(local=False, filtered=True),
    )  # fmt: skip
