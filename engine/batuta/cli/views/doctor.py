"""What a machine enforces, on screen: the tiers first, then each level and what would raise it."""

from typing import TYPE_CHECKING

from batuta.cli.views.page import BOLD, DIM, GREEN, YELLOW, Line, Page, Span, line, prose, table

if TYPE_CHECKING:
    from batuta.runtime.sandbox.report import LevelReport, Report, TierReport


def report(page: Page, found: "Report") -> list[Line]:
    """Return the whole report; its first line is the verdict."""
    rows = [_tier(each) for each in found.tiers]
    lines = [line(Span(_verdict(found), BOLD)), ()]
    lines += table(page, ("declared tier", "between local folders", "with a network end"), rows)
    for level in found.levels:
        lines += [(), *_level(page, level)]
    return lines


def _verdict(found: "Report") -> str:
    if found.whole:
        return "Every tier can be enforced here, with every layer."
    if found.levels[0].given:
        return "Every tier can be enforced here; some layers are missing."
    given = [each.level for each in found.levels if each.given]
    if not given:
        return "Nothing can be enforced here: declared tiers above Standard are refused."
    return f"Not every run can be enforced here; this machine gives {' and '.join(given)}."


def _tier(found: "TierReport") -> tuple[str, str, str]:
    network = found.network or "refused"
    if found.policy is not found.network:
        network = f"{network} ({found.policy} where the egress policy accepts it)"
    return found.tier.value, found.local or "refused", network


def _level(page: Page, found: "LevelReport") -> list[Line]:
    mark = Span("given", GREEN) if found.given else Span("not given", YELLOW)
    lines = [line(Span(found.level.value, BOLD), ": ", mark)]
    if found.layers:
        lines += prose(page, ", ".join(found.layers), indent=2, label="layers: ", style=DIM)
    if not found.given:
        lines += prose(page, f"{found.reason}", indent=2, label=f"step {found.step}: ")
    for layer, why in found.lost:
        lines += prose(page, why, indent=2, label=f"without {layer}: ")
    for at, step in enumerate(found.steps):
        lines += prose(page, step.why + ":", indent=2, label="or " if at else "to raise it, ")
        lines += [line(f"      {each}") for each in step.lines]
    return lines
