"""Plans made by hand, one for each thing that a view must show."""

from dataclasses import replace

from batuta.model.address import Address
from batuta.model.change import (
    AddColumn,
    AlterColumn,
    Change,
    DropColumn,
    Effect,
    FieldChange,
    SchemaChange,
    SchemaClass,
)
from batuta.model.cost import Confidence, CostEstimate
from batuta.model.diagnostic import Diagnostic, Location, Severity
from batuta.model.log import Facts, Head, Label
from batuta.model.plan import (
    Action,
    Append,
    Blocked,
    Convert,
    Create,
    Delete,
    Envelope,
    EvolveSchema,
    Kept,
    Move,
    NoOp,
    Plan,
    Preconditions,
    Reason,
    Relabel,
    Release,
    Replace,
    Target,
    Transfer,
    Volume,
)
from batuta.model.resource import HistorySpec, SourceSpec
from batuta.model.table import Column, TableSchema
from batuta.model.transfer import Output

FREE = CostEstimate(confidence=Confidence.EXACT, amount="0.00 USD", driver="local to local")
UNPRICED = CostEstimate(confidence=Confidence.UNKNOWN, driver="no price for s3 in eu-central-1")
PRICED = CostEstimate(
    confidence=Confidence.ESTIMATED,
    amount="25.00 USD",
    bytes_read=5_717_414_510_592,
    driver="12.5 credits",
)
SCHEMA = TableSchema((Column("id", "int64", nullable=False), Column("amount", "decimal128(12, 2)")))
LABEL = Label(confidentiality="PrivateCloud", integrity="Standard")
MIB = 1024 * 1024


def at(name: str, line: int = 1, column: int = 1, length: int = 0) -> tuple[Location, ...]:
    return (Location(f"manifests/{name}.yaml", line, column, length),)


def target(name: str) -> Target:
    return Target(
        resource=f"Dataset/{name}",
        destination=f"out/{name}/",
        destination_platform=None,
        history=HistorySpec(),
        origin="Manifest",
        locations=at(name),
    )


def facts(name: str, **changed: object) -> Facts:
    made = Facts(
        source=f"data/{name}/",
        source_version="12",
        schema=SCHEMA,
        format="ald",
        mode="Snapshot",
        tier="PrivateCloud",
        tier_derived=True,
    )
    return replace(made, **changed)  # type: ignore[arg-type]  # the caller names fields of Facts


def transfer(name: str, scope: str = "all", *, copy: bool = False) -> Transfer:
    return Transfer(
        source=SourceSpec(address=Address("delta", f"data/{name}")),
        source_version="12",
        source_schema=SCHEMA,
        columns=(("id", "id"), ("amount", "amount")),
        scope=scope,  # type: ignore[arg-type]  # one of the three
        copy=copy,
        output=Output(format="ald"),
    )


def volume(mib: int, rows: int | None = 1000, *, history: int = 0, kept: int = 0) -> Volume:
    return Volume(
        read_bytes=mib * MIB,
        staging_bytes=mib * MIB,
        new_bytes=mib * MIB,
        history_bytes=history * MIB,
        rows=rows,
        units_read=3,
        units_kept=kept,
    )


def why(code: str, text: str, name: str, line: int) -> tuple[Reason, ...]:
    return (Reason(code=code, text=text, locations=at(name, line, 3)),)


def create(name: str = "orders") -> Create:
    return Create(
        target=target(name),
        preconditions=Preconditions(source_version="12"),
        reasons=why("destination-absent", "nothing is at the destination yet", name, 6),
        effect=Effect.ADDS,
        volume=volume(120, 1_250_000),
        cost=FREE,
        transfer=transfer(name),
        facts=facts(name),
        label=LABEL,
    )


def append(name: str = "events") -> Append:
    return Append(
        target=target(name),
        preconditions=Preconditions(source_version="12", head=Head(3, "c" * 64), revision=3),
        reasons=why("source-changed", "the source has 3 new files", name, 6),
        effect=Effect.ADDS,
        volume=volume(3, kept=9),
        cost=UNPRICED,
        transfer=transfer(name, "units", copy=True),
        facts=facts(name, format="parquet"),
        label=LABEL,
    )


def replaced(name: str = "clicks", scope: str = "all") -> Replace:
    return Replace(
        target=target(name),
        preconditions=Preconditions(source_version="12", head=Head(3, "c" * 64), revision=3),
        reasons=why("source-changed", "the source moved from version 11 to 12", name, 6),
        effect=Effect.REWRITES,
        volume=volume(800, history=750),
        cost=PRICED,
        transfer=transfer(name, scope),
        facts=facts(name),
        label=LABEL,
    )


COLUMN_CHANGES: tuple[Change, ...] = (
    SchemaChange(
        change=AddColumn(Column("region", "string")),
        schema_class=SchemaClass.ADDITIVE,
        why="a new column that may be null; readers by name are not affected",
    ),
    SchemaChange(
        change=DropColumn(Column("old_code", "string")),
        schema_class=SchemaClass.BREAKING,
        why="readers that name the column fail",
    ),
    SchemaChange(
        change=AlterColumn(Column("price", "decimal128(12, 2)"), Column("price", "double")),
        schema_class=SchemaClass.BREAKING,
        why="a decimal as a double loses exactness",
    ),
)


def evolve(name: str = "prices") -> EvolveSchema:
    return EvolveSchema(
        target=target(name),
        preconditions=Preconditions(source_version="12", head=Head(3, "c" * 64), revision=3),
        reasons=why("schema-changed", "onDrift says Apply for breaking", name, 9),
        changes=COLUMN_CHANGES,
        effect=Effect.LOSES,
        volume=volume(64, history=60),
        cost=FREE,
        transfer=transfer(name),
        facts=facts(name),
        label=LABEL,
    )


