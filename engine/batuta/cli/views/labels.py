"""Labels as people read them: what holds, what vouches for it, who decided what, and when."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batuta.cli.views.page import BOLD, GREEN, RED, YELLOW, Line, Page, Span, entries, line, prose
from batuta.model.decision import Approval
from batuta.model.log import Label
from batuta.model.tier import Tier

if TYPE_CHECKING:
    from batuta.model.seal import SealFinding
    from batuta.runtime.labels import Decided, LabelStep, LabelView
    from batuta.runtime.merge_sides import MergeConflict


def shown(page: Page, found: "LabelView") -> list[Line]:
    """Return the label of a dataset with what it rests on."""
    label = found.label
    verdict = Span("holds", GREEN) if found.holds else Span("does NOT hold", RED)
    regions = ", ".join(label.residency) or "anywhere"
    rows = [
        ("at", found.place),
        ("confidentiality", label.confidentiality),
        ("integrity", label.integrity),
        ("may lie", f"in {regions}" if label.residency else regions),
        ("rests on", _rests_on(label)),
        ("tier", found.tier + (" (derived)" if found.tier_derived else "")),
        ("version", f"{found.head.version} ({found.head.digest[:12]})"),
        ("signature", _seal(found.seal)),
        ("remembered", _remembered(found)),
        ("taken in by", ", ".join(found.admitted) or "no place"),
    ]
    lines = [line(Span(found.resource, BOLD), ": the label ", verdict)]
    lines += [line(f"  {name + ':':<17}{text}") for name, text in rows]
    for decided in found.decisions:
        lines += [(), *_decided(page, decided)]
    return lines


def _rests_on(label: Label) -> str:
    if not label.declared:
        return "where it came from"
    # A statement of this origin and none at all leave the same label, and say the same.
    if label.integrity == Tier.STANDARD:
        return "no proof: it counts as data from anywhere"
    return "a statement of its owner"


def _seal(seal: "SealFinding | None") -> str:
    if seal is None:
        return "none is checked: no key is trusted here"
    return f"by the key {seal.key}" if seal.state == "good" else f"{seal.state}: {seal.detail}"


def _remembered(found: "LabelView") -> str:
    if not found.remembered:
        return "nothing: only contents whose tier was declared are remembered"
    if found.remembered == (found.label,):
        return "the state knows these contents by the same label"
    return "the state knows them as " + "; ".join(short(each) for each in found.remembered)


def short(label: Label) -> str:
    """Return a label in a few words."""
    regions = f", in {', '.join(label.residency)}" if label.residency else ""
    return f"({label.confidentiality}, {label.integrity}){regions}"


def _decided(page: Page, decided: "Decided") -> list[Line]:
    approval = decided.approval
    lines = [line("  decision ", Span(approval.id, BOLD), f": {decided.state}")]
    lines += [line(f"    {row}") for row in _told(approval)]
    if not decided.signed:
        lines += prose(page, "not signed by a trusted key", indent=4, style=YELLOW)
    return lines


def _told(approval: Approval) -> list[str]:
    side = "confidentiality" if approval.kind == "declassify" else "integrity"
    before = approval.before
    was = before.confidentiality if approval.kind == "declassify" else before.integrity
    return [
        f"{approval.kind}: {side} {was} to {approval.tier}",
        f"by {approval.actor} at {approval.made_at}: {approval.reason}",
        f"for the rows {approval.content[:16]}, to be used until {approval.expires_at}",
    ]


def approved(page: Page, approval: Approval, *, before: bool = False) -> list[Line]:
    """Return what was decided, now or `before`, and what comes next."""
    about = f" about {approval.resource}"
    lines = [
        line(f"Already decided at {approval.made_at}: ", Span(approval.id, BOLD), f"{about} waits"
             " to be used, and nothing was recorded.")
        if before
        else line("Recorded the decision ", Span(approval.id, BOLD), f"{about}.")
    ]  # fmt: skip
    lines += [line(f"  {row}") for row in _told(approval)]
    signed = (
        f"signed with the key {approval.key}" if approval.key else "not signed: there is no key"
    )
    lines.append(line(f"  {signed}"))
    return [*lines, *prose(page, "The next apply that needs it uses it up: batuta plan")]


def history(page: Page, steps: Sequence["LabelStep"]) -> list[Line]:
    """Return one row for each entry, and the decisions under the table."""
    rows = [
        (
            f"{step.head.version}",
            step.entry.written_at,
            step.entry.action,
            step.entry.facts.tier,
            short(step.entry.label),
            step.seal.key[:12] if step.seal.state == "good" and step.seal.key else step.seal.state,
            str(step.said.get("actor", "")),
        )
        for step in steps
    ]
    header = ("version", "written", "action", "tier", "label", "signed", "by")
    lines = entries(page, header, rows) or [line("The log is empty.")]
    for step in steps:
        for name, approval in step.decisions:
            lines += [(), line(f"version {step.head.version}, {name} {approval.id}")]
            for row in _told(approval):
                lines += prose(page, row, indent=2)
    return lines


def conflict(page: Page, found: "MergeConflict") -> list[Line]:
    """Return the specification's question about a merge; the prompt itself is the caller's."""
    lines = [
        line(Span(f"{page.glyphs.warning} Sovereignty Conflict!", YELLOW)),
        line(page.glyphs.rule * 30),
    ]
    for role, side in (("Target", found.target), ("Source", found.source)):
        origin = f", origin: {side.origin}" if side.origin else ""
        tier = f"(tier: {side.tier}{origin})"
        lines.append(line(f"   {role}: {side.name} {tier}, label {short(side.label)}"))
    lines += [(), *prose(page, found.why, indent=3), (), line("   Options:")]
    lines += [line("     ", Span(f"[{key}]", BOLD), f" {text}") for key, text in found.options]
    return [*lines, ()]
