"""`batuta egress log`: every connection that a worker tried, and whether the log is whole."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import of_diagnostics
from batuta.cli.interrupt import stop_quietly
from batuta.cli.options import moment, workspace_options
from batuta.cli.views import egress_log as view
from batuta.cli.views.egress_metrics import metrics

if TYPE_CHECKING:
    from batuta.runtime.egress_log import Attempt


@click.command("log")
@click.option("--follow", is_flag=True, help="Go on with what is tried from now on, until Ctrl-C.")
@click.option("--dataset", metavar="NAME", help="Only what was tried for this dataset.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--since", metavar="TIME", help="From this time on (RFC 3339, a date, or 30d).")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "json", "prometheus"]),
    default="text",
    show_default=True,
    help="How to write it; json is a line for each connection, prometheus its metrics.",
)
@workspace_options
@pass_app
def command(
    app: App, follow: bool, dataset: str | None, refused: bool, since: str | None, as_format: str
) -> int:
    """Show every connection that workers tried: who, which host, how many bytes, which rule.

    The log is a chain of lines, each with the digest of the one before, and each run keeps its end
    in the state. Where either does not hold, that is said last, and the exit code is 14.

    \b
    Example:
        batuta egress log --refused
        batuta egress log --follow --dataset orders
        batuta egress log --format prometheus
    """
    from batuta.runtime.egress_log import Wanted, followed, tried

    if follow and as_format == "prometheus":
        raise click.UsageError("Metrics are of the whole log: leave --follow out.")
    engine = app.open(connect=False)
    record = engine.egress_log
    path = record.path
    if dataset is not None and next(tried(path, Wanted(dataset=dataset)), None) is None:
        engine.egress.named(dataset)  # only where the log does not know it: manifests may be broken
    wanted = Wanted(dataset=dataset, refused=refused, since=moment(since))
    if as_format == "prometheus":
        held = record.verify()
        app.out.verbatim(metrics(tried(path, wanted), held.log))
        return of_diagnostics(held.findings)
    show = _shown(app, as_format)
    if follow:
        if (before := record.verify()).findings:
            app.err.write(view.verdict(app.err.page, before))
        with stop_quietly() as stop:
            for attempt in followed(path, wanted, stop.is_set):
                show(attempt)
    else:
        for attempt in tried(path, wanted):
            show(attempt)
    found = record.verify()
    if as_format == "json":
        app.out.verbatim(view.verdict_json(found))
    else:
        app.out.write(view.verdict(app.out.page, found))
    return of_diagnostics(found.findings)


def _shown(app: App, as_format: str) -> "Callable[[Attempt], None]":
    if as_format == "json":
        return lambda attempt: app.out.verbatim(view.attempt_json(attempt))
    listing = view.Listing(app.out.page)
    return lambda attempt: app.out.write(listing.lines(attempt))
