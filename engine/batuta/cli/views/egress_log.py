"""What workers tried to reach, on screen: a line for each connection where there is room for one.

Connections come one by one, perhaps for hours, so no column waits for the widest cell: a cell
that is too wide for its column pushes the rest of its line.
"""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from batuta.cli.views import diagnostics, figures
from batuta.cli.views.page import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    Line,
    Page,
    Span,
    cells,
    line,
    prose,
)

if TYPE_CHECKING:
    from batuta.runtime.egress_log import Attempt
    from batuta.runtime.egress_record import Held

WIDE = 120
_COLUMNS = (19, 7, 20, 44, 10, 10)
_STYLES = {"allowed": GREEN, "refused": RED, "failed": YELLOW, "open": YELLOW}


@dataclass(slots=True)
class Listing:
    """The text of connections as they come; a run's name stands above its first one."""

    page: Page
    run: str | None = None

    def lines(self, attempt: "Attempt") -> list[Line]:
        """Return the lines of one connection."""
        found: list[Line] = []
        if attempt.run != self.run:
            found = [line(Span(f"run {attempt.run or 'unknown'}", BOLD))]
            found = found if self.run is None else [(), *found]
            self.run = attempt.run
        wide = self.page.width is None or self.page.width >= WIDE
        return found + (_wide(self.page, attempt) if wide else _narrow(self.page, attempt))


def _wide(page: Page, attempt: "Attempt") -> list[Line]:
    texts = (
        _time(attempt), attempt.verdict, _dataset(attempt), _host(attempt),
        *_bytes(page, attempt),
    )  # fmt: skip
    padded = [text.ljust(width + len(text) - cells(text))
              for text, width in zip(texts, _COLUMNS, strict=True)]  # fmt: skip
    first = line(
        "  ", padded[0], "  ", Span(padded[1], _STYLES[attempt.verdict]), "  ",
        "  ".join([*padded[2:], _who(attempt)]),
    )  # fmt: skip
    return [first, *_reason(page, attempt, indent=2 + _COLUMNS[0] + 2)]


def _narrow(page: Page, attempt: "Attempt") -> list[Line]:
    verdict = Span(attempt.verdict.ljust(7), _STYLES[attempt.verdict])
    facts = ", ".join((_dataset(attempt), _who(attempt), *_bytes(page, attempt)))
    return [
        line("  ", _time(attempt), "  ", verdict, "  ", _host(attempt)),
        *prose(page, facts, indent=6),
        *_reason(page, attempt, indent=6),
    ]


def _time(attempt: "Attempt") -> str:
    return attempt.time[:19].replace("T", " ")


def _dataset(attempt: "Attempt") -> str:
    return attempt.dataset.partition("/")[2] or attempt.dataset or "-"


def _host(attempt: "Attempt") -> str:
    place = f"{attempt.host}:{attempt.port}" if attempt.port else attempt.host or "-"
    return ", ".join((place, *attempt.also))


def _bytes(page: Page, attempt: "Attempt") -> tuple[str, str]:
    # How many they were is written when a connection ends.
    up, down = (
        "?" if attempt.verdict == "open" else figures.size(page, count)
        for count in (attempt.up, attempt.down)
    )
    return f"{up} up", f"{down} down"


def _who(attempt: "Attempt") -> str:
    return f"worker {attempt.worker or '-'}" + (f" ({attempt.action})" if attempt.action else "")


def _reason(page: Page, attempt: "Attempt", *, indent: int) -> list[Line]:
    found: list[Line] = []
    if attempt.verdict in {"refused", "failed"}:
        text = f"{attempt.code}: {attempt.why}" if attempt.why else attempt.code
        found += prose(page, text, indent=indent, label="why:  ", style=DIM)
    if attempt.rule or attempt.line:
        where = f" ({attempt.line})" if attempt.line else ""
        found += prose(
            page, f"{attempt.rule or 'none'}{where}", indent=indent, label="rule: ", style=DIM
        )
    if attempt.referrer:
        text = f"{attempt.referrer} redirected to it"
        found += prose(page, text, indent=indent, label="from: ", style=DIM)
    return found


def verdict(page: Page, held: "Held") -> list[Line]:
    """Return whether the log is what was written, and every place where it is not."""
    own = diagnostics.view(page, held.own, diagnostics.no_source)
    lines = _log_verdict(page, held)
    return [*lines, (), *own] if own else lines


def _log_verdict(page: Page, held: "Held") -> list[Line]:
    found = held.log
    lines = figures.counted(found.rows, "line")
    if found.findings:
        head = line("The egress log is ", Span("NOT whole", RED), f": {lines} read")
        mistakes = diagnostics.view(page, found.findings, diagnostics.no_source)
        return [head, *_unread(page, held), (), *mistakes]
    if found.head.n == 0:
        nothing = line("No worker has tried to reach anything yet: there is no egress log.")
        return [nothing, *_unread(page, held)]
    torn = f", {figures.counted(found.torn, 'line')} torn by a crash" if found.torn else ""
    whole = line("The egress log is ", Span("whole", GREEN), f": {lines}{torn}")
    return [whole, line(f"  head: line {found.head.n} ({found.head.digest})"), *_anchor(page, held)]


def _anchor(page: Page, held: "Held") -> list[Line]:
    """Up to which line a cut-off end would show, and of which runs it would not."""
    anchor = held.log.anchor
    text = "not anchored: no run has kept its end, so a cut-off one would not show"
    if anchor is not None:
        text = f"anchored up to line {anchor.head.n}, by {anchor.kept_by}"
    found = [*prose(page, text, indent=2)]
    if held.loose:
        newest = held.loose[0]
        text = f"not anchored: {figures.counted(len(held.loose), 'run')}, the last one {newest}"
        found += prose(page, text, indent=2)
    return found + _unread(page, held)


def _unread(page: Page, held: "Held") -> list[Line]:
    return [each for why in held.unread for each in prose(page, f"not anchored by {why}", indent=2)]


def attempt_json(attempt: "Attempt") -> str:
    """Return one connection as a line of JSON."""
    return json.dumps({"kind": "connection", **asdict(attempt)}, ensure_ascii=False) + "\n"


def verdict_json(held: "Held") -> str:
    """Return the verdict on the log as a line of JSON."""
    found, anchor = held.log, held.log.anchor
    body = {
        "kind": "log", "whole": not found.findings, "lines": found.rows, "torn": found.torn,
        "head": asdict(found.head),
        "anchor": None if anchor is None else {**asdict(anchor.head), "kept_by": anchor.kept_by},
        "runs_not_anchored": len(held.loose), "states_not_read": list(held.unread),
        "findings": [
            {"code": each.code, "detail": each.detail, "fix": each.fix,
             "locations": [str(place) for place in each.locations]}
            for each in held.findings
        ],
    }  # fmt: skip
    return json.dumps(body, ensure_ascii=False) + "\n"
