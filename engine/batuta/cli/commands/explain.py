"""`batuta explain CODE`: the page of a diagnostic."""

import click

from batuta.cli import explain, flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.options import screen_options


@click.command("explain")
@click.argument("code", required=False)
@click.option("--list", "as_list", is_flag=True, help="List all codes with their summaries.")
@screen_options
@pass_app
def command(app: App, code: str | None, as_list: bool) -> int:
    """Explain a diagnostic: what it means, how to fix it, an example to copy.

    \b
    Example:
        batuta explain MAN101
    """
    if as_list or code is None:
        for page in explain.pages():
            app.out.say(f"{page.code}  {page.summary}")
        return 0
    wanted = code.strip().upper()
    found = explain.page(wanted)
    if found is None:
        return flow.refuse(app, refusals.no_such_page(wanted, explain.nearest(wanted)))
    app.out.write(explain.lines(app.out.page, found))
    return 0
