"""A plan as a comment on a change request, within the byte budget of the host.

The comment begins with a hidden marker, so that a bot finds and replaces its own. Title,
figures and next step always fit; what stops the line comes next, then changes with the worst
first. What does not fit is shown in one line, then counted: the comment says what was cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batuta.cli.views import changes, diagnostics, figures
from batuta.cli.views.page import Line, Page, plain, safe, shorten
from batuta.cli.views.plan_text import blocked_entry, consent_entry, kept, needs_eyes, read_from
from batuta.cli.views.tally import (
    costs,
    errors_of,
    is_change,
    is_quiet_drift,
    remarks_of,
    tally,
    worst_first,
)
from batuta.model.plan import Blocked, Envelope, Plan

# What hosts accept, less some room for what a bot adds. A character may take several bytes,
# so a budget in bytes never breaks a limit in characters.
HOST_LIMITS = {"github": 65_000, "gitlab": 990_000, "bitbucket": 32_000, "azure-devops": 149_000}
LEAST_BYTES = 2048

_PAGE = Page(width=100)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Something to show: in full, and in one line where that is too long."""

    full: str
    brief: str


def view(envelope: Envelope, *, max_bytes: int, next_command: str) -> str:
    """Return the comment; its UTF-8 form never takes more than `max_bytes` (at least 2048)."""
    head = _head(envelope)
    tail = _tail(envelope, next_command)
    room = max_bytes - _size(head) - _size(tail) - _size(_cut(10**9, 10**9, max_bytes))
    plan = envelope.plan
    body, cut, total = _fill(
        [
            ("### Stops the line\n\n", "", _stops(plan)),
            _section("Changes", _changes(plan), opened=True),
            _section("Warnings and notes", _remarks(plan), opened=False),
            _section("Drift without effect on this plan", _drift(plan), opened=False),
        ],
        room,
    )
    return head + body + (_cut(cut, total, max_bytes) if cut else "") + tail


def _size(text: str) -> int:
    return len(text.encode())


def _section(title: str, chunks: list[Chunk], *, opened: bool) -> tuple[str, str, list[Chunk]]:
    mark = " open" if opened else ""
    head = f"<details{mark}><summary>{title} ({len(chunks):,})</summary>\n\n"
    return head, "</details>\n\n", chunks


def _fill(sections: Sequence[tuple[str, str, list[Chunk]]], room: int) -> tuple[str, int, int]:
    """Return what fits, how many chunks are not shown in full, and how many there are."""
    out: list[str] = []
    cut = 0
    for head, foot, chunks in sections:
        kept: list[str] = []
        left = room - _size(head) - _size(foot)
        for chunk in chunks:
            shown = next((t for t in (chunk.full, chunk.brief) if _size(t) <= left), None)
            cut += shown is not chunk.full
            if shown is not None:
                kept.append(shown)
                left -= _size(shown)
        if kept:
            out += [head, *kept, foot]
            room = left
    return "".join(out), cut, sum(len(chunks) for _, _, chunks in sections)


def _head(envelope: Envelope) -> str:
    plan = envelope.plan
    name = _inline(plan.workspace, 80)
    environment = _inline(plan.environment or "default", 80)
    found = tally(plan)
    counts = ", ".join(f"{number:,} {word}" for word, number in found.counts if number) or "none"
    moving = [a for a in plan.actions if is_change(a)]
    reads = figures.size(_PAGE, sum(a.volume.read_bytes for a in moving))
    waiting = f", {found.waiting:,} waiting for others" if found.waiting else ""
    selected = f", {plan.not_selected:,} not selected" if plan.partial else ""
    return (
        f"<!-- batuta:{_token(plan.workspace)}:{_token(plan.environment or 'default')} -->\n"
        f"## batuta plan: {status(plan)}\n\n"
        f"Workspace {name}, environment {environment}, plan `{envelope.digest[:16]}`, "
        f"made {_inline(envelope.created_at, 40)}\n\n"
        "| changes | unchanged | blocked | drift | reads | cost |\n"
        "|---|---|---|---|---|---|\n"
        f"| {counts} | {found.unchanged:,}{waiting}{selected} | {found.blocked:,} | {found.drifted:,} "
        f"| {reads} | {_cell(figures.total_cost(costs(plan)), 120)} |\n\n"
        f"{_inline(read_from(plan), 200)}\n\n"
        f"{_workers(envelope)}"
    )


