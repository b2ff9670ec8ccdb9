"""The verdict on an audit, for whoever was sent one."""

from typing import TYPE_CHECKING

from batuta.cli.views import diagnostics, figures
from batuta.cli.views.page import GREEN, RED, Line, Page, Span, line, prose

if TYPE_CHECKING:
    from batuta.runtime.audit_check import AuditCheck
    from batuta.runtime.auditing import Audit

_MOST_GAPS = 8


def made(page: Page, audit: "Audit", out: str | None) -> list[Line]:
    """Return what whoever made an audit should know of it before they send it."""
    counts = (
        figures.counted(audit.versions, "version"),
        figures.counted(audit.runs, "run"),
        figures.counted(audit.connections, "connection"),
    )
    where = f"Wrote {out}" if out is not None else "The audit"
    lines = prose(page, f"{where}: {audit.resource}, {', '.join(counts)}.")
    found = len(audit.gaps)
    if found:
        lines.append(line(f"The record has {figures.counted(found, 'gap')}:"))
    else:
        lines.append(line("The record has no gaps that it would show."))
    for gap in audit.gaps[:_MOST_GAPS]:
        lines += prose(page, gap, indent=2, label="- ")
    if found > _MOST_GAPS:
        lines.append(line(f"  and {found - _MOST_GAPS:,} more, in its field `gaps`"))
    lines.append(line("No record of batuta can show:"))
    for sentence in audit.unknown:
        lines += prose(page, sentence, indent=2, label="- ")
    return lines


def checked(page: Page, found: "AuditCheck") -> list[Line]:
    """Return the verdict, what the audit itself says is missing, and every problem."""
    verdict = _verdict({problem.code for problem in found.problems})
    lines = [
        line(f"The audit of {found.resource}, made at {found.made_at}, ", verdict),
        line(f"  signed by:  {found.key}"),
        line(f"  head:       version {found.head.version} ({found.head.digest})"),
        line(
            f"  versions:   {found.versions}, of which {found.signed} are signed by a trusted key"
        ),
        line(f"  gaps:       {figures.counted(len(found.gaps), 'gap') if found.gaps else 'none'}"),
    ]
    for gap in found.gaps:
        lines += prose(page, gap, indent=4)
    problems = diagnostics.view(page, found.problems, diagnostics.no_source)
    return [*lines, (), *problems] if problems else lines


def _verdict(codes: set[str]) -> Span:
    if not codes:
        return Span("holds", GREEN)
    # Without any trusted key nothing accuses anybody, and nothing vouches for the audit either.
    return Span("cannot be judged", RED) if codes == {"AUD105"} else Span("does NOT hold", RED)
