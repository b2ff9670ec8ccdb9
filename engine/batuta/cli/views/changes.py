"""One action on the page: what it does to which dataset, why, how much, and what differs."""

from collections.abc import Sequence
from typing import assert_never

from batuta.cli.views import figures
from batuta.cli.views.diagnostics import arranged
from batuta.cli.views.page import BOLD, CYAN, Line, Page, Span, line, prose, shorten, table
from batuta.cli.views.tally import sign
from batuta.model.address import Address
from batuta.model.change import (
    AddColumn,
    AlterColumn,
    Change,
    DropColumn,
    Effect,
    FieldChange,
    SchemaChange,
)
from batuta.model.decision import APPROVAL_USED
from batuta.model.plan import Action, Blocked, Delete, Move, NoOp, Relabel, Release
from batuta.model.resource import SourceSpec
from batuta.model.table import Column

LISTED_PATHS = 20
_INDENT = 6


def entry(page: Page, action: Action, free_bytes: int | None = None) -> list[Line]:
    """Return the lines of one action, without an empty line after it."""
    lines = [heading(page, action)]
    for reason in action.reasons:
        places = ", ".join(str(place) for place in reason.locations)
        text = f"{reason.code}: {reason.text}" + (f" ({places})" if places else "")
        lines += prose(page, text, indent=_INDENT, label="why: ")
    for label, text in _facts(page, action, free_bytes):
        lines += prose(page, text, indent=_INDENT, label=f"{label}: ")
    lines += listing(page, action)
    lines += differences(page, action.changes, indent=_INDENT)
    return lines


def heading(page: Page, action: Action) -> Line:
    """Return the first line: sign, address, what is done, and the manifest line."""
    mark, style = sign(action, page.glyphs)
    effect = "" if action.effect is Effect.NONE else f", {action.effect.value}"
    where = "".join(f"  {place}" for place in action.target.locations[:1])
    return line(
        Span(f"{mark:>3} ", style),
        Span(action.target.resource, BOLD),
        f"  {action.kind}{effect}",
        Span(where, CYAN),
    )


def short(page: Page, action: Action) -> Line:
    """Return one action in one line, for the tail of a very long plan."""
    read = figures.size(page, action.volume.read_bytes)
    return (*heading(page, action), Span(f"  reads {read}"))


def short_blocked(page: Page, action: Blocked) -> Line:
    """Return one blocked action in one line: what stops it, without its place and the way out."""
    why = arranged(action.diagnostics)[:1]
    return (*heading(page, action), *(Span(f"  {d.code}: {d.summary}") for d in why))


def source_of(spec: SourceSpec) -> str:
    """Return where a source is, in its canonical spelling."""
    if spec.merge:
        return f"merge of {', '.join(source_of(part.spec) for part in spec.merge)}"
    if spec.dataset is not None:
        return f"Dataset/{spec.dataset}"
    return str(spec.address) if isinstance(spec.address, Address) else ""


def _facts(page: Page, action: Action, free_bytes: int | None) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    match action:
        case Delete() | Release() | NoOp() | Blocked():
            found.append(("at", action.target.destination))
        case Relabel():
            found.append(("at", f"{action.target.destination} (log entry only; no file changes)"))
        case Move():
            found.append(("data", _route(page, action)))
            found.append(("stays", f"what lies at {action.origin_destination} is left there"))
        case _:
            found.append(("data", _route(page, action)))
    if isinstance(action, Delete | Release | NoOp | Blocked | Relabel):
        return found + _decisions(action)
    label = action.facts.tier + (" (derived)" if action.facts.tier_derived else "")
    found.append(("tier", label + (", declared, not proven" if action.label.declared else "")))
    found += _decisions(action)
    found.append(("work", _work(page, action)))
    found.append(("space", _space(page, action, free_bytes)))
    found.append(("cost", figures.cost(action.cost)))
    return found


def _decisions(action: Action) -> list[tuple[str, str]]:
    """Which recorded decisions the action rests on: it would be refused without them."""
    if not action.decisions or isinstance(action, NoOp | Blocked):
        return []
    from batuta.runtime.approvals import all_of

    return [
        (
            "decision",
            f"{approval.id}: {approval.kind} to {approval.tier}, by {approval.actor}:"
            f" {approval.reason} (about {approval.resource})",
        )
        for name, approval in all_of(action.decisions)
        if name == APPROVAL_USED
    ]


