"""What `rebuild`, `mv` and `rm` share: show the change of the state, ask, write."""

from collections.abc import Callable

from batuta.cli import flow, refusals
from batuta.cli.app import App
from batuta.cli.exit import Exit
from batuta.cli.ports import Surgery
from batuta.cli.views import tables


def perform(app: App, words: str, surgery: Callable[[bool], Surgery], *, yes: bool) -> int:
    """Show what `surgery(False)` would do; with consent do `surgery(True)`.

    Without a terminal and without `yes` it is shown and refused, and nothing is written.
    """
    planned = surgery(False)
    app.out.write(tables.surgery(app.out.page, planned))
    if list(planned.before) == list(planned.after):
        return Exit.OK
    if not yes:
        if not app.can_ask:
            return flow.refuse(app, refusals.nobody_to_ask(words))
        if not app.agrees([], "Change the state so?"):
            app.err.say("The state was not changed.")
            return Exit.CANCELLED
    surgery(True)
    app.out.say("The state was changed. No data was touched.")
    return Exit.OK
