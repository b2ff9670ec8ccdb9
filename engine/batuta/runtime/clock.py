"""The only reading of the clock: RFC 3339 in UTC for records, monotonic seconds for waiting."""

import time
from datetime import UTC, datetime


def now_utc() -> str:
    """Return the time as `2026-01-31T12:00:00.000Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def monotonic_s() -> float:
    """Return seconds that never go back, whatever happens to the wall clock."""
    return time.monotonic()


def wall_s() -> float:
    """Return seconds since 1970, for ages of files and history only."""
    return time.time()
