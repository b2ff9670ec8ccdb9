"""`batuta keys show`: the trusted public keys, and which of them signs here."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views.page import entries, line


@click.command("show")
@workspace_options
@pass_app
def command(app: App) -> int:
    """List the trusted keys with the times in which they may have signed.

    \b
    Example:
        batuta keys show
    """
    own, trust = app.open(connect=False).seals.keys
    rows = [
        (
            key.id + (" (signs here)" if own is not None and own.id == key.id else ""),
            key.valid_from,
            key.valid_until or "",
            key.note,
        )
        for key in trust.keys
    ]
    none = [line("No key is trusted here: nothing is signed or checked.")]
    app.out.write(entries(app.out.page, ("key", "from", "until", "note"), rows) or none)
    return 0
