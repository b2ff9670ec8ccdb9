"""Where labelled data may go, which label unlabelled data gets, and what a merge may do.

Two directions are checked: secret data must not go to a less sovereign place, and data of a
doubtful origin must not come to a more sovereign one. The specification checks the second only;
every other denial here is of the first kind, so nothing is weaker than it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from batuta.core.labels.lattice import ALL, NONE, TOP, Label, Names, joined
from batuta.model.tier import Tier

NEEDED_INTEGRITY: dict[Tier, Tier] = {
    Tier.FULLY_SOVEREIGN: Tier.PRIVATE_CLOUD,
    Tier.HYBRID_SOVEREIGN: Tier.PRIVATE_CLOUD,
    Tier.PRIVATE_CLOUD: Tier.STANDARD,
    Tier.STANDARD: Tier.STANDARD,
}
"""The lowest integrity that a place of a tier takes in, as the specification has it."""


class Denial(StrEnum):
    """Why a place does not take data in: stable codes, as audits record them."""

    CONFIDENTIALITY = "label.confidentiality"
    INTEGRITY = "label.integrity"
    RESIDENCY = "label.residency"
    MISSING = "label.missing"
    QUERY = "label.query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where data would lie. `region` is None where nobody said.

    `strict` asks for data of the place's own tier or better, also from one's own cloud.
    """

    tier: Tier
    region: str | None = None
    strict: bool = False

    @property
    def needs(self) -> Tier:
        """The lowest integrity that it takes in."""
        return self.tier if self.strict else NEEDED_INTEGRITY[self.tier]


def refusals(place: Place, label: Label) -> tuple[Denial, ...]:
    """Return why the place does not admit data of this label, in a fixed order; empty: it does.

    Data that may lie anywhere is admitted where the region is not known; other data is not.
    """
    found = []
    if place.tier.rank > label.confidentiality.rank:
        found.append(Denial.CONFIDENTIALITY)
    if label.integrity.rank > place.needs.rank:
        found.append(Denial.INTEGRITY)
    if place.region not in label.regions:
        found.append(Denial.RESIDENCY)
    return tuple(found)


def admits(place: Place, label: Label) -> bool:
    """True where data of this label may lie at the place."""
    return not refusals(place, label)


def ingested(tier: Tier, regions: Sequence[str] = (), owners: Iterable[str] = ()) -> Label:
    """Return the label of data that comes in at a tier; no regions means that it may lie anywhere."""
    return Label(
        confidentiality=tier,
        integrity=tier,
        regions=Names(frozenset(regions)) if regions else ALL,
        owners=Names(frozenset(owners)),
    )


Broken = Literal["broken"]
"""A label that is there and cannot be believed: a bad signature, another digest, a gap."""


def settled(evidence: Sequence[Label | Broken]) -> Label:
    """Return the label of data for which these were found: in the state, the log, the file.

    TOP where there is none, where one is broken, and where two differ: taking the weaker of two
    would let whoever writes the other one choose. What is known of a digest counts wherever a
    copy of it lies, so data does not lose its label by being brought in again.
    """
    if not evidence or any(isinstance(each, str) for each in evidence):
        return TOP
    labels = {each for each in evidence if isinstance(each, Label)}
    return labels.pop() if len(labels) == 1 else TOP


def unlabelled(tier: Tier, stated: Tier | None, platform: Tier | None) -> Label:
    """Return the label of data that carries none and lies below no log of batuta.

    On a platform it is that of the platform (`platform`, the most sovereign tier its network
    fits). Local data has what its owner states (`stated`), else the secrecy of the dataset's
    tier and the trust of data from anywhere.
    """
    if platform is not None:
        return ingested(platform)
    if stated is not None:
        return ingested(stated)
    return Label(confidentiality=tier, integrity=Tier.STANDARD)


