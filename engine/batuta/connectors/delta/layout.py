"""Laying units out as partitions: which reader, which row groups, which rows are deleted."""

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batuta.connectors.delta.changes import Entry
from batuta.connectors.delta.features import mapping_mode
from batuta.connectors.delta.pinned import unit_version
from batuta.connectors.delta.snapshot import PartitionTexts, TableVersion
from batuta.connectors.delta.values import pack_ordinals, unpack_ordinals
from batuta.model.address import Address, parse_address
from batuta.model.canonical import Json, digest
from batuta.model.log import UnitRef
from batuta.model.observed import Cut, Unit
from batuta.model.transfer import Input, Partition, Segment

READER = "delta"
MANY_DROPPED = 65_536
"""From here on deleted rows travel as a bitmap to this connector's reader, not as a list."""

Spec = tuple[tuple[str, Json], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What `Unit.extra` keeps of a file: how it is read.

    `constants` are partition values and null columns. `dropped` is `pack_ordinals` text.
    """

    plain: bool
    constants: PartitionTexts = ()
    renames: tuple[tuple[str, str], ...] = ()
    dropped: str = ""

    @property
    def for_files(self) -> bool:
        """True where the worker's own reader gives the rows."""
        return self.plain and len(unpack_ordinals(self.dropped)) < MANY_DROPPED

    def text(self) -> str:
        """This as JSON text."""
        document: dict[str, Any] = {"plain": self.plain}
        if self.constants:
            document["constants"] = self.constants
        if self.renames:
            document["renames"] = self.renames
        if self.dropped:
            document["dropped"] = self.dropped
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    @staticmethod
    def parse(text: str) -> "Extra":
        """Return what `text` made."""
        document = json.loads(text)
        return Extra(
            plain=document["plain"],
            constants=tuple((n, v) for n, v in document.get("constants", ())),
            renames=tuple((s, n) for s, n in document.get("renames", ())),
            dropped=document.get("dropped", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A stretch of one file with its share of the work."""

    segment: Segment
    for_files: bool
    dropped: str
    size_bytes: int
    rows: int | None


def inner_address(text: str) -> Address:
    """The address of the folder or prefix that holds the table `text`."""
    return parse_address(text).inner


def target_spec(head: TableVersion) -> Spec:
    """What this connector's reader needs to know of the table."""
    return (("mapped", mapping_mode(head) != "none"), ("schema", head.schema_json))


def partitions(
    placed: Sequence[tuple[Unit, Extra, Input]], target: Spec, target_bytes: int
) -> tuple[Partition, ...]:
    """Return partitions over the files in order; `target` is used by those of this reader."""
    found: list[Partition] = []
    group: list[_Piece] = []
    size = 0
    for piece in _pieces(placed, target_bytes):
        full = size + piece.size_bytes > target_bytes
        if group and (full or piece.for_files != group[0].for_files):
            found.append(_partition(group, target))
            group, size = [], 0
        group.append(piece)
        size += piece.size_bytes
    if group:
        found.append(_partition(group, target))
    return tuple(found)


def feed_partition(
    head: TableVersion, last: int, placed: Sequence[tuple[Entry, Extra, Input]]
) -> Partition:
    """Return the one stream that tells what changed after `head` up to `last`, in order."""
    parts: list[Json] = []
    segments = []
    for entry, extra, source in placed:
        part: dict[str, Json] = {"change": entry.change, "drop": extra.dropped}
        if entry.kinds:
            part["kinds"] = list(entry.kinds)
        if entry.only is not None:
            part |= {"only": pack_ordinals(entry.only), "drop": ""}
        parts.append(part)
        ref = UnitRef(entry.file.key, unit_version(entry.file))
        constants, renames = extra.constants, extra.renames
        segments.append(Segment(input=source, unit=ref, constants=constants, renames=renames))
    span: list[Json] = [head.version + 1, last]
    return Partition(
        id=digest([span, [[s.unit.key, s.unit.version] for s in segments], parts])[:16],
        reader=READER,
        format="parquet",
        segments=tuple(segments),
        size_bytes=sum(entry.file.size_bytes for entry, _, _ in placed),
        spec=(("cdf", span), *target_spec(head), ("parts", parts)),
    )


def _pieces(placed: Sequence[tuple[Unit, Extra, Input]], target_bytes: int) -> Iterator[_Piece]:
    for unit, extra, source in placed:
        ordinals = unpack_ordinals(extra.dropped)
        for_files = extra.plain and len(ordinals) < MANY_DROPPED
        first_row = 0
        for cuts, end in _stretches(unit.cuts, target_bytes):
            stored = _rows_of(cuts)
            last = None if stored is None else first_row + stored
            gone = 0 if last is None else _between(ordinals, first_row, last)
            yield _Piece(
                segment=Segment(
                    input=source,
                    unit=unit.ref,
                    start=cuts[0].position if cuts else None,
                    end=end,
                    first_row=first_row,
                    constants=extra.constants,
                    renames=extra.renames,
                    drop_rows=tuple(int(o) for o in ordinals) if for_files else (),
                ),
                for_files=for_files,
                dropped="" if for_files else extra.dropped,
                size_bytes=sum(c.size_bytes for c in cuts) if cuts else unit.size_bytes,
                rows=None if stored is None else stored - gone,
            )
            first_row = 0 if last is None else last


def _stretches(
    cuts: Sequence[Cut], target_bytes: int
) -> Iterator[tuple[Sequence[Cut], str | None]]:
    """Runs of cuts that aim at the target, each with the position where the next one starts.

    A file without cuts, or with one of unknown length, is one stretch: where a later one
    started its rows could not be numbered.
    """
    if any(cut.rows is None for cut in cuts) or not cuts:
        yield (cuts, None)
        return
    start, size = 0, 0
    for i, cut in enumerate(cuts):
        if i > start and size + cut.size_bytes > target_bytes:
            yield (cuts[start:i], cut.position)
            start, size = i, 0
        size += cut.size_bytes
    yield (cuts[start:], None)


def _rows_of(cuts: Sequence[Cut]) -> int | None:
    counted = [cut.rows for cut in cuts if cut.rows is not None]
    return sum(counted) if cuts and len(counted) == len(cuts) else None


def _between(ordinals: Any, first: int, last: int) -> int:
    return bisect_left(ordinals, last) - bisect_left(ordinals, first)


def _partition(group: Sequence[_Piece], target: Spec) -> Partition:
    for_files = group[0].for_files
    segments = tuple(piece.segment for piece in group)
    rows = [piece.rows for piece in group]
    counted = [count for count in rows if count is not None]
    spec: Spec = ()
    if not for_files:
        spec = (*target, ("parts", [{"drop": piece.dropped} for piece in group]))
    return Partition(
        id=digest([[s.unit.key, s.unit.version, s.start, s.end] for s in segments])[:16],
        reader="files" if for_files else READER,
        format="parquet",
        segments=segments,
        size_bytes=sum(piece.size_bytes for piece in group),
        rows=sum(counted) if len(counted) == len(rows) else None,
        spec=spec,
    )
