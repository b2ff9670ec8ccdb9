"""A dataset as a source: its parts are the units, pinned to one version of the log.

What is inside a part that is far too large is asked of `cuts`, since no part is opened here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from batuta.connectors.alimentar import reader
from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.log import Log, open_log
from batuta.connectors.alimentar.sealing import head_problem
from batuta.connectors.alimentar.snapshot import content_version, last_of_content, pinned
from batuta.model.canonical import digest
from batuta.model.connector import Files
from batuta.model.dataset import Cuts
from batuta.model.format import Format
from batuta.model.log import Label, Part, Snapshot
from batuta.model.observed import Cut, SourceState, Unit
from batuta.model.resource import SourceSpec
from batuta.model.seal import CheckSeal
from batuta.model.transfer import Input, Partition, Segment

# Names no tier, so that whoever judges flows takes it for a label that is lost.
_BROKEN = Label(confidentiality="broken", integrity="broken", declared=False)


@dataclass(frozen=True, slots=True)
class AlimentarSource:
    """Implements `model.connector.Source` over the log of one dataset."""

    files: Files
    formats: Mapping[str, Format]
    check: CheckSeal | None = None
    cuts: Cuts | None = None

    def observe(self, spec: SourceSpec, known: SourceState | None) -> SourceState:
        """Return the dataset at its head, or at `spec.version` (`42`, or `42:<hex>`).

        Reads the log alone, so an earlier answer would save nothing. The version stays the
        same while only labels and other fields of the log change.

        Raises:
            ConnectorError: permanent. LOG143: nothing was committed; LOG141: there is no such
                version; else the log is damaged.
        """
        log = self._log()
        label = self._label(log)
        if spec.version is None:
            return self._state(log.snapshot, content_version(log), label)
        snapshot = pinned(self.files, log, spec.version)
        latest = last_of_content(self.files, log, snapshot)
        label = label if label is _BROKEN else latest.label
        snapshot = replace(snapshot, entry=replace(snapshot.entry, decisions=latest.decisions))
        version = f"{snapshot.head.version}:{snapshot.head.digest[:16]}"
        return self._state(snapshot, version, label)

    def partitions(
        self, spec: SourceSpec, state: SourceState, units: Sequence[Unit], target_bytes: int
    ) -> Sequence[Partition]:
        """Return partitions of whole parts, or of stretches of a part that is far too large.

        Raises:
            ConnectorError: permanent. LOG121: a part is gone, from history too; LOG142: no
                reader for the format.
        """
        if state.format is None or state.format not in self.formats:
            detail = f"{state.address} holds {state.format or 'files'}, which no format reads."
            raise refusal("LOG142", detail)
        inputs = self.inputs(state, units)
        stretches = [
            stretch
            for unit, source in zip(units, inputs, strict=True)
            for stretch in self._stretches(state.format, unit, source, target_bytes)
        ]
        groups = _grouped(stretches, target_bytes)
        return tuple(_partition(state.format, group) for group in groups)

    def inputs(self, state: SourceState, units: Sequence[Unit]) -> Sequence[Input]:
        """Return one input per unit, from the root or from history.

        Raises:
            ConnectorError: LOG121, permanent: a part is gone, from history too.
        """
        return reader.inputs(self.files, [_part(unit) for unit in units])

    def _log(self) -> Log:
        if (log := open_log(self.files)) is None:
            raise refusal("LOG143", f"{self.files.location} has no log.")
        return log

    def _label(self, log: Log) -> Label:
        """The label in the head, or a broken one where the head's signature does not hold."""
        if self.check is not None and head_problem(self.files, log, self.check) is not None:
            return _BROKEN
        return log.entry.label

    def _state(self, snapshot: Snapshot, version: str, label: Label) -> SourceState:
        facts = snapshot.entry.facts
        is_table = facts.schema is not None
        return SourceState(
            address=self.files.location,
            version=version,
            kind="table" if is_table else "files",
            stable_units=not is_table,
            schema=facts.schema,
            schemas=(facts.schema,) if facts.schema is not None else (),
            units=tuple(
                Unit(
                    key=part.path,
                    version=part.sha256,
                    size_bytes=part.size_bytes,
                    rows=part.rows,
                    schema=0 if is_table else None,
                )
                for part in snapshot.parts
            ),
            size_bytes=snapshot.size_bytes,
            rows=snapshot.rows,
            format=facts.format if is_table else None,
            # Imported files were agreed to have one schema by their own word only.
            copyable=not is_table or snapshot.entry.owner == "Created",
            label=label,
            decisions=snapshot.entry.decisions,
        )

    def _stretches(
        self, format_name: str, unit: Unit, source: Input, target_bytes: int
    ) -> Iterator["_Stretch"]:
        whole = unit.size_bytes <= 2 * target_bytes or self.formats[format_name].reader is None
        if whole or self.cuts is None:
            yield _Stretch(Segment(input=source, unit=unit.ref), unit.size_bytes, unit.rows)
            return
        cuts = self.cuts(format_name, source)
        first_row = 0
        spans = [list(group) for _, group in groupby(cuts, key=_bins(target_bytes))]
        for number, span in enumerate(spans):
            following = spans[number + 1] if number + 1 < len(spans) else None
            rows = _sum(cut.rows for cut in span)
            segment = Segment(
                input=source,
                unit=unit.ref,
                start=span[0].position if number else None,
                end=following[0].position if following else None,
                first_row=first_row,
            )
            yield _Stretch(segment, sum(cut.size_bytes for cut in span), rows)
            first_row += rows or 0


@dataclass(frozen=True, slots=True)
class _Stretch:
    segment: Segment
    size_bytes: int
    rows: int | None


class _bins:  # noqa: N801 - a key function with a memory, not a noun
    """Numbers cuts so that those of one number come to about the target together."""

    def __init__(self, target_bytes: int) -> None:
        self._target, self._size, self._number = target_bytes, 0, 0

    def __call__(self, cut: Cut) -> int:
        if self._size and self._size + cut.size_bytes > self._target:
            self._number, self._size = self._number + 1, 0
        self._size += cut.size_bytes
        return self._number


def _grouped(stretches: Sequence[_Stretch], target_bytes: int) -> list[list[_Stretch]]:
    groups: list[list[_Stretch]] = []
    size = target_bytes
    for stretch in stretches:
        if size + stretch.size_bytes > target_bytes:
            groups.append([])
            size = 0
        groups[-1].append(stretch)
        size += stretch.size_bytes
    return groups


def _partition(format_name: str, group: list[_Stretch]) -> Partition:
    segments = tuple(stretch.segment for stretch in group)
    name = digest([[s.unit.key, s.unit.version, s.start, s.end] for s in segments])[:16]
    return Partition(
        id=name,
        format=format_name,
        segments=segments,
        size_bytes=sum(stretch.size_bytes for stretch in group),
        rows=_sum(stretch.rows for stretch in group),
    )


def _sum(counts: Iterator[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _part(unit: Unit) -> Part:
    return Part(path=unit.key, size_bytes=unit.size_bytes, sha256=unit.version)
