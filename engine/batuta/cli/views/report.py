"""The end of a run: what is done, what failed, what was skipped because of what, and how to go on."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from batuta.cli.views import diagnostics, figures
from batuta.cli.views.diagnostics import SourceText, no_source
from batuta.cli.views.page import (
    BOLD,
    GREEN,
    RED,
    YELLOW,
    Line,
    Page,
    Span,
    line,
    prose,
    strong,
    table,
)
from batuta.model.event import ActionFinished, ActionStatus, RunReport

LISTED_DONE = 50

_Kind: TypeAlias = ActionStatus | Literal["blocked"]
_TITLES: tuple[tuple[_Kind, str, str], ...] = (
    ("done", "done", GREEN),
    ("failed", "failed", RED),
    ("blocked", "blocked, so not begun", YELLOW),
    ("skipped", "skipped", YELLOW),
    ("cancelled", "cancelled", YELLOW),
    ("not-started", "not started", YELLOW),
)


def view(
    page: Page, report: RunReport, *, resume: str, source: SourceText = no_source
) -> list[Line]:
    """Return the report; `resume` is the command that takes up what is left."""
    lines = strong(prose(page, verdict(page, report)))
    undone: set[str] = set()
    for kind, title, style in _TITLES:
        outcomes = [o for o in acted(report.outcomes) if kind_of(o) == kind]
        if outcomes:
            undone.add(kind)
            lines += [(), line(Span(f"{title}: {len(outcomes):,}", style))]
            lines += _group(page, outcomes, source)
    if report.status != "done":
        waits = undone <= {"done", "blocked", "skipped"}
        then = "When what is blocked is settled:" if waits else "To resume:"
        lines += [
            (),
            line(f"What is done stays done. {then}"),
            (),
            line("    ", Span(resume, BOLD)),
        ]
    return lines


def verdict(page: Page, report: RunReport) -> str:
    """Return one line: the status, the counts, bytes and time."""
    acting = acted(report.outcomes)
    done = sum(1 for o in acting if o.status == "done")
    blocked = sum(1 for o in acting if is_blocked(o))
    parts = [
        f"apply {report.status}: {done:,} of {figures.counted(len(acting), 'action')} done"
        + (f", {blocked:,} blocked" if blocked else ""),
        f"{figures.size(page, report.bytes_read)} read",
        figures.seconds(report.seconds),
        f"run {report.run}",
    ]
    # An action that moved nothing ran in no worker, so it says nothing on enforcement.
    moved = [o for o in report.outcomes if o.status == "done" and o.bytes_read]
    if moved:
        parts.append(f"workers: {_kept(moved)}")
    if report.refused:
        parts.append(f"{figures.counted(report.refused, 'connection')} refused")
    return f" {page.glyphs.dot} ".join(parts)


def _kept(moved: list[ActionFinished]) -> str:
    """Return how the workers were confined: in one word where that is the same for all."""
    levels = {o.level for o in moved}
    open_ways = sum(1 for o in moved if not o.enforced)
    if open_ways:
        return f"enforced: false for {open_ways:,} of {len(moved):,}"
    return f"enforced, {levels.pop()}" if len(levels) == 1 else "enforced"


def kind_of(outcome: ActionFinished) -> _Kind:
    """Return under which heading an outcome stands: what the plan blocked was never tried."""
    return "blocked" if is_blocked(outcome) else outcome.status


def is_blocked(outcome: ActionFinished) -> bool:
    """True where the plan said already that it cannot be done."""
    return outcome.action == "blocked" and outcome.status == "failed"


def acted(outcomes: Iterable[ActionFinished]) -> list[ActionFinished]:
    """Return the outcomes of actions that had something to do."""
    return [o for o in outcomes if o.action != "no-op" or o.status != "done"]


def _group(page: Page, outcomes: list[ActionFinished], source: SourceText) -> list[Line]:
    first = outcomes[0].status
    if first == "done":
        shown = outcomes if page.exact else outcomes[:LISTED_DONE]
        several = len({o.level for o in outcomes if o.bytes_read}) > 1
        lines = table(
            page, ("dataset", "action", "result"), [_done(page, o, several) for o in shown],
            indent=2,
        )  # fmt: skip
        rest = len(outcomes) - len(shown)
        return [*lines, line(f"  and {rest:,} more")] if rest else lines
    lines = []
    for outcome in outcomes:
        because = f", because of {outcome.because_of}" if outcome.because_of else ""
        what = "" if is_blocked(outcome) else f"  {outcome.action}{because}"
        lines.append(line("  ", Span(outcome.address, BOLD), what))
        for diagnostic in outcome.diagnostics:
            lines += diagnostics.one(page, diagnostic, source, indent=4)
    return lines


def _done(page: Page, outcome: ActionFinished, several: bool) -> tuple[str, str, str]:
    """One row; how its worker was confined is said where it is not the same for all."""
    said = result(page, outcome)
    if several and outcome.bytes_read:
        said += f", {outcome.level}" if outcome.enforced else ", enforced: false"
    return outcome.address, outcome.action, said


def result(page: Page, outcome: ActionFinished) -> str:
    """Return what one finished action brought, as `1,000 rows, 3 files, 1.2 MiB read`."""
    parts = []
    if outcome.rows is not None:
        parts.append(figures.rows(page, outcome.rows))
    if outcome.files:
        parts.append(figures.counted(outcome.files, "file"))
    if outcome.bytes_read:
        parts.append(f"{figures.size(page, outcome.bytes_read)} read")
    if outcome.head is not None:
        parts.append(f"log version {outcome.head.version}")
    return ", ".join(parts) or "nothing to move"