def query_refusals(place: Place, literals: Iterable[Label], project: Tier) -> tuple[Denial, ...]:
    """Return why a query's text may not be sent to a place; empty: it may.

    The text carries what its literals were taken from; where that is not known (no literals are
    given) it counts as data of the project's tier. Trust does not matter: nothing is taken in.
    """
    known = tuple(literals)
    label = joined(known) if known else ingested(project)
    secret = place.tier.rank > label.confidentiality.rank
    return (Denial.QUERY,) if secret else ()


class Choice(StrEnum):
    """What a person can do about a merge that no place admits."""

    DECLASSIFY = "D"
    RESOURCE = "R"
    ENDORSE = "E"
    QUIT = "Q"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a merge: what it is called, and its label."""

    name: str
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One choice, the inputs that it is about, and the tier that they would come to have.

    DECLASSIFY lowers the confidentiality of `inputs` to `to`, where the merge then lies, and
    needs an approval by every one of `owners`; ENDORSE raises their integrity to `to` after a
    review; RESOURCE needs them anew from an origin of `to`, or better, up to the target's tier.
    `to` is None, and `inputs` empty, for QUIT.
    """

    choice: Choice
    inputs: tuple[str, ...] = ()
    to: Tier | None = None
    owners: Names = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A merge that its target does not admit: the label it would have, why not, and the ways out.

    `nowhere` is True where no place of any tier and region would admit it.
    """

    label: Label
    denials: tuple[Denial, ...]
    nowhere: bool
    ways: tuple[Way, ...]


def merged(inputs: Iterable[Input]) -> Label:
    """Return the label of a merge, and of anything taken out of it again: it sticks."""
    return joined(each.label for each in inputs)


def conflict(target: Place, inputs: Sequence[Input]) -> Conflict | None:
    """Return why data from all inputs may not lie at the target; None where it may.

    Not interactive, the answer is to refuse. No way is ever taken here: each needs a decision
    that is recorded, with who and why.
    """
    label = merged(inputs)
    denials = refusals(target, label)
    if not denials:
        return None
    return Conflict(
        label=label,
        denials=denials,
        nowhere=not any(admits(place, label) for place in _everywhere(label)),
        ways=tuple(_ways(target, inputs, denials)),
    )


def _everywhere(label: Label) -> list[Place]:
    regions: tuple[str | None, ...] = (None, *sorted(label.regions.some))
    return [Place(tier=tier, region=region) for tier in Tier for region in regions]


def _ways(target: Place, inputs: Sequence[Input], denials: tuple[Denial, ...]) -> list[Way]:
    doubtful = [i for i in inputs if i.label.integrity.rank > target.needs.rank]
    secret = [i for i in inputs if target.tier.rank > i.label.confidentiality.rank]
    ways: list[Way] = []
    if doubtful:
        # The public part can stay public: then it is the secret part that has to come down.
        to = max((i.label.integrity for i in doubtful), key=lambda tier: tier.rank)
        higher = [i for i in inputs if i.label.confidentiality.rank < to.rank]
        if higher and Denial.RESIDENCY not in denials:
            ways.append(_declassify(higher, to))
    elif secret and Denial.RESIDENCY not in denials:
        ways.append(_declassify(secret, target.tier))
    outside = [i for i in inputs if target.region not in i.label.regions]
    again = [i for i in inputs if i in doubtful or i in outside or i in secret]
    if again:
        ways.append(Way(choice=Choice.RESOURCE, inputs=_names(again), to=target.needs))
    if doubtful and not secret and Denial.RESIDENCY not in denials:
        ways.append(Way(choice=Choice.ENDORSE, inputs=_names(doubtful), to=target.needs))
    return [*ways, Way(choice=Choice.QUIT)]


def _declassify(inputs: Sequence[Input], to: Tier) -> Way:
    owners = joined(i.label for i in inputs).owners
    return Way(choice=Choice.DECLASSIFY, inputs=_names(inputs), to=to, owners=owners)


def _names(inputs: Sequence[Input]) -> tuple[str, ...]:
    return tuple(each.name for each in inputs)
