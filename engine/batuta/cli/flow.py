"""Plan, agree, apply: the three steps that every command which changes something shares.

A prompt never decides anything by itself: it adds an answer to the request, and the engine
plans again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batuta.cli import refusals
from batuta.cli.app import App
from batuta.cli.exit import Exit, of_diagnostics, of_plan, of_report, with_refusals
from batuta.cli.interrupt import clean_stop
from batuta.cli.views import diagnostics, figures, plan_text, questions, report
from batuta.cli.views.progress import listeners
from batuta.cli.views.tally import allows, costs, errors_of, is_change, loses_data, tally
from batuta.model.diagnostic import BatutaError, Diagnostic, StalePlan
from batuta.model.plan import Blocked, Envelope, Plan
from batuta.model.resource import DriftChoice

if TYPE_CHECKING:
    from batuta.runtime.engine import Engine
    from batuta.runtime.planning import PlanRequest


LOSS_PROMPT = "   Lose this data?"
_PLANS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What was agreed to beforehand. `command` is what the user typed, to build fixes from.

    `asks_always` is False for commands that ask only where something is at stake.
    """

    command: str
    yes: bool = False
    allow_data_loss: tuple[str, ...] = ()
    asks_always: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How to apply: for how long to wait for the lock, and where events go."""

    resume: str
    lock_timeout_s: float = 0
    events: Path | None = None


def make(app: App, engine: "Engine", request: "PlanRequest") -> Envelope:
    """Plan, with progress on the error stream."""
    with listeners(app.err, None) as listen:
        return engine.plan(request, listen)


def show(
    app: App,
    envelope: Envelope,
    next_command: str | None = None,
    *,
    allowed: tuple[str, ...] = (),
) -> None:
    """Write the plan to the output stream.

    `next_command` applies it, with the losses that are `allowed`; None where this very command
    goes on to do that.
    """
    view = plan_text.PlanView(next_command=next_command, allowed=allowed, source=app.source)
    app.out.write(plan_text.view(app.out.page, envelope, view))


def refuse(app: App, diagnostic: Diagnostic) -> Exit:
    """Write a refusal and return its exit code."""
    app.err.write(diagnostics.view(app.err.page, [diagnostic], app.source))
    return of_diagnostics([diagnostic])


def settle(
    app: App, engine: "Engine", request: "PlanRequest", envelope: Envelope
) -> tuple[Envelope, "PlanRequest"] | Exit:
    """At a terminal, ask about each dataset that waits for an answer, and plan again with it.

    Elsewhere, and where nothing waits, plan and request come back as they are.
    """
    answers: dict[str, DriftChoice] = {}
    allowed: list[str] = []
    for action in envelope.plan.actions:
        if not (app.can_ask and isinstance(action, Blocked)):
            continue
        if action.question == "drift":
            if (choice := _drift_choice(app, action)) is None:
                return Exit.STOPPED
            answers[action.target.resource] = choice
        elif action.question == "data-loss":
            if not app.agrees(questions.loss(app.err.page, [action]), LOSS_PROMPT):
                return Exit.STOPPED
            allowed.append(action.target.resource)
    if not answers and not allowed:
        return envelope, request
    answered = replace(
        request,
        drift_answers={**request.drift_answers, **answers},
        allow_data_loss=(*request.allow_data_loss, *allowed),
    )
    # Planned again, since an answer may bring up the next question: a new schema may lose data.
    return settle(app, engine, answered, make(app, engine, answered))


def _drift_choice(app: App, action: Blocked) -> DriftChoice | None:
    question = questions.drift(app.err.page, action)
    while True:
        answer = app.ask(question, "   Choice:")[:1]
        if answer in ("q", ""):
            return None
        if answer in questions.DRIFT_ANSWERS:
            return questions.DRIFT_ANSWERS[answer]
        question = questions.not_offered(answer, [*questions.DRIFT_ANSWERS, "q"])


def agree(app: App, plan: Plan, consent: Consent) -> Exit | None:
    """Return None where the plan may be applied, else the exit code, with the reason said."""
    if errors_of(plan) or not plan.has_changes:
        return of_plan(plan)
    losing = [a.target.resource for a in plan.actions if loses_data(a)]
    unallowed = [name for name in losing if not allows(consent.allow_data_loss, name)]
    if unallowed:
        if consent.yes or not app.can_ask:
            return refuse(app, refusals.losses_not_allowed(unallowed, consent.command))
        question = questions.loss(app.err.page, [a for a in plan.actions if loses_data(a)])
        if not app.agrees(question, LOSS_PROMPT):
            return _declined(app)
    if consent.yes:
        return None
    return _agree_to_cost(app, plan, consent)


def _agree_to_cost(app: App, plan: Plan, consent: Consent) -> Exit | None:
    costly = any(figures.money_at_stake(a.cost) for a in plan.actions if is_change(a))
    if not costly and not consent.asks_always:
        return None
    if not app.can_ask:
        total = figures.total_cost(costs(plan))
        refusal = (
            refusals.cost_not_agreed(total, consent.command)
            if costly
            else refusals.nobody_to_ask(consent.command)
        )
        return refuse(app, refusal)
    question = questions.cost(app.err.page, plan) if costly else []
    prompt = "Apply this plan?" if consent.asks_always else "   Proceed with sync?"
    return None if app.agrees(question, prompt) else _declined(app)


def _declined(app: App) -> Exit:
    app.err.say("Nothing was applied.")
    return Exit.CANCELLED


def carry_out(app: App, engine: "Engine", envelope: Envelope, run: Run) -> Exit:
    """Apply the plan, with progress, and write the report; return the exit code."""
    events = None
    if run.events is not None:
        with writing(run.events):
            events = run.events.open("ab")
    with listeners(app.err, events) as listen, clean_stop(app.err) as stop:
        done = engine.apply(envelope, listen, stop, run.lock_timeout_s)
    app.out.write(report.view(app.out.page, done, resume=run.resume, source=app.source))
    if done.status == "done":
        let_history_go(app, engine, envelope)
    code = of_report(done)
    return with_refusals(of_plan(envelope.plan) if code is Exit.OK else code, engine.refused)


def let_history_go(app: App, engine: "Engine", envelope: Envelope) -> None:
    """Delete history that is too old of what the plan leaves as it is, and say so."""
    with listeners(app.err, None) as listen:
        files = engine.let_history_go(envelope, listen)
    if files:
        app.err.say(
            f"{figures.counted(files, 'superseded file')} older than `history` keeps deleted."
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the machine says while `path` is written into CLI103."""
    try:
        yield
    except OSError as error:
        refusal = refusals.cannot_write(str(path), error.strerror or str(error))
        raise BatutaError(refusal) from error


