"""`batuta keys generate`: makes the key that this workspace signs with."""

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options


@click.command("generate")
@workspace_options
@click.option(
    "--at",
    "reference",
    metavar="file:PATH",
    help="Where the private key is to lie. Default: in .batuta/keys/.",
)
@click.option("--note", default="", help="A word about the key, kept in the trust file.")
@pass_app
def command(app: App, reference: str | None, note: str) -> int:
    """Make an Ed25519 key; from now on every log entry is signed with it.

    The private key is a file that its owner alone can read. The public one goes into the trust
    file, which is what others verify with.

    \b
    Example:
        batuta keys generate --note "the runner of the data team"
    """
    from batuta.runtime.clock import now_utc

    ring = app.open(connect=False).seals.ring
    made = ring.generate(now_utc(), note, reference)
    app.out.say(f"Made the key {made.id}. Who is to verify needs {ring.trust_file}.")
    return 0
