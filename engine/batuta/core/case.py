"""One dataset with the parts of the world that its decision needs, and the facts it should have."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from batuta.core.diff import Locate
from batuta.core.plan_input import Observation, PlanInput, is_named
from batuta.core.selection import source_text
from batuta.core.sovereignty import Answer
from batuta.core.stale import labels_read
from batuta.core.tiers import End
from batuta.model.address import Address
from batuta.model.canonical import canonical_bytes
from batuta.model.diagnostic import Location
from batuta.model.log import Facts, Label, Snapshot
from batuta.model.observed import DestinationState, SourceState
from batuta.model.plan import Preconditions, Target
from batuta.model.resource import Dataset, HistorySpec, Platform, SourcePart
from batuta.model.table import TableSchema
from batuta.model.tier import Network

_PLACES = {
    "source": "spec.source",
    "source_version": "spec.source.version",
    "format": "spec.format",
    "mode": "spec.mode",
    "tier": "spec.tier",
    "tier_derived": "spec.tier",
    "protect": "spec.protect",
    "on_source_delete": "spec.onSourceDelete",
    "history": "spec.history",
    "residency": "spec.residency",
    "deletion_policy": "spec.deletionPolicy",
    "schema": "spec.source.columns",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all decisions of one plan share."""

    input: PlanInput
    datasets: Mapping[str, Dataset]
    platforms: Mapping[str, Platform]


def world_of(given: PlanInput) -> World:
    """Index the input once, so that each dataset is decided in constant time."""
    return World(
        input=given,
        datasets={dataset.name: dataset for dataset in given.desired.datasets},
        platforms={platform.name: platform for platform in given.desired.platforms},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One dataset whose destination was read. `source` is None where its source was not.

    `used` are the texts of the decisions that actions for other datasets use in the same plan.
    """

    world: World
    dataset: Dataset
    observation: Observation
    destination: DestinationState
    source: SourceState | None
    used: Set[str] = frozenset()

    @property
    def snapshot(self) -> Snapshot | None:
        """What the log says is there; None where there is no log that can be read."""
        return self.destination.snapshot

    @property
    def live(self) -> Facts | None:
        """The facts in the log's head."""
        return self.snapshot.entry.facts if self.snapshot else None

    @property
    def moved(self) -> bool:
        """True where the state knows the dataset at another destination."""
        record = self.observation.record
        return record is not None and not same_place(record.destination, self.dataset.destination)

    def asked(self, names: tuple[str, ...]) -> bool:
        """True where the dataset is among `names`."""
        return is_named(names, self.dataset.address)

    def locate(self) -> Locate:
        """Return where a person wrote each field of the facts."""

        def place(path: str) -> tuple[Location, ...]:
            if path.startswith("settings."):
                option = path.removeprefix("settings.")
                return self.dataset.place(f"spec.formatOptions.{self.dataset.format}.{option}")
            if path == "source_version" and self.dataset.source.version is None:
                return ()
            return self.dataset.place(_PLACES.get(path, "spec"))

        return place


def same_place(text: str, address: Address) -> bool:
    """True where `text` spells `address`, a slash at the end aside."""
    return text.rstrip("/") == str(address).rstrip("/")


def target(dataset: Dataset) -> Target:
    """Return what apply needs to know of the dataset."""
    return Target(
        resource=dataset.address,
        destination=str(dataset.destination),
        destination_platform=dataset.destination_platform,
        history=dataset.history,
        origin=dataset.origin.value,
        depends_on=dataset.depends_on,
        egress=dataset.egress,
        tier=dataset.tier,
        locations=dataset.place("metadata.name"),
    )


def preconditions(world: World, dataset: Dataset, observation: Observation) -> Preconditions:
    """Return what was true when the action was decided."""
    source, destination = observation.source, observation.destination
    return Preconditions(
        source_version=source.version if isinstance(source, SourceState) else None,
        labels=labels_read(source) if isinstance(source, SourceState) else "",
        head=destination.head if isinstance(destination, DestinationState) else None,
        revision=observation.record.revision if observation.record else 0,
        manifest=dataset.manifest_digest,
        policies=world.input.policies(dataset.name),
        prices=world.input.prices,
    )


def ends_of(world: World, dataset: Dataset) -> tuple[End, ...]:
    """Return the sources (one, or those of a merge in order) and, last, the destination."""
    parts: tuple[SourcePart, ...] = dataset.source.merge or (dataset.source,)
    destination = dataset.destination
    return (
        *(_source_end(world, part) for part in parts),
        _end(world, "destination", destination, dataset.destination_platform),
    )


def _source_end(world: World, part: SourcePart) -> End:
    upstream = world.datasets.get(part.dataset) if part.dataset is not None else None
    if upstream is not None:
        return _end(world, "source", upstream.destination, upstream.destination_platform)
    address = part.address or Address("file", part.dataset or "")
    return _end(world, "source", address, part.platform)


def upstream_label(world: World, name: str) -> Label | None:
    """Return the label in the log of another dataset of this plan, None where it was not seen."""
    upstream = world.input.observed.get(name)
    state = upstream.destination if upstream else None
    if isinstance(state, DestinationState) and state.snapshot is not None:
        return state.snapshot.entry.label
    return None


def wanted_facts(
    dataset: Dataset, source: SourceState, schema: TableSchema | None, answer: Answer
) -> Facts:
    """Return the facts that the dataset has once it agrees with its manifest and its source."""
    return Facts(
        source=source_text(dataset.source),
        source_version=source.version,
        schema=schema,
        format=dataset.format,
        mode=dataset.mode.value,
        settings=tuple(
            sorted(
                (name, value if isinstance(value, str) else canonical_bytes(value).decode())
                for name, value in dataset.format_options
            )
        ),
        tier=answer.tier.value,
        tier_derived=answer.derived,
        protect=dataset.protect,
        on_source_delete=dataset.on_source_delete.value,
        history=history_text(dataset.history),
        residency=tuple(sorted(dataset.residency)),
        deletion_policy=dataset.deletion_policy.value,
    )


def history_text(history: HistorySpec) -> str:
    """Return how long superseded files are kept, as the log spells it: `604800s, 20 versions`."""
    return f"{history.keep_s}s" + (f", {history.versions} versions" if history.versions else "")


def label_text(label: Label) -> str:
    """Return the label as canonical JSON, the hint that is written into encoded files."""
    return canonical_bytes(
        {
            "confidentiality": label.confidentiality,
            "declared": label.declared,
            "integrity": label.integrity,
            "residency": label.residency,
        }
    ).decode()


def _end(world: World, role: str, address: Address, platform_name: str | None) -> End:
    platform = world.platforms.get(platform_name) if platform_name is not None else None
    workspace = world.input.desired.workspace
    if platform is None:
        local = address.is_local
        return End(
            role=role,
            what=str(address),
            network=Network.LOCAL if local else Network.PUBLIC,
            platform_type="local" if local else address.inner.scheme,
            platform=platform_name,
            region=workspace.region if local else None,
        )
    return End(
        role=role,
        what=str(address),
        network=platform.network,
        platform_type=platform.type,
        platform=platform.name,
        region=platform.region,
        residency=tuple(sorted(platform.residency)),
    )
