"""From a plan to a run: the lease, recovery, the stale check, the executor, the report."""

import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from batuta.core.stale import Now, WorldNow, labels_read, stale
from batuta.model.address import parse_address
from batuta.model.diagnostic import BatutaError, Diagnostic, StalePlan
from batuta.model.egress import LogHead
from batuta.model.event import ActionFinished, Event, RunReport, RunStarted
from batuta.model.log import Head
from batuta.model.plan import (
    Action,
    Blocked,
    Delete,
    Envelope,
    NoOp,
    Plan,
    Relabel,
    Release,
    TransferAction,
    source_read,
)
from batuta.model.resource import Dataset
from batuta.model.state import RunRecord
from batuta.runtime.act import Act
from batuta.runtime.approvals import refuse_expired, refuse_spent
from batuta.runtime.clock import monotonic_s, now_utc
from batuta.runtime.execute import Executor
from batuta.runtime.observe import Observer, Seen
from batuta.runtime.state.labels import spent
from batuta.runtime.state.lease import LeaseKeeper
from batuta.runtime.state.store import StateStore, put_run
from batuta.runtime.witness import Witness
from batuta.runtime.worker.gate import Gate

_JOBS = 8

WayOut = Callable[[str, Callable[[Event], None]], AbstractContextManager[Gate]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRequest:
    """What a run needs besides the plan. `seen` is what the plan was made from, if just now."""

    envelope: Envelope
    command: str
    actor: str
    scratch: Path
    seen: Mapping[str, Seen] | None = None
    lock_timeout_s: float = 0


@dataclass
class Applier:
    """Applies plans with one observer and one state store.

    `manifests` are the digests of the documents now, and `policies` those of the egress policies
    that apply, by resource; one that is not known is taken as it was. `prices` is a digest.
    `way_out` opens a run's gateway.
    """

    observer: Observer
    store: StateStore
    recover: Callable[[], tuple[str, ...]]
    way_out: WayOut
    manifests: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    prices: str = ""

    def apply(
        self, request: ApplyRequest, listen: Callable[[Event], None], stop: threading.Event
    ) -> RunReport:
        """Run the plan; every outcome, failures included, is in the report.

        Raises:
            StateLocked: LCK101, another run holds the state; nothing was touched.
            StalePlan: PLN codes that say what moved; nothing was touched.
            BatutaError: KEY106, entries would have to be signed; nothing was touched.
        """
        began = monotonic_s()
        plan = request.envelope.plan
        if self.observer.seals is not None and any(map(_commits, plan.actions)):
            self.observer.seals.require()
        self.observer.pool.stop = stop
        run_id = _new_id()
        with LeaseKeeper(self.store, request.command, request.lock_timeout_s):
            self.recover()
            with self.way_out(run_id, listen) as gate:
                seen = request.seen
                if seen is None:
                    seen = self._look_again(plan, listen)
                self._refuse_stale(plan, seen)
                refuse_expired(plan, seen, now_utc())
                refuse_spent(plan, seen, spent(self.store))
                run = self._begin(request, run_id, gate)
                executor = self._executor(request, run, seen, (listen, stop), gate)
                try:
                    outcomes = executor.run()
                finally:
                    executor.act.tidy()
                    if self.observer.seals is not None:
                        self.observer.seals.forget()
            # Only now, with every way out closed, is it known what all was refused.
            report = _report(run, outcomes, monotonic_s() - began, cancelled=stop.is_set())
            report = replace(report, refused=len(gate.refusals))
            if executor.halt is None and not executor.unsettled:
                self._end(run, report, gate)
        listen(report)
        return report

    def _executor(
        self,
        request: ApplyRequest,
        run: RunRecord,
        seen: Mapping[str, Seen],
        ends: tuple[Callable[[Event], None], threading.Event],
        gate: Gate,
    ) -> Executor:
        listen, stop = ends
        plan = request.envelope.plan
        if self.observer.seals is not None:
            self.observer.seals.said["run"] = run.id
        witness = Witness(self.observer.seals, self._policies_of, gate.head)
        self.observer.pool.heard = witness.heard
        listen(RunStarted(run=run.id, plan=request.envelope.digest, actions=run.actions))
        act = Act(
            plan=plan, plan_digest=request.envelope.digest, run_id=run.id,
            observer=self.observer, store=self.store, seen=seen, scratch=request.scratch,
            witness=witness, listen=listen,
        )  # fmt: skip
        return Executor(plan=plan, run_id=run.id, act=act, listen=listen, stop=stop, jobs=_JOBS)

    def _policies_of(self, name: str) -> str:
        """Return the digest of the egress policies that a dataset's workers are kept by."""
        return self.observer.errands.bounds(name).policies

    def _look_again(self, plan: Plan, listen: Callable[[Event], None]) -> dict[str, Seen]:
        """Observe what a saved plan touches; apply reads no manifests for it."""
        read = [_dataset(a) for a in plan.actions if isinstance(a, TransferAction | Relabel)]
        seen = self.observer.look(read, listen)
        for action in plan.actions:
            # What is given up may have lost its source; what is there matters all the same.
            if isinstance(action, Delete):
                seen[action.target.resource.partition("/")[2]] = self._destination_of(action)
        return seen

    def _destination_of(self, action: Action) -> Seen:
        target = action.target
        try:
            store = self.observer.store_at_text(
                target.destination, target.destination_platform, target.resource
            )
            return Seen(source=None, destination=store.observe())
        except BatutaError as error:
            return Seen(source=None, destination=None, destination_problems=error.diagnostics)

    def _refuse_stale(self, plan: Plan, seen: Mapping[str, Seen]) -> None:
        revisions = {r.address: r.revision for r in self.store.resources()}
        resources: dict[str, Now] = {}
        unread: list[Diagnostic] = []
        for action in plan.actions:
            if isinstance(action, NoOp | Blocked):
                continue
            address = action.target.resource
            found = seen.get(address.partition("/")[2])
            if found is not None:
                problems = found.source_problems if source_read(action) is not None else ()
                unread.extend((*problems, *found.destination_problems))
            resources[address] = Now(
                source_version=found.source.version if found and found.source else None,
                labels=labels_read(found.source) if found else "",
                head=self._head(action, found),
                revision=revisions.get(address, 0),
                manifest=self.manifests.get(address, action.preconditions.manifest),
                policies=self.policies.get(address, action.preconditions.policies),
            )
        if unread:
            raise BatutaError(*unread)
        now = WorldNow(prices=self.prices, resources=resources)
        if moved := stale(plan, now):
            raise StalePlan(*moved)

    def _head(self, action: Action, found: Seen | None) -> Head | None:
        if found is not None and found.destination is not None:
            return found.destination.head
        state = self._destination_of(action).destination
        return state.head if state is not None else None

    def _begin(self, request: ApplyRequest, run_id: str, gate: Gate) -> RunRecord:
        work = [a for a in request.envelope.plan.actions if not isinstance(a, NoOp | Blocked)]
        run = RunRecord(
            id=run_id, command=request.command, plan=request.envelope.digest, actor=request.actor,
            started_at=now_utc(), ended_at=None, status="running", actions=len(work),
            done=0, failed=0, egress_head=gate.head(),
        )  # fmt: skip
        self.store.write([put_run(run)])
        return run

    def _end(self, run: RunRecord, report: RunReport, gate: Gate) -> None:
        touched = [o for o in report.outcomes if o.action not in ("no-op", "blocked")]
        ended = replace(
            run, ended_at=now_utc(), status=report.status,
            done=sum(o.status == "done" for o in touched),
            failed=sum(o.status == "failed" for o in touched), bytes_read=report.bytes_read,
            refused=report.refused, egress_head=_head_at_end(run, gate),
        )  # fmt: skip
        self.store.write([put_run(ended)])


def _commits(action: Action) -> bool:
    """True where doing the action writes an entry into a log."""
    return not isinstance(action, NoOp | Blocked | Release)


def _head_at_end(run: RunRecord, gate: Gate) -> LogHead | None:
    """The end of the egress log; where it cannot be read, that of the start anchors what it can.

    The data is committed by now, and the run has to be recorded whatever becomes of that log.
    """
    try:
        return gate.head()
    except BatutaError:
        return run.egress_head


def _new_id() -> str:
    return f"{now_utc()[:19].replace(':', '').replace('-', '')}-{secrets.token_hex(3)}"


def _dataset(action: TransferAction | Relabel) -> Dataset:
    """The dataset behind an action, as far as looking at it needs one."""
    target, source = action.target, source_read(action)
    assert source is not None
    return Dataset(
        name=target.resource.partition("/")[2],
        source=source,
        destination=parse_address(target.destination),
        destination_platform=target.destination_platform,
        format=action.facts.format,
    )


def _report(
    run: RunRecord, outcomes: tuple[ActionFinished, ...], seconds: float, *, cancelled: bool
) -> RunReport:
    statuses = {outcome.status for outcome in outcomes}
    done = any(o.status == "done" and o.action not in ("no-op", "blocked") for o in outcomes)
    status = "done"
    if cancelled:
        status = "cancelled"
    elif statuses - {"done"}:
        status = "partial" if done else "failed"
    return RunReport(
        run=run.id, plan=run.plan, status=status,  # type: ignore[arg-type]  # four literals
        outcomes=outcomes, bytes_read=sum(o.bytes_read for o in outcomes), seconds=seconds,
    )  # fmt: skip
