"""Which level a tier gets on this machine, and when the answer is that nothing runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.tier import Tier
from batuta.runtime.sandbox import advice
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import Finding, finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What decides about a worker's level.

    `local_ends`: source and destination are folders of this machine. `declared`: the tier is
    written in the manifest, not derived. `filtered_allowed`: the egress policy of a
    HybridSovereign dataset says that *filtered* will do. `required`: the workspace says
    `enforcement: Required`.
    """

    tier: Tier
    local_ends: bool
    declared: bool = True
    filtered_allowed: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The level that a worker gets, the layers that stand, and what better ones lacked.

    `lost` has a line for each better level that was passed over, and for each missing layer.
    """

    level: Level
    layers: frozenset[str] = frozenset()
    lost: tuple[str, ...] = ()

    @property
    def enforced(self) -> bool:
        """What plan, log and audit record as `enforced`."""
        return self.level.enforced


def accepted(need: Need) -> tuple[Level, ...]:
    """Return the enforced levels that will do, best first. Pure."""
    if need.local_ends:
        return (Level.ISOLATED, Level.SEALED)
    match need.tier:
        case Tier.FULLY_SOVEREIGN:
            return (Level.ISOLATED,)
        case Tier.HYBRID_SOVEREIGN:
            return (Level.ISOLATED, *((Level.FILTERED,) if need.filtered_allowed else ()))
        case Tier.PRIVATE_CLOUD | Tier.STANDARD:
            return (Level.ISOLATED, Level.FILTERED)
        case _:
            assert_never(need.tier)


def goes_on_unenforced(need: Need) -> bool:
    """True where a worker may run without any level. Pure."""
    return not need.required and (need.tier is Tier.STANDARD or not need.declared)


def choose(need: Need, found: Callable[[Level], Finding] = finding) -> Choice:
    """Return the best level that this machine gives and that will do.

    Raises:
        BatutaError: EGR201, none will do and the tier does not go on without. Nothing was
            started; the fix names the setting that would help.
    """
    lost: list[str] = []
    levels = accepted(need)
    for level in levels:
        got = found(level)
        if got.given:
            lost += [f"{level}: no {layer} ({why})" for layer, why in sorted(got.lost.items())]
            return Choice(level=level, layers=got.layers, lost=tuple(lost))
        lost.append(f"{level}: step `{got.step}`: {got.reason}")
    if goes_on_unenforced(need):
        return Choice(level=Level.ADVISORY, lost=tuple(lost))
    raise BatutaError(_refused(need, levels, lost, found))


def _would_do_filtered(need: Need) -> bool:
    """True where only a sentence of the egress policy is missing for *filtered*."""
    network = not need.local_ends and not need.filtered_allowed
    return network and need.tier is Tier.HYBRID_SOVEREIGN


def _refused(
    need: Need, levels: tuple[Level, ...], lost: list[str], found: Callable[[Level], Finding]
) -> Diagnostic:
    facts = advice.gather()
    steps = [step for level in levels for step in advice.raising(level, found(level), facts)]
    ends = "between local folders" if need.local_ends else "with an end on the network"
    why = "its tier is declared" if need.declared else "the workspace requires enforcement"
    if need.tier is Tier.STANDARD:
        why = "the workspace requires enforcement"
    ways = [step.line() for step in steps]
    if _would_do_filtered(need) and found(Level.FILTERED).given:
        ways.append("accept *filtered*: `weakestLevel: Filtered` in its EgressPolicy")
    return Diagnostic(
        code="EGR201",
        summary="The enforcement that the tier needs is not available here",
        detail=f"A {need.tier} run {ends} needs the level {' or '.join(levels)}, and {why}. "
        + "; ".join(lost)
        + ".",
        fix="; or ".join(dict.fromkeys(ways))
        or "Run it on Linux, where the levels can be had; `batuta doctor` says which.",
    )
