"""The one layer that retries: classified failures, growing waits, a budget, and a way to stop."""

import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from batuta.model.diagnostic import ConnectorError, Failure
from batuta.runtime.worker.pool import Cancelled

_T = TypeVar("_T")
_AGAIN = frozenset({Failure.TRANSIENT, Failure.THROTTLED, Failure.EXPIRED})
ATTEMPTS = 6
_LONGEST_S = 30.0


def retrying(
    work: Callable[[], _T], stop: threading.Event, told: Callable[[int, float, str], None]
) -> _T:
    """Run `work`, again where its failure may pass; `told` hears (attempt, wait in s, reason).

    A server's own `Retry-After` is respected. Raises the last failure when the budget is
    spent, at once for failures that are final, and Cancelled when `stop` is set.
    """
    try:
        return work()
    except ConnectorError as error:
        if error.kind not in _AGAIN:
            raise
        # Only a failure needs what follows, and it counts as the first attempt.
        failed: list[ConnectorError] = [error]

    def attempt() -> _T:
        if failed:
            raise failed.pop()
        return work()

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise Cancelled

    grow = wait_random_exponential(multiplier=0.5, max=_LONGEST_S)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ConnectorError) else 0.0
        return max(asked, grow(state))

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        action = state.next_action
        reason = error.diagnostics[0].detail if isinstance(error, ConnectorError) else ""
        told(state.attempt_number, action.sleep if action else 0.0, reason)

    again = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait,
        retry=retry_if_exception(lambda e: isinstance(e, ConnectorError) and e.kind in _AGAIN),
        before_sleep=tell,
        sleep=pause,
        reraise=True,
    )
    return again(attempt)
