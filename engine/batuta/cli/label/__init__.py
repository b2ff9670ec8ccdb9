"""`batuta label`: what data may be used for, who said so, and whether that still holds."""

from batuta.cli.root import LazyGroup

command = LazyGroup(
    "label",
    {name: f"batuta.cli.label.{name}" for name in ("show", "verify", "history", "approve")},
    """Show and check the sovereignty label of a dataset, and decide about it.

    \b
    Example:
        batuta label show ./out/orders/
    """,
)
