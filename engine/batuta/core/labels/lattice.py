"""The lattice of labels: what data may flow where, as an order with joins and meets.

A label says how secret data is, how far it can be trusted, where it may lie and whose it is.
Data may flow from one label to another that is as secret or more, asks for no more trust, lies
in no further region and names every owner. Values only; who decides what is `flows`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from batuta.model import log
from batuta.model.tier import Tier


@dataclass(frozen=True, slots=True)
class Names:
    """A set of names, or all names there are (`every`), with the order of inclusion."""

    some: frozenset[str] = frozenset()
    every: bool = False

    def __le__(self, other: "Names") -> bool:
        return other.every or (not self.every and self.some <= other.some)

    def __and__(self, other: "Names") -> "Names":
        if self.every or other.every:
            return other if self.every else self
        return Names(self.some & other.some)

    def __or__(self, other: "Names") -> "Names":
        if self.every or other.every:
            return ALL
        return Names(self.some | other.some)

    def __contains__(self, name: object) -> bool:
        return self.every or name in self.some

    @property
    def none(self) -> bool:
        """True where not one name is in it."""
        return not self.every and not self.some


ALL = Names(every=True)
NONE = Names()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A point of the lattice.

    `confidentiality` is the least sovereign tier that may hold the data, `integrity` the tier of
    its least trusted origin so far, `regions` where it may lie, `owners` who must agree before
    it is released.
    """

    confidentiality: Tier
    integrity: Tier
    regions: Names = ALL
    owners: Names = NONE


BOTTOM = Label(confidentiality=Tier.STANDARD, integrity=Tier.FULLY_SOVEREIGN)
"""Flows everywhere: public, wholly trusted, nobody's, allowed in every region."""
TOP = Label(confidentiality=Tier.FULLY_SOVEREIGN, integrity=Tier.STANDARD, regions=NONE, owners=ALL)
"""Unknown: as secret as can be, trusted by nobody, allowed nowhere. No place takes it in."""


def flows(source: Label, target: Label) -> bool:
    """True where data labelled `source` may come to be labelled `target`: source ⊑ target."""
    return (
        source.confidentiality.rank >= target.confidentiality.rank
        and source.integrity.rank <= target.integrity.rank
        and target.regions <= source.regions
        and source.owners <= target.owners
    )


def join(one: Label, other: Label) -> Label:
    """Return the least label that both flow to: that of data made from the two."""
    return Label(
        confidentiality=more_sovereign(one.confidentiality, other.confidentiality),
        integrity=less_sovereign(one.integrity, other.integrity),
        regions=one.regions & other.regions,
        owners=one.owners | other.owners,
    )


def meet(one: Label, other: Label) -> Label:
    """Return the greatest label that flows to both."""
    return Label(
        confidentiality=less_sovereign(one.confidentiality, other.confidentiality),
        integrity=more_sovereign(one.integrity, other.integrity),
        regions=one.regions | other.regions,
        owners=one.owners & other.owners,
    )


def joined(labels: Iterable[Label]) -> Label:
    """Return the join of all labels, in whatever order; BOTTOM of none."""
    return reduce(join, labels, BOTTOM)


def more_sovereign(one: Tier, other: Tier) -> Tier:
    """Return the tier nearer to FullySovereign."""
    return min(one, other, key=lambda tier: tier.rank)


def less_sovereign(one: Tier, other: Tier) -> Tier:
    """Return the tier nearer to Standard."""
    return max(one, other, key=lambda tier: tier.rank)


def of_record(label: log.Label | None) -> Label:
    """Return the label that a log states; TOP where it is missing or names no tier.

    A record without regions means anywhere.
    """
    if label is None:
        return TOP
    try:
        secret, trusted = Tier(label.confidentiality), Tier(label.integrity)
    except ValueError:
        return TOP
    regions = Names(frozenset(label.residency)) if label.residency else ALL
    return Label(confidentiality=secret, integrity=trusted, regions=regions)


def to_record(label: Label, *, declared: bool) -> log.Label | None:
    """Return the label as a log states it; None where no region is left, which it cannot say.

    Owners are no part of a log's label and have to be kept beside it.
    """
    if label.regions.none:
        return None
    return log.Label(
        confidentiality=label.confidentiality,
        integrity=label.integrity,
        residency=tuple(sorted(label.regions.some)),
        declared=declared,
    )
