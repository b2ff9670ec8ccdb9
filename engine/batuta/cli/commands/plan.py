"""`batuta plan`: what would be done, why, and at what cost. Changes nothing."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batuta.cli import flow
from batuta.cli.app import App, pass_app
from batuta.cli.exit import of_plan, with_refusals
from batuta.cli.options import (
    drift_option,
    loss_option,
    selection_options,
    workspace_options,
)
from batuta.cli.typed import typed
from batuta.cli.views import plan_json, plan_markdown, plan_text
from batuta.model.plan import Envelope

if TYPE_CHECKING:
    from batuta.model.resource import DriftPolicy


class MarkdownBudget(click.ParamType[int]):
    """A number of bytes, or the name of a host whose limit is known."""

    name = "bytes"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number of bytes; a usage error for anything else."""
        text = str(value)
        if text in plan_markdown.HOST_LIMITS:
            return plan_markdown.HOST_LIMITS[text]
        if not text.isdecimal() or int(text) < plan_markdown.LEAST_BYTES:
            hosts = ", ".join(plan_markdown.HOST_LIMITS)
            self.fail(f"at least {plan_markdown.LEAST_BYTES}, or one of {hosts}", param, ctx)
        return int(text)


@click.command("plan")
@workspace_options
@selection_options
@drift_option
@loss_option
@click.option("--out", type=click.Path(path_type=Path), help="Save the plan for `apply`.")
@click.option("--show", "saved", metavar="PLAN", help="Show a saved plan: a file or its digest.")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="How to print it; markdown is a comment for a change request.",
)
@click.option(
    "--json-into",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the JSON form there as well, whatever --format says.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where there are changes.")
@click.option(
    "--refresh",
    type=click.Choice(["full", "none"]),
    default="full",
    show_default=True,
    help="Read the platforms, or plan from what is recorded.",
)
@click.option("--show-drift", is_flag=True, help="List drift that this plan leaves alone.")
@click.option("--timings", is_flag=True, help="Say where the time went.")
@click.option(
    "--max-bytes",
    type=MarkdownBudget(),
    default="github",
    show_default=True,
    metavar="BYTES|HOST",
    help="Budget of --format markdown; or github, gitlab, bitbucket, azure-devops.",
)
@pass_app
def command(
    app: App,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    resync: tuple[str, ...],
    on_drift: "DriftPolicy | None",
    allow_data_loss: tuple[str, ...],
    out: Path | None,
    saved: str | None,
    as_format: str,
    json_into: Path | None,
    detailed_exitcode: bool,
    refresh: str,
    show_drift: bool,
    timings: bool,
    max_bytes: int,
) -> int:
    """Show what apply would do: what moves, what it costs, what drifted, what is refused.

    Exits with 0 also where there are changes, unless --detailed-exitcode is given.

    \b
    Example:
        batuta plan --env prod --out plan.json
        batuta plan --format markdown --max-bytes gitlab > comment.md
    """
    from batuta.runtime.clock import monotonic_s
    from batuta.runtime.planning import PlanRequest

    started_s = monotonic_s()
    engine = app.open(connect=saved is None and refresh == "full")
    if saved is not None:
        envelope = engine.load_plan(saved)
    else:
        request = PlanRequest(
            select=select,
            exclude=exclude,
            resync=resync,
            offline=refresh == "none",
            on_drift=on_drift,
            allow_data_loss=allow_data_loss,
        )
        opened_s = monotonic_s()
        envelope = flow.make(app, engine, request)
        spent = (("open", opened_s - started_s), ("plan", monotonic_s() - opened_s))
        envelope = replace(envelope, timings_ms=tuple((n, round(s * 1000)) for n, s in spent))
    where = saved
    if out is not None:
        with flow.writing(out):
            where = str(engine.save(envelope, out))
    if json_into is not None:
        flow.write_document(json_into, plan_json.view(envelope))
    view = plan_text.PlanView(
        next_command=typed(app, "apply", where)
        if where is not None
        else typed(app, "apply", select=select, exclude=exclude, resync=resync, on_drift=on_drift),
        saved=where is not None,
        show_drift=show_drift,
        timings=timings,
        source=app.source,
    )
    _print(app, envelope, view, as_format, max_bytes)
    return with_refusals(of_plan(envelope.plan, detailed=detailed_exitcode), engine.refused)


def _print(
    app: App, envelope: Envelope, view: plan_text.PlanView, as_format: str, max_bytes: int
) -> None:
    match as_format:
        case "json":
            app.out.verbatim(plan_json.view(envelope))
        case "markdown":
            words = view.next_command or ""
            text = plan_markdown.view(envelope, max_bytes=max_bytes, next_command=words)
            app.out.verbatim(text)
        case _:
            app.out.write(plan_text.view(app.out.page, envelope, view))
