"""`batuta apply`: makes a plan true; a saved one exactly as it was read."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batuta.cli import flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.options import (
    drift_option,
    loss_option,
    selection_options,
    workspace_options,
)
from batuta.cli.typed import typed
from batuta.model.diagnostic import BatutaError
from batuta.model.plan import Envelope

if TYPE_CHECKING:
    from batuta.model.resource import DriftPolicy
    from batuta.runtime.engine import Engine

_LEAST_DIGEST = 12


@click.command("apply")
@click.argument("plan", required=False, metavar="[PLAN]")
@workspace_options
@selection_options
@drift_option
@loss_option
@click.option("--yes", is_flag=True, help="Do not ask. Data loss still has to be allowed by name.")
@click.option(
    "--approve-digest",
    metavar="DIGEST",
    help="Apply only if the plan has this digest (or begins with these 12 digits or more).",
)
@click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="Wait so long for another run to finish.  [default: 0]",
)
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append what happens to this file, one JSON object a line.",
)
@pass_app
def command(
    app: App,
    plan: str | None,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    resync: tuple[str, ...],
    on_drift: "DriftPolicy | None",
    allow_data_loss: tuple[str, ...],
    yes: bool,
    approve_digest: str | None,
    lock_timeout: float,
    events: Path | None,
) -> int:
    """Apply PLAN (a file that `plan --out` made, or its digest), or plan now and ask.

    What is done stays done: after a failure or Ctrl-C the same command goes on from there.

    \b
    Example:
        batuta plan --out plan.json && batuta apply plan.json
        batuta apply --yes --select orders
    """
    from batuta.runtime.planning import PlanRequest

    words = typed(
        app, "apply", *([plan] if plan else []), select=select, exclude=exclude, resync=resync,
        on_drift=on_drift, allow_data_loss=allow_data_loss, yes=yes,
    )  # fmt: skip
    run = flow.Run(resume=words, lock_timeout_s=lock_timeout, events=events)
    consent = flow.Consent(command=words, yes=yes, allow_data_loss=allow_data_loss)
    if plan is not None:
        _refuse_planning_flags(select, exclude, resync, on_drift)
        return _apply_saved(app, plan, approve_digest, consent, run)
    engine = app.open(declared=True)
    request = PlanRequest(
        select=select,
        exclude=exclude,
        resync=resync,
        on_drift=on_drift,
        allow_data_loss=allow_data_loss,
    )
    if approve_digest is None:
        return flow.plan_and_apply(app, engine, request, consent, run)
    envelope = flow.make(app, engine, request)
    return _apply_approved(app, engine, envelope, approve_digest, consent, run)


def _refuse_planning_flags(
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    resync: tuple[str, ...],
    on_drift: "DriftPolicy | None",
) -> None:
    if select or exclude or resync or on_drift:
        raise click.UsageError(
            "A saved plan is applied as it is: --select, --exclude, --resync and --on-drift "
            "belong to `batuta plan`."
        )


def _apply_saved(
    app: App, name: str, digest: str | None, consent: flow.Consent, run: flow.Run
) -> int:
    engine = app.open()
    envelope = engine.load_plan(name)
    return _apply_approved(app, engine, envelope, digest or envelope.digest, consent, run)


def _apply_approved(
    app: App,
    engine: "Engine",
    envelope: Envelope,
    digest: str,
    consent: flow.Consent,
    run: flow.Run,
) -> int:
    """Apply a plan that somebody has read already: only losses are still to be allowed."""
    if len(digest) < _LEAST_DIGEST or not envelope.digest.startswith(digest.lower()):
        raise BatutaError(refusals.another_digest(digest, envelope.digest, consent.command))
    flow.show(app, envelope, allowed=consent.allow_data_loss)
    read_before = flow.Consent(
        command=consent.command, yes=True, allow_data_loss=consent.allow_data_loss
    )
    refused = flow.agree(app, envelope.plan, read_before)
    return flow.carry_out(app, engine, envelope, run) if refused is None else refused
