"""`batuta state`: what batuta remembers, and repairs of it."""

from batuta.cli.root import LazyGroup

_NAMES = ("list", "show", "verify", "rebuild", "mv", "rm")

command = LazyGroup(
    "state",
    {name: f"batuta.cli.state.{name}_" for name in _NAMES},
    """Look at what batuta remembers, or repair it.

    \b
    Example:
        batuta state list
    """,
)
