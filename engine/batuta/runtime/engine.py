"""The façade: everything that a command, a dashboard or a program asks of batuta.

One engine is one workspace, opened once. It holds the state store, the cache and the workers,
and closes them with `close`.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from batuta.core.plan_document import digest_of
from batuta.model.address import Address
from batuta.model.canonical import Json
from batuta.model.dataset import Verification
from batuta.model.decision import Approval
from batuta.model.diagnostic import BatutaError, Diagnostic, StateLocked
from batuta.model.event import ConnectionRefused, Event, RunReport
from batuta.model.log import Head, LogEntry
from batuta.model.plan import Envelope, Plan
from batuta.model.resource import Dataset, Desired, Platform, Site
from batuta.model.state import Lease, ResourceRecord, RunRecord, StepRecord
from batuta.runtime.adopting import Adopter, Adoption
from batuta.runtime.applying import Applier, ApplyRequest
from batuta.runtime.approvals import Grant
from batuta.runtime.at_rest import AtRest
from batuta.runtime.auditing import Auditor
from batuta.runtime.borders import Border, Borders
from batuta.runtime.cache import Cache
from batuta.runtime.clock import now_utc
from batuta.runtime.connections import Connections, format_targets
from batuta.runtime.datasets import Datasets
from batuta.runtime.drifting import DriftFinding, find_drift
from batuta.runtime.egress_record import EgressRecord
from batuta.runtime.egress_view import EgressView
from batuta.runtime.errands import Errands
from batuta.runtime.labels import Labels
from batuta.runtime.load import Loader, Validation
from batuta.runtime.observe import Observer, Seen
from batuta.runtime.planning import Planned, Planner, PlanRequest
from batuta.runtime.plans import find_plan, save_plan
from batuta.runtime.recover import recover
from batuta.runtime.seals import Seals
from batuta.runtime.staging import tidy
from batuta.runtime.state import lease as leases
from batuta.runtime.state.store import StateStore, put_resource
from batuta.runtime.surgery import StateSurgery, move, rebuild, remove
from batuta.runtime.worker.gate import Gate, Refusal
from batuta.runtime.worker.pool import WorkerPool
from batuta.runtime.workspace import WorkspacePlaces, find_workspace

Listen = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceOptions:
    """Where to look for a workspace and what was said about it on the command line.

    `single` names the destination of a one-line command. `targets` overrules, by format, the
    Arrow size in bytes at which a part ends; parts of another size are other parts.
    """

    folder: Path
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    actor: str = ""
    single: str | None = None
    command: str = "batuta"
    targets: Mapping[str, int] = field(default_factory=dict)


class Engine:
    """One workspace, open. Thread-safe only where a method says so."""

    def __init__(self, options: WorkspaceOptions, places: WorkspacePlaces) -> None:
        self._options = options
        self._places = places
        self._environment = dict(os.environ)
        self.root = places.root
        self.in_workspace = places.declared
        self._planned: tuple[str, Mapping[str, Seen]] | None = None
        self._looking: Gate | None = None
        self.refused = 0

    @staticmethod
    def open(options: WorkspaceOptions, *, connect: bool = True) -> "Engine":
        """Find the workspace around `options.folder`; nothing is contacted.

        With `connect`, manifests that do not validate are an error at once.

        Raises:
            BatutaError: MAN codes for manifests, STA codes for the state.
        """
        places = find_workspace(options.folder, os.environ, options.single)
        engine = Engine(options, places)
        if connect:
            _ = engine.desired
        return engine

    def close(self) -> None:
        """End workers and close files; what was opened lazily is closed if it was."""
        if "pool" in self.__dict__:
            self.pool.end_ways()
        if self._looking is not None:
            self._looking.close()
        for name in ("pool", "cache", "store"):
            if name in self.__dict__:
                getattr(self, name).close()
                del self.__dict__[name]

    # -- what it is made of, each opened at first use ---------------------------------------

    @cached_property
    def cache(self) -> Cache:
        """The cache beside the state."""
        return Cache(self._places.cache)

    @cached_property
    def store(self) -> StateStore:
        """The state store of the chosen environment."""
        return StateStore(self._places.database(self._options.environment))

    @cached_property
    def pool(self) -> WorkerPool:
        """The worker processes."""
        return WorkerPool()

    @cached_property
    def seals(self) -> Seals:
        """Signs and judges logs with the workspace's keys, where it has any."""
        said: dict[str, Json] = {"actor": self._options.actor}
        return Seals(self._places.keys, self.root, said)

    @cached_property
    def loader(self) -> Loader:
        """Reads the manifests."""
        return Loader(
            places=self._places, cache=lambda: self.cache, environment=self._options.environment,
            variables=self._options.variables, process=self._environment,
        )  # fmt: skip

    @cached_property
    def desired(self) -> Desired:
        """The desired state. Raises BatutaError with all diagnostics if there is none."""
        found = self.validate()
        if found.desired is None:
            raise BatutaError(*found.diagnostics)
        return found.desired

    @cached_property
    def observer(self) -> Observer:
        """Looks at sources and destinations."""
        return self._observer(self.desired.platforms)

    def _observer(self, platforms: Sequence[Platform]) -> Observer:
        connections = Connections(
            platforms={platform.name: platform for platform in platforms},
            environment=self._environment, root=self.root,
        )  # fmt: skip
        datasets = {dataset.name: dataset for dataset in self.desired.datasets}
        if self._looking is None:
            self._looking = self._gate(self.desired.workspace.site, "look", lambda _event: None)
        self.pool.warden.gate = self._looking
        return Observer(
            connections, self.pool, self.cache, self._errands(datasets), datasets,
            self.seals, self._at_rest,
        )  # fmt: skip

    @cached_property
    def borders(self) -> Borders:
        """What the workers of each dataset may reach."""
        records = tuple(self.store.resources())
        return Borders.of_desired(self.desired, self.observer.connections, records)

    @cached_property
    def egress(self) -> EgressView:
        """Answers about egress."""
        names = frozenset(dataset.name for dataset in self.desired.datasets)
        return EgressView(self.borders, names, self._places.egress_log)

    def _gate(self, site: Site, run: str, listen: Listen) -> Gate:
        def told(refusal: Refusal) -> None:
            self.refused += 1
            listen(event_of(refusal))

        return Gate(
            run=run, audit=self._places.egress_log, told=told, proxy=site.proxy,
            ca_files=() if site.ca_file is None else (self.root / site.ca_file,),
        )  # fmt: skip

    @contextmanager
    def _way_out(self, site: Site, run: str, listen: Listen) -> Iterator[Gate]:
        """Let workers of one run out through its gateway; afterwards nothing of it is open."""
        warden, before = self.pool.warden, self.pool.warden.gate
        self.pool.end_ways()
        gate = warden.gate = self._gate(site, run, listen)
        try:
            yield gate
        finally:
            self.pool.end_ways()
            gate.close()
            warden.gate = before

    def _errands(self, datasets: Mapping[str, Dataset]) -> Errands:
        def place_of(name: str) -> Address | None:
            return datasets[name].destination if name in datasets else None

        def bounds(name: str) -> Border:
            return self.borders.of(name)

        def beyond(place: Address, platform: str | None) -> Border:
            return self.borders.at(place, platform)

        return Errands(
            bounds=bounds, beyond=beyond,
            root=self.root, scratch=self._places.scratch, place_of=place_of,
        )  # fmt: skip

    @property
    def _at_rest(self) -> AtRest:
        return AtRest(lambda: self.store, self.seals, self.root)

    # -- manifests --------------------------------------------------------------------------

    def validate(self) -> Validation:
        """Read and check all manifests, offline; all findings of all files together."""
        return self.loader.load()

    def source_text(self, file: str) -> str | None:
        """Return the text of a manifest, for an excerpt under a diagnostic."""
        return self.loader.text(file)

    # -- plan and apply ---------------------------------------------------------------------

    def plan(self, request: PlanRequest, listen: Listen) -> Envelope:
        """Look at what `request` is about and return the plan. Nothing is changed anywhere."""
        targets = {**format_targets(), **self._options.targets}
        planner = Planner(self.desired, self.observer, self.store, targets)
        self.observer.errands.bounds = self._borders_of(request).of
        site = self.desired.workspace.site
        with self._way_out(site, f"plan-{secrets.token_hex(6)}", listen):
            planned: Planned = planner.plan(request, listen)
        envelope = Envelope(
            created_at=now_utc(), digest=digest_of(planned.plan), plan=planned.plan,
            state_serial=self.store.serial, free_bytes=planned.free_bytes,
            workers=planned.workers,
        )  # fmt: skip
        self._planned = (envelope.digest, planned.seen)
        return envelope

    def _borders_of(self, request: PlanRequest) -> Borders:
        """The borders for a request; a one-line command has a dataset of its own."""
        if request.single is None:
            return self.borders
        name = request.single.name
        others = tuple(d for d in self.desired.datasets if d.name != name)
        desired = replace(self.desired, datasets=(*others, request.single))
        records = tuple(self.store.resources())
        return Borders.of_desired(desired, self.observer.connections, records)

    def save(self, envelope: Envelope, path: Path | None = None) -> Path:
        """Write a plan to `path`, or under its digest beside the state; return where it is."""
        return save_plan(envelope, path, self._places.plans)

    def load_plan(self, name: str) -> Envelope:
        """Read a saved plan: a file, or the first digits of a digest."""
        return find_plan(name, self._options.folder, self._places.plans)

    def apply(
        self,
        envelope: Envelope,
        listen: Listen,
        stop: threading.Event,
        lock_timeout_s: float = 0,
    ) -> RunReport:
        """Run a plan. One made by this engine just now is not looked at again.

        Raises:
            StateLocked: another run holds the state. StalePlan: the world moved.
        """
        observer = self.observer
        seen = None
        if self._planned is not None and self._planned[0] == envelope.digest:
            seen = self._planned[1]
        else:
            observer = self._observer_of(envelope)
        plan = envelope.plan
        observer.errands.bounds = Borders.of_plan(plan, observer.connections).of
        saved = seen is None
        applier = Applier(
            observer, self.store, self._recover_now, partial(self._way_out, plan.site),
            self._manifests(saved), self._policies(plan) if saved else {},
        )  # fmt: skip
        request = ApplyRequest(
            envelope=envelope, command=self._options.command, actor=self._options.actor,
            scratch=self._places.scratch, seen=seen, lock_timeout_s=lock_timeout_s,
        )  # fmt: skip
        return applier.apply(request, listen, stop)

    def _manifests(self, saved: bool) -> dict[str, str]:
        """Digests of the documents now; a saved plan may be applied without any."""
        found = self.validate().desired if saved else None
        return {d.address: d.manifest_digest for d in found.datasets} if found else {}

    def _policies(self, plan: Plan) -> dict[str, str]:
        """Digests of the egress policies that apply now, of what the manifests still describe."""
        found = self.validate().desired
        if found is None:
            return {}
        borders = Borders.of_desired(found, self.observer.connections, self.store.resources())
        names = {dataset.name for dataset in found.datasets}
        touched = {action.target.resource.partition("/")[2] for action in plan.actions}
        return {f"Dataset/{name}": borders.of(name).policies for name in sorted(touched & names)}

    def _observer_of(self, envelope: Envelope) -> Observer:
        """An observer with the plan's own platforms and upstream datasets."""
        from batuta.model.address import parse_address
        from batuta.model.resource import Dataset, SourceSpec

        connections = Connections(
            platforms={platform.name: platform for platform in envelope.plan.platforms},
            environment=self._environment, root=self.root,
        )  # fmt: skip
        upstreams = {
            end.name: Dataset(
                name=end.name, source=SourceSpec(), destination=parse_address(end.destination),
                destination_platform=end.destination_platform,
            )
            for end in envelope.plan.upstreams
        }  # fmt: skip
        return Observer(
            connections, self.pool, self.cache, self._errands(upstreams), upstreams,
            self.seals, self._at_rest,
        )  # fmt: skip

    def recover(self) -> tuple[str, ...]:
        """Put right what a killed run left; one sentence per thing done.

        Does nothing where another run is alive, or where no state has ever been written.
        """
        if not self._places.database(self._options.environment).exists():
            return ()
        if not self.store.unfinished_runs():
            return ()
        try:
            with leases.LeaseKeeper(self.store, "recovery"):
                return self._recover_now()
        except StateLocked:
            return ()

    def _recover_now(self) -> tuple[str, ...]:
        told = recover(self.store, self.observer.store_at_text)
        tidy(self._places.scratch)
        return told

    def drift(self, listen: Listen) -> tuple[DriftFinding, ...]:
        """Compare what was committed with what is there now; nothing is planned."""
        site = self.desired.workspace.site
        with self._way_out(site, f"drift-{secrets.token_hex(6)}", listen):
            return find_drift(
                self.desired.datasets, self.observer, self.store, self.borders, listen
            )

    # -- state ------------------------------------------------------------------------------

    def records(self) -> tuple[ResourceRecord, ...]:
        """All recorded resources in order of address."""
        return tuple(self.store.resources())

    def runs(self, limit: int = 50) -> tuple[RunRecord, ...]:
        """The newest runs first."""
        return tuple(self.store.runs(limit))

    def steps(self, run: str) -> tuple[StepRecord, ...]:
        """The steps of one run."""
        return tuple(self.store.steps(run))

    def verify_state(self) -> tuple[Diagnostic, ...]:
        """Check the state database and every record's checksum."""
        return tuple(self.store.verify())

    def rebuild_state(self, *, write: bool) -> StateSurgery:
        """Work the state out from manifests and logs; write it if asked."""
        return self._operate(
            rebuild(self.desired.datasets, self.observer, self.store), write, "state rebuild"
        )

    def move_state(self, old: str, new: str, *, write: bool) -> StateSurgery:
        """Rename a record."""
        return self._operate(move(old, new, self.store), write, "state mv")

    def remove_state(self, address: str, *, write: bool) -> StateSurgery:
        """Forget a record; data and log stay."""
        return self._operate(remove(address, self.store), write, "state rm")

    def _operate(self, surgery: StateSurgery, write: bool, command: str) -> StateSurgery:
        if write and surgery.writes:
            with leases.LeaseKeeper(self.store, f"batuta {command}"):
                self.store.write(surgery.writes)
        return surgery

    def lease(self) -> Lease | None:
        """Who holds the state now."""
        return leases.current(self.store)

    def steal_lease(self) -> Lease | None:
        """Break the lease; the holder's next write is refused."""
        return leases.steal(self.store)

    # -- datasets ---------------------------------------------------------------------------

    @cached_property
    def datasets(self) -> Datasets:
        """Opens datasets by name or place."""
        wanted = {dataset.name: dataset for dataset in self.desired.datasets}
        return Datasets(wanted, self.observer, self.store, lambda: self.borders)

    @cached_property
    def labels(self) -> Labels:
        """Shows, checks and decides about labels."""
        return Labels(self.datasets, self.seals, self._options.actor)

    @cached_property
    def auditor(self) -> Auditor:
        """Makes audits."""
        return Auditor(self.datasets, self.seals, self.egress_log, self._options.actor)

    @property
    def egress_log(self) -> EgressRecord:
        """The log of what workers tried to reach, and what is kept of it elsewhere."""
        return EgressRecord(self._places.egress_log, self._places.databases)

    def approve(self, where: str, grant: Grant) -> Approval:
        """Record a decision about the label of what lies at `where`."""
        with leases.LeaseKeeper(self.store, "batuta label approve"):
            return self.labels.approve(where, grant)

    def sign_head(self, where: str) -> Head:
        """Sign the newest entry of a log anew, where all else is in order."""
        with leases.LeaseKeeper(self.store, "batuta label verify --sign-head"):
            return self.labels.sign_head(where, lambda _files, _size: None)

    def dataset_log(self, where: str) -> tuple[LogEntry, ...]:
        """All entries of a dataset's log, oldest first."""
        return self.datasets.log(where)

    def verify_dataset(
        self,
        where: str,
        *,
        accept_head: str | None = None,
        told: Callable[[int, int], None] = lambda _files, _size: None,
    ) -> Verification:
        """Check a dataset's log and hash every part of it."""
        if accept_head is None:
            return self.datasets.verify(where, None, told)
        with leases.LeaseKeeper(self.store, "batuta data verify --accept-head"):
            return self.datasets.verify(where, accept_head, told)

    def import_dataset(self, where: str, *, write: bool) -> Adoption:
        """Hash and describe what lies at a place without a log; if `write`, make it version 0."""
        place = self.datasets.find(where)
        border = self.borders.at(place.destination, place.platform)
        self.observer.errands.bounds = lambda _name: border
        adopter = Adopter(self.desired, self.observer, self.datasets.find)
        if not write:
            return adopter.adopt(where, write=False)
        with leases.LeaseKeeper(self.store, "batuta import"):
            adoption = adopter.adopt(where, write=True)
            self.store.write([put_resource(adopter.record(adoption))])
        return adoption


def event_of(refusal: Refusal) -> ConnectionRefused:
    """Return what is told of a refused connection while a run goes on."""
    row = refusal.row
    return ConnectionRefused(
        dataset=row.dataset, action=row.action, host=row.host, port=row.port, code=row.code,
        detail=refusal.diagnostic.detail, rule=row.rule, line=row.line,
    )  # fmt: skip
