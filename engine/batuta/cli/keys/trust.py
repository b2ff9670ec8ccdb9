"""`batuta keys trust`: trusts the keys of another workspace's trust file as well."""

from pathlib import Path

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import figures


@click.command("trust")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@workspace_options
@pass_app
def command(app: App, file: Path) -> int:
    """Trust the public keys in FILE, the trust.json of another workspace.

    Get it by a way that you trust: whoever can exchange it can sign for you.

    \b
    Example:
        batuta keys trust colleague/trust.json
    """
    from batuta.runtime.trust import read_trust

    trust = app.open(connect=False).seals.ring.add(read_trust(app.folder / file))
    app.out.say(f"{figures.counted(len(trust.keys), 'key')} trusted now.")
    return 0
