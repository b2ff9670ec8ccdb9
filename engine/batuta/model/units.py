"""Files as a table: their schema, their state, their streams. Shared by all file connectors."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from batuta.model.canonical import Json, digest
from batuta.model.format import Inspection
from batuta.model.layout import LayoutError, constant_columns, folder_constants, shared_constants
from batuta.model.observed import Cut, SourceState, Unit
from batuta.model.resource import SourceSpec
from batuta.model.table import Column, TableSchema
from batuta.model.transfer import Input, Partition, Segment
from batuta.model.widening import unite_types

MAX_SEGMENTS = 1024
"""A stream of more files than this is split, so that one message to a worker stays small."""


def unite(schemas: Sequence[tuple[str, TableSchema]]) -> TableSchema:
    """Return the schema that all rows fit: columns by name in order of first appearance.

    A column that one file lacks may be null. Types differ only where one holds every value of
    the other. `schemas` pairs a file's key with its schema and is not empty.

    Raises:
        LayoutError: two types have no such union, and both files are named; or two columns of
            one file have one name.
    """
    columns: dict[str, Column] = {}
    origin: dict[str, str] = {}
    seen: set[TableSchema] = set()
    for at, (key, schema) in enumerate(schemas):
        if at and schema in seen and set(schema.names) == set(columns):
            continue
        seen.add(schema)
        if twice := [name for name, times in Counter(schema.names).items() if times > 1]:
            raise LayoutError("schemas", f"Two columns of `{key}` are named `{twice[0]}`.")
        for column in schema.columns:
            known = columns.get(column.name)
            if known is None:
                columns[column.name] = replace(column, nullable=column.nullable or at > 0)
                origin[column.name] = key
                continue
            columns[column.name] = _united(known, column, (origin[column.name], key))
        for name in columns.keys() - set(schema.names):
            columns[name] = replace(columns[name], nullable=True)
    return TableSchema(tuple(columns.values()))


def _united(one: Column, other: Column, keys: tuple[str, str]) -> Column:
    type_ = unite_types(one.type, other.type)
    if type_ is None:
        raise LayoutError(
            "schemas",
            f"Column `{one.name}` is {one.type} in `{keys[0]}`, but {other.type} in `{keys[1]}`.",
        )
    return Column(one.name, type_, one.nullable or other.nullable)


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a table: what a listing says, and what the format says of its inside."""

    key: str
    version: str
    size_bytes: int
    stamp: str
    inside: Inspection


def known_inspections(known: SourceState | None) -> dict[str, tuple[Unit, Inspection]]:
    """Return by key what an earlier answer holds, in a form that can be used again."""
    if known is None:
        return {}
    out: dict[str, tuple[Unit, Inspection]] = {}
    for unit in known.units:
        if unit.schema is not None and unit.schema < len(known.schemas):
            inside = Inspection(schema=known.schemas[unit.schema], rows=unit.rows, cuts=unit.cuts)
            out[unit.key] = (unit, inside)
    return out


def version_of(units: Iterable[Unit]) -> str:
    """Return the version of a whole source: a digest over keys and versions."""
    return digest([[unit.key, unit.version] for unit in units])


def table_state(
    address: str, found: Sequence[Found], format_name: str, types: Mapping[str, str]
) -> SourceState:
    """Return the state of a table whose files are `found`, in reading order.

    Where a file holds a column that folders state as well, its own is read.

    Raises:
        LayoutError: the files make no table.
    """
    keys = [each.key for each in found]
    united = _united_files(found)
    stated = shared_constants(keys)
    added = constant_columns([name for name in stated if name not in united.names], keys, types)
    schemas: dict[TableSchema, int] = {}
    units = tuple(
        Unit(
            key=each.key,
            version=each.version,
            size_bytes=each.size_bytes,
            stamp=each.stamp,
            rows=each.inside.rows,
            schema=schemas.setdefault(each.inside.schema, len(schemas)),
            cuts=each.inside.cuts,
            extra=_extra(each.key, [n for n in stated if n not in each.inside.schema.names]),
        )
        for each in found
    )
    counts = [unit.rows for unit in units]
    exact = not added and all(schema == united for schema in schemas)
    return SourceState(
        address=address,
        version=version_of(units),
        kind="table",
        schema=TableSchema((*united.columns, *added)),
        schemas=tuple(schemas),
        units=units,
        size_bytes=sum(unit.size_bytes for unit in units),
        rows=None if None in counts else sum(count or 0 for count in counts),
        format=format_name,
        copyable=exact,
    )


