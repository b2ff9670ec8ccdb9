"""The façade: everything that a command, a dashboard or a program asks of batuta.

One engine is one workspace, opened once. It holds the state store, the cache and the workers,
and closes them with `close`.
"""

import os
import secrets
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batuta.model.address import parse_address
from batuta.model.dataset import Verification
from batuta.model.decision import Approval
from batuta.model.diagnostic import Diagnostic, StateLocked
from batuta.model.event import RunReport
from batuta.model.log import Head, LogEntry
from batuta.model.plan import Envelope, Plan
from batuta.model.resource import Dataset
from batuta.model.state import Lease, ResourceRecord, RunRecord, StepRecord
from batuta.runtime.clock import now_utc, wall_s
from batuta.runtime.load import Validation
from batuta.runtime.parts import Listen, Parts, WorkspaceOptions
from batuta.runtime.staging import WORK, remove_empty, tidy
from batuta.runtime.state import lease as leases
from batuta.runtime.state.store import put_resource
from batuta.runtime.workspace import find_workspace

if TYPE_CHECKING:
    from batuta.runtime.adopting import Adoption
    from batuta.runtime.approvals import Grant
    from batuta.runtime.drifting import DriftFinding
    from batuta.runtime.observe import Observer
    from batuta.runtime.planning import Planned, PlanRequest
    from batuta.runtime.surgery import StateSurgery

__all__ = ["Engine", "WorkspaceOptions"]


