"""The versions of a dataset for an audit: what each log of it says, where it lay, and the proof.

A dataset that was moved has a log at each of its places. Where a version lay is said by its
signature, else by the journal of steps; a log itself says it nowhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from batuta.model.canonical import Json
from batuta.model.dataset import DatasetStore
from batuta.model.log import Head, LogEntry
from batuta.runtime.audit_check import summary_of
from batuta.runtime.seals import judge, said_in
from batuta.runtime.state.store import StateStore
from batuta.runtime.trust import Trust


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a log lies: the address as it was written, and its Platform."""

    place: str
    platform: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A version that a run of this state made. `spot` is None where that was not written down.

    `until` is when the run ended; None where it did not, or is not known any more.
    """

    run: str
    digest: str
    spot: Spot | None
    until: str | None

    def is_since(self, time: str | None) -> bool:
        """True where it may have been made after a time (None: at any time)."""
        return time is None or self.until is None or self.until >= time


def made_in(store: StateStore, resource: str) -> dict[str, Made]:
    """Return the versions of a resource that runs made, by digest."""
    sql = """
        SELECT run, detail, json_extract(runs.record, '$.ended_at')
        FROM steps LEFT JOIN runs ON runs.id = steps.run WHERE action = ?
    """
    found: dict[str, Made] = {}
    for run, text, ended in store.rows(sql, (resource,)):
        detail = json.loads(str(text))
        if isinstance(detail, dict) and isinstance(digest := detail.get("head"), str):
            found[digest] = Made(
                run=str(run), digest=digest, spot=_spot_in(detail, "destination"),
                until=str(ended) if ended is not None else None,
            )  # fmt: skip
    return found


def _spot_in(said: Mapping[str, Json], name: str) -> Spot | None:
    place, platform = said.get(name), said.get("platform")
    if not isinstance(place, str):
        return None
    return Spot(place, platform if isinstance(platform, str) else None)


@dataclass(kw_only=True)
class Chapter:
    """The versions that one log holds since a time, oldest first.

    `digests` are those of all its entries, and `begun` is when the first of them was written.
    `said` is what good signatures tell, by version; `gaps` is what is not known.
    """

    spot: Spot
    head: Head
    begun: str
    digests: frozenset[str]
    entries: list[tuple[Head, LogEntry]] = field(default_factory=list)
    said: dict[int, Mapping[str, Json]] = field(default_factory=dict)
    versions: list[Json] = field(default_factory=list)
    evidence: list[Json] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def is_written_since(self, time: str) -> bool:
        """True where a version in it was made after a time."""
        return any(entry.written_at > time for _, entry in self.entries)

    @property
    def body(self) -> dict[str, Json]:
        """What a bundle says of it."""
        return {"versions": self.versions, "evidence": self.evidence}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chronicler:
    """Reads logs for an audit of what happened since a time (None: from the beginning)."""

    trust: Trust
    made: Mapping[str, Made]
    since: str | None

    def read(self, dataset: DatasetStore, spot: Spot, head: Head) -> Chapter:
        """Read the log of `dataset` up to `head`."""
        entries = [entry for entry in dataset.entries() if entry.version <= head.version]
        parents = [entry.parent for entry in entries if entry.parent is not None]
        chapter = Chapter(
            spot=spot, head=head, begun=entries[0].written_at,
            digests=frozenset([*parents, head.digest]),
        )  # fmt: skip
        unknown = [
            version
            for version in range(self._first(entries), head.version + 1)
            if not self._tell(chapter, version, dataset.raw(version))
        ]
        if unknown:
            chapter.gaps.append(
                f"where {_listed(unknown)} lay when it was made is not recorded; it lies at"
                f" {spot.place} now"
            )
        return chapter

    def _first(self, entries: Iterable[LogEntry]) -> int:
        """The version that was current at the time."""
        first = 0
        for entry in entries:
            if self.since is not None and entry.written_at <= self.since:
                first = entry.version
        return first

    def _tell(self, chapter: Chapter, version: int, stored: tuple[bytes, bytes | None]) -> bool:
        """Add one version to a chapter; return whether it is known where it lay."""
        content, raw = stored
        entry = msgspec.json.decode(content, type=LogEntry)
        here = Head(version, hashlib.sha256(content).hexdigest())
        chapter.entries.append((here, entry))
        found = judge(self.trust, here, entry, raw)
        said: Mapping[str, Json] = {}
        if found.state == "good" and raw is not None:
            said = chapter.said[version] = said_in(raw)
        else:
            chapter.gaps.append(f"version {version} is not signed by a trusted key: {found.detail}")
        text = raw.decode("utf-8", "replace") if raw is not None else None
        chapter.evidence.append({"entry": content.decode(), "signature": text})
        summary = summary_of(here, entry, found.state, said)
        made = self.made.get(here.digest)
        if summary["place"] is None and made is not None and made.spot is not None:
            summary |= {
                "place": made.spot.place, "platform": made.spot.platform, "place_from": "state",
            }  # fmt: skip
        chapter.versions.append(summary)
        return summary["place"] is not None


def since_then(earlier: Sequence[Chapter], last: Chapter, since: str | None) -> list[Chapter]:
    """Return the chapters that tell of the time since, oldest first: the one current then too."""
    ordered = [*sorted(earlier, key=lambda chapter: chapter.begun), last]
    if since is None:
        return ordered
    current = max((n for n, each in enumerate(ordered) if each.begun <= since), default=0)
    told = enumerate(ordered)
    return [each for n, each in told if n >= current or each.is_written_since(since)]


def _listed(versions: Sequence[int]) -> str:
    if len(versions) == 1:
        return f"version {versions[0]}"
    return f"each of {len(versions)} versions ({versions[0]} to {versions[-1]})"