def _united_files(found: Sequence[Found]) -> TableSchema:
    """Unite what the files insist on: text, in a file without rows, is only a guess."""
    guessed: set[str] = set()
    schemas: list[tuple[str, TableSchema]] = []
    for each in found:
        schema = each.inside.schema
        if each.inside.rows == 0:
            guesses = {c.name for c in schema.columns if c.type == "string"}
            guessed |= guesses
            schema = TableSchema(
                tuple(replace(c, type="null") if c.name in guesses else c for c in schema.columns)
            )
        schemas.append((each.key, schema))
    united = unite(schemas)
    if not guessed:
        return united
    return TableSchema(
        tuple(
            replace(c, type="string") if c.type == "null" and c.name in guessed else c
            for c in united.columns
        )
    )


def files_state(address: str, units: Sequence[Unit]) -> SourceState:
    """Return the state of opaque files."""
    return SourceState(
        address=address,
        version=version_of(units),
        kind="files",
        units=tuple(units),
        size_bytes=sum(unit.size_bytes for unit in units),
    )


def _extra(key: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = [[name, value] for name, value in folder_constants(key) if name in names]
    return json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class _Stretch:
    at: int
    start: str | None
    end: str | None
    first_row: int
    size_bytes: int
    rows: int | None


def partitions_of(
    spec: SourceSpec,
    state: SourceState,
    units: Sequence[Unit],
    target_bytes: int,
    inputs: Sequence[Input],
) -> tuple[Partition, ...]:
    """Return streams of about `target_bytes` decoded bytes: small units joined, big ones cut.

    `inputs` pairs with `units`. The id of a stream says which stretch of which version of which
    units it is, and how they are read, and nothing else; it is the same on every run.
    """
    stretches = [
        each for at, unit in enumerate(units) for each in _stretches(at, unit, target_bytes)
    ]
    reading: Json = {
        "columns": [list(spec.include), list(spec.exclude), [list(pair) for pair in spec.rename]],
        "format": state.format,
        "options": [[name, value] for name, value in spec.options],
        "types": [list(pair) for pair in spec.types],
    }
    return tuple(
        _partition(spec, state, (units, inputs), group, reading)
        for group in _groups(stretches, target_bytes)
    )


def _stretches(at: int, unit: Unit, target_bytes: int) -> Iterator[_Stretch]:
    cuts = unit.cuts
    total = sum(cut.size_bytes for cut in cuts) if cuts else unit.size_bytes
    if total <= target_bytes or len(cuts) < 2:
        yield _Stretch(at, None, None, 0, total, unit.rows)
        return
    low, size, row = 0, 0, 0
    for high, cut in enumerate(cuts):
        if high > low and size + cut.size_bytes > target_bytes:
            yield (one := _between(at, cuts, (low, high), row))
            low, size, row = high, 0, row + (one.rows or 0)
        size += cut.size_bytes
    yield _between(at, cuts, (low, len(cuts)), row)


def _between(at: int, cuts: Sequence[Cut], span: tuple[int, int], row: int) -> _Stretch:
    low, high = span
    counts = [cut.rows for cut in cuts[low:high]]
    return _Stretch(
        at,
        cuts[low].position if low else None,
        cuts[high].position if high < len(cuts) else None,
        row,
        sum(cut.size_bytes for cut in cuts[low:high]),
        None if None in counts else sum(count or 0 for count in counts),
    )


def _groups(stretches: Sequence[_Stretch], target_bytes: int) -> Iterator[list[_Stretch]]:
    group: list[_Stretch] = []
    size = 0
    for each in stretches:
        full = size + each.size_bytes > target_bytes or len(group) == MAX_SEGMENTS
        if group and full:
            yield group
            group, size = [], 0
        group.append(each)
        size += each.size_bytes
    if group:
        yield group


def _partition(
    spec: SourceSpec,
    state: SourceState,
    ends: tuple[Sequence[Unit], Sequence[Input]],
    group: Sequence[_Stretch],
    reading: Json,
) -> Partition:
    units, inputs = ends
    counts = [each.rows for each in group]
    names: Json = [
        [units[each.at].key, units[each.at].version, each.start, each.end] for each in group
    ]
    return Partition(
        id=digest([names, reading])[:16],
        format=state.format,
        segments=tuple(
            Segment(
                input=inputs[each.at],
                unit=units[each.at].ref,
                start=each.start,
                end=each.end,
                first_row=each.first_row,
                schema=_own_schema(state, units[each.at]),
                constants=_constants(units[each.at].extra),
            )
            for each in group
        ),
        size_bytes=sum(each.size_bytes for each in group),
        rows=None if None in counts else sum(count or 0 for count in counts),
        options=spec.options,
    )


def _own_schema(state: SourceState, unit: Unit) -> TableSchema | None:
    """The unit's schema where the units differ; None where all have the same columns."""
    if len(state.schemas) < 2 or unit.schema is None:
        return None
    return state.schemas[unit.schema]


def _constants(extra: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((name, value) for name, value in json.loads(extra)) if extra else ()