def write_document(path: Path, text: str) -> None:
    """Write a whole document to `path`, replacing what was there.

    Raises:
        BatutaError: CLI103, it cannot be written.
    """
    with writing(path):
        path.write_text(text, encoding="utf-8")


def plan_and_apply(
    app: App, engine: "Engine", request: "PlanRequest", consent: Consent, run: Run
) -> Exit:
    """Plan, show, ask where something is to be asked, and apply.

    Where another run was faster, nothing was touched: it is planned, shown and asked anew.
    """
    for attempt in range(_PLANS):
        settled = settle(app, engine, request, make(app, engine, request))
        if isinstance(settled, Exit):
            app.err.say("Nothing was applied.")
            return settled
        envelope, answered = settled
        # Who answered for a dataset just now is not asked about its loss once more.
        allowed = (*consent.allow_data_loss, *answered.allow_data_loss, *answered.drift_answers)
        show(app, envelope, allowed=allowed)
        refused = agree(app, envelope.plan, replace(consent, allow_data_loss=allowed))
        records = refused is Exit.OK and tally(envelope.plan).adopted > 0
        if refused is not None and not records:
            if refused is Exit.OK:
                let_history_go(app, engine, envelope)
            return refused
        try:
            return carry_out(app, engine, envelope, run)
        except StalePlan:
            if attempt == _PLANS - 1:
                raise
            app.err.say("Another run was faster, so this plan is out of date: planning again.")
    raise AssertionError("unreachable: the last round returns or raises")
