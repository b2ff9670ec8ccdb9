"""Taking over what lies there already: what the files are, whose label they carry, version 0.

The files are looked at as a source would be, so that a tier, a label and a schema are decided by
the same rules as for data that is brought in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import batuta
from batuta.core.case import Case, wanted_facts, world_of
from batuta.core.decide import FILES, judged
from batuta.core.plan_input import Observation, PlanInput
from batuta.core.refusals import wrong_kind
from batuta.core.sovereignty import Answer
from batuta.manifest.shorthand import command_name
from batuta.model.diagnostic import BatutaError
from batuta.model.log import LogEntry, Part
from batuta.model.observed import DestinationState, SourceState
from batuta.model.resource import Dataset, Desired, Mode, Origin, SourceSpec
from batuta.model.state import ResourceRecord
from batuta.model.table import TableSchema
from batuta.runtime.clock import now_utc
from batuta.runtime.connections import format_targets
from batuta.runtime.datasets import Place
from batuta.runtime.observe import Observer

# What an entry of an import says it was made from: no source is known.
_SOURCE = "import"
# What cost its worker the life is not taken over as files that nobody looks into, unless a
# document says so.
_LOST = frozenset({"WRK201", "WRK202"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What is taken over at `place`: its files, and the entry that says what they are."""

    place: Place
    entry: LogEntry
    parts: tuple[Part, ...]


@dataclass
class Adopter:
    """Takes files over; `desired` says what they are meant to be, where a document does."""

    desired: Desired
    observer: Observer
    find: Callable[[str], Place]

    def adopt(self, where: str, *, write: bool) -> Adoption:
        """Hash and describe what lies at a place without a log; if `write`, make it version 0.

        A version 0 that an import made, and died before it was recorded, is taken as it is.

        Raises:
            BatutaError: LOG151: it cannot be imported; SOV codes: its tier forbids it; what the
                files themselves are refused for.
        """
        place, dataset = self._described(self.find(where))
        if (begun := _begun(place, write=write)) is not None:
            return begun
        place.dataset.importable()
        dataset, state = self._looked_at(dataset)
        answer = self._judged(dataset, state)
        if answer.refused:
            raise BatutaError(*answer.diagnostics)
        facts = wanted_facts(dataset, state, state.schema, answer)
        entry = LogEntry(
            version=0, parent=None, written_at=now_utc(), batuta_version=batuta.__version__,
            action="import", resource=dataset.address, owner="Imported", plan=None, source=None,
            facts=replace(facts, source=_SOURCE, source_version=""), label=answer.label,
            rows=state.rows,
        )  # fmt: skip
        parts = place.dataset.adopt(_schemas(state).get, entry, write)
        return Adoption(place=place, entry=entry, parts=parts)

    def record(self, adoption: Adoption) -> ResourceRecord:
        """Return the record of what was just taken over."""
        place = adoption.place
        snapshot = place.dataset.snapshot()
        assert snapshot is not None
        name = place.resource.partition("/")[2]
        wanted = next((d for d in self.desired.datasets if d.name == name), None)
        return ResourceRecord(
            address=place.resource, revision=(place.record.revision if place.record else 0) + 1,
            destination=str(place.destination), destination_platform=place.platform,
            origin=wanted.origin if wanted else Origin.COMMAND, owner="Imported",
            head=snapshot.head, facts=snapshot.entry.facts, label=snapshot.entry.label,
            run="import", plan=None, manifest=wanted.manifest_digest if wanted else "",
        )  # fmt: skip

    def _described(self, place: Place) -> tuple[Place, Dataset]:
        """Return the place with its dataset: the one of the manifests, or one without a document."""
        name = place.resource.partition("/")[2]
        wanted = next((d for d in self.desired.datasets if d.name == name), None)
        if wanted is None:
            name = name if place.record is not None else command_name(place.destination)
            place = replace(place, resource=f"Dataset/{name}")
        spec = SourceSpec(
            address=place.destination, platform=place.platform,
            origin_tier=wanted.source.origin_tier if wanted else None,
        )  # fmt: skip
        if wanted is not None:
            return place, replace(wanted, source=spec)
        made = Dataset(
            name=name, source=spec, destination=place.destination, format="",
            destination_platform=place.platform, origin=Origin.COMMAND,
        )  # fmt: skip
        return place, made

    def _looked_at(self, dataset: Dataset) -> tuple[Dataset, SourceState]:
        """Look at the files as what they are meant to be, or as what they show themselves to be."""
        if dataset.format:
            state = self.observer.source(dataset, {})
            if dataset.format not in (FILES, state.format):
                raise BatutaError(wrong_kind(dataset, state.format or state.kind))
            return dataset, state
        files = replace(dataset, format=FILES, mode=Mode.MIRROR)
        try:
            state = self.observer.source(dataset, {})
        except BatutaError as error:
            if error.diagnostics[0].code in _LOST:
                raise
            return files, self.observer.source(files, {})
        if state.kind != "table" or state.format not in format_targets():
            return files, self.observer.source(files, {})
        return replace(dataset, format=str(state.format)), state

    def _judged(self, dataset: Dataset, state: SourceState) -> Answer:
        nothing = DestinationState(address=str(dataset.destination), condition="absent")
        desired = replace(self.desired, datasets=(dataset,))
        world = world_of(PlanInput(desired=desired))
        seen = Observation(source=state, destination=nothing)
        case = Case(
            world=world, dataset=dataset, observation=seen, destination=nothing, source=state
        )
        return judged(case, state)


def _begun(place: Place, *, write: bool) -> Adoption | None:
    """Return what a killed import committed and nobody recorded; None where nothing did.

    Before anything is written it must be in order, its signature included.
    """
    if place.record is not None:
        return None
    seen = place.dataset.observe()
    found = seen.snapshot
    if found is None or found.head.version or (write and seen.condition != "dataset"):
        return None
    if (found.entry.action, found.entry.resource) != (_SOURCE, place.resource):
        return None
    return Adoption(place=place, entry=found.entry, parts=found.parts)


def _schemas(state: SourceState) -> Mapping[str, TableSchema | None]:
    """The schema of each file; one that is no file of the table has none."""
    return {unit.key: state.schema for unit in state.units}
