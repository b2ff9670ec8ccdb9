"""Whether what a plan writes fits on the disks it writes to, all its datasets together.

One dataset that alone needs too much is refused by its own gate; here those are found that fit one
by one and not side by side. Datasets on one file system share its space, and so does what waits
on this machine to be uploaded.
"""

from collections import Counter

from batuta.core.draft import Decision, blocked_instead
from batuta.core.plan_input import PlanInput
from batuta.core.reasons import Why
from batuta.model.diagnostic import Diagnostic
from batuta.model.plan import Blocked, NoOp


def within_disks(decisions: list[Decision], given: PlanInput) -> list[Decision]:
    """Return the decisions; where a disk cannot hold all, those that write to it are blocked."""
    needs: Counter[str] = Counter()
    for decision in decisions:
        needs.update(_needs(decision, given))
    free = {disk.id: disk.free_bytes for disk in given.disks.values()}
    if given.staging is not None:
        free.setdefault(given.staging.id, given.staging.free_bytes)
    full = {disk for disk, size in needs.items() if size > free[disk]}
    if not full:
        return decisions
    return [
        _blocked(decision, disk, needs[disk], free[disk])
        if (disk := next((d for d in _needs(decision, given) if d in full), None)) is not None
        else decision
        for decision in decisions
    ]


def _needs(decision: Decision, given: PlanInput) -> dict[str, int]:
    """Bytes by disk: where the dataset lies and, for an object store, where files are staged."""
    action = decision.action
    if isinstance(action, NoOp | Blocked):
        return {}
    disk = given.disks.get(action.target.resource.partition("/")[2])
    volume = action.volume
    if disk is not None:
        size = volume.new_bytes + volume.staging_bytes
        return {disk.id: size} if size else {}
    if given.staging is None or not volume.staging_bytes:
        return {}
    return {given.staging.id: volume.staging_bytes}


def _blocked(decision: Decision, disk: str, needed: int, free: int) -> Decision:
    target = decision.action.target
    found = Diagnostic(
        code="PLN109",
        summary="There is not enough space at the destination",
        detail=f"{target.resource} is one of those that write to the file system of {disk}: together"
        f" they need {needed} bytes, and {free} are free.",
        fix="Free some space, name another destination, or plan fewer datasets with `--select`.",
        locations=target.locations,
        address=target.resource,
    )
    action = blocked_instead(decision.action, Why.NO_SPACE, found)
    return Decision(action=action, diagnostics=decision.diagnostics)
