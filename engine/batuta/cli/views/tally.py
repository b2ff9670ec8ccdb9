"""What kind of change each action is, in words, signs and counts, worst first."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from batuta.cli.views.page import Glyphs
from batuta.core.reasons import Why
from batuta.model.change import Change, Effect, FieldChange
from batuta.model.cost import CostEstimate
from batuta.model.diagnostic import Diagnostic, Severity
from batuta.model.plan import (
    Action,
    Blocked,
    Delete,
    NoOp,
    Plan,
    Relabel,
    Release,
    Replace,
)

_EFFECT_RANK = {Effect.LOSES: 0, Effect.REWRITES: 1, Effect.ADDS: 2, Effect.NONE: 3}
_COSTLESS = Relabel | Release | Delete
_GUARDED_FIELDS = frozenset({"tier", "protect", "residency", "egress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many resources a plan creates, changes, leaves alone, puts off and cannot treat."""

    counts: tuple[tuple[str, int], ...]
    unchanged: int
    waiting: int
    blocked: int
    drifted: int
    adopted: int


_WORDS = {
    "create": "create",
    "append": "update",
    "replace": "update",
    "evolve-schema": "update",
    "relabel": "update",
    "convert": "replace",
    "move": "move",
    "delete": "delete",
    "release": "release",
    "no-op": "unchanged",
    "blocked": "blocked",
}


def word(action: Action) -> str:
    """Return the word under which an action is counted in the verdict."""
    # A replace that reads only what changed leaves the rest in place: that is an update.
    if isinstance(action, Replace) and action.transfer.scope == "all":
        return "replace"
    if isinstance(action, NoOp) and any(r.code == Why.WAITS for r in action.reasons):
        return "waiting"
    return _WORDS[action.kind]


def sign(action: Action, glyphs: Glyphs) -> tuple[str, str]:
    """Return the sign in front of an action and its style."""
    match word(action):
        case "create":
            return "+", "32"
        case "update":
            return "~", "31" if loses_data(action) else "33"
        case "replace":
            return "-/+", "31" if loses_data(action) else "33"
        case "move":
            return glyphs.moved, "33"
        case "delete":
            return "-", "31"
        case "blocked":
            return "!", "31"
        case _:
            return ".", "2"


def tally(plan: Plan) -> Tally:
    """Count the plan's actions; create, update, replace and delete are named even where 0."""
    found = Counter(word(action) for action in plan.actions)
    always = ("create", "update", "replace", "delete")
    sometimes = ("move", "release")
    return Tally(
        counts=tuple((w, found[w]) for w in (*always, *(s for s in sometimes if found[s]))),
        unchanged=found["unchanged"],
        waiting=found["waiting"],
        blocked=found["blocked"],
        drifted=sum(1 for a in plan.actions if is_quiet_drift(a)),
        adopted=sum(1 for a in plan.actions if isinstance(a, NoOp) and a.adopt_state),
    )


def is_quiet_drift(action: Action) -> bool:
    """True where something differs but this plan does nothing about it."""
    return isinstance(action, NoOp) and bool(action.changes)


def is_change(action: Action) -> bool:
    """True where apply would do something for this resource."""
    return not isinstance(action, NoOp | Blocked)


def loses_data(action: Action) -> bool:
    """True where rows, columns, precision or history go when this action runs."""
    return is_change(action) and (action.effect is Effect.LOSES or isinstance(action, Delete))


def allows(allowed: tuple[str, ...], address: str) -> bool:
    """True where the loss of data of `address` was allowed, as `Dataset/NAME` or `NAME`."""
    return address in allowed or address.partition("/")[2] in allowed


def weakens_guard(change: Change) -> bool:
    """True for a change of tier, protection, residency or egress, which a reviewer must see."""
    return isinstance(change, FieldChange) and change.path.partition(".")[0] in _GUARDED_FIELDS


def worst_first(actions: Iterable[Action]) -> list[Action]:
    """Return actions by what they do to data that is there, then by address."""
    return sorted(actions, key=_badness)


def _badness(action: Action) -> tuple[int, int, int, str]:
    deletes = 0 if isinstance(action, Delete) else 1
    guarded = 0 if any(weakens_guard(c) for c in action.changes) else 1
    return deletes, _EFFECT_RANK[action.effect], guarded, action.target.resource


def costs(plan: Plan) -> list[CostEstimate | None]:
    """Return one estimate for each action that moves data; None where it has none."""
    return [a.cost for a in plan.actions if is_change(a) and not isinstance(a, _COSTLESS)]


def errors_of(plan: Plan) -> list[Diagnostic]:
    """Return the plan's own errors, those that belong to no single action."""
    return [d for d in plan.diagnostics if d.severity is Severity.ERROR]


def remarks_of(plan: Plan) -> list[Diagnostic]:
    """Return the plan's warnings and notes."""
    return [d for d in plan.diagnostics if d.severity is not Severity.ERROR]