def _route(page: Page, action: Action) -> str:
    if isinstance(action, Delete | Release | NoOp | Blocked | Relabel):
        return action.target.destination
    transfer = action.transfer
    how = "copied byte for byte" if transfer.copy else f"written as {action.facts.format}"
    version = (
        f" at version {_brief(page, transfer.source_version)}" if transfer.source_version else ""
    )
    source = f"{source_of(transfer.source)}{version}"
    return f"{source} {page.glyphs.arrow} {action.target.destination}, {how}"


def _work(page: Page, action: Action) -> str:
    volume = action.volume
    parts = [f"reads {figures.size(page, volume.read_bytes)}"]
    if volume.rows is not None:
        parts.append(figures.rows(page, volume.rows))
    if volume.units_read or volume.units_kept:
        parts.append(f"{figures.counted(volume.units_read, 'unit')} read")
        if volume.units_kept:
            parts.append(f"{volume.units_kept:,} kept as they are")
    return ", ".join(parts)


def _space(page: Page, action: Action, free_bytes: int | None) -> str:
    v = action.volume
    need = v.staging_bytes + v.new_bytes + v.history_bytes
    each = ", ".join(
        f"{name} {figures.size(page, count)}"
        for name, count in (
            ("staging", v.staging_bytes),
            ("new", v.new_bytes),
            ("history", v.history_bytes),
        )
    )
    free = "" if free_bytes is None else f"; {figures.size(page, free_bytes)} free"
    return f"needs {figures.size(page, need)} ({each}){free}"


def listing(page: Page, action: Action) -> list[Line]:
    """Return the files that a delete removes: all of them where the page is exact."""
    if not isinstance(action, Delete):
        return []
    paths = (*action.paths, *action.history)
    shown = paths if page.exact else paths[:LISTED_PATHS]
    what = figures.counted(len(action.paths), "file")
    what += "" if action.rows is None else f", {figures.rows(page, action.rows)}"
    if action.history:
        what += f", and {figures.counted(len(action.history), 'file')} of earlier versions"
    lines = [line(" " * _INDENT, f"deletes {what}, with the log:")]
    lines += [line(" " * (_INDENT + 2), path) for path in shown]
    if rest := len(paths) - len(shown):
        lines.append(line(" " * (_INDENT + 2), f"and {rest:,} more (--exact lists all)"))
    return lines


def differences(page: Page, changes: Sequence[Change], *, indent: int) -> list[Line]:
    """Return column differences as one table, then the fields that differ."""
    rows = [_column_row(page, c) for c in changes if isinstance(c, SchemaChange)]
    header = ("", "column", "before", "after", "class", "why")
    lines = table(page, header, rows, indent=indent)
    for change in changes:
        if isinstance(change, FieldChange):
            lines += prose(page, _field(page, change), indent=indent)
    return lines


def _column_row(page: Page, change: SchemaChange) -> tuple[str, ...]:
    kind, why = change.schema_class.value, change.why
    match change.change:
        case AddColumn(column):
            return "+", column.name, "", _type(column), kind, why
        case DropColumn(column):
            return "-", column.name, _type(column), "", kind, why
        case AlterColumn(before, after):
            return "~", after.name, _type(before), _type(after), kind, why
        case _:
            assert_never(change.change)


def _type(column: Column) -> str:
    return column.type if column.nullable else f"{column.type} not null"


_LONGEST_VALUE = 60


def _brief(page: Page, text: str) -> str:
    """Return a value that fits a line: a digest by its first digits, a long text by its start."""
    if page.exact:
        return text
    if len(text) == 64 and not set(text) - set("0123456789abcdef"):
        return text[:16]
    return shorten(text, _LONGEST_VALUE, page.glyphs)


def _field(page: Page, change: FieldChange) -> str:
    """Return `tier: A → B`, or all three sides where the live one is not the recorded one."""
    arrow = page.glyphs.arrow
    recorded, live, wanted = (
        _brief(page, figures.value(v)) for v in (change.recorded, change.live, change.wanted)
    )
    sides = (
        f"{live} {arrow} {wanted}"
        if change.recorded == change.live
        else f"last {recorded} {arrow} live {live} {arrow} wanted {wanted}"
    )
    places = ", ".join(str(place) for place in change.locations)
    return f"{change.path}: {sides}  [{change.reason}]" + (f" ({places})" if places else "")
