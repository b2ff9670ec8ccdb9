"""Onward copies, for an audit: datasets that batuta made from another one, as far as is known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from batuta.model.canonical import Json
from batuta.model.diagnostic import BatutaError
from batuta.model.log import LogEntry
from batuta.model.state import ResourceRecord
from batuta.runtime.datasets import Datasets

_MOST_NAMES = 20


@dataclass
class Copies:
    """Looks for copies made since a time; `gaps` grows with what cannot be told."""

    datasets: Datasets
    since: str | None
    gaps: list[str] = field(default_factory=list)

    def of(self, resource: str, places: Iterable[str]) -> list[Json]:
        """Return the datasets made from `resource`, at any of its places, or from such a copy."""
        records = {record.address: record for record in self.datasets.store.resources()}
        logs = {a: self._entries(r) for a, r in records.items() if a != resource}
        self._unrecorded(resource, records.keys())
        found: list[Json] = []
        origins = [_Origin(resource, place) for place in places]
        for origin in origins:
            for address in list(logs):
                made = [e for e in logs[address] if origin.is_read_by(e) and self._counts(e)]
                if made:
                    del logs[address]
                    origins.append(_Origin(address, records[address].destination))
                    found.append(_copy(records[address], origin.address, made))
        return found

    def _counts(self, entry: LogEntry) -> bool:
        return self.since is None or entry.written_at >= self.since

    def _entries(self, record: ResourceRecord) -> tuple[LogEntry, ...]:
        observer = self.datasets.observer
        try:
            return tuple(
                observer.store_at_text(
                    record.destination, record.destination_platform, record.address
                ).entries()
            )
        except BatutaError as error:
            self.gaps.append(f"{record.address} cannot be read: {error.diagnostics[0].detail}")
            return ()

    def _unrecorded(self, resource: str, known: Iterable[str]) -> None:
        """Say which datasets were applied here and are known no more: each may be a copy."""
        applied = self.datasets.store.rows("SELECT DISTINCT action FROM steps")
        gone = sorted({str(name) for (name,) in applied} - set(known) - {resource})
        if gone:
            listed = ", ".join(gone[:_MOST_NAMES]) + (" and others" if gone[_MOST_NAMES:] else "")
            self.gaps.append(
                f"{listed}: applied here and no longer recorded; what they were made from is not told"
            )


@dataclass(frozen=True, slots=True)
class _Origin:
    """A dataset that others may have been made from."""

    address: str
    place: str

    def is_read_by(self, entry: LogEntry) -> bool:
        """True where a commit took rows or files from it."""
        if entry.source is None or not entry.added:
            return False
        name, place = self.address.partition("/")[2], self.place.rstrip("/")
        read = _sources(entry.source.address)
        return any(text in {f"dataset:{name}", place, f"{place}/"} for text in read)


def _copy(record: ResourceRecord, made_from: str, made: Sequence[LogEntry]) -> Json:
    return {
        "resource": record.address, "place": record.destination, "made_from": made_from,
        "tier": record.facts.tier, "label": msgspec.to_builtins(record.label),
        "versions": [
            {"version": e.version, "written_at": e.written_at,
             "source_version": e.source.version if e.source is not None else None}
            for e in made
        ],
    }  # fmt: skip


def _sources(text: str) -> Sequence[str]:
    """The places that a spelled source reads: one, or those of a merge."""
    where, _, said = text.partition(" {")
    if where != "merge":
        return (where,)
    try:
        listed = msgspec.json.decode("{" + said, type=dict[str, msgspec.Raw])["sources"]
        parts: Iterable[str] = msgspec.json.decode(listed, type=list[str])
    except (msgspec.MsgspecError, KeyError):
        return ()
    return tuple(part.partition(" {")[0] for part in parts)
