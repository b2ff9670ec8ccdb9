"""The workspace's caps on what one plan may do: how far a mistake can reach."""

from collections.abc import Callable

from batuta.core.draft import Decision, blocked_instead
from batuta.core.reasons import Why
from batuta.model.diagnostic import Diagnostic
from batuta.model.plan import (
    Action,
    Blocked,
    Convert,
    Delete,
    EvolveSchema,
    NoOp,
    Replace,
)
from batuta.model.resource import Limits

_ORDERED = (Why.DESTROY.value,)


def within_limits(decisions: list[Decision], limits: Limits) -> list[Decision]:
    """Return the decisions; where a cap is exceeded, all that count towards it are blocked.

    `deletes` counts datasets whose document is gone and whose data goes with it; a deletion
    that was asked for by name is its own consent. `files` counts files that nothing replaces,
    `replaces` datasets that are written anew as a whole, `datasets` all that change.
    """
    counts: tuple[tuple[str, int | None, Callable[[Decision], int], str], ...] = (
        ("deletes", limits.deletes, _deletes, "delete the data of {n} datasets"),
        ("files", limits.files, _files, "remove {n} files without replacing them"),
        ("replaces", limits.replaces, _replaces, "write {n} datasets anew as a whole"),
        ("datasets", limits.datasets, _changes, "change {n} datasets"),
    )
    for name, cap, count, what in counts:
        total = sum(map(count, decisions)) if cap is not None else 0
        if cap is not None and total > cap:
            says = f"{what.format(n=total)}; `limits.{name}` allows {cap}"
            decisions = [
                _over(decision, name, says) if count(decision) else decision
                for decision in decisions
            ]
    return decisions


def _over(decision: Decision, name: str, says: str) -> Decision:
    found = Diagnostic(
        code="PLN108",
        summary="The plan exceeds a limit of the workspace",
        detail=f"{decision.action.target.resource} is one of those that count: the plan would {says}.",
        fix=f"Look whether that is meant; then raise `limits.{name}` in the Workspace, or plan"
        " fewer datasets with `--select`.",
        locations=decision.action.target.locations,
        address=decision.action.target.resource,
    )
    action = blocked_instead(decision.action, Why.OVER_LIMIT, found)
    return Decision(action=action, diagnostics=decision.diagnostics)


def _deletes(decision: Decision) -> int:
    action = decision.action
    asked = isinstance(action, Delete) and action.reasons[0].code in _ORDERED
    return int(isinstance(action, Delete) and not asked)


def _files(decision: Decision) -> int:
    return decision.files_gone


def _replaces(decision: Decision) -> int:
    match decision.action:
        case Replace() | EvolveSchema() | Convert() as action:
            return int(action.transfer.scope == "all")
        case _:
            return 0


def _changes(decision: Decision) -> int:
    action: Action = decision.action
    return int(not isinstance(action, NoOp | Blocked))
