"""The schema a dataset should have: the source's own, after the chosen columns and drift.

Two kinds of difference against the last committed schema are told apart: what the manifest
edited (`edits`), which is wanted, and what the source did by itself (`drift`), where the
choice for its class decides: Apply takes it, Force keeps the old column and coerces, Skip
leaves the dataset as it is this time, Stop stops the line.
"""

from dataclasses import dataclass
from typing import Literal

from batuta.core.diff import diff_schema, patch_schema, same_schema
from batuta.core.schema_rules import classify
from batuta.core.selection import (
    Chosen,
    check_choice,
    choose,
    columns_of,
    same_rows_source,
    source_text,
)
from batuta.model.change import (
    AddColumn,
    AlterColumn,
    ColumnChange,
    DropColumn,
    SchemaChange,
    SchemaClass,
)
from batuta.model.diagnostic import Diagnostic, Severity
from batuta.model.resource import Dataset, DriftChoice, DriftPolicy, Mode
from batuta.model.table import TableSchema

_ITS_SCHEMA = "the source's schema"
Outcome = Literal["plain", "apply", "skip", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What the log's head says: the schema, the source's text, the source's version."""

    schema: TableSchema
    source: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The wanted schema and how the source's columns become it.

    `columns` pairs source and output names in the schema's order; a column of the schema
    without a pair is written as nulls. `loses` says that columns or precision go, which `asked`
    says was chosen by a drift choice and not just by an edit. `decisions` is what the log
    records of the choices. An error among `diagnostics` means that there is no such schema.
    """

    schema: TableSchema
    columns: tuple[tuple[str, str], ...]
    outcome: Outcome = "plain"
    drift: tuple[SchemaChange, ...] = ()
    edits: tuple[SchemaChange, ...] = ()
    loses: bool = False
    asked: bool = True
    decisions: tuple[tuple[str, str], ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def shape(
    dataset: Dataset,
    source: TableSchema,
    version: str,
    committed: Committed | None,
    policy: DriftPolicy,
) -> Shape:
    """Return the wanted schema of `dataset` for its source's schema at `version`.

    A stop for a source version that is committed already was decided then and is not asked
    again: the committed schema holds until the source moves or the policy says otherwise.
    """
    chosen = choose(dataset.source, source)
    spec = dataset.source
    if spec.include or spec.exclude or spec.rename or not source.columns:
        broken = tuple(check_choice(dataset, source, committed.schema if committed else None))
    else:
        broken = ()
    if broken:
        return Shape(schema=chosen.schema, columns=chosen.pairs, diagnostics=broken)
    if committed is None:
        return Shape(schema=chosen.schema, columns=chosen.pairs)
    if same_schema(chosen.schema, committed.schema):
        return _paired(committed.schema, chosen)
    before = _before_edit(dataset, source, committed, chosen)
    drift = diff_schema(before.schema, committed.schema)
    edits = diff_schema(chosen.schema, before.schema)
    decided = [(change, _choice(policy, change.schema_class)) for change in drift]
    if version == committed.version:
        decided = [(c, _settled(choice)) for c, choice in decided]
    stops = tuple(c for c, choice in decided if choice is DriftChoice.STOP)
    if stops:
        return Shape(schema=committed.schema, columns=chosen.pairs, outcome="stop", drift=drift,
                     edits=edits, diagnostics=(_stopped(dataset, drift),))  # fmt: skip
    if any(choice is DriftChoice.SKIP for _, choice in decided):
        return Shape(schema=committed.schema, columns=chosen.pairs, outcome="skip", drift=drift,
                     diagnostics=(_skipped(dataset, drift),))  # fmt: skip
    return _merged(dataset, committed.schema, (before, chosen), decided, edits)


def with_answer(base: DriftPolicy, answer: DriftChoice | None) -> DriftPolicy:
    """Return the policy with one answer for every class, as the question at a terminal gives."""
    if answer is None:
        return base
    return DriftPolicy(additive=answer, widening=answer, breaking=answer, semantic=answer)


def describe(change: ColumnChange) -> str:
    """Return one column difference in words."""
    match change:
        case AddColumn(column):
            return f"added {column.name!r} ({_typed(column.type, null=column.nullable)})"
        case DropColumn(column):
            return f"removed {column.name!r} ({_typed(column.type, null=column.nullable)})"
        case AlterColumn(before, after):
            return (
                f"changed {after.name!r} ({_typed(before.type, null=before.nullable)} to"
                f" {_typed(after.type, null=after.nullable)})"
            )


def _paired(schema: TableSchema, chosen: Chosen) -> Shape:
    source_of = {output: source for source, output in chosen.pairs}
    pairs = tuple((source_of[n], n) for n in schema.names if n in source_of)
    return Shape(schema=schema, columns=pairs)


def _before_edit(
    dataset: Dataset, source: TableSchema, committed: Committed, chosen: Chosen
) -> Chosen:
    """The source's columns under the selection that was committed."""
    text = source_text(dataset.source)
    if text == committed.source:
        return chosen
    old = columns_of(committed.source)
    if old is None or not same_rows_source(text, committed.source):
        # Another source altogether: every difference is the edit's.
        return Chosen((), committed.schema)
    return choose(old, source)


def _choice(policy: DriftPolicy, schema_class: SchemaClass) -> DriftChoice:
    match schema_class:
        case SchemaClass.ADDITIVE:
            return policy.additive
        case SchemaClass.WIDENING:
            return policy.widening
        case SchemaClass.BREAKING:
            return policy.breaking
        case SchemaClass.SEMANTIC:
            return policy.semantic


def _settled(choice: DriftChoice) -> DriftChoice:
    return DriftChoice.FORCE if choice is DriftChoice.STOP else choice


def _merged(
    dataset: Dataset,
    live: TableSchema,
    selections: tuple[Chosen, Chosen],
    decided: list[tuple[SchemaChange, DriftChoice]],
    edits: tuple[SchemaChange, ...],
) -> Shape:
    before, chosen = selections
    applied = [c for c, choice in decided if choice is DriftChoice.APPLY]
    forced = [c for c, choice in decided if choice is DriftChoice.FORCE]
    schema = patch_schema(patch_schema(live, applied), edits)
    paired = _paired(schema, chosen)
    found = _forced(dataset, forced) + _unfilled(dataset, paired)
    lost_by_edit = any(_edit_loses(edit, before, chosen) for edit in edits)
    lost_by_choice = any(not classify(c.change).keeps for c in applied)
    lost_by_choice = lost_by_choice or any(_force_loses(c.change) for c in forced)
    return Shape(
        schema=schema,
        columns=paired.columns,
        outcome="apply" if decided else "plain",
        drift=tuple(c for c, _ in decided),
        edits=edits,
        loses=lost_by_edit or lost_by_choice,
        asked=not lost_by_edit,
        decisions=tuple(sorted({(f"drift.{c.schema_class}", str(k)) for c, k in decided})),
        diagnostics=tuple(found),
    )


def _edit_loses(edit: SchemaChange, before: Chosen, chosen: Chosen) -> bool:
    match edit.change:
        case DropColumn(column):
            # A rename in the manifest drops a name and keeps the column.
            origins = {source for source, output in before.pairs if output == column.name}
            return not origins & {source for source, _ in chosen.pairs}
        case AddColumn() | AlterColumn():
            return not classify(edit.change).keeps


def _force_loses(change: ColumnChange) -> bool:
    match change:
        case AddColumn():
            return False
        case DropColumn():
            return True
        case AlterColumn(before, after):
            return not classify(AlterColumn(after, before)).keeps


def _forced(dataset: Dataset, forced: list[SchemaChange]) -> list[Diagnostic]:
    if not forced:
        return []
    lost = "; ".join(f"{describe(c.change)}: {_force_cost(dataset, c.change)}" for c in forced)
    whose = "the schema that the sources have together" if _several(dataset) else _ITS_SCHEMA
    return [
        Diagnostic(
            code="DRF103",
            summary="The old schema is kept by force",
            detail=f"{dataset.address}: {lost}.",
            fix=f"Choose Apply for these classes in `onDrift` to take {whose}.",
            severity=Severity.WARNING,
            locations=dataset.place("spec.onDrift"),
            address=dataset.address,
        )
    ]


def _force_cost(dataset: Dataset, change: ColumnChange) -> str:
    match change:
        case AddColumn():
            return "its values are not written"
        case DropColumn():
            return _nulls(dataset)
        case AlterColumn(before, after) if before.type == after.type and after.nullable:
            lacks = ", as all of a source that lacks it," if _several(dataset) else ""
            return f"rows that have no value for it{lacks} stop the sync"
        case AlterColumn(_, after) if _force_loses(change):
            return (
                f"values of {after.type} that do not fit the old type stop the sync or lose digits"
            )
        case AlterColumn():
            return "values are written in the old type, none is lost"


def _nulls(dataset: Dataset) -> str:
    said = "it is written as nulls, and the values that were there go to history"
    if _several(dataset):
        return f"no source has it any more; {said}"
    if dataset.mode is Mode.INCREMENTAL and dataset.incremental and dataset.incremental.key:
        return (
            "it is written as nulls in the rows that are read, whose values go to history; rows that"
            " are not read keep theirs"
        )
    return said


def _several(dataset: Dataset) -> bool:
    return bool(dataset.source.merge)


def _unfilled(dataset: Dataset, paired: Shape) -> list[Diagnostic]:
    outputs = {output for _, output in paired.columns}
    bare = [c.name for c in paired.schema.columns if c.name not in outputs and not c.nullable]
    if not bare:
        return []
    return [
        Diagnostic(
            code="DRF104",
            summary="The old schema cannot be kept",
            detail=f"{dataset.address} requires {', '.join(map(repr, bare))}, which"
            f" {'no source has' if _several(dataset) else 'the source no longer has'}, and a required"
            " column cannot be written as nulls.",
            fix="Choose Apply for the class `breaking` in `onDrift`, or restore the column.",
            locations=dataset.place("spec.onDrift.breaking"),
            address=dataset.address,
        )
    ]


def _stopped(dataset: Dataset, drift: tuple[SchemaChange, ...]) -> Diagnostic:
    return Diagnostic(
        code="DRF101",
        summary="The source's schema changed",
        detail=f"{dataset.address}: {_listed(drift)}.",
        fix="Choose for each class in `spec.onDrift`, or with `--on-drift`: Apply takes the"
        " source's schema, Skip leaves the dataset as it is, Force keeps the old schema.",
        locations=dataset.place("spec.onDrift"),
        address=dataset.address,
    )


def _skipped(dataset: Dataset, drift: tuple[SchemaChange, ...]) -> Diagnostic:
    return Diagnostic(
        code="DRF102",
        summary="A sync is skipped because the source's schema changed",
        detail=f"{dataset.address} stays at its last version: {_listed(drift)}.",
        fix="Choose Apply or Force in `spec.onDrift` to go on.",
        severity=Severity.WARNING,
        locations=dataset.place("spec.onDrift"),
        address=dataset.address,
    )


def _listed(drift: tuple[SchemaChange, ...]) -> str:
    shown = [f"{describe(c.change)}, {c.schema_class}: {c.why}" for c in drift[:20]]
    more = [f"and {len(drift) - 20} more"] if len(drift) > 20 else []
    return "; ".join(shown + more)


def _typed(type_: str, *, null: bool) -> str:
    return type_ if null else f"{type_} not null"
