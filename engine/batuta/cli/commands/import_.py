"""`batuta import PATH`: takes files that are there already under batuta's log, by hashing them."""

import click

from batuta.cli import flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit
from batuta.cli.options import workspace_options
from batuta.cli.typed import typed
from batuta.cli.views import tables


@click.command("import")
@click.argument("path")
@workspace_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def command(app: App, path: str, yes: bool) -> int:
    """Adopt the files at PATH as a dataset: hash them and write version 0 of its log.

    PATH may also be the name of a dataset of the manifests. The files stay as they are; neither
    `destroy` nor the removal of a document ever deletes what was imported.

    \b
    Example:
        batuta import ./out/orders/
    """
    app.single = path  # outside a workspace each place has a state of its own
    engine = app.open(keeps=yes)
    found = engine.import_dataset(path, write=False)
    app.out.write(tables.adoption(app.out.page, path, found.entry, found.parts))
    if not yes and not app.can_ask:
        return flow.refuse(app, refusals.nobody_to_ask(typed(app, "import", path)))
    if not yes and not app.agrees([], "Adopt these files?"):
        app.err.say("Nothing was imported.")
        return Exit.CANCELLED
    if not yes:
        app.close()
        engine = app.open()
    engine.import_dataset(path, write=True)
    app.out.say(f"{path} is a dataset now; its log begins at version 0.")
    app.out.say(f"Undo it with `{typed(app, 'release', path)}`, then delete its `_log` folder.")
    return Exit.OK
