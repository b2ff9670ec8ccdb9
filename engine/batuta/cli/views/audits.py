"""The verdict on an audit, for whoever was sent one."""

from typing import TYPE_CHECKING

from batuta.cli.views import diagnostics, figures
from batuta.cli.views.page import GREEN, RED, Line, Page, Span, line, prose

if TYPE_CHECKING:
    from batuta.runtime.audit_check import AuditCheck


def checked(page: Page, found: "AuditCheck") -> list[Line]:
    """Return the verdict, what the audit itself says is missing, and every problem."""
    verdict = _verdict({problem.code for problem in found.problems})
    lines = [
        line(f"The audit of {found.resource}, made at {found.made_at}, ", verdict),
        line(f"  signed by:  {found.key}"),
        line(f"  head:       version {found.head.version} ({found.head.digest})"),
        line(f"  versions:   {found.versions}, of which {found.signed} are signed by a trusted key"),
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
