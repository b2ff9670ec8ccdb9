"""The canonical spelling of a source with its selection, and the columns that it chooses."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from batuta.model.canonical import Json, canonical_bytes
from batuta.model.diagnostic import Diagnostic
from batuta.model.resource import Dataset, SourcePart, SourceSpec
from batuta.model.table import Column, TableSchema

_GLOB = frozenset("*?[")
_COLUMN_KEYS = ("include", "exclude", "rename", "where")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns that a selection takes: `pairs` of source and output names, and the output."""

    pairs: tuple[tuple[str, str], ...]
    schema: TableSchema


def source_text(spec: SourcePart) -> str:
    """Return the source with everything that decides its rows, as text that can be compared.

    The address alone where nothing is chosen, else the address and canonical JSON of the
    choices. Pins, platforms and stated origins do not count: they name the same rows.
    """
    if isinstance(spec, SourceSpec) and spec.merge:
        return _merge_text(spec)
    where = f"dataset:{spec.dataset}" if spec.dataset is not None else str(spec.address)
    if not (spec.reshapes or spec.files or spec.options):
        return where
    chosen: dict[str, Json] = {
        "files": spec.files,
        "include": spec.include,
        "exclude": spec.exclude,
        "rename": spec.rename,
        "where": spec.where,
        "options": dict(spec.options),
        "types": dict(spec.types),
    }
    return f"{where} {canonical_bytes({k: v for k, v in chosen.items() if v}).decode()}"


def _merge_text(spec: SourceSpec) -> str:
    said: dict[str, Json] = {"sources": [source_text(part) for part in spec.merge]}
    if spec.on:
        said |= {"on": spec.on, "conflict": spec.conflict.value}
    return f"merge {canonical_bytes(said).decode()}"


def columns_of(text: str) -> SourceSpec | None:
    """Return a spec with the column choices that `source_text` wrote down.

    None where the text is not one of its spellings (a log of another maker).
    """
    _, blank, chosen = text.partition(" {")
    if not blank:
        return SourceSpec()
    try:
        values = json.loads("{" + chosen)
        return SourceSpec(
            include=tuple(values.get("include", ())),
            exclude=tuple(values.get("exclude", ())),
            rename=tuple((old, new) for old, new in values.get("rename", ())),
        )
    except (ValueError, TypeError, RecursionError):
        return None


def same_rows_source(one: str, other: str) -> bool:
    """True where two spellings differ at most in their choice of columns and rows."""
    return _without_columns(one) == _without_columns(other)


def _without_columns(text: str) -> tuple[str, object]:
    where, blank, chosen = text.partition(" {")
    if not blank:
        return where, {}
    try:
        values = json.loads("{" + chosen)
    except (ValueError, RecursionError):
        return text, None
    return where, {k: v for k, v in values.items() if k not in _COLUMN_KEYS}


def choose(spec: SourcePart, schema: TableSchema) -> Chosen:
    """Return the columns of `schema` that `spec` takes, in the source's order, renamed.

    `include` and `exclude` take globs; a name matches itself whatever characters it has.
    """
    if not (spec.include or spec.exclude or spec.rename):
        return Chosen(tuple((name, name) for name in schema.names), schema)
    renames = dict(spec.rename)
    taken = [
        column
        for column in schema.columns
        if (not spec.include or _matches(column.name, spec.include))
        and not _matches(column.name, spec.exclude)
    ]
    columns = tuple(Column(renames.get(c.name, c.name), c.type, c.nullable) for c in taken)
    pairs = tuple((c.name, renames.get(c.name, c.name)) for c in taken)
    return Chosen(pairs, TableSchema(columns))


def check_choice(
    dataset: Dataset, schema: TableSchema, committed: TableSchema | None
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the choice of columns.

    A name that the last committed schema still has is not a mistake in the manifest: the
    column went away at the source, which is drift.
    """
    spec, names = dataset.source, set(schema.names)
    known = names | set(committed.names if committed else ())
    renamed = dict(spec.rename)
    wanted = [("include", n) for n in spec.include if not _GLOB & set(n)]
    wanted += [("rename", n) for n in renamed]
    for key, name in wanted:
        if name not in names and renamed.get(name, name) not in known and name not in known:
            yield _no_column(dataset, key, name, schema)
    chosen = choose(spec, schema)
    if not chosen.pairs and not committed:
        yield _nothing_left(dataset)
    outputs = [output for _, output in chosen.pairs]
    for output in sorted({o for o in outputs if outputs.count(o) > 1} if renamed else ()):
        yield Diagnostic(
            code="PLN115",
            summary="Two columns would have one name",
            detail=f"After `columns.rename`, {dataset.address} has more than one column"
            f" {output!r}.",
            fix="Give each column a name of its own, or exclude one of them.",
            locations=dataset.place(f"spec.source.columns.rename.{output}"),
            address=dataset.address,
        )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def _no_column(dataset: Dataset, key: str, name: str, schema: TableSchema) -> Diagnostic:
    near = get_close_matches(name, schema.names, n=1)
    shown = ", ".join(schema.names[:20]) + (", …" if len(schema.names) > 20 else "")
    return Diagnostic(
        code="PLN114",
        summary="The source has no such column",
        detail=f"`columns.{key}` of {dataset.address} names {name!r}; the source has {shown}.",
        fix=f"Write {near[0]!r}." if near else "Name a column that the source has.",
        locations=dataset.place(f"spec.source.columns.{key}"),
        address=dataset.address,
    )


def _nothing_left(dataset: Dataset) -> Diagnostic:
    return Diagnostic(
        code="PLN114",
        summary="The source has no such column",
        detail=f"The choice of columns of {dataset.address} leaves none.",
        fix="Widen `columns.include` or narrow `columns.exclude`.",
        locations=dataset.place("spec.source.columns"),
        address=dataset.address,
    )
