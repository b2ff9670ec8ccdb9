"""`batuta audit`: where a dataset was, at which tier, who could have moved it, and what is not known.

The answer is made of what the log, the state and the egress log say; nothing is concluded that
none of them shows, and what none of them can show is said as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

import batuta
from batuta.model.address import parse_address
from batuta.model.canonical import Json, canonical_bytes
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.egress import LogHead
from batuta.model.log import Head
from batuta.model.state import RunRecord
from batuta.runtime.audit_check import FORMAT, TYPE
from batuta.runtime.audit_connections import Tried
from batuta.runtime.audit_copies import Copies
from batuta.runtime.audit_history import Chapter, Chronicler, Made, Spot, made_in, since_then
from batuta.runtime.clock import now_utc
from batuta.runtime.datasets import NAME_ONE, Datasets, Place
from batuta.runtime.dsse import seal
from batuta.runtime.egress.anchors import Anchor
from batuta.runtime.egress_record import MOST_RUNS, EgressRecord, is_anchored
from batuta.runtime.seals import Seals

UNKNOWN = (
    "Whether the files are still what the log says: an audit reads logs; `data verify` hashes files.",
    "Whether other tools read, copied or sent the files while they lay at the place.",
    "Who else had rights on the storage: platforms know that, and batuta does not ask them.",
    "What was in connections that were let through: only who, when, where and how many bytes.",
    "What batuta itself asked of stores while it planned, compared or looked (runs plan-…,"
    " drift-… and look): the egress log has it, and does not say of which dataset.",
    "What was tried behind the last anchor of the egress log, if its end was cut off since.",
    "Whether the clocks of the machines were right: times are those that they told.",
    "Runs from other workspaces whose state is not this one, beyond what they left in the log.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """An audit as it is written down, and what whoever made it should know of it at once."""

    content: bytes
    resource: str
    versions: int
    runs: int
    connections: int
    gaps: tuple[str, ...]
    unknown: tuple[str, ...] = UNKNOWN


@dataclass
class Auditor:
    """Makes audits from one workspace. `egress` is its egress log, if it has one."""

    datasets: Datasets
    seals: Seals
    egress: EgressRecord
    actor: str

    def audit(self, where: str, since: str | None) -> Audit:
        """Return the signed audit of a dataset from `since` (RFC 3339 UTC; None: all of it).

        The version that was current at `since` is the first in it.

        Raises:
            BatutaError: AUD104, nothing is there; KEY105, KEY106, there is no key to sign with.
        """
        place = self.datasets.find(where)
        snapshot = place.dataset.snapshot()
        if snapshot is None:
            raise BatutaError(
                Diagnostic(
                    code="AUD104",
                    summary="There is nothing to audit",
                    detail=f"`{where}` has no log of batuta.",
                    fix=self.datasets.way_to(where, place) or NAME_ONE,
                )
            )
        # A key is asked for only where there is something to sign.
        key, trust = self.seals.key, self.seals.keys[1]
        work = _Work(self, place, since)
        told = {**work.history(snapshot.head), **work.runs()}
        tried = work.connections()
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
            **told,
            **tried,
            "copies": work.copies(),
            "unknown": list(UNKNOWN),
        }
        body["gaps"] = work.gaps
        rows = tried["connections"]
        return Audit(
            content=seal(TYPE, canonical_bytes(body), key.id, key.sign) + b"\n",
            resource=snapshot.entry.resource,
            versions=sum(len(chapter.versions) for chapter in work.chapters),
            runs=len(work.found), connections=len(rows) if isinstance(rows, list) else 0,
            gaps=tuple(work.gaps),
        )  # fmt: skip


@dataclass
class _Work:
    """One audit under way; `gaps` grows with what the record does not show.

    `touched` are all runs of the dataset; `found` those since the time, or of a version told.
    `quiet`: in none of those did anything try to leave, as they recorded it when they ended.
    """

    auditor: Auditor
    place: Place
    since: str | None
    chapters: list[Chapter] = field(default_factory=list)
    touched: list[RunRecord] = field(default_factory=list)
    found: list[RunRecord] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    quiet: bool = False

    # -- versions, at all places ------------------------------------------------------------

    def history(self, head: Head) -> dict[str, Json]:
        """The versions since the asked time, and the bytes that prove them."""
        place, store = self.place, self.auditor.datasets.store
        made = made_in(store, place.resource)
        reader = Chronicler(trust=self.auditor.seals.keys[1], made=made, since=self.since)
        here = Spot(str(place.destination), place.platform)
        main = reader.read(place.dataset, here, head)
        # What was current at the time may lie elsewhere only where this log began later.
        later = self.since is not None and main.begun > self.since
        elsewhere = [
            each
            for each in made.values()
            if each.digest not in main.digests and (later or each.is_since(self.since))
        ]
        self.chapters = since_then([*self._before(reader, elsewhere)], main, self.since)
        for chapter in self.chapters:
            away = "" if chapter is main else f"at {chapter.spot.place}: "
            self.gaps += [away + gap for gap in chapter.gaps]
        record = place.record
        if record is None:
            self.gaps.append(
                "no state here remembers the dataset: a log that was cut back would look whole"
            )
        elif record.head != head:
            self.gaps.append(
                f"the state remembers version {record.head.version} and the log is at {head.version}"
            )
        earlier = [
            {"place": each.spot.place, "platform": each.spot.platform, "head": _json(each.head),
             **each.body}
            for each in self.chapters if each is not main
        ]  # fmt: skip
        return {**main.body, "earlier": earlier}

    def _before(self, reader: Chronicler, elsewhere: Sequence[Made]) -> Iterator[Chapter]:
        """Read the logs that were left at places where the dataset lay before."""
        by_spot: dict[Spot | None, list[Made]] = {}
        for each in elsewhere:
            by_spot.setdefault(each.spot, []).append(each)
        for spot, versions in by_spot.items():
            chapter = self._left_at(reader, spot, {each.digest for each in versions})
            if chapter is not None:
                yield chapter
            known = chapter.digests if chapter is not None else frozenset[str]()
            self.gaps += [self._lost(each) for each in versions if each.digest not in known]

    def _lost(self, made: Made) -> str:
        here = str(self.place.destination)
        said = f"run {made.run} made a version ({made.digest[:16]}) that the log at {here}"
        if made.spot is not None and made.spot.place == here:
            return f"{said} does not have any more: it was deleted, cut back or written anew"
        at = f"at {made.spot.place}" if made.spot is not None else "at another place"
        return f"{said} does not have: the dataset lay {at} then, and what was left is not told"

    def _left_at(self, reader: Chronicler, spot: Spot | None, wanted: set[str]) -> Chapter | None:
        """Read the log at a place up to the newest version that is wanted; None where it is gone."""
        if spot is None:
            return None
        datasets = self.auditor.datasets
        address = parse_address(spot.place)
        try:
            if datasets.borders().at(address, spot.platform).refused:
                return None
            dataset = datasets.observer.store_at_text(
                spot.place, spot.platform, self.place.resource
            )
            snapshot = dataset.snapshot()
            if snapshot is None:
                return None
            parents = {entry.version - 1: entry.parent for entry in dataset.entries()}
            digests = {**parents, snapshot.head.version: snapshot.head.digest}
            newest = max((v for v, digest in digests.items() if digest in wanted), default=None)
            if newest is None:
                return None
            return reader.read(dataset, spot, Head(newest, str(digests[newest])))
        except BatutaError as error:
            self.gaps.append(f"{spot.place} cannot be read: {error.diagnostics[0].detail}")
            return None

    # -- runs -------------------------------------------------------------------------------

    def runs(self) -> dict[str, Json]:
        """The runs that touched the dataset, and which of them made each version."""
        store = self.auditor.datasets.store
        sql = "SELECT DISTINCT run FROM steps WHERE action = ?"
        ids = {str(run) for (run,) in store.rows(sql, (self.place.resource,))}
        entries = [each for chapter in self.chapters for each in chapter.entries]
        plans = {entry.plan for _, entry in entries}
        self.touched = [r for r in store.runs(MOST_RUNS) if r.id in ids or r.plan in plans]
        since = self.since
        self.found = found = [
            run
            for run in self.touched
            if since is None or run.ended_at is None or run.ended_at >= since or run.plan in plans
        ]
        by_plan = {run.plan for run in self.touched}
        for head, entry in entries:
            if entry.plan is not None and entry.plan not in by_plan:
                self.gaps.append(
                    f"version {head.version}: no run in this state has its plan"
                    f" {entry.plan[:16]}; another machine made it, or the state was lost"
                )
        loose = [run.id for run in reversed(found) if not is_anchored(run)]
        if loose:
            self.gaps.append(
                f"not anchored: {', '.join(loose)}: what was tried last in it can be cut off the"
                " egress log unseen, for it kept no head of that log when it ended"
            )
        told = [self._run(run) for run in reversed(found)]
        self.quiet = bool(told) and all(_is_quiet(run) for run in told)
        return {"runs": list[Json](told)}

    def _run(self, run: RunRecord) -> dict[str, Json]:
        steps = [
            {"step": step.step, "status": step.status, "detail": step.detail}
            for step in self.auditor.datasets.store.steps(run.id)
            if step.action == self.place.resource
        ]
        details = [d for step in steps if isinstance(d := step["detail"], Mapping)]
        said = next((each for _, each in self._said() if each.get("run") == run.id), {})
        enforcement = said.get("enforcement") or next(
            ({"enforced": d["enforced"], "level": d["level"]} for d in details if "level" in d),
            None,
        )
        policies = said.get("policies") or next(
            (d["policies"] for d in details if d.get("policies")), None
        )
        self._unsaid(run, enforcement, policies)
        return {
            "id": run.id, "command": run.command, "actor": run.actor, "plan": run.plan,
            "started_at": run.started_at, "ended_at": run.ended_at, "status": run.status,
            "enforcement": enforcement, "policies": policies, "steps": steps,
            "egress_head": msgspec.to_builtins(run.egress_head), "anchored": is_anchored(run),
        }  # fmt: skip

    def _unsaid(self, run: RunRecord, enforcement: Json, policies: Json) -> None:
        if enforcement is None:
            self.gaps.append(
                f"run {run.id}: the level at which its workers were confined is not recorded"
            )
        if policies is None:
            self.gaps.append(f"run {run.id}: the egress policies that applied are not recorded")

    def _said(self) -> Iterator[tuple[int, Mapping[str, Json]]]:
        """What good signatures tell, with the version that each is of."""
        for chapter in self.chapters:
            yield from chapter.said.items()

    # -- connections ------------------------------------------------------------------------

    def connections(self) -> dict[str, Json]:
        """What the workers of these runs tried to reach, as the egress log has it."""
        asked = Tried(self.auditor.egress, self.place.resource, self.since, self.quiet)
        found = asked.of({run.id for run in self.found}, self._signed())
        self.gaps += asked.gaps
        return found

    def _signed(self) -> Iterator[Anchor]:
        """The heads of the egress log that signatures name."""
        known = {run.id for run in self.touched}
        for version, said in self._said():
            head = said.get("egress_head")
            if isinstance(head, Mapping):
                kept = LogHead(int(str(head["n"])), str(head["digest"]))
                signature = f"the signature of version {version}"
                yield Anchor(kept, signature, sure=said.get("run") in known)

    def copies(self) -> list[Json]:
        """Datasets that batuta made from this one, or from such a copy, as far as the state knows."""
        looked = Copies(self.auditor.datasets, self.since)
        places = {chapter.spot.place for chapter in self.chapters}
        found = looked.of(self.place.resource, places)
        self.gaps += looked.gaps
        return found


def _is_quiet(run: Mapping[str, Json]) -> bool:
    """True where the egress log was empty when a run ended, and no worker could pass it by."""
    head, kept = run["egress_head"], run["enforcement"]
    empty = isinstance(head, Mapping) and head["n"] == 0
    confined = isinstance(kept, Mapping) and (kept["level"] is None or kept["enforced"] is True)
    return bool(run["anchored"]) and empty and confined


def _json(head: Head) -> Json:
    return {"version": head.version, "digest": head.digest}
