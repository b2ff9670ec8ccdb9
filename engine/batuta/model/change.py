"""Differences between two sides of a dataset, as a closed union with a literal tag."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from batuta.model.canonical import Json
from batuta.model.diagnostic import Location
from batuta.model.table import Column


class SchemaClass(StrEnum):
    """What a schema difference means to those who read the data."""

    ADDITIVE = "additive"
    WIDENING = "widening"
    BREAKING = "breaking"
    SEMANTIC = "semantic"


class Effect(StrEnum):
    """What an action does to rows, columns, precision or history that are there."""

    NONE = "none"
    ADDS = "adds"
    REWRITES = "rewrites"
    LOSES = "loses"


@dataclass(frozen=True, slots=True)
class AddColumn:
    """A column that the wanted side has and the other has not."""

    column: Column
    kind: Literal["add-column"] = "add-column"


@dataclass(frozen=True, slots=True)
class DropColumn:
    """A column that only the other side has."""

    column: Column
    kind: Literal["drop-column"] = "drop-column"


@dataclass(frozen=True, slots=True)
class AlterColumn:
    """A column of the same name whose type or nullability differs."""

    before: Column
    after: Column
    kind: Literal["alter-column"] = "alter-column"


ColumnChange = AddColumn | DropColumn | AlterColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """One column difference with its class and why it has that class."""

    change: ColumnChange
    schema_class: SchemaClass
    why: str
    kind: Literal["schema"] = "schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field, three-way: what was last applied, what is live, what is wanted.

    `path` names a field of `Facts`. `recorded` equals `live` where nothing drifted.
    `locations` is the manifest line that caused the change, empty where the source did.
    """

    path: str
    recorded: Json
    live: Json
    wanted: Json
    reason: str
    locations: tuple[Location, ...] = ()
    kind: Literal["field"] = "field"


Change = SchemaChange | FieldChange