def convert(name: str = "stock") -> Convert:
    return Convert(
        target=target(name),
        preconditions=Preconditions(source_version="12", head=Head(3, "c" * 64), revision=3),
        reasons=why("format-changed", "format is now parquet", name, 8),
        changes=(
            FieldChange(
                path="format",
                recorded="ald",
                live="ald",
                wanted="parquet",
                reason="edited",
                locations=at(name, 8, 11),
            ),
        ),
        effect=Effect.REWRITES,
        volume=volume(10, history=9),
        cost=FREE,
        transfer=transfer(name),
        facts=facts(name, format="parquet"),
        label=LABEL,
    )


def relabel(name: str = "staff") -> Relabel:
    return Relabel(
        target=target(name),
        preconditions=Preconditions(head=Head(3, "c" * 64), revision=3),
        reasons=why("tier-changed", "the manifest declares another tier", name, 7),
        changes=(
            FieldChange(
                path="tier",
                recorded="FullySovereign",
                live="PrivateCloud",
                wanted="Standard",
                reason="edited",
                locations=at(name, 7, 9),
            ),
        ),
        source=transfer(name).source,
        facts=facts(name, tier="Standard", tier_derived=False),
        label=LABEL,
    )


def move(name: str = "archive") -> Move:
    return Move(
        target=target(name),
        preconditions=Preconditions(source_version="12", revision=3),
        reasons=why("destination-changed", "the destination is another folder", name, 5),
        effect=Effect.ADDS,
        volume=volume(10),
        cost=FREE,
        transfer=transfer(name),
        facts=facts(name),
        label=LABEL,
        origin_destination="old/archive/",
    )


def delete(name: str = "legacy", files: int = 23) -> Delete:
    return Delete(
        target=target(name),
        preconditions=Preconditions(head=Head(9, "d" * 64), revision=4),
        reasons=(Reason(code="document-removed", text="deletionPolicy is Delete"),),
        effect=Effect.LOSES,
        paths=tuple(f"part-{n:016x}.ald" for n in range(files)),
        rows=4_200_000,
    )


def release(name: str = "moved-away") -> Release:
    return Release(
        target=target(name),
        preconditions=Preconditions(revision=4),
        reasons=(Reason(code="document-removed", text="the data stays where it is"),),
    )


def same(name: str, *changes: Change) -> NoOp:
    return NoOp(target=target(name), preconditions=Preconditions(), changes=changes)


def blocked_by_drift(name: str = "sales") -> Blocked:
    return Blocked(
        target=target(name),
        preconditions=Preconditions(source_version="12", head=Head(3, "c" * 64), revision=3),
        changes=COLUMN_CHANGES,
        question="drift",
        diagnostics=(
            Diagnostic(
                code="DRF101",
                summary="The source's schema drifted",
                detail=f"Dataset/{name}: 3 columns of the source are not as last applied.",
                fix="Look at the source, then say what to do:\n  batuta apply --on-drift Apply",
                locations=at(name, 4, 11, 20),
                address=f"Dataset/{name}",
            ),
        ),
    )


def blocked_by_tier(name: str = "corpus") -> Blocked:
    return Blocked(
        target=target(name),
        preconditions=Preconditions(),
        diagnostics=(
            Diagnostic(
                code="SOV101",
                summary="The tier does not admit this end",
                detail="Tier FullySovereign reads from local folders only; s3 is Public.",
                fix="Use a sovereign source, or declare `tier: Standard` for the dataset.",
                locations=at(name, 7, 9, 14),
                address=f"Dataset/{name}",
            ),
        ),
    )


WARNING = Diagnostic(
    code="PLN120",
    summary="Deletes at the source cannot be seen",
    detail="Dataset/events: the source shows new rows only, so rows deleted there stay here.",
    fix="Use mode: Snapshot where deletes matter.",
    severity=Severity.WARNING,
    locations=at("events", 5, 9, 11),
)
QUIET = FieldChange(path="settings.level", recorded="3", live="5", wanted="3", reason="drift")


KEPT = (
    Kept(level="isolated", enforced=True, resources=("Dataset/clicks", "Dataset/orders")),
    Kept(
        level="advisory", enforced=False, resources=tuple(f"Dataset/far-{n}" for n in range(7)),
        lost=(
            "isolated: step `user namespaces`: Operation not permitted",
            "filtered: step `seccomp`: Device or resource busy",
        ),
    ),
)  # fmt: skip


def plan(*actions: Action, **fields: object) -> Plan:
    made = Plan(
        batuta_version="0.1.0",
        workspace="shop",
        environment="prod",
        read=("local", "s3 (lake)"),
        actions=actions,
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # the caller names fields of Plan


def envelope(made: Plan, **fields: object) -> Envelope:
    wrapped = Envelope(
        created_at="2026-01-31T12:00:00.000Z",
        digest="9b3fd1c07a52" + "0" * 52,
        plan=made,
        state_serial=12,
        free_bytes=tuple((a.target.destination, 40 * 1024 * MIB) for a in made.actions),
        timings_ms=(("load", 12), ("observe", 340), ("plan", 3)),
    )
    return replace(wrapped, **fields)  # type: ignore[arg-type]  # the caller names its fields


def everything() -> Envelope:
    """Every kind of action, a warning, quiet drift, and a partial selection."""
    return envelope(
        plan(
            create(),
            append(),
            replaced(),
            replaced("partial", "units"),
            evolve(),
            convert(),
            relabel(),
            move(),
            delete(),
            release(),
            same("same"),
            same("quiet", QUIET),
            blocked_by_drift(),
            blocked_by_tier(),
            partial=True,
            not_selected=400,
            diagnostics=(WARNING,),
        ),
        workers=KEPT,
    )
