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
        """Return the datasets made from `resource`, at any of its places, or from such a copy.

        One that was made from several of these is told once for each of them.
        """
        records = {record.address: record for record in self.datasets.store.resources()}
        logs = {
            a: [(entry, _sources(entry)) for entry in self._entries(record)]
            for a, record in records.items()
            if a != resource
        }
        lay = self._lay()
        lay.setdefault(resource, set()).update(places)
        self._unrecorded(resource, records.keys())
        found: list[Json] = []
        seen = {resource}
        origins = [resource]
        for name in origins:
            known = _spelled(name, lay.get(name, ()))
            for address, entries in logs.items():
                read = [e for e, sources in entries if address != name and sources & known]
                # A copy that is older than the time may have been copied on since.
                if read and address not in seen:
                    seen.add(address)
                    origins.append(address)
                if made := [entry for entry in read if self._counts(entry)]:
                    found.append(_copy(records[address], name, made))
        return found

    def _lay(self) -> dict[str, set[str]]:
        """Return every place where each dataset lies, or a run of this state made a version."""
        sql = """
            SELECT DISTINCT action, json_extract(detail, '$.destination') FROM steps
            WHERE json_extract(detail, '$.head') IS NOT NULL
        """
        found: dict[str, set[str]] = {}
        for address, place in self.datasets.store.rows(sql):
            if place is not None:
                found.setdefault(str(address), set()).add(str(place))
        for record in self.datasets.store.resources():
            found.setdefault(record.address, set()).add(record.destination)
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


def _spelled(address: str, places: Iterable[str]) -> frozenset[str]:
    """Return what a source that is this dataset may be called: its name, or any of its places."""
    name = address.partition("/")[2]
    return frozenset([f"dataset:{name}", *(place.rstrip("/") for place in places)])


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


def _sources(entry: LogEntry) -> frozenset[str]:
    """Return the places that a commit took rows or files from: one, or those of a merge."""
    if entry.source is None or not entry.added:
        return frozenset()
    where, _, said = entry.source.address.partition(" {")
    parts: Iterable[str] = (where,)
    if where == "merge":
        try:
            listed = msgspec.json.decode("{" + said, type=dict[str, msgspec.Raw])["sources"]
            parts = msgspec.json.decode(listed, type=list[str])
        except (msgspec.MsgspecError, KeyError):
            parts = ()
    return frozenset(part.partition(" {")[0].rstrip("/") for part in parts)
