"""What one transfer reads, what it writes, and how much that is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from batuta.core import refusals
from batuta.core.case import Case, ends_of, label_text, same_place
from batuta.core.diff import same_schema
from batuta.core.selection import source_text
from batuta.core.shape import Shape
from batuta.core.units import is_tied, reconcile
from batuta.model.canonical import Json, digest
from batuta.model.cost import Confidence, CostEstimate
from batuta.model.diagnostic import Diagnostic
from batuta.model.log import Label, Part
from batuta.model.observed import SourceState, Unit
from batuta.model.plan import Transfer, Volume
from batuta.model.resource import IncrementalSpec, Mode, OnSourceDelete
from batuta.model.table import TableSchema
from batuta.model.tier import Network
from batuta.model.transfer import Output

_PLAIN = frozenset({"ald", "arrow"})
"""Formats that are written without compression unless asked: their size is the decoded one."""

_TARGET_BYTES = 48 * 1024 * 1024
"""For `files`, whose parts end where the source's do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is read and what that does to the parts that are there.

    `vanishes` says that parts go whose rows nothing replaces. `loss` is why the reading would
    lose rows that the manifest wants kept; None where it does not.
    """

    scope: Literal["all", "units", "merge", "changes"]
    units: tuple[Unit, ...]
    kept: tuple[Part, ...] = ()
    removed: tuple[Part, ...] = ()
    vanished: tuple[Part, ...] = ()
    loss: str | None = None
    since: str | None = None
    feed_bytes: int = 0

    @property
    def is_idle(self) -> bool:
        """True where no unit is read and no part goes: only the version moved."""
        return self.scope == "units" and not self.units and not self.removed


def read_all(case: Case, source: SourceState) -> Reading:
    """Read every unit anew; all parts that are there go to history."""
    parts = case.snapshot.parts if case.snapshot else ()
    present = {unit.key for unit in source.units}
    # What reads itself keeps its rows, whatever its parts were made from before.
    lost = () if _reads_itself(case) else parts
    vanished = tuple(
        p for p in lost if p.units and present and not any(r.key in present for r in p.units)
    )
    loss = None
    if case.dataset.on_source_delete is OnSourceDelete.KEEP and parts:
        loss = _kept_rows_lost(parts, present)
    return Reading(scope="all", units=source.units, removed=parts, vanished=vanished, loss=loss)


def _reads_itself(case: Case) -> bool:
    target = case.dataset.destination
    return any(
        part.address is not None and same_place(str(part.address), target)
        for part in case.dataset.source.merge
    )


def read_changed(case: Case, source: SourceState) -> Reading:
    """Read what changed: rows by key, units that no part holds, or everything where neither goes.

    Ask `refuse_mode` first: it says where an Incremental dataset has no way to be right.
    """
    dataset = case.dataset
    parts = case.snapshot.parts if case.snapshot else ()
    feed = case.observation.feed
    if feed is not None and case.live is not None:
        if feed.size_bytes == 0:
            return Reading(scope="units", units=(), kept=parts)
        return Reading(scope="changes", units=(), kept=parts, since=case.live.source_version,
                       feed_bytes=feed.size_bytes)  # fmt: skip
    if merges(case):
        rule = dataset.incremental
        entry = case.snapshot.entry if case.snapshot else None
        since = (
            entry.source.since(rule.cursor if rule else None) if entry and entry.source else None
        )
        return Reading(scope="merge", units=source.units, kept=parts, since=since)
    if not source.units or not is_tied(parts) or _rows_moved(case, source):
        return read_all(case, source)
    plan = reconcile(parts, source.units, dataset.on_source_delete)
    loss = None
    if plan.lost:
        names = ", ".join(ref.key for ref in plan.lost[:3])
        loss = (
            f"rows of {len(plan.lost)} units that are gone at the source ({names}) lie in one"
            " part with rows that changed, and cannot be kept."
        )
    return Reading(scope="units", units=plan.read, kept=plan.keep, removed=plan.remove,
                   vanished=plan.vanished, loss=loss)  # fmt: skip


def _rows_moved(case: Case, source: SourceState) -> bool:
    """True where rows should be kept that are gone, and a unit that is gone may live on elsewhere.

    Keeping its part beside the units that took its rows over would give them twice.
    """
    if source.stable_units or case.dataset.on_source_delete is not OnSourceDelete.KEEP:
        return False
    present = {unit.key for unit in source.units}
    parts = case.snapshot.parts if case.snapshot else ()
    return any(ref.key not in present for part in parts for ref in part.units)


def merges(case: Case) -> bool:
    """True where rows are merged by key: Incremental with a cursor and a key."""
    dataset = case.dataset
    rule = dataset.incremental
    return dataset.mode is Mode.INCREMENTAL and bool(rule and rule.cursor and rule.key)


def refuse_mode(case: Case, source: SourceState, shaped: Shape | None) -> Diagnostic | None:
    """Return why an Incremental dataset could not be right; None where it can."""
    dataset, rule = case.dataset, case.dataset.incremental
    if dataset.mode is not Mode.INCREMENTAL:
        return None
    if rule is not None and shaped is not None:
        named = {rule.cursor, *rule.key} - {None}
        # A column that is gone and stays by a choice is nothing but nulls: no rows meet by it.
        missing = sorted(str(name) for name in named - {output for _, output in shaped.columns})
        if missing:
            return refusals.no_merge_column(dataset, missing)
        if unfit := _unfit(rule, shaped.schema):
            return refusals.unfit_merge_column(dataset, unfit)
    return None if source.units or merges(case) else refusals.not_incremental(dataset)


_IN_TIME = ("timestamp[", "date")
_ORDERED = (*_IN_TIME, "int", "uint", "float", "double", "halffloat", "decimal", "string",
            "large_string")  # fmt: skip


def _unfit(rule: IncrementalSpec, schema: TableSchema) -> str | None:
    """Why a column cannot be what the rule makes of it; None where all can."""
    types = {column.name: column.type for column in schema.columns}
    for name in rule.key:
        if "<" in types[name]:
            return f"{name!r} is of type {types[name]}, and a key has to be a plain value"
    if rule.cursor is None:
        return None
    type_ = types[rule.cursor]
    if not type_.startswith(_ORDERED) or type_.endswith("_view"):
        return f"{rule.cursor!r} is of type {type_}, and a cursor has to be of an ordered one"
    if rule.lookback_s and not type_.startswith(_IN_TIME):
        return f"{rule.cursor!r} is of type {type_}, and `lookback` is a time"
    return None


def transfer_of(
    case: Case, source: SourceState, shaped: Shape | None, label: Label, reading: Reading
) -> Transfer:
    """Return the transfer for a reading, complete: apply looks nothing up."""
    dataset = case.dataset
    targets = case.world.input.target_bytes
    return Transfer(
        source=dataset.source,
        source_version=source.version,
        source_schema=source.schema,
        columns=shaped.columns if shaped else (),
        scope=reading.scope,
        copy=is_copy(case, source, shaped, reading),
        output=Output(
            format=dataset.format,
            options=tuple(sorted(dataset.format_options)),
            label=label_text(label),
            selection=_selection(case, source, shaped),
            target_bytes=targets.get(dataset.format, _TARGET_BYTES),
        ),
        incremental=dataset.incremental,
        since=reading.since,
    )


def _selection(case: Case, source: SourceState, shaped: Shape | None) -> str:
    """A digest of which rows and columns of a version are written, and in which types."""
    schemas = (source.schema, shaped.schema if shaped else None)
    said: list[Json] = [
        [[c.name, c.type, c.nullable] for c in schema.columns] if schema else None
        for schema in schemas
    ]
    pairs: list[Json] = [list(pair) for pair in shaped.columns] if shaped else []
    return digest([source_text(case.dataset.source).rstrip("/"), pairs, said])[:32]


def is_copy(case: Case, source: SourceState, shaped: Shape | None, reading: Reading) -> bool:
    """True where bytes need no change: opaque files, or the same format, columns and settings."""
    dataset = case.dataset
    if source.kind == "files":
        return True
    return (
        source.copyable
        and bool(source.units)
        and source.format == dataset.format
        and not dataset.format_options
        and not dataset.source.reshapes
        and reading.scope not in {"merge", "changes"}
        and not merges(case)  # the highest cursor is only known to who decodes
        and shaped is not None
        and same_schema(shaped.schema, source.schema)
    )


def volume_of(case: Case, source: SourceState, reading: Reading, *, copy: bool) -> Volume:
    """Return what a reading moves, in bytes.

    Staged files are renamed into place on a local file system and so counted once, as new;
    for an object store they lie on this machine as well. New bytes of an encoded format are an
    estimate from the source's sizes.
    """
    read = sum(u.size_bytes for u in reading.units) if source.units else source.size_bytes
    if reading.scope == "changes":
        # Which parts hold a changed key is not known before the rows are read: at most all.
        return Volume(read_bytes=reading.feed_bytes, units_kept=len(reading.kept),
                      new_bytes=(new := reading.feed_bytes + sum(p.size_bytes for p in reading.kept)),
                      staging_bytes=0 if case.dataset.destination.is_local else new)  # fmt: skip
    plain = not copy and case.dataset.format in _PLAIN
    new = sum(map(_decoded, reading.units)) if plain and source.units else read
    return Volume(
        read_bytes=read,
        staging_bytes=0 if case.dataset.destination.is_local else new,
        new_bytes=new,
        history_bytes=sum(part.size_bytes for part in reading.removed),
        rows=_rows(reading.units) if source.units else source.rows,
        units_read=len(reading.units),
        units_kept=len({ref for part in reading.kept for ref in part.units}),
    )


def cost_of(case: Case, volume: Volume) -> CostEstimate:
    """Return what a transfer costs. Between local folders nothing; else nobody knows yet."""
    ends = ends_of(case.world, case.dataset)
    away = [end for end in ends if end.network is not Network.LOCAL]
    if not away:
        return CostEstimate(confidence=Confidence.EXACT, amount="0.00 USD",
                            bytes_read=volume.read_bytes, bytes_sent=0, requests=0,
                            driver="both ends are local")  # fmt: skip
    sends = any(end.role == "destination" for end in away)
    return CostEstimate(
        confidence=Confidence.UNKNOWN,
        bytes_read=volume.read_bytes,
        bytes_sent=volume.new_bytes if sends else 0,
        driver="; ".join(f"requests and egress of {end.what}, without a price" for end in away),
    )


def _kept_rows_lost(parts: Iterable[Part], present: set[str]) -> str | None:
    untied = [part for part in parts if not part.units]
    gone = {ref.key for part in parts for ref in part.units if ref.key not in present}
    if gone:
        return (
            f"everything is written anew, and rows of {len(gone)} units that the source no longer"
            f" has ({', '.join(sorted(gone)[:3])}) would go, though `onSourceDelete` is Keep."
        )
    if untied:
        return (
            "everything is written anew from the source, and rows that it no longer has would go,"
            " though `onSourceDelete` is Keep."
        )
    return None


def _decoded(unit: Unit) -> int:
    return max(unit.size_bytes, sum(cut.size_bytes for cut in unit.cuts))


def _rows(units: tuple[Unit, ...]) -> int | None:
    total = 0
    for unit in units:
        if unit.rows is None:
            return None
        total += unit.rows
    return total
