"""`batuta keys rotate`: exchanges the signing key; what the old one signed goes on to hold."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options


@click.command("rotate")
@workspace_options
@click.option("--note", default="", help="A word about the new key, kept in the trust file.")
@pass_app
def command(app: App, note: str) -> int:
    """Make a new key and end the old one: it is trusted for what it signed until now.

    \b
    Example:
        batuta keys rotate
    """
    from batuta.runtime.clock import now_utc

    ring = app.open(connect=False).seals.ring
    made = ring.rotate(now_utc(), note)
    app.out.say(f"Made the key {made.id}; the one before it is gone. Send {ring.trust_file} anew.")
    return 0
