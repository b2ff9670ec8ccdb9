"""What workers may reach, as people read it: verdicts with their lines."""

import json
from typing import TYPE_CHECKING

from batuta.cli.views import diagnostics
from batuta.cli.views.diagnostics import SourceText
from batuta.cli.views.page import BLANK, BOLD, DIM, GREEN, RED, Line, Page, Span, line, prose

if TYPE_CHECKING:
    from batuta.runtime.egress_view import Answer


def explanation(page: Page, found: "Answer", source: SourceText) -> list[Line]:
    """Return the verdict on one host, the steps to it with their lines, and the way out."""
    why = found.explanation
    verdict = Span("open", GREEN) if found.allowed else Span("closed", RED)
    lines = [
        line(Span(f"{why.host}:{why.port}", BOLD), " is ", verdict,
             f" to the workers of Dataset/{found.dataset}.")
    ]  # fmt: skip
    for step in why.steps:
        lines += prose(page, step.text, indent=2, label=f"{page.glyphs.dot} ")
        lines += [line("    ", Span(str(place), DIM)) for place in step.locations]
    if found.refused:
        lines += prose(page, _CLOSED, indent=2, label=f"{page.glyphs.dot} ")
        lines += [BLANK, *diagnostics.view(page, found.refused, source)]
    elif why.fix:
        lines += prose(page, why.fix, label="Way out: ", style=BOLD)
    return lines


_CLOSED = "Nothing at all may be contacted for this dataset:"


def explanation_json(found: "Answer") -> str:
    """Return the same as a JSON document."""
    why = found.explanation
    rule = why.rule
    document = {
        "dataset": found.dataset,
        "host": why.host,
        "port": why.port,
        "allowed": found.allowed,
        "verdict": why.code.value,
        "rule": None if rule is None else {"name": rule.name, "origin": rule.origin},
        "steps": [
            {"text": step.text, "locations": [str(place) for place in step.locations]}
            for step in why.steps
        ],
        "fix": why.fix,
        "refused": [diagnostics.entry(each) for each in found.refused],
    }
    return json.dumps(document, indent=2) + "\n"
