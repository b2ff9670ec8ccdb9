"""`batuta lock`: who may write the state."""

from batuta.cli.root import LazyGroup

command = LazyGroup(
    "lock",
    {name: f"batuta.cli.lock.{name}" for name in ("show", "steal")},
    """Look at the lock on the state, or take it from a dead run.

    \b
    Example:
        batuta lock show
    """,
)
