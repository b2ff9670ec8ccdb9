"""Tables of what batuta remembers: state, runs, the lock, a dataset's log, a verification."""

from collections.abc import Sequence

from batuta.cli.ports import Finding, Surgery
from batuta.cli.views import changes, diagnostics, figures
from batuta.cli.views.page import (
    BOLD,
    GREEN,
    RED,
    Line,
    Page,
    Span,
    entries,
    line,
    prose,
    table,
)
from batuta.model.dataset import Verification
from batuta.model.log import LogEntry, Part
from batuta.model.state import Lease, ResourceRecord, RunRecord, StepRecord


def records(page: Page, found: Sequence[ResourceRecord]) -> list[Line]:
    """Return one row for each resource, or one line that says that there is none."""
    if not found:
        return [line("The state is empty: nothing was applied here yet.")]
    rows = [
        (
            r.address,
            r.destination,
            r.facts.format,
            _tier(r),
            f"{r.head.version}",
            r.owner.lower(),
        )
        for r in found
    ]
    return entries(page, ("resource", "destination", "format", "tier", "version", "owner"), rows)


def _tier(record: ResourceRecord) -> str:
    return record.facts.tier + (" (derived)" if record.facts.tier_derived else "")


def record(page: Page, found: ResourceRecord) -> list[Line]:
    """Return all that is recorded of one resource."""
    facts = found.facts
    rows = [
        ("destination", found.destination),
        ("platform", found.destination_platform or "none (local or implicit)"),
        ("source", facts.source),
        ("source version", facts.source_version),
        ("format, mode", f"{facts.format}, {facts.mode}"),
        ("tier", _tier(found)),
        (
            "label",
            f"confidentiality {found.label.confidentiality}, integrity {found.label.integrity}",
        ),
        ("protect", "yes" if facts.protect else "no"),
        ("owner, origin", f"{found.owner}, {found.origin}"),
        ("log head", f"{found.head.version} {found.head.digest}"),
        ("revision", f"{found.revision}"),
        ("run", found.run),
        ("plan", found.plan or "none"),
    ]
    lines = [line(Span(found.address, BOLD))]
    lines += [line(f"  {name + ':':<16}{text}") for name, text in rows]
    if facts.schema is not None:
        columns = [(c.name, c.type, "" if c.nullable else "not null") for c in facts.schema.columns]
        lines += [(), *table(page, ("column", "type", ""), columns, indent=2)]
    return lines


def runs(page: Page, found: Sequence[RunRecord]) -> list[Line]:
    """Return one row for each run, newest first as given."""
    if not found:
        return [line("No run is recorded here yet.")]
    rows = [
        (
            r.id,
            r.started_at,
            r.status,
            f"{r.done} of {r.actions}" + (f", {r.failed} failed" if r.failed else ""),
            figures.size(page, r.bytes_read),
            r.actor,
            r.plan[:12],
        )
        for r in found
    ]
    return entries(page, ("run", "started", "status", "done", "read", "actor", "plan"), rows)


def steps(page: Page, found: Sequence[StepRecord]) -> list[Line]:
    """Return the journal of one run."""
    if not found:
        return [line("This run recorded no step.")]
    rows = [(s.action, s.step, s.status, figures.value(s.detail)) for s in found]
    return table(page, ("resource", "step", "status", "detail"), rows)


def lease(_page: Page, held: Lease | None) -> list[Line]:
    """Return who holds the lock on the state."""
    if held is None:
        return [line("The state is not locked.")]
    return [
        line(Span(f"locked by {held.holder}", BOLD), f" on {held.host}, process {held.pid}"),
        line(f"  command:   {held.command}"),
        line(f"  since:     {held.taken_at}"),
        line(f"  last beat: {held.beat_at}"),
        line(f"  expires:   {held.expires_at}"),
    ]


