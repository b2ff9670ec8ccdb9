"""Letting history go where nothing else is done: what a commit does for its own dataset."""

from collections.abc import Mapping

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.plan import NoOp, Plan
from batuta.runtime.observe import Observer, Seen

_NS = 1_000_000_000


def aged(plan: Plan, seen: Mapping[str, Seen], now_s: float) -> tuple[NoOp, ...]:
    """Return the actions with nothing to do whose datasets may have history that is too old.

    Told from the times of the files alone, so that most datasets cost nothing. A file that was
    superseded later than it was written may still have to be kept: the log says so.
    """
    found = []
    for action in plan.actions:
        if isinstance(action, NoOp):
            one = seen.get(action.target.resource.partition("/")[2])
            oldest = one.destination.oldest_history_ns if one and one.destination else None
            if oldest is not None and oldest < (now_s - action.target.history.keep_s) * _NS:
                found.append(action)
    return tuple(found)


def let_go(actions: tuple[NoOp, ...], observer: Observer, now_s: float) -> int:
    """Delete the superseded files that no kept version names; return how many went.

    Raises:
        BatutaError: what could not be deleted, of all datasets together. All others are done,
            and the next run tries again.
    """
    gone = 0
    problems: list[Diagnostic] = []
    for action in actions:
        target = action.target
        try:
            store = observer.store_at_text(
                target.destination, target.destination_platform, target.resource
            )
            gone += store.expire(target.history, now_s)
        except BatutaError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise BatutaError(*problems)
    return gone
