"""The one diff: what tells two values of `Facts` apart, and the way from one to the other.

Pure and deterministic: the same values give the same changes in the same order, so a plan can
be stored, hashed and compared. Wanted against live is a plan; recorded against live is drift.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from enum import StrEnum

from batuta.core.schema_rules import classify
from batuta.model.canonical import Json
from batuta.model.change import (
    AddColumn,
    AlterColumn,
    Change,
    ColumnChange,
    DropColumn,
    FieldChange,
    SchemaChange,
)
from batuta.model.diagnostic import Location
from batuta.model.log import Facts
from batuta.model.table import Column, TableSchema

Locate = Callable[[str], tuple[Location, ...]]
"""Where a person wrote the field of `Facts` with this path; empty where nobody did."""

SCHEMA, SETTINGS, SOURCE_VERSION = "schema", "settings", "source_version"
_FIELDS = tuple(f.name for f in fields(Facts) if f.name not in {SCHEMA, SETTINGS})


class Origin(StrEnum):
    """Who moved a field since the last apply: the manifest, the world, both, or the source.

    `source` is for the source's own version where no manifest pins it.
    """

    INTENT = "intent"
    SOURCE = "source"
    DRIFT = "drift"
    BOTH = "both"


def diff_schema(wanted: TableSchema, live: TableSchema) -> tuple[SchemaChange, ...]:
    """Return the classed changes that make `live` equal to `wanted`.

    Columns are matched by exact name, so a rename is one drop and one add: guessing renames
    can lose data. The order of columns is no difference. Additions and alterations come in
    wanted order, then drops in live order; empty if and only if the schemas agree.
    """
    before = {column.name: column for column in live.columns}
    names = {column.name for column in wanted.columns}
    changes: list[ColumnChange] = []
    for column in wanted.columns:
        current = before.get(column.name)
        if current is None:
            changes.append(AddColumn(column))
        elif current != column:
            changes.append(AlterColumn(current, column))
    changes += [DropColumn(c) for c in live.columns if c.name not in names]
    return tuple(_classed(change) for change in changes)


def patch_schema(live: TableSchema, changes: Iterable[SchemaChange]) -> TableSchema:
    """Return `live` after `changes`; new columns come last. A change that does not fit is void."""
    columns: dict[str, Column] = {column.name: column for column in live.columns}
    for change in changes:
        match change.change:
            case AddColumn(column):
                columns[column.name] = column
            case DropColumn(column):
                columns.pop(column.name, None)
            case AlterColumn(_, after):
                if after.name in columns:
                    columns[after.name] = after
    return TableSchema(tuple(columns.values()))


def same_schema(one: TableSchema | None, other: TableSchema | None) -> bool:
    """True where the schemas agree up to the order of their columns."""
    if one is None or other is None or one == other:
        return one is other or one == other
    if len(one.columns) != len(other.columns):
        return False
    by_name = {column.name: column for column in one.columns}
    return all(by_name.get(column.name) == column for column in other.columns)


def diff(
    wanted: Facts, live: Facts | None, recorded: Facts | None, locate: Locate
) -> tuple[Change, ...]:
    """Return the changes that turn `live` into `wanted`, three-way against `recorded`.

    Empty where the two agree (up to the order of columns), and where nothing is live: what is
    made from nothing is described by its facts alone. Without a record, nothing has drifted.
    Fields come first, by their order in `Facts`, then settings by name, then columns.
    """
    if live is None or wanted == live:
        return ()
    known = recorded or live
    changes: list[Change] = [
        _field(name, (getattr(known, name), getattr(live, name), getattr(wanted, name)), locate)
        for name in _FIELDS
        if getattr(wanted, name) != getattr(live, name)
    ]
    changes += _settings(wanted, live, known, locate)
    changes += _schema(wanted, live, known, locate)
    return tuple(changes)


def patch(live: Facts, changes: Iterable[Change]) -> Facts:
    """Return `live` after `changes`: `patch(live, diff(wanted, live, …)) == wanted`.

    Equality is up to the order of columns; settings come back sorted by name.
    """
    values: dict[str, object] = {}
    settings = dict(live.settings)
    columns: list[SchemaChange] = []
    for change in changes:
        match change:
            case SchemaChange():
                columns.append(change)
            case FieldChange(path=path, wanted=value) if path.startswith(f"{SETTINGS}."):
                _set(settings, path.removeprefix(f"{SETTINGS}."), value)
            case FieldChange(path=path, wanted=value):
                values[path] = _value(path, value)
    if settings != dict(live.settings):
        values[SETTINGS] = tuple(sorted(settings.items()))
    if columns and live.schema is not None:
        values[SCHEMA] = patch_schema(live.schema, columns)
    # The names are those of the fields that the changes were made from.
    return replace(live, **values)  # type: ignore[arg-type]


def _classed(change: ColumnChange) -> SchemaChange:
    verdict = classify(change)
    return SchemaChange(change=change, schema_class=verdict.schema_class, why=verdict.why)


def _field(path: str, values: tuple[object, object, object], locate: Locate) -> FieldChange:
    recorded, live, wanted = (_json(value) for value in values)
    places = locate(path)
    origin = _origin(recorded, live, wanted)
    if path == SOURCE_VERSION and origin is Origin.INTENT and not places:
        origin = Origin.SOURCE
    return FieldChange(
        path=path,
        recorded=recorded,
        live=live,
        wanted=wanted,
        reason=origin,
        locations=places,
    )


def _origin(recorded: Json, live: Json, wanted: Json) -> Origin:
    if recorded == live:
        return Origin.INTENT
    return Origin.DRIFT if recorded == wanted else Origin.BOTH


def _settings(wanted: Facts, live: Facts, recorded: Facts, locate: Locate) -> list[FieldChange]:
    sides = [dict(side.settings) for side in (recorded, live, wanted)]
    names = sorted(sides[1].keys() | sides[2].keys())
    return [
        _field(f"{SETTINGS}.{name}", (sides[0].get(name), before, after), locate)
        for name in names
        if (before := sides[1].get(name)) != (after := sides[2].get(name))
    ]


def _schema(wanted: Facts, live: Facts, recorded: Facts, locate: Locate) -> list[Change]:
    if same_schema(wanted.schema, live.schema):
        return []
    if wanted.schema is None or live.schema is None:
        return [_field(SCHEMA, (recorded.schema, live.schema, wanted.schema), locate)]
    return list(diff_schema(wanted.schema, live.schema))


def _json(value: object) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case TableSchema(columns):
            return [[c.name, c.type, c.nullable] for c in columns]
        case tuple():
            return [_json(each) for each in value]
        case _:
            raise TypeError(f"a field of Facts holds a {type(value).__name__}")


def _value(path: str, value: Json) -> object:
    if path == SCHEMA and isinstance(value, list):
        return TableSchema(tuple(Column(name, type_, null) for name, type_, null in value))
    return tuple(value) if isinstance(value, list) else value


def _set(settings: dict[str, str], name: str, value: Json) -> None:
    if value is None:
        settings.pop(name, None)
    else:
        settings[name] = str(value)
