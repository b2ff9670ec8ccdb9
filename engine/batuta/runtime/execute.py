"""Runs a plan's actions: dependencies first, independent ones side by side, failures contained.

For each action an intent is durable before it starts and the outcome after it ended; the
outcome, the resource's record and the end of its transfer share one commit. The log entry is
the commit of the data, and it is the fence: it is made only on the head the plan was made for.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from batuta.model.canonical import Json
from batuta.model.diagnostic import BatutaError, CommitUnsettled, Diagnostic, typed_again
from batuta.model.event import (
    ActionFinished,
    ActionStarted,
    ActionStatus,
    Event,
)
from batuta.model.plan import (
    Action,
    Append,
    Blocked,
    Convert,
    Create,
    Delete,
    EvolveSchema,
    Move,
    NoOp,
    Plan,
    Relabel,
    Release,
    Replace,
)
from batuta.model.resource import Origin
from batuta.model.state import StepRecord, StepStatus
from batuta.runtime.act import Act, ActResult
from batuta.runtime.staging import clear
from batuta.runtime.state.store import Write, put_step
from batuta.runtime.worker.pool import Cancelled

Listen = Callable[[Event], None]


@dataclass
class Executor:
    """One run over one plan. `act` does a single action; this class orders and reports.

    `unsettled` says that recovery has to look what became of an action.
    """

    plan: Plan
    run_id: str
    act: Act
    listen: Listen
    stop: threading.Event
    jobs: int
    outcomes: dict[str, ActionFinished] = field(default_factory=dict)
    planned: frozenset[str] = frozenset()
    halt: BatutaError | None = None
    unsettled: bool = False

    def run(self) -> tuple[ActionFinished, ...]:
        """Run what can be run; return all outcomes in plan order."""
        waiting = list(self.plan.actions)
        self.planned = frozenset(_address(action) for action in waiting)
        running: dict[Future[ActionFinished], str] = {}
        with ThreadPoolExecutor(max_workers=self.jobs) as threads:
            while waiting or running:
                waiting = self._start(waiting, running, threads)
                if not running:
                    break
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    address = running.pop(future)
                    self._finish(address, future.result())
        for action in waiting:
            status: ActionStatus = "cancelled" if self.stop.is_set() else "not-started"
            self._finish(_address(action), _outcome(action, status))
        return tuple(self.outcomes[_address(action)] for action in self.plan.actions)

    def _start(
        self,
        waiting: list[Action],
        running: dict[Future[ActionFinished], str],
        threads: ThreadPoolExecutor,
    ) -> list[Action]:
        """Submit what is ready, settle what cannot run; return what still waits."""
        left: list[Action] = []
        for position, action in enumerate(waiting):
            if self.stop.is_set() or self.halt is not None or len(running) >= self.jobs * 2:
                left.extend(waiting[position:])
                break
            needs = [f"Dataset/{name}" for name in action.target.depends_on]
            needs = [need for need in needs if need in self.planned and need != _address(action)]
            if any(need not in self.outcomes for need in needs):
                left.append(action)
            elif broken := [n for n in needs if self.outcomes[n].status != "done"]:
                self._finish(_address(action), _outcome(action, "skipped", because_of=broken[0]))
            else:
                self._begin(action, running, threads)
        return left

    def _begin(
        self,
        action: Action,
        running: dict[Future[ActionFinished], str],
        threads: ThreadPoolExecutor,
    ) -> None:
        match action:
            case Blocked():
                self._finish(
                    _address(action), _outcome(action, "failed", diagnostics=action.diagnostics)
                )
            case NoOp(adopt_state=False):
                self._finish(_address(action), _outcome(action, "done"), tell=False)
            case _:
                running[threads.submit(self._one, action)] = _address(action)

    def _finish(self, address: str, outcome: ActionFinished, *, tell: bool = True) -> None:
        self.outcomes[address] = outcome
        if tell:
            self.listen(outcome)

    def _one(self, action: Action) -> ActionFinished:
        self.listen(
            ActionStarted(
                address=_address(action), action=action.kind,
                total_bytes=action.volume.read_bytes, total_rows=action.volume.rows,
            )
        )  # fmt: skip
        try:
            self.act.store.write([self._step(action, "intent", self.act.witness.begun(action))])
            result = self._do(action)
            if result.staging is not None:  # before the write: after it nobody knows of it
                clear(result.staging)
            self.act.store.write([*result.writes, self._ended(action, "done", result.detail)])
        except Cancelled:
            return self._cancelled(action)
        except CommitUnsettled as error:
            # The intent stays as it is: the next command asks the log, and does what is left.
            self.unsettled = True
            return _outcome(action, "failed", diagnostics=self._led_out(action, error))
        except BatutaError as error:
            return self._failed(action, error)
        except OSError as error:
            return self._failed(action, BatutaError(_refused(error)))
        return _outcome(action, "done", result=result)

    def _do(self, action: Action) -> ActResult:
        match action:
            case Create() | Append() | Replace() | EvolveSchema() | Convert() | Move():
                return self.act.transfer(action)
            case Relabel():
                return self.act.relabel(action)
            case Delete():
                return self.act.delete(action)
            case Release():
                return self.act.release(action)
            case NoOp():
                return self.act.adopt_state(action)
            case Blocked():
                raise BatutaError(*action.diagnostics)

    def _cancelled(self, action: Action) -> ActionFinished:
        """Leave the intent as it is, for whoever goes on, and add how its workers were kept."""
        witness = self.act.witness
        with suppress(BatutaError):  # it was cancelled, whatever else goes wrong
            detail = {**witness.begun(action), **witness.ended(action)}
            self.act.store.write([self._step(action, "intent", detail)])
        return _outcome(action, "cancelled")

    def _failed(self, action: Action, error: BatutaError) -> ActionFinished:
        codes = [d.code for d in error.diagnostics]
        if any(code.startswith(("LCK", "STA")) for code in codes):
            self.halt = error
        else:
            self.act.store.write([self._ended(action, "failed", {"codes": codes})])
        return _outcome(action, "failed", diagnostics=self._led_out(action, error))

    def _led_out(self, action: Action, error: BatutaError) -> tuple[Diagnostic, ...]:
        """What went wrong, with ways out that fit what asked for the action."""
        if self.act.observer.in_workspace and action.target.origin != Origin.COMMAND:
            return error.diagnostics
        return typed_again(error.diagnostics)

    def _ended(self, action: Action, status: StepStatus, detail: Mapping[str, Json]) -> Write:
        return self._step(action, status, {**self.act.witness.ended(action), **detail})

    def _step(self, action: Action, status: StepStatus, detail: Json) -> Write:
        step = StepRecord(
            run=self.run_id, action=_address(action), step=action.kind, status=status, detail=detail
        )
        return put_step(step)


def _address(action: Action) -> str:
    return action.target.resource


def _outcome(
    action: Action,
    status: ActionStatus,
    *,
    diagnostics: Sequence[Diagnostic] = (),
    because_of: str | None = None,
    result: ActResult | None = None,
) -> ActionFinished:
    return ActionFinished(
        address=_address(action), action=action.kind, status=status,
        diagnostics=tuple(diagnostics), because_of=because_of,
        head=result.head if result else None,
        bytes_read=result.bytes_read if result else 0,
        rows=result.rows if result else None, files=result.files if result else 0,
        enforced=result.enforced if result else False, level=result.level if result else None,
    )  # fmt: skip


def _refused(error: OSError) -> Diagnostic:
    name = Path(error.filename).name if isinstance(error.filename, str) else ""
    return Diagnostic(
        code="WRK203",
        summary="The operating system refused",
        detail=f"{error.strerror or error}{f' ({name})' if name else ''}.",
        fix="Check free space and permissions of the destination, then run the same command "
        "again: it goes on where it stopped.",
    )
