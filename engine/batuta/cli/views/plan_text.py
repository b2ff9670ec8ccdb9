"""A plan on the screen, in the order a reader needs it.

Header, verdict, what stops the line, changes by dataset with the worst first, drift that does
not matter here in one line, and the exact next command.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batuta.cli.views import changes, diagnostics, figures
from batuta.cli.views.diagnostics import SourceText, no_source
from batuta.cli.views.page import BOLD, DIM, RED, YELLOW, Line, Page, Span, line, prose, strong
from batuta.cli.views.tally import (
    allows,
    costs,
    errors_of,
    is_change,
    is_quiet_drift,
    loses_data,
    remarks_of,
    tally,
    weakens_guard,
    worst_first,
)
from batuta.model.diagnostic import Diagnostic
from batuta.model.plan import Action, Blocked, Envelope, Kept, Plan

FULL_ENTRIES = 200
_NAMED = 5
_ALLOW = "to allow it, add"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """What the reader asked to see.

    `next_command` applies the plan; None where the command at hand goes on to do that. `saved`
    says that it applies this very plan, instead of planning again first. `allowed` names the
    datasets whose loss of data somebody has allowed already.
    """

    next_command: str | None = "batuta apply"
    saved: bool = False
    allowed: tuple[str, ...] = ()
    show_drift: bool = False
    timings: bool = False
    source: SourceText = no_source


def view(page: Page, envelope: Envelope, wanted: PlanView) -> list[Line]:
    """Return the whole plan; one line where there is nothing to do and nothing to say."""
    plan = envelope.plan
    drift = quiet_drift(page, plan, show=wanted.show_drift)
    timings = _timings(envelope) if wanted.timings else []
    remarks = diagnostics.view(page, remarks_of(plan), wanted.source)
    if not plan.has_changes and not plan.is_blocked and not errors_of(plan):
        return _blocks(remarks, no_changes(page, plan), drift, timings)
    free = dict(envelope.free_bytes)
    return _blocks(
        [
            *header(page, envelope),
            *strong(prose(page, verdict(page, plan))),
            *workers(page, envelope),
        ],
        stop(page, plan, wanted),
        change_list(page, plan, free),
        remarks,
        drift,
        timings,
        footer(page, plan, wanted),
    )


def _blocks(*blocks: Sequence[Line]) -> list[Line]:
    """Join the blocks that say something, an empty line between two."""
    lines: list[Line] = []
    for block in blocks:
        if block:
            lines += ([()] if lines else []) + list(block)
    return lines


def header(page: Page, envelope: Envelope) -> list[Line]:
    """Return which workspace and plan this is, and what was read for it."""
    plan = envelope.plan
    environment = f", environment {plan.environment}" if plan.environment else ""
    return [
        line(Span(f"workspace {plan.workspace}{environment}", BOLD)),
        *prose(
            page,
            f"plan {envelope.digest[:16]}, made {envelope.created_at}, "
            f"state revision {envelope.state_serial}",
        ),
    ]


def workers(page: Page, envelope: Envelope) -> list[Line]:
    """Return how workers are kept on this machine, and for what it does not keep them why."""
    if not envelope.workers:
        return []
    lines = prose(page, kept(envelope), label="workers: ")
    for each in envelope.workers:
        if each.enforced:
            continue
        names = each.resources if page.exact else each.resources[:_NAMED]
        more = len(each.resources) - len(names)
        text = ", ".join(names) + (f" and {more:,} more" if more else "")
        lines += prose(page, text, indent=2, label="enforced: false for ", style=YELLOW)
        for lost in each.lost:
            lines += prose(page, lost, indent=4, label="lost: ")
    return lines


def kept(envelope: Envelope) -> str:
    """Return the levels in a few words: `enforced, isolated`, or each with its count."""
    if len(envelope.workers) == 1:
        return _kept(envelope.workers[0])
    return "; ".join(
        f"{_kept(each)} ({figures.counted(len(each.resources), 'dataset')})"
        for each in envelope.workers
    )


def _kept(each: Kept) -> str:
    return f"{'enforced' if each.enforced else 'not enforced'}, {each.level}"


def read_from(plan: Plan) -> str:
    """Return which platforms were read; says so where none was."""
    if plan.read:
        return f"read: {', '.join(plan.read)}"
    if all(isinstance(action, Blocked) for action in plan.actions):
        return "no platform was read"
    return "no platform was read: this is what was last recorded"


def no_changes(page: Page, plan: Plan) -> list[Line]:
    """Return the one line of a plan without changes."""
    found = tally(plan)
    if not plan.actions and not plan.partial:
        return [line("No changes: no dataset is declared")]
    parts = [f"No changes: {figures.counted(found.unchanged, 'dataset')} as wanted"]
    if found.adopted:
        parts.append(f"{found.adopted:,} known from the log alone, which apply records")
    if plan.partial:
        parts.append(f"{plan.not_selected:,} not selected")
    return prose(page, f" {page.glyphs.dot} ".join([*parts, read_from(plan)]))


def verdict(page: Page, plan: Plan) -> str:
    """Return counts, volume, cost and what was read, in one line."""
    found = tally(plan)
    parts = [
        ", ".join(
            [
                *(f"{number:,} to {name}" for name, number in found.counts),
                f"{found.unchanged:,} unchanged",
                *([f"{found.waiting:,} waiting for others"] if found.waiting else []),
                *([f"{found.blocked:,} blocked"] if found.blocked else []),
                *([f"{found.drifted:,} drifted"] if found.drifted else []),
                *([f"{plan.not_selected:,} not selected"] if plan.partial else []),
            ]
        )
    ]
    moving = [a for a in plan.actions if is_change(a)]
    parts.append(f"reads {figures.size(page, sum(a.volume.read_bytes for a in moving))}")
    parts.append(f"cost: {figures.total_cost(costs(plan))}")
    parts.append(read_from(plan))
    return f" {page.glyphs.dot} ".join(parts)


def stop(page: Page, plan: Plan, wanted: PlanView) -> list[Line]:
    """Return what stops the line or must be agreed to, each with its place and the way on.

    An error stops all of the plan, a blocked dataset itself and what needs it.
    """
    return _blocks(
        _errors(page, errors_of(plan), wanted.source),
        _blocked(page, plan, wanted.source),
        _agreed(page, plan, wanted.allowed),
    )


def _errors(page: Page, errors: Sequence[Diagnostic], source: SourceText) -> list[Line]:
    if not errors:
        return []
    verb = "is" if len(errors) == 1 else "are"
    text = f"nothing is applied before {figures.counted(len(errors), 'error')} {verb} settled"
    lines = prose(page, text, label="STOP: ", style=RED)
    for diagnostic in diagnostics.arranged(errors):
        lines += [(), *diagnostics.one(page, diagnostic, source, indent=2)]
    return lines


def _blocked(page: Page, plan: Plan, source: SourceText) -> list[Line]:
    blocked = [a for a in worst_first(plan.actions) if isinstance(a, Blocked)]
    if not blocked:
        return []
    others = "; the others go on" if plan.has_changes and not errors_of(plan) else ""
    number = figures.counted(len(blocked), "dataset")
    text = f"{number} not done until this is settled{others}"
    lines = prose(page, text, label="BLOCKED: ", style=RED)
    full = blocked if page.exact else blocked[:FULL_ENTRIES]
    for halted in full:
        lines += [(), *blocked_entry(page, halted, source)]
    if rest := blocked[len(full) :]:
        lines += [(), _in_short(rest)]
        lines += [changes.short_blocked(page, halted) for halted in rest]
    return lines


def _agreed(page: Page, plan: Plan, allowed: tuple[str, ...]) -> list[Line]:
    agreed = [a for a in worst_first(plan.actions) if is_change(a) and needs_eyes(a)]
    if not agreed:
        return []
    number = figures.counted(len(agreed), "change")
    verbs = "loses data, or changes" if len(agreed) == 1 else "lose data, or change"
    text = f"{number} {verbs} who may see or remove it"
    lines = prose(page, text, label="TO AGREE TO: ", style=RED)
    for action in agreed:
        lines += [(), *consent_entry(page, action, allowed)]
    return lines


def needs_eyes(action: Action) -> bool:
    """True where an action loses data or changes who may see it."""
    return loses_data(action) or any(weakens_guard(c) for c in action.changes)


def blocked_entry(page: Page, action: Blocked, source: SourceText) -> list[Line]:
    """Return a blocked dataset: why, the way out, and what differs."""
    lines, owner = [changes.heading(page, action)], action.target.resource
    for diagnostic in diagnostics.arranged(action.diagnostics):
        lines += diagnostics.one(page, diagnostic, source, indent=4, owner=owner)
    return lines + changes.differences(page, action.changes, indent=6)


def consent_entry(page: Page, action: Action, allowed: tuple[str, ...] = ()) -> list[Line]:
    """Return an action that somebody must agree to, with the flag or the field it is about."""
    name = action.target.resource
    lines = [changes.heading(page, action)]
    if loses_data(action):
        lost = "rows, columns, precision or history are lost when this runs"
        if allows(allowed, name):
            lines += prose(page, f"{lost}; that is allowed already.", indent=6)
        else:
            lines += [*prose(page, f"{lost}.", indent=6), *prose(page, _ALLOW, indent=6)]
            lines.append(line(" " * 10, Span(f"--allow-data-loss '{name}'", BOLD)))
    guarded = [c for c in action.changes if weakens_guard(c)]
    return lines + changes.differences(page, guarded, indent=6)


def change_list(page: Page, plan: Plan, free: dict[str, int]) -> list[Line]:
    """Return the changes, worst first; a very long list ends in one line for each."""
    changing = worst_first(a for a in plan.actions if is_change(a))
    full = changing if page.exact else changing[:FULL_ENTRIES]
    lines: list[Line] = [line(Span("Changes, worst first", BOLD)), ()] if changing else []
    for action in full:
        lines += [*changes.entry(page, action, free.get(action.target.destination)), ()]
    rest = changing[len(full) :]
    if rest:
        lines += [_in_short(rest)]
        return lines + [changes.short(page, action) for action in rest]
    return lines[:-1]


def _in_short(rest: Sequence[Action]) -> Line:
    return line(f"{len(rest):,} more, one line each (--exact shows them in full):")


def quiet_drift(page: Page, plan: Plan, *, show: bool) -> list[Line]:
    """Return the drift that this plan leaves alone: counted, or listed on request."""
    drifted = [a for a in plan.actions if is_quiet_drift(a)]
    if not drifted:
        return []
    verb = "differs" if len(drifted) == 1 else "differ"
    said = f"{figures.counted(len(drifted), 'dataset')} {verb} without effect on this plan"
    if not show:
        return prose(page, f"{said} (--show-drift lists them)")
    lines = [line(f"{said}:")]
    for action in drifted:
        lines += [changes.heading(page, action)]
        lines += changes.differences(page, action.changes, indent=6)
    return lines


def _timings(envelope: Envelope) -> list[Line]:
    spent = "  ".join(f"{name} {ms:,} ms" for name, ms in envelope.timings_ms)
    return [line(Span(f"time: {spent}", DIM))] if spent else []


def footer(page: Page, plan: Plan, wanted: PlanView) -> list[Line]:
    """Return the command that applies this plan, and what cannot be undone afterwards."""
    if not plan.has_changes:
        return [line("Nothing can be applied until what stops the line is settled.")]
    losing = [a for a in worst_first(plan.actions) if loses_data(a)]
    lines: list[Line] = []
    if losing:
        names = ", ".join(f"{a.kind} of {a.target.resource}" for a in losing[:5])
        more = f" and {len(losing) - 5:,} more" if len(losing) > 5 else ""
        lines += prose(page, f"{names}{more}", label="Cannot be undone: ", style=RED)
    if wanted.next_command is None:
        return lines
    what = "To apply the rest of this plan" if plan.is_blocked else "To apply exactly this plan"
    if not wanted.saved:
        what = "To plan again and apply" + (" the rest" if plan.is_blocked else "")
    unsaid = [a for a in losing if not allows(wanted.allowed, a.target.resource)]
    flags = "".join(f" --allow-data-loss '{a.target.resource}'" for a in unsaid)
    return [*lines, line(f"{what}:"), (), line("    ", Span(wanted.next_command + flags, BOLD))]