def log(page: Page, found: Sequence[LogEntry]) -> list[Line]:
    """Return one row for each commit of a dataset, newest first as given."""
    if not found:
        return [line("The log is empty.")]
    rows = [
        (
            f"{e.version}",
            e.written_at,
            e.action,
            f"+{len(e.added)} -{len(e.removed)}",
            "" if e.rows is None else f"{e.rows:,}",
            e.facts.source_version[:16],
            e.facts.tier,
            (e.plan or "")[:12],
        )
        for e in found
    ]
    header = ("version", "written", "action", "files", "rows", "source version", "tier", "plan")
    return entries(page, header, rows)


def verified(page: Page, where: str, found: Verification) -> list[Line]:
    """Return the verdict on one dataset and every problem that was found."""
    amount = (
        f"{figures.counted(found.files, 'file')}, {figures.size(page, found.size_bytes)}, "
        f"{figures.counted(found.entries, 'log entry').replace('entrys', 'entries')}"
    )
    verdict = Span("whole", GREEN) if found.ok else Span("NOT whole", RED)
    lines = [line(f"{where} is ", verdict, f": {amount} checked")]
    # A dataset that is not whole is never called anchored, so only then does it say anything.
    if found.ok and not found.anchored:
        lines += prose(
            page,
            "The newest entry is not anchored: no state here remembers it, so a log that was "
            "cut back to an older entry could not be told from this one.",
        )
    problems = diagnostics.view(page, found.problems, diagnostics.no_source)
    return [*lines, (), *problems] if problems else lines


def drift(page: Page, found: Sequence[Finding]) -> list[Line]:
    """Return what drifted, by resource; one line where nothing did."""
    if not found:
        return [line("No drift: sources and destinations are as they were recorded.")]
    closed = sum(1 for finding in found if finding.kind == "policy")
    lines = [line(Span(f"{figures.counted(len(found) - closed, 'dataset')} drifted", BOLD))]
    for finding in found:
        what = "not looked at" if finding.kind == "policy" else f"{finding.kind} drift"
        lines += [(), line("  ! ", Span(finding.address, BOLD), f"  {what}")]
        lines += changes.differences(page, finding.changes, indent=6)
        for diagnostic in finding.diagnostics:
            lines += diagnostics.one(page, diagnostic, diagnostics.no_source, indent=4)
    return lines


def surgery(page: Page, found: Surgery) -> list[Line]:
    """Return the lines that go and the lines that come."""
    gone = [each for each in found.before if each not in set(found.after)]
    come = [each for each in found.after if each not in set(found.before)]
    lines = [line(Span(f"  - {each}", RED)) for each in gone]
    lines += [line(Span(f"  + {each}", GREEN)) for each in come]
    if not lines:
        lines = [line("The state stays as it is.")]
    problems = diagnostics.view(page, found.problems, diagnostics.no_source)
    return [*lines, (), *problems] if problems else lines


def adoption(page: Page, where: str, entry: LogEntry, parts: Sequence[Part]) -> list[Line]:
    """Return what would be taken over, and as what: all files where the page is exact."""
    total = figures.size(page, sum(part.size_bytes for part in parts))
    lines = [line(Span(f"{figures.counted(len(parts), 'file')}, {total} at {where}", BOLD))]
    facts = entry.facts
    columns = figures.counted(len(facts.schema.columns), "column") if facts.schema else "no columns"
    tier = f"tier {facts.tier}{' (derived)' if facts.tier_derived else ''}"
    lines.append(line(f"  as {entry.resource}: {facts.format}, {columns}, {tier}"))
    shown = parts if page.exact else parts[: changes.LISTED_PATHS]
    rows = [(p.path, figures.size(page, p.size_bytes), p.sha256[:16]) for p in shown]
    lines += table(page, ("file", "size", "sha256"), rows, indent=2)
    if len(shown) < len(parts):
        lines.append(line(f"  and {len(parts) - len(shown):,} more (--exact lists all)"))
    return lines
