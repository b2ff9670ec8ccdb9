"""What a border is drawn around: a dataset of the manifests, an action of a plan, a record."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from batuta.core.case import world_of
from batuta.core.foresee import foresee
from batuta.core.plan_input import PlanInput
from batuta.model.address import Address, parse_address
from batuta.model.diagnostic import Diagnostic
from batuta.model.plan import Action, Plan, source_read
from batuta.model.resource import Dataset, Desired, SourcePart, SourceSpec
from batuta.model.state import ResourceRecord
from batuta.model.tier import Tier

_TIERS = {tier.value: tier for tier in Tier}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address with the name of its Platform, None where it names none."""

    address: Address
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A dataset as far as its border is concerned. `egress` is the policy that it names.

    `guess` says that nobody remembers which policy it named. `refused` is what forbids it
    before anybody looks.
    """

    name: str
    tier: Tier
    declared: bool
    sources: tuple[Place, ...] = ()
    destination: Place
    egress: str | None = None
    guess: bool = False
    refused: tuple[Diagnostic, ...] = ()


Subjects = Callable[[str], Subject]
"""Finds a subject by the name of its dataset; KeyError where there is none."""


def of_desired(desired: Desired, records: Iterable[ResourceRecord] = ()) -> Subjects:
    """Return the datasets of the manifests, and those that the state alone remembers."""
    known = {record.address.partition("/")[2]: record for record in records}
    world = world_of(PlanInput(desired=desired))

    def subject(name: str) -> Subject:
        dataset = world.datasets.get(name)
        if dataset is None:
            return _of_record(known[name])
        foreseen = foresee(world, dataset, known)
        return Subject(
            name=name,
            tier=foreseen.tier,
            declared=foreseen.declared,
            sources=_places(dataset.source, _above(dataset.source, world.datasets)),
            destination=Place(address=dataset.destination, platform=dataset.destination_platform),
            egress=dataset.egress,
            refused=foreseen.refused,
        )

    return subject


def of_plan(plan: Plan) -> Subjects:
    """Return the datasets that a plan acts on."""
    actions = {a.target.resource.partition("/")[2]: a for a in plan.actions}
    above = {
        upstream.name: Place(
            address=parse_address(upstream.destination),
            platform=upstream.destination_platform,
        )
        for upstream in plan.upstreams
    }

    def subject(name: str) -> Subject:
        return _of_action(name, actions[name], above)

    return subject


def _places(source: SourceSpec, above: Mapping[str, Place]) -> tuple[Place, ...]:
    """Return what is read, in order; a dataset that is not known any more is left out."""
    parts: tuple[SourcePart, ...] = source.merge or (source,)
    places: list[Place] = []
    for part in parts:
        if part.address is not None:
            places.append(Place(address=part.address, platform=part.platform))
        elif part.dataset is not None and part.dataset in above:
            places.append(above[part.dataset])
    return tuple(places)


def _above(source: SourceSpec, datasets: Mapping[str, Dataset]) -> dict[str, Place]:
    return {
        name: Place(
            address=datasets[name].destination, platform=datasets[name].destination_platform
        )
        for name in source.upstreams
        if name in datasets
    }


def _of_action(name: str, action: Action, above: Mapping[str, Place]) -> Subject:
    target = action.target
    facts = getattr(action, "facts", None)
    tier = _TIERS.get(facts.tier) if facts is not None else target.tier
    derived = facts.tier_derived if facts is not None else target.tier_derived
    return Subject(
        name=name,
        tier=tier or Tier.STANDARD,
        declared=tier is not None and not derived,
        sources=_places(source_read(action) or SourceSpec(), above),
        destination=Place(
            address=parse_address(target.destination), platform=target.destination_platform
        ),
        egress=target.egress,
        guess=facts is None and target.egress is None,
    )


def _of_record(record: ResourceRecord) -> Subject:
    """Return a dataset without a document; which policy it named is not remembered."""
    return Subject(
        name=record.address.partition("/")[2],
        tier=_TIERS.get(record.facts.tier, Tier.STANDARD),
        declared=not record.facts.tier_derived,
        destination=Place(
            address=parse_address(record.destination), platform=record.destination_platform
        ),
        guess=True,
    )
