"""`batuta doctor`: which enforcement this machine gives, and what would raise it."""

from typing import TYPE_CHECKING

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import screen_options

if TYPE_CHECKING:
    from batuta.runtime.sandbox.report import Report


@click.command("doctor")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write the report.",
)
@screen_options
@pass_app
def command(app: App, as_format: str) -> int:
    """Try what this machine enforces; say what each tier gets, and what would raise it.

    Tiny workers are started at every level and try to get out. Nothing is changed.

    \b
    Example:
        batuta doctor
        batuta doctor --format json
    """
    from batuta.cli.views import doctor as view
    from batuta.runtime.sandbox.report import doctor

    report = doctor()
    if as_format == "json":
        app.out.verbatim(as_json(report))
    else:
        app.out.write(view.report(app.out.page, report))
    return 0


def as_json(report: "Report") -> str:
    """Return the report as a JSON document."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
