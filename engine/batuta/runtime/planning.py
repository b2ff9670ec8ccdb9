"""From a question to a plan: what must be looked at is looked at, then core decides."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import batuta
from batuta.core.plan_input import (
    Asked,
    Beforehand,
    Disk,
    Feed,
    HeadRelation,
    Observation,
    Orphan,
    PlanInput,
)
from batuta.core.planner import plan as decide
from batuta.core.select import select
from batuta.model.address import Address, parse_address
from batuta.model.decision import Approval
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.event import Event
from batuta.model.log import Head
from batuta.model.observed import DestinationState
from batuta.model.plan import Blocked, Kept, Plan, Upstream, source_read
from batuta.model.resource import (
    Dataset,
    Desired,
    DriftChoice,
    DriftPolicy,
    Origin,
    Platform,
    SourcePart,
)
from batuta.model.state import ResourceRecord
from batuta.runtime.approvals import standing
from batuta.runtime.borders import Border, Borders, bare
from batuta.runtime.connections import format_targets
from batuta.runtime.interning import Interner
from batuta.runtime.keeping import Keeping
from batuta.runtime.observe import Observer, Seen
from batuta.runtime.proofs import Proofs
from batuta.runtime.state.labels import spent
from batuta.runtime.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What is asked for. `single` is the one dataset of a one-line command.

    `offline` reads no platform. `drift_answers` holds choices by resource address.
    """

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    resync: tuple[str, ...] = ()
    offline: bool = False
    on_drift: DriftPolicy | None = None
    drift_answers: Mapping[str, DriftChoice] = field(default_factory=dict)
    allow_data_loss: tuple[str, ...] = ()
    destroy: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    adopt: tuple[str, ...] = ()
    single: Dataset | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with what it was made from."""

    plan: Plan
    seen: Mapping[str, Seen]
    free_bytes: tuple[tuple[str, int], ...]
    workers: tuple[Kept, ...] = ()


@dataclass
class Planner:
    """Makes plans over one desired state, one observer and one state store.

    `keeping` knows which levels this machine gives, `proofs` looks names up.
    `targets` is the Arrow size in bytes at which a part of each format ends; `scratch` is where is
    staged what is sent elsewhere.
    """

    desired: Desired
    observer: Observer
    store: StateStore
    scratch: Path
    targets: Mapping[str, int] = field(default_factory=format_targets)
    keeping: Keeping = field(default_factory=Keeping)
    proofs: Proofs = field(default_factory=Proofs)

    def plan(self, request: PlanRequest, listen: Callable[[Event], None]) -> Planned:
        """Look at what `request` is about and decide. Failures to read are part of the plan."""
        desired = self._desired(request)
        records = self._records(request)
        chosen = self._chosen(request, desired, records)
        borders = self._borders(desired, records)
        self.observer.errands.bounds = borders.of
        before = {d.name: self._beforehand(borders, d, request) for d in chosen}
        open_ends = [dataset for dataset in chosen if not before[dataset.name].refused]
        seen = {} if request.offline else self.observer.look(open_ends, listen)
        orphans = () if request.single else self._orphans(desired, records, request, borders)
        before |= {name: beforehand(borders.of(name)) for name in map(_name_of, orphans)}
        observed = {
            dataset.name: self._observation(dataset, seen[dataset.name], records)
            for dataset in chosen
            if dataset.name in seen
        }
        plan = decide(
            PlanInput(
                desired=desired, observed=observed, orphans=orphans,
                asked=Asked(
                    select=request.select, exclude=request.exclude, resync=request.resync,
                    destroy=request.destroy, release=request.release, adopt=request.adopt,
                    allow_data_loss=request.allow_data_loss,
                ),
                on_drift=request.on_drift, drift_answers=request.drift_answers,
                target_bytes=self.targets, batuta_version=batuta.__version__,
                read=self._read(open_ends if seen else (), orphans), spent=spent(self.store),
                beforehand=before,
                disks=self._disks(chosen, seen), staging=disk_of(self.scratch),
                real_paths={} if request.offline else self._real_paths(chosen),
            )
        )  # fmt: skip
        whole, kept = self._with_ends(plan, borders, request)
        return Planned(plan=whole, seen=seen, free_bytes=_free(seen.values()), workers=kept)

    def _records(self, request: PlanRequest) -> dict[str, ResourceRecord]:
        """What the state remembers, by address; offline nothing else is kept beside it."""
        interner = Interner()
        found = self.store.resources()
        return {r.address: r if request.offline else interner.of(r) for r in found}

    def _beforehand(self, borders: Borders, dataset: Dataset, request: PlanRequest) -> Beforehand:
        """Decide what can be decided before a dataset is looked at."""
        border = borders.of(dataset.name)
        found = beforehand(border)
        if request.offline or found.refused:
            return found
        if disproved := self.proofs.against(border.need.tier, border.reached):
            return replace(found, diagnostics=(*found.diagnostics, *disproved))
        where = dataset.place("spec.tier") or dataset.place("metadata.name")
        refusal = self.keeping.refusal(border, dataset.address, where)
        if refusal is None:
            return found
        return replace(found, diagnostics=(*found.diagnostics, refusal))

    def _desired(self, request: PlanRequest) -> Desired:
        if request.single is None:
            return self.desired
        others = tuple(d for d in self.desired.datasets if d.name != request.single.name)
        platforms = (*self.desired.platforms, *self._implied(request.single))
        wanted = replace(self.desired, datasets=(request.single,), platforms=platforms)
        self.observer.datasets = {d.name: d for d in (*others, request.single)}
        return wanted

    def _implied(self, dataset: Dataset) -> tuple[Platform, ...]:
        """Return the Platforms that stand in for what no document of a one-line command names."""
        found: dict[str, Platform] = {}
        parts: tuple[SourcePart, ...] = dataset.source.merge or (dataset.source,)
        ends = [(part.address, part.platform) for part in parts]
        for address, name in (*ends, (dataset.destination, dataset.destination_platform)):
            if address is None or name is None or address.is_local:
                continue
            with suppress(BatutaError):
                platform = self.observer.connections.platform_of(address, name)
                if platform.implicit and platform.name == name:
                    found[name] = platform
        return tuple(found.values())

    def _borders(self, desired: Desired, records: Mapping[str, ResourceRecord]) -> Borders:
        """Return the borders of all datasets that may have to be looked at."""
        names = {dataset.name for dataset in desired.datasets}
        beside = tuple(d for name, d in self.observer.datasets.items() if name not in names)
        whole = replace(desired, datasets=(*desired.datasets, *beside)) if beside else desired
        return Borders.of_desired(whole, self.observer.connections, records.values())

    def _chosen(
        self, request: PlanRequest, desired: Desired, records: Mapping[str, ResourceRecord]
    ) -> Sequence[Dataset]:
        if not request.select and not request.exclude:
            return desired.datasets
        others = [address.partition("/")[2] for address in records]
        tiers = {address.partition("/")[2]: r.facts.tier for address, r in records.items()}
        asked = Asked(select=request.select, exclude=request.exclude)
        names = select(desired, asked, tiers=tiers, others=others).names
        return [dataset for dataset in desired.datasets if dataset.name in names]

    def _observation(
        self, dataset: Dataset, seen: Seen, records: Mapping[str, ResourceRecord]
    ) -> Observation:
        record = records.get(dataset.address)
        return Observation(
            source=seen.source if seen.source is not None else seen.source_problems,
            destination=(
                seen.destination if seen.destination is not None else seen.destination_problems
            ),
            record=record,
            head=self._relation(dataset, seen.destination, record),
            feed=None if seen.feed_bytes is None else Feed(seen.feed_bytes),
            standing=self._standing(seen.destination),
        )

    def _standing(self, destination: DestinationState | None) -> tuple[Approval, ...]:
        if destination is None or destination.snapshot is None:
            return ()
        decisions = destination.snapshot.entry.decisions
        seals = self.observer.seals
        if not decisions or seals is None:
            return ()
        return standing(decisions, seals.keys[1])

    def _relation(
        self,
        dataset: Dataset,
        destination: DestinationState | None,
        record: ResourceRecord | None,
    ) -> HeadRelation | None:
        if record is None or destination is None or record.destination != str(dataset.destination):
            return None
        return self._head_relation(destination, record)

    def _head_relation(
        self, destination: DestinationState, record: ResourceRecord
    ) -> HeadRelation | None:
        head: Head | None = destination.head
        if head is None:
            return None
        if head == record.head:
            return "same"
        if head.digest in self.store.accepted_heads(record.destination):
            return "same"
        dataset = self.observer.store_at_text(
            record.destination, record.destination_platform, record.address
        )
        return dataset.relation(record.head)

    def _orphans(
        self,
        desired: Desired,
        records: Mapping[str, ResourceRecord],
        request: PlanRequest,
        borders: Borders,
    ) -> tuple[Orphan, ...]:
        """Resources of manifests that no document describes any more."""
        known = {dataset.address for dataset in desired.datasets}
        asked = {f"Dataset/{n.removeprefix('Dataset/')}" for n in request.destroy + request.release}
        found: list[Orphan] = []
        for record in records.values():
            if record.address in known:
                continue
            if record.origin != Origin.MANIFEST and record.address not in asked:
                continue
            destination: DestinationState | tuple[Diagnostic, ...]
            relation: HeadRelation | None = None
            if request.offline:
                destination = ()
            elif refused := borders.of(record.address.partition("/")[2]).refused:
                destination = refused
            else:
                try:
                    destination = self.observer.store_at_text(
                        record.destination, record.destination_platform, record.address
                    ).observe()
                    relation = self._head_relation(destination, record)
                except BatutaError as error:
                    destination = error.diagnostics
            found.append(Orphan(record=record, destination=destination, head=relation))
        return tuple(found)

    def _read(self, chosen: Sequence[Dataset], orphans: Sequence[Orphan]) -> tuple[str, ...]:
        """Names of the Platforms that were looked at."""
        ends: list[tuple[Address | None, str | None]] = []
        for dataset in chosen:
            parts: tuple[SourcePart, ...] = dataset.source.merge or (dataset.source,)
            ends += [(part.address, part.platform) for part in parts]
            ends.append((dataset.destination, dataset.destination_platform))
        for orphan in orphans:
            if isinstance(orphan.destination, DestinationState):
                record = orphan.record
                ends.append((parse_address(record.destination), record.destination_platform))
        names: set[str] = set()
        for address, name in ends:
            if address is not None:
                with suppress(BatutaError):
                    names.add(self.observer.connections.platform_of(address, name).name)
        return tuple(sorted(names))

    def _disks(self, chosen: Sequence[Dataset], seen: Mapping[str, Seen]) -> dict[str, Disk]:
        """The file systems of local destinations that were looked at."""
        root = self.observer.connections.root
        places = {
            dataset.name: root / Path(dataset.destination.path).expanduser()
            for dataset in chosen
            if dataset.destination.scheme == "file" and dataset.name in seen
        }
        known: dict[Path, Disk] = {}
        found = {name: disk_of(place, known) for name, place in places.items()}
        return {name: disk for name, disk in found.items() if disk is not None}

    def _real_paths(self, chosen: Sequence[Dataset]) -> dict[str, str]:
        """Where the local ends of datasets lie once links and `..` are followed."""
        root = self.observer.connections.root
        ends: set[Address | None] = set()
        for dataset in chosen:
            parts: tuple[SourcePart, ...] = dataset.source.merge or (dataset.source,)
            read = [self.observer.datasets.get(name) for name in dataset.source.upstreams]
            ends |= {dataset.destination, *(part.address for part in parts)}
            ends |= {upstream.destination for upstream in read if upstream is not None}
        paths = {end.inner.path for end in ends if end is not None and end.is_local}
        return {path: os.path.realpath(root / Path(path).expanduser()) for path in paths}

    def _with_ends(
        self, plan: Plan, borders: Borders, request: PlanRequest
    ) -> tuple[Plan, tuple[Kept, ...]]:
        """Put in what apply opens addresses with and keeps workers by: it reads no manifests."""
        if all(isinstance(action, Blocked) for action in plan.actions):
            return plan, ()
        read = {
            name
            for action in plan.actions
            if (source := source_read(action)) is not None
            for name in source.upstreams
        }
        upstreams = tuple(
            Upstream(
                name=name, destination=str(self.observer.datasets[name].destination),
                destination_platform=self.observer.datasets[name].destination_platform,
            )
            for name in sorted(read)
        )  # fmt: skip
        platforms = tuple(
            replace(platform, places={})
            for platform in sorted(self.observer.connections.platforms.values(), key=_name)
        )
        whole = replace(
            plan, platforms=platforms, upstreams=upstreams, site=borders.site,
            egress=tuple(bare(document) for document in borders.documents),
        )  # fmt: skip
        drawn = Borders.of_plan(whole, self.observer.connections)
        used = drawn.used(whole)
        kept = () if request.offline else self.keeping.workers(whole, drawn)
        return replace(whole, egress=tuple(d for d in whole.egress if d.name in used)), kept


def beforehand(border: Border) -> Beforehand:
    """Return what core has to know of a border."""
    return Beforehand(
        tier=border.need.tier,
        reached=border.reached,
        diagnostics=border.diagnostics,
        policies=border.policies,
    )


def _name_of(orphan: Orphan) -> str:
    return orphan.record.address.partition("/")[2]


def disk_of(place: Path, known: dict[Path, Disk] | None = None) -> Disk | None:
    """Return the file system that a folder is or will be on, None where it cannot be asked.

    It is named by the highest folder on it. What `known` has is not asked again.
    """
    there = next((each for each in (place, *place.parents) if each.is_dir()), None)
    try:
        if there is None:
            return None
        top, device = there.resolve(), there.stat().st_dev
        while top != top.parent and top.parent.stat().st_dev == device:
            top = top.parent
        if known is not None and top in known:
            return known[top]
        status = os.statvfs(there)
    except OSError:
        return None
    disk = Disk(str(top), status.f_bavail * status.f_frsize)
    return known.setdefault(top, disk) if known is not None else disk


def _name(platform: Platform) -> str:
    return platform.name


def _free(seen: Iterable[Seen]) -> tuple[tuple[str, int], ...]:
    free: dict[str, int] = {}
    for one in seen:
        if one.destination is not None and one.destination.free_bytes is not None:
            free[one.destination.address] = one.destination.free_bytes
    return tuple(sorted(free.items()))
