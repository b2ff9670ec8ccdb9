"""`batuta keys`: the key that signs logs, approvals and audits."""

from batuta.cli.root import LazyGroup

command = LazyGroup(
    "keys",
    {name: f"batuta.cli.keys.{name}" for name in ("generate", "rotate", "show", "trust")},
    """Make, exchange and show the signing key, and say whose signatures are trusted.

    \b
    Example:
        batuta keys generate
    """,
)
