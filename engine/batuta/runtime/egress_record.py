"""The egress log of a workspace together with what the states beside it keep of its ends.

Each run keeps the head of the log when it ends. All environments write into one log, so the runs
in all their states count; but a state that cannot be read says nothing about the log.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.egress import NO_LINES
from batuta.model.state import RunRecord
from batuta.runtime.egress.anchors import Anchor
from batuta.runtime.egress.audit_read import Verified, verify
from batuta.runtime.state.foreign import runs_in

MOST_RUNS = 1_000_000
_CUT_SHORT = frozenset({"running", "dead"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The log, held against what is kept of it.

    `loose` are runs whose end is not anchored; `unread` says of other environments' states why they
    could not be read, which is no mistake in the log. `own` is the same of the state that this
    workspace goes by: EGR309, without it nothing here tells a log that was cut off.
    """

    log: Verified
    loose: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    own: tuple[Diagnostic, ...] = ()

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """All that makes the log, or what it is held against, not to be relied on."""
        return (*self.log.findings, *self.own)


@dataclass(frozen=True, slots=True)
class EgressRecord:
    """The log at `path`, which may not exist yet, and the state databases that speak of it.

    `own` is the one among them that this workspace goes by.
    """

    path: Path
    states: tuple[Path, ...] = ()
    own: Path | None = None

    def verify(self, more: Iterable[Anchor] = ()) -> Held:
        """Follow the log's chain and hold it against the states' anchors, and `more`."""
        # A head is in the log before it is in a state, so the states are read first.
        unread: dict[Path, Diagnostic] = {}
        runs = [run for state in self.states for run in _runs(state, unread)]
        log = verify(self.path, anchors=[*map(anchor_of, runs), *more])
        loose = (run.id for run in runs if run.status != "running" and not is_anchored(run))
        own = unread.pop(self.own, None) if self.own is not None else None
        return Held(
            log=log, loose=tuple(loose),
            unread=tuple(f"{state.name}: {_why(found)}" for state, found in unread.items()),
            own=() if own is None or self.own is None else (_own_damaged(self.own, own),),
        )  # fmt: skip


def is_anchored(run: RunRecord) -> bool:
    """True where a run kept the head of the log when it ended."""
    return run.egress_head is not None and run.status not in _CUT_SHORT


def anchor_of(run: RunRecord) -> Anchor:
    """Return what a run kept; of an older batuta's run that is an empty log, which says nothing."""
    return Anchor(run.egress_head or NO_LINES, f"run {run.id}")


def _runs(state: Path, unread: dict[Path, Diagnostic]) -> Iterator[RunRecord]:
    try:
        yield from runs_in(state)
    except BatutaError as error:
        unread[state] = error.diagnostics[0]


def _why(found: Diagnostic) -> str:
    return f"{found.detail.rstrip('.')} ({found.code})"


def _own_damaged(state: Path, found: Diagnostic) -> Diagnostic:
    return Diagnostic(
        code="EGR309",
        summary="This workspace's own state is damaged",
        detail=f"{state.name}: {_why(found)}. It keeps where the log ended after each run; without it"
        " an end of the egress log that was cut off does not show here.",
        fix=found.fix,
    )
