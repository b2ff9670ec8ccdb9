"""`batuta egress`: what workers may reach, why, and what they tried."""

from batuta.cli.root import LazyGroup

command = LazyGroup(
    "egress",
    {
        **{name: f"batuta.cli.egress.{name}" for name in ("status", "explain", "log", "render")},
        "import": "batuta.cli.egress.import_",
    },
    """Show which hosts the workers of each dataset may reach, and why.

    \b
    Example:
        batuta egress explain s3.lake.test --dataset orders
        batuta egress log --refused
    """,
)
