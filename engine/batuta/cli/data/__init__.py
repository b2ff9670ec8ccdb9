"""`batuta data`: one-line forms of plan and apply, and ways to look into a dataset."""

from batuta.cli.root import LazyGroup

command = LazyGroup(
    "data",
    {name: f"batuta.cli.data.{name}" for name in ("sync", "merge", "cat", "log", "verify")},
    """Move one dataset, or look into one.

    \b
    Example:
        batuta data sync s3://bucket/dataset/ ./local/data/
    """,
)
