"""`batuta label verify`: does the label hold, and does all that it rests on?"""

from pathlib import Path

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit, of_diagnostics
from batuta.cli.options import workspace_options
from batuta.cli.views import tables


@click.command("verify")
@click.argument("path")
@workspace_options
@click.option(
    "--against",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Hold the log against the head in an audit that was made earlier.",
)
@click.option(
    "--sign-head",
    is_flag=True,
    help="Sign the newest entry anew, if all else is in order: for a signature that was lost.",
)
@pass_app
def command(app: App, path: str, against: Path | None, sign_head: bool) -> int:
    """Check every entry, every signature and every byte of the dataset at PATH.

    \b
    Example:
        batuta label verify ./out/orders/ --against audit.json
    """
    from batuta.runtime.labels import head_in

    app.single = path
    engine = app.open(keeps=sign_head)
    if sign_head:
        head = engine.sign_head(path)
        app.out.say(f"Signed version {head.version} ({head.digest[:12]}).")
    anchor = head_in(app.folder / against) if against is not None else None
    found = engine.labels.verify(path, lambda _files, _size: None, anchor)
    app.out.write(tables.verified(app.out.page, path, found))
    app.out.say(f"{found.signed} of {found.entries} entries are signed by a trusted key.")
    if found.ok:
        return Exit.OK
    code = of_diagnostics(found.problems)
    return Exit.ERROR if code is Exit.OK else code