def _workers(envelope: Envelope) -> str:
    """How this machine keeps workers; a list of what is not enforced, with what was lost."""
    if not envelope.workers:
        return ""
    lines = [f"workers: {_inline(kept(envelope), 200)}"]
    for each in [each for each in envelope.workers if not each.enforced][:2]:
        names = ", ".join(_inline(name, 40) for name in each.resources[:2])
        more = f" and {len(each.resources) - 2:,} more" if len(each.resources) > 2 else ""
        lost = _inline("; ".join(each.lost), 160)
        lines.append(f"* **enforced: false** for {names}{more}; lost: {lost}")
    return "\n".join(lines) + "\n\n"


def status(plan: Plan) -> str:
    """Return `BLOCKED`, `NEEDS APPROVAL`, `PASS` or `NO CHANGES`."""
    if plan.is_blocked or errors_of(plan):
        return "BLOCKED"
    if any(needs_eyes(a) for a in plan.actions if is_change(a)):
        return "NEEDS APPROVAL"
    return "PASS" if plan.has_changes else "NO CHANGES"


def _tail(envelope: Envelope, next_command: str) -> str:
    if not envelope.plan.has_changes:
        return ""
    return f"Next: {_inline(next_command, 300)}\n"


def _cut(cut: int, total: int, max_bytes: int) -> str:
    return (
        f"**{cut:,} of {total:,} entries are shortened or left out to stay within {max_bytes:,} "
        "bytes.** The saved plan and `batuta plan --format json` have all of them.\n\n"
    )


def _stops(plan: Plan) -> list[Chunk]:
    chunks = []
    for diagnostic in diagnostics.arranged(errors_of(plan)):
        lines = diagnostics.one(_PAGE, diagnostic, diagnostics.no_source)
        chunks.append(_chunk(lines, f"{diagnostic.code}: {diagnostic.summary}"))
    for action in worst_first(plan.actions):
        if isinstance(action, Blocked):
            codes = ", ".join(dict.fromkeys(d.code for d in action.diagnostics))
            lines = blocked_entry(_PAGE, action, diagnostics.no_source)
            chunks.append(_chunk(lines, f"{action.target.resource} is blocked: {codes}"))
        elif is_change(action) and needs_eyes(action):
            text = f"{action.target.resource}: {action.kind} must be agreed to"
            chunks.append(_chunk(consent_entry(_PAGE, action), text))
    return chunks


def _changes(plan: Plan) -> list[Chunk]:
    acting = worst_first(a for a in plan.actions if is_change(a))
    return [_chunk(changes.entry(_PAGE, a), f"{a.target.resource}: {a.kind}") for a in acting]


def _remarks(plan: Plan) -> list[Chunk]:
    return [
        _chunk(diagnostics.one(_PAGE, d, diagnostics.no_source), f"{d.code}: {d.summary}")
        for d in diagnostics.arranged(remarks_of(plan))
    ]


def _drift(plan: Plan) -> list[Chunk]:
    return [
        _chunk(
            [changes.heading(_PAGE, a), *changes.differences(_PAGE, a.changes, indent=6)],
            f"{a.target.resource}: {figures.counted(len(a.changes), 'difference')}",
        )
        for a in worst_first(plan.actions)
        if is_quiet_drift(a)
    ]


def _chunk(lines: list[Line], brief: str) -> Chunk:
    return Chunk(_fenced(plain(lines)), f"- {_inline(brief, 200)}\n\n")


def _fenced(text: str) -> str:
    """Return a code block; its fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}{fence}\n\n"


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


def _inline(text: str, room: int) -> str:
    """Return a code span: nothing in it mentions, links or breaks the page."""
    shown = shorten(safe(text), room, _PAGE.glyphs).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def _cell(text: str, room: int) -> str:
    return _prose(text, room).replace("|", "\\|")


def _prose(text: str, room: int) -> str:
    """Return text that Markdown takes literally."""
    shown = shorten(safe(text), room, _PAGE.glyphs)
    return "".join(f"\\{c}" if c in "\\`*_[]<>#@" else c for c in shown)


def _token(text: str) -> str:
    """Return a name fit for the hidden marker: nothing in it can end the comment."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in text)[:80]
