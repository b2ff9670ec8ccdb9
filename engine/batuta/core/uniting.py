"""Several sources as one: the schema that columns of one name unite to, and a version for all.

Columns are matched by name. A column that one source lacks is null in its rows. Types unite
only where every value of both fits, so that nothing is rounded or cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from batuta.core.selection import choose, source_text
from batuta.model.canonical import digest
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.log import UnitRef
from batuta.model.observed import MergedState, SourceState, Unit
from batuta.model.resource import SourcePart, SourceSpec
from batuta.model.table import Column, TableSchema
from batuta.model.widening import unite_types

_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Input:
    """One source of a merge: how it is written, what was found, its columns after its choice."""

    name: str
    state: SourceState
    pairs: tuple[tuple[str, str], ...]
    schema: TableSchema


def inputs_of(spec: SourceSpec, states: Sequence[SourceState]) -> tuple[Input, ...]:
    """Return the inputs of a merge, in order.

    Raises:
        BatutaError: PLN141, one of them is no table.
    """
    found = []
    for part, state in zip(spec.merge, states, strict=True):
        name = source_name(part)
        if state.schema is None:
            raise _no_table(name)
        chosen = choose(part, state.schema)
        found.append(Input(name, state, chosen.pairs, chosen.schema))
    return tuple(found)


def united(spec: SourceSpec, states: Sequence[SourceState]) -> MergedState:
    """Return the sources as one.

    The version is a digest of all versions. Without a key the units are those of all, in order,
    each known by its source's number; with one a row may come from any of them, so there are none.

    Raises:
        BatutaError: PLN141, one is no table; PLN142, columns of one name do not unite; PLN143, a
            key column is missing.
    """
    inputs = inputs_of(spec, states)
    schema = _schema(inputs)
    _check_keys(spec, inputs)
    rows = [state.rows for state in states]
    return MergedState(
        address=source_text(spec),
        version="merge:" + digest([state.version for state in states])[:_DIGITS],
        kind="table",
        schema=schema,
        schemas=(schema,),
        units=() if spec.on else _units(states),
        size_bytes=sum(state.size_bytes for state in states),
        rows=None if spec.on or None in rows else sum(r for r in rows if r is not None),
        shows_deletes=all(state.shows_deletes for state in states),
        stable_units=all(state.stable_units for state in states),
        notes=tuple(note for state in states for note in state.notes),
        parts=tuple(states),
    )


def numbered(number: int, ref: UnitRef) -> UnitRef:
    """Return a unit of one source as the merge knows it."""
    return UnitRef(f"{number}:{ref.key}", ref.version)


def unnumbered(unit: Unit) -> tuple[int, Unit]:
    """Return the number of the source that a merge's unit is of, and the unit as it is there."""
    number, _, key = unit.key.partition(":")
    return int(number), replace(unit, key=key)


def source_name(part: SourcePart) -> str:
    """Return what a source is called in a message."""
    return f"Dataset/{part.dataset}" if part.dataset is not None else str(part.address)


def _units(states: Sequence[SourceState]) -> tuple[Unit, ...]:
    return tuple(
        replace(unit, key=numbered(number, unit.ref).key, schema=None)
        for number, state in enumerate(states)
        for unit in state.units
    )


def _schema(inputs: Sequence[Input]) -> TableSchema:
    columns: dict[str, Column] = {}
    first: dict[str, str] = {}
    for each in inputs:
        for column in each.schema.columns:
            known = columns.get(column.name)
            type_ = column.type if known is None else unite_types(known.type, column.type)
            if known is not None and type_ is None:
                detail = (
                    f"{column.name!r} is {known.type} in {first[column.name]} and {column.type} in"
                    f" {each.name}; no type holds every value of both."
                )
                raise _not_united(detail)
            nullable = column.nullable or (known is not None and known.nullable)
            columns[column.name] = Column(column.name, type_ or column.type, nullable)
            first.setdefault(column.name, each.name)
    everywhere = [
        name for name in columns if all(name in each.schema.names for each in inputs)
    ]  # fmt: skip
    return TableSchema(
        tuple(c if c.name in everywhere else replace(c, nullable=True) for c in columns.values())
    )


def _check_keys(spec: SourceSpec, inputs: Sequence[Input]) -> None:
    for each in inputs:
        missing = [name for name in spec.on if name not in each.schema.names]
        if missing:
            detail = f"{each.name} has no column {', '.join(map(repr, missing))}, which is a key."
            raise _no_key(detail)


def _no_table(name: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="PLN141",
            summary="Only tables can be merged",
            detail=f"{name} is a set of opaque files; rows of tables alone can be merged.",
            fix="Leave it out, or name the table in it.",
        )
    )


def _not_united(detail: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="PLN142",
            summary="Columns of one name do not unite",
            detail=detail,
            fix="Rename one of the two with `columns.rename`, or leave it out.",
        )
    )


def _no_key(detail: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="PLN143",
            summary="A key of a merge is missing in a source",
            detail=detail,
            fix="Name columns in `on` that every source has.",
        )
    )
