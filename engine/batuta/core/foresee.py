"""The tier of a dataset before its data is seen: what may be contacted is decided from it.

A declared tier is known. One that is to be derived depends on the label of the data too, which
only a look can tell; it is foreseen from the ends, from what owners stated and from what batuta
remembers. The plan derives it again from what was found.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from batuta.core.case import World, ends_of
from batuta.core.sovereignty import Question, unseen
from batuta.core.tiers import RANK, Carried, End, derive, known, platform_label
from batuta.model.diagnostic import Diagnostic
from batuta.model.resource import Dataset, SourcePart
from batuta.model.state import ResourceRecord
from batuta.model.tier import Network, Tier

_TIERS = {tier.value: tier for tier in Tier}


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A tier, whether it is declared, and why it is refused whatever the data turns out to be."""

    tier: Tier
    declared: bool
    refused: tuple[Diagnostic, ...] = ()


def foresee(world: World, dataset: Dataset, records: Mapping[str, ResourceRecord]) -> Foreseen:
    """Return the tier that a dataset has, as far as it can be known without a look.

    Args:
        records: What the state remembers, by name of the dataset.
    """
    ends = ends_of(world, dataset)
    declared = dataset.tier or world.input.desired.workspace.default_tier
    parts: tuple[SourcePart, ...] = dataset.source.merge or (dataset.source,)
    refused = _refused(world, dataset, ends, parts, declared)
    if declared is not None:
        return Foreseen(tier=declared, declared=True, refused=refused)
    each = tuple(
        _carried(world, part, end, records) for part, end in zip(parts, ends, strict=False)
    )
    tier = derive(ends, each[0] if len(each) == 1 else Carried(parts=each)) or Tier.STANDARD
    before = records.get(dataset.name)
    if before is not None and before.facts.tier_derived:
        # What was found the last time holds as long as nothing stronger is asked for.
        last = _TIERS.get(before.facts.tier, tier)
        tier = max(tier, last, key=lambda each: RANK[each])
    return Foreseen(tier=tier, declared=False, refused=refused)


def _refused(
    world: World,
    dataset: Dataset,
    ends: tuple[End, ...],
    parts: tuple[SourcePart, ...],
    declared: Tier | None,
) -> tuple[Diagnostic, ...]:
    """Return what forbids the transfer although nobody has looked at the data.

    Between local ends a look contacts nobody, and a label found there outranks what was stated.
    """
    outside = any(end.network is not Network.LOCAL for end in ends)
    # A merge is refused with what met and how to go on, which takes a look at each of its inputs.
    alone = len(parts) == 1 and ends[0].network is Network.LOCAL
    carried = Carried(stated=parts[0].origin_tier) if outside and alone else Carried()
    workspace = world.input.desired.workspace
    return unseen(
        Question(dataset=dataset, workspace=workspace, ends=ends, carried=carried), declared
    )


def _carried(
    world: World, part: SourcePart, end: End, records: Mapping[str, ResourceRecord]
) -> Carried:
    if part.dataset is not None:
        if (record := records.get(part.dataset)) is not None:
            return Carried(label=known(record.label))
        upstream = world.datasets.get(part.dataset)
        return Carried(stated=upstream.tier if upstream is not None else None)
    if end.network is Network.LOCAL:
        return Carried(stated=part.origin_tier)
    return Carried(label=platform_label(end.network, end.platform_type))
