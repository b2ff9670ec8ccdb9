"""The questions that may be asked at a terminal, as the specification words them."""

from collections.abc import Iterable
from typing import assert_never

from batuta.cli.views import figures
from batuta.cli.views.changes import source_of
from batuta.cli.views.page import BOLD, YELLOW, Line, Page, Span, line, prose
from batuta.cli.views.tally import is_change
from batuta.model.change import AddColumn, AlterColumn, DropColumn, SchemaChange
from batuta.model.plan import Action, Blocked, Delete, NoOp, Plan, Relabel, Release
from batuta.model.resource import DriftChoice
from batuta.model.table import Column

DRIFT_ANSWERS = {"a": DriftChoice.APPLY, "s": DriftChoice.SKIP, "f": DriftChoice.FORCE}


def drift(page: Page, action: Blocked) -> list[Line]:
    """Return the drift block and its four answers; the prompt itself is the caller's."""
    lines = [*_title(page, "Schema Drift Detected!")]
    lines += [line(f"   Table: {action.target.resource}"), (), line("   Changes:")]
    lines += [
        line(f"     {_change(page, c)}") for c in action.changes if isinstance(c, SchemaChange)
    ]
    answers = (
        ("A", "Apply migration (update local schema)"),
        ("S", "Skip this sync"),
        ("F", "Force sync (may lose data)"),
        ("Q", "Quit"),
    )
    lines += [(), line("   Actions:")]
    lines += [line("     ", Span(f"[{key}]", BOLD), f" {text}") for key, text in answers]
    return [*lines, ()]


def not_offered(answer: str, letters: Iterable[str]) -> list[Line]:
    """Return what is said before a question is asked again."""
    return [
        line(f"   `{answer.upper()}` is not offered. Type one of {', '.join(letters).upper()}.")
    ]


def _change(page: Page, change: SchemaChange) -> str:
    match change.change:
        case AddColumn(column):
            return f"+ Added: {column.name} ({column.type})"
        case DropColumn(column):
            return f"- Removed: {column.name}"
        case AlterColumn(before, after):
            old, new = before.type, after.type
            if old == new:
                old, new = _nullable(before), _nullable(after)
            return f"~ Changed: {after.name} ({old} {page.glyphs.arrow} {new})"
        case _:
            assert_never(change.change)


def _nullable(column: Column) -> str:
    return "null" if column.nullable else "not null"


def cost(page: Page, plan: Plan) -> list[Line]:
    """Return the cost block: bytes, price and confidence of each dataset that costs something."""
    lines: list[Line] = []
    for action in plan.actions:
        if not is_change(action) or not figures.money_at_stake(action.cost) or action.cost is None:
            continue
        lines += _title(page, f"Cost Estimation ({_source(action)})")
        read = action.cost.bytes_read
        amount = "Unknown" if read is None else figures.size(page, read)
        lines.append(line(f"   Estimated Bytes Scanned: {amount}"))
        if action.cost.requests is not None:
            lines.append(line(f"   Estimated Requests: {action.cost.requests:,}"))
        lines.append(line(f"   Estimated Cost: {figures.cost(action.cost)}"))
        if action.cost.driver:
            lines.append(line(f"   Driven by: {action.cost.driver}"))
        lines.append(())
    return lines


def loss(page: Page, losing: Iterable[Action]) -> list[Line]:
    """Return the block that names what would be lost."""
    lines = _title(page, "Data Would Be Lost")
    for action in losing:
        target = action.target
        lines.append(line(f"   {target.resource}: {action.kind} at {target.destination}"))
        if isinstance(action, Blocked):
            for diagnostic in action.diagnostics:
                lines += prose(page, diagnostic.detail, indent=5)
        lines += [
            line(f"     {_change(page, change)}")
            for change in action.changes
            if isinstance(change, SchemaChange) and not isinstance(change.change, AddColumn)
        ]
    return [*lines, ()]


def _source(action: Action) -> str:
    if isinstance(action, Delete | Release | NoOp | Blocked | Relabel):
        return action.target.resource
    return source_of(action.transfer.source)


def _title(page: Page, text: str) -> list[Line]:
    return [
        line(Span(f"{page.glyphs.warning} {text}", YELLOW)),
        line(page.glyphs.rule * 30),
    ]