class Engine(Parts):
    """One workspace, open. Thread-safe only where a method says so."""

    @staticmethod
    def open(options: WorkspaceOptions, *, connect: bool = True) -> "Engine":
        """Find the workspace around `options.folder`; nothing is contacted.

        With `connect`, manifests that do not validate are an error at once.

        Raises:
            BatutaError: MAN codes for manifests, STA codes for the state.
        """
        places = find_workspace(options.folder, os.environ, options.single)
        if not (options.keeps or places.declared or places.databases):
            places = replace(places, lent=Path(tempfile.mkdtemp(prefix="batuta-")))
        engine = Engine(options, places)
        if connect:
            _ = engine.desired
        return engine

    # -- manifests --------------------------------------------------------------------------

    def validate(self) -> Validation:
        """Read and check all manifests, offline; all findings of all files together."""
        return self.loader.load()

    def source_text(self, file: str) -> str | None:
        """Return the text of a manifest, for an excerpt under a diagnostic."""
        return self.loader.text(file)

    # -- plan and apply ---------------------------------------------------------------------

    def plan(self, request: "PlanRequest", listen: Listen) -> Envelope:
        """Look at what `request` is about and return the plan. Nothing is changed anywhere."""
        from batuta.core.plan_document import digest_of
        from batuta.runtime.connections import format_targets
        from batuta.runtime.planning import Planner

        targets = {**format_targets(), **self._options.targets}
        planner = Planner(
            self.desired, self.observer, self.store, self._places.scratch, targets
        )  # fmt: skip
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

    def save(self, envelope: Envelope, path: Path | None = None) -> Path:
        """Write a plan to `path`, or under its digest beside the state; return where it is."""
        from batuta.runtime.plans import save_plan

        return save_plan(envelope, path, self._places.plans)

    def load_plan(self, name: str) -> Envelope:
        """Read a saved plan: a file, or the first digits of a digest."""
        from batuta.runtime.plans import find_plan

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
        from batuta.runtime.applying import Applier, ApplyRequest
        from batuta.runtime.borders import Borders

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

    def let_history_go(self, envelope: Envelope, listen: Listen) -> int:
        """Delete history that is too old of the datasets for which a plan has nothing to do.

        Returns how many files went; 0 where another run holds the state, and for a plan that
        was not made just now, since it looks at nothing that it does not change.

        Raises:
            BatutaError: what could not be deleted; the next run tries again.
        """
        if self._planned is None or self._planned[0] != envelope.digest:
            return 0
        from batuta.runtime.expiring import aged, let_go

        found = aged(envelope.plan, self._planned[1], wall_s())
        if not found:
            return 0
        way_out = self._way_out(envelope.plan.site, f"history-{secrets.token_hex(6)}", listen)
        with suppress(StateLocked), leases.LeaseKeeper(self.store, "batuta apply"), way_out:
            return let_go(found, self.observer, wall_s())
        return 0

    def _manifests(self, saved: bool) -> dict[str, str]:
        """Digests of the documents now; a saved plan may be applied without any."""
        found = self.validate().desired if saved else None
        return {d.address: d.manifest_digest for d in found.datasets} if found else {}

    def _policies(self, plan: Plan) -> dict[str, str]:
        """Digests of the egress policies that apply now, of what the manifests still describe."""
        from batuta.runtime.borders import Borders

        found = self.validate().desired
        if found is None:
            return {}
        borders = Borders.of_desired(found, self.observer.connections, self.store.resources())
        names = {dataset.name for dataset in found.datasets}
        touched = {action.target.resource.partition("/")[2] for action in plan.actions}
        return {f"Dataset/{name}": borders.of(name).policies for name in sorted(touched & names)}

    def _observer_of(self, envelope: Envelope) -> "Observer":
        """An observer with the plan's own platforms and upstream datasets."""
        from batuta.model.address import parse_address
        from batuta.model.resource import SourceSpec
        from batuta.runtime.connections import Connections
        from batuta.runtime.observe import Observer

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
            connections, self.pool, self.cache, self._errands(connections, upstreams), upstreams,
            self.seals, self._at_rest, self.in_workspace,
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
        from batuta.runtime.recover import recover

        told = recover(self.store, self.observer.store_at_text)
        tidy(self._places.scratch)
        for record in self.store.resources():
            place = parse_address(record.destination)
            if place.scheme == "file":
                remove_empty(Path(self.observer.errands.path_of(place)) / "_staging" / WORK)
        return told

    def drift(self, listen: Listen) -> "tuple[DriftFinding, ...]":
        """Compare what was committed with what is there now; nothing is planned."""
        from batuta.runtime.drifting import find_drift

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

    def rebuild_state(self, *, write: bool) -> "StateSurgery":
        """Work the state out from manifests and logs; write it if asked."""
        from batuta.runtime.surgery import rebuild

        return self._operate(
            rebuild(self.desired.datasets, self.observer, self.store), write, "state rebuild"
        )

    def move_state(self, old: str, new: str, *, write: bool) -> "StateSurgery":
        """Rename a record."""
        from batuta.runtime.surgery import move

        return self._operate(move(old, new, self.store), write, "state mv")

    def remove_state(self, address: str, *, write: bool) -> "StateSurgery":
        """Forget a record; data and log stay."""
        from batuta.runtime.surgery import remove

        return self._operate(remove(address, self.store), write, "state rm")

    def _operate(self, surgery: "StateSurgery", write: bool, command: str) -> "StateSurgery":
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

    def approve(self, where: str, grant: "Grant") -> Approval:
        """Record a decision about the label of what lies at `where`."""
        with leases.LeaseKeeper(self.store, "batuta label approve"):
            self._settle_seals(where)
            approval = self.labels.approve(where, grant)
            self._settle_seals(where)  # of a try that died before its entry
            return approval

    def sign_head(self, where: str) -> Head:
        """Sign the newest entry of a log anew, where all else is in order."""
        with leases.LeaseKeeper(self.store, "batuta label verify --sign-head"):
            self._settle_seals(where)
            return self.labels.sign_head(where, lambda _files, _size: None)

    def _settle_seals(self, where: str) -> None:
        """Finish what a killed command of this kind left, which no run tells of."""
        self.datasets.find(where).dataset.settle_seals()

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

    def import_dataset(self, where: str, *, write: bool) -> "Adoption":
        """Hash and describe what lies at a place without a log; if `write`, make it version 0."""
        from batuta.runtime.adopting import Adopter

        place = self.datasets.find(where)
        border = self.borders.at(place.destination, place.platform)
        self.observer.errands.bounds = lambda _name: border
        adopter = Adopter(self.desired, self.observer, self.datasets.find)
        if not write:
            return adopter.adopt(where, write=False)
        self.seals.require()
        with leases.LeaseKeeper(self.store, "batuta import"):
            place.dataset.settle_seals()
            adoption = adopter.adopt(where, write=True)
            self.store.write([put_resource(adopter.record(adoption))])
        return adoption
