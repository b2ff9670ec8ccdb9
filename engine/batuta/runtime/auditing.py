"""`batuta audit`: where a dataset was, at which tier, who could have moved it, and what is not known.

The answer is made of what the log, the state and the egress log say; nothing is concluded that
none of them shows, and what none of them can show is said as well.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import batuta
from batuta.model.canonical import Json, canonical_bytes
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.log import Head, LogEntry
from batuta.model.state import ResourceRecord, RunRecord
from batuta.runtime.audit_check import FORMAT, TYPE, summary_of
from batuta.runtime.clock import now_utc
from batuta.runtime.datasets import Datasets, Place
from batuta.runtime.dsse import seal
from batuta.runtime.egress.audit import Row, log_files
from batuta.runtime.egress.audit_read import rows, verify
from batuta.runtime.seals import Seals, judge, said_in
from batuta.runtime.trust import no_key

UNKNOWN = (
    "Whether other tools read, copied or sent the files while they lay at the place.",
    "Who else had rights on the storage: platforms know that, and batuta does not ask them.",
    "What was in connections that were let through: only who, when, where and how many bytes.",
    "Whether the clocks of the machines were right: times are those that they told.",
    "Runs from other workspaces whose state is not this one, beyond what they left in the log.",
)
_MOST_RUNS = 1_000_000
_MOST_NAMES = 20


@dataclass
class Auditor:
    """Makes audits from one workspace. `egress` is where its egress log is, if it has one."""

    datasets: Datasets
    seals: Seals
    egress: Path
    actor: str

    def bundle(self, where: str, since: str | None) -> bytes:
        """Return the signed audit of a dataset from `since` (RFC 3339 UTC; None: all of it).

        The version that was current at `since` is the first in it.

        Raises:
            BatutaError: KEY105, there is no key to sign with; AUD104, nothing is there.
        """
        key, trust = self.seals.keys
        if key is None:
            raise no_key()
        place = self.datasets.find(where)
        snapshot = place.dataset.snapshot()
        if snapshot is None:
            raise BatutaError(
                Diagnostic(
                    code="AUD104",
                    summary="There is nothing to audit",
                    detail=f"`{where}` has no log of batuta.",
                    fix="Name a dataset that was applied: batuta state list",
                )
            )
        work = _Work(self, place, since)
        body: dict[str, Json] = {
            "format_version": FORMAT,
            "batuta_version": batuta.__version__,
            "made_at": now_utc(),
            "made_by": self.actor,
            "resource": snapshot.entry.resource,
            "place": str(place.destination),
            "platform": place.platform,
            "since": since,
            "head": _json(snapshot.head),
            "recorded_head": _json(place.record.head) if place.record is not None else None,
            "trust": [msgspec.to_builtins(each) for each in trust.keys],
            **work.history(snapshot.head),
            **work.runs(),
            **work.connections(),
            "copies": work.copies(),
            "unknown": list(UNKNOWN),
        }
        body["gaps"] = work.gaps
        return seal(TYPE, canonical_bytes(body), key.id, key.sign) + b"\n"


@dataclass
class _Work:
    """One audit under way; `gaps` grows with what the record does not show."""

    auditor: Auditor
    place: Place
    since: str | None
    entries: list[tuple[Head, LogEntry]] = field(default_factory=list)
    said: dict[int, Mapping[str, Json]] = field(default_factory=dict)
    run_ids: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def history(self, head: Head) -> dict[str, Json]:
        """The versions since the asked time, and the bytes that prove them."""
        trust = self.auditor.seals.keys[1]
        evidence: list[Json] = []
        versions: list[Json] = []
        for version in range(self._first(), head.version + 1):
            content, raw = self.place.dataset.raw(version)
            entry = msgspec.json.decode(content, type=LogEntry)
            here = Head(version, hashlib.sha256(content).hexdigest())
            self.entries.append((here, entry))
            found = judge(trust, here, entry, raw)
            if found.state == "good" and raw is not None:
                self.said[version] = said_in(raw)
            else:
                self.gaps.append(
                    f"version {version} is not signed by a trusted key: {found.detail}"
                )
            text = raw.decode("utf-8", "replace") if raw is not None else None
            evidence.append({"entry": content.decode(), "signature": text})
            versions.append(summary_of(here, entry, found.state))
        record = self.place.record
        if record is None:
            self.gaps.append(
                "no state here remembers the dataset: a log that was cut back would look whole"
            )
        elif record.head != head:
            self.gaps.append(
                f"the state remembers version {record.head.version} and the log is at {head.version}"
            )
        return {"versions": versions, "evidence": evidence}

    def _first(self) -> int:
        """The version that was current at `since`."""
        if self.since is None:
            return 0
        first = 0
        for entry in self.place.dataset.entries():
            if entry.written_at <= self.since:
                first = entry.version
        return first

    def runs(self) -> dict[str, Json]:
        """The runs that touched the dataset, and which of them made each version."""
        store = self.auditor.datasets.store
        sql = "SELECT DISTINCT run FROM steps WHERE action = ?"
        ids = {str(run) for (run,) in store.rows(sql, (self.place.resource,))}
        plans = {entry.plan for _, entry in self.entries}
        found = [r for r in store.runs(_MOST_RUNS) if r.id in ids or r.plan in plans]
        if self.since is not None:
            found = [r for r in found if r.ended_at is None or r.ended_at >= self.since]
        self.run_ids = [run.id for run in found]
        by_plan = {run.plan for run in found}
        for head, entry in self.entries:
            if entry.plan is not None and entry.plan not in by_plan:
                self.gaps.append(
                    f"version {head.version}: no run in this state has its plan"
                    f" {entry.plan[:16]}; another machine made it, or the state was lost"
                )
        return {"runs": [self._run(run) for run in reversed(found)]}

    def _run(self, run: RunRecord) -> Json:
        said = next((s for s in self.said.values() if s.get("run") == run.id), {})
        steps = [
            {"step": step.step, "status": step.status, "detail": step.detail}
            for step in self.auditor.datasets.store.steps(run.id)
            if step.action == self.place.resource
        ]
        self._left(run, steps)
        enforcement = said.get("enforcement")
        if enforcement is None:
            self.gaps.append(
                f"run {run.id}: the level at which its workers were confined is not recorded"
            )
        return {
            "id": run.id, "command": run.command, "actor": run.actor, "plan": run.plan,
            "started_at": run.started_at, "ended_at": run.ended_at, "status": run.status,
            "enforcement": enforcement, "policies": said.get("policies"), "steps": steps,
        }  # fmt: skip

    def _left(self, run: RunRecord, steps: Sequence[Mapping[str, Json]]) -> None:
        """Say where a run made a version that the log at this place does not have."""
        known = {entry.parent for _, entry in self.entries} | {h.digest for h, _ in self.entries}
        if self.entries and self.entries[0][0].version:
            return  # only the versions since a time were read
        for step in steps:
            detail = step["detail"]
            head = detail.get("head") if isinstance(detail, Mapping) else None
            if head is not None and head not in known:
                self.gaps.append(
                    f"run {run.id} made a version ({str(head)[:16]}) that the log at"
                    f" {self.place.destination} does not have: the dataset lay at another place"
                    " then, and what was left there is not told"
                )

    def connections(self) -> dict[str, Json]:
        """What the workers of these runs tried to reach, as the egress log has it."""
        path = self.auditor.egress
        if not log_files(path):
            self.gaps.append(
                "there is no egress log here: what workers tried to reach is not known"
            )
            return {"connections": [], "egress_head": None}
        checked = verify(path)
        self.gaps += [f"egress log: {found.detail.rstrip('.')}" for found in checked.findings]
        names = {self.place.resource, self.place.resource.partition("/")[2]}
        tried = [row for row in rows(path) if row.dataset in names and self._is_recent(row)]
        head: Json = {"n": checked.head.n, "digest": checked.head.digest}
        return {"connections": [_row(row) for row in tried], "egress_head": head}

    def _is_recent(self, row: Row) -> bool:
        return self.since is None or row.time >= self.since or row.run in self.run_ids

    def copies(self) -> list[Json]:
        """Datasets that batuta made from this one, or from such a copy, as far as the state knows."""
        store = self.auditor.datasets.store
        records = {record.address: record for record in store.resources()}
        logs = {a: self._entries(r) for a, r in records.items() if a != self.place.resource}
        self._unrecorded(records)
        found: list[Json] = []
        origins = [_Origin(self.place.resource, str(self.place.destination))]
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
        observer = self.auditor.datasets.observer
        try:
            return tuple(
                observer.store_at_text(
                    record.destination, record.destination_platform, record.address
                ).entries()
            )
        except BatutaError as error:
            self.gaps.append(f"{record.address} cannot be read: {error.diagnostics[0].detail}")
            return ()

    def _unrecorded(self, records: Mapping[str, ResourceRecord]) -> None:
        """Say which datasets were applied here and are known no more: each may be a copy."""
        applied = self.auditor.datasets.store.rows("SELECT DISTINCT action FROM steps")
        gone = sorted({str(name) for (name,) in applied} - records.keys() - {self.place.resource})
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


def _row(row: Row) -> Json:
    whole: dict[str, Json] = msgspec.to_builtins(row)
    return {name: value for name, value in whole.items() if value}


def _json(head: Head) -> Json:
    return {"version": head.version, "digest": head.digest}
