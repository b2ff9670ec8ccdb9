"""What `batuta label` does: shows, checks and tells the history of a label, and records decisions."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import batuta
from batuta.core.labels.flows import NEEDED_INTEGRITY
from batuta.core.tiers import RANK, keeps_secret, known, trusts, united
from batuta.model.canonical import Json
from batuta.model.dataset import Verification
from batuta.model.decision import APPROVAL, APPROVAL_KINDS, Approval
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.log import Head, Label, LogEntry, Snapshot
from batuta.model.seal import SealFinding
from batuta.model.state import ResourceRecord
from batuta.model.tier import Tier
from batuta.runtime.approvals import (
    Grant,
    all_of,
    content_of,
    granted,
    in_force,
    record,
    signature_holds,
)
from batuta.runtime.clock import now_utc
from batuta.runtime.datasets import NAME_ONE, Datasets, Place
from batuta.runtime.seals import Seals, judge, said_in
from batuta.runtime.state.labels import known_labels, label_writes, spent
from batuta.runtime.state.store import put_resource

Told = Callable[[int, int], None]
_BRING_IN = "Bring it in as a dataset first: batuta data sync {} DESTINATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision in a log. `state` says whether it waits, was used, by whom, or is over."""

    approval: Approval
    state: str
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelView:
    """The label of a dataset with what vouches for it.

    `holds` is False where a signature is bad or no label is named: then no place takes the data
    in. `admitted` are the tiers whose places take it, also by the labels that the state remembers
    of these contents where nothing is signed. `seal` is None without keys.
    """

    resource: str
    place: str
    head: Head
    label: Label
    tier: str
    tier_derived: bool
    holds: bool
    seal: SealFinding | None
    remembered: tuple[Label, ...]
    decisions: tuple[Decided, ...]
    admitted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStep:
    """One entry of the history. `said` is what its signature tells, empty where it has none."""

    head: Head
    entry: LogEntry
    seal: SealFinding
    said: Mapping[str, Json]
    decisions: tuple[tuple[str, Approval], ...]


@dataclass
class Labels:
    """Labels of datasets, by name or place. `actor` is who decides."""

    datasets: Datasets
    seals: Seals
    actor: str

    def show(self, where: str) -> LabelView:
        """Return the label that lies at `where`.

        Raises:
            BatutaError: LBL101, no log is there; LOG codes, it cannot be read.
        """
        place, snapshot = self._at(where)
        entry, trust = snapshot.entry, self.seals.keys[1]
        seal = None
        if trust.keys:
            raw = place.dataset.raw(snapshot.head.version)[1]
            seal = judge(trust, snapshot.head, entry, raw)
        remembered = self._remembered(snapshot)
        holds = known(entry.label) == entry.label and (seal is None or _stands(seal))
        # Without signatures nobody knows which witness is right: the stricter of them counts.
        label = entry.label if trust.keys or not holds else united((entry.label, *remembered))
        return LabelView(
            resource=place.resource, place=str(place.destination), head=snapshot.head,
            label=entry.label, tier=entry.facts.tier, tier_derived=entry.facts.tier_derived,
            holds=holds, seal=seal, remembered=remembered,
            decisions=self._decided(place.resource, entry),
            admitted=tuple(t.value for t in Tier if keeps_secret(t, label) and trusts(t, label))
            if holds
            else (),
        )  # fmt: skip

    def verify(self, where: str, told: Told, against: Head | None = None) -> Verification:
        """Check the log, its signatures, every byte, and that the state remembers no other label.

        `against` is a head that somebody kept elsewhere; else the state's counts.
        """
        place, snapshot = self._at(where)
        anchor = against or (place.record.head if place.record is not None else None)
        found = place.dataset.verify(anchor, told)
        problems = list(found.problems)
        record = place.record
        live = snapshot.entry.label
        if record is not None and record.head == snapshot.head and record.label != live:
            problems.append(_contradiction(place.resource, record.label, live))
        whole = replace(found, ok=found.ok and len(problems) == len(found.problems),
                        problems=tuple(problems))  # fmt: skip
        return self.datasets.led_out(place, whole)

    def history(self, where: str) -> tuple[LabelStep, ...]:
        """Return every entry with its label, its signature and its decisions, oldest first."""
        place, _ = self._at(where)
        trust = self.seals.keys[1]
        steps = []
        for entry in place.dataset.entries():
            content, raw = place.dataset.raw(entry.version)
            head = _head(entry.version, content)
            seal = judge(trust, head, entry, raw)
            said: Mapping[str, Json] = said_in(raw) if raw and seal.state == "good" else {}
            steps.append(
                LabelStep(head=head, entry=entry, seal=seal, said=said,
                          decisions=all_of(entry.decisions))
            )  # fmt: skip
        return tuple(steps)

    def sign_head(self, where: str, told: Told) -> Head:
        """Sign the newest entry where all else is in order and the state knows it as its own.

        Raises:
            BatutaError: KEY105, KEY106, there is no key; LBL104, it cannot be vouched for.
        """
        place, snapshot = self._at(where)
        _ = self.seals.key
        record = place.record
        found = place.dataset.verify(record.head if record is not None else None, told)
        seals = {"LOG133", "LOG134", "LOG135"}
        errors = [p for p in found.problems if p.severity == "error"]
        others = [p for p in errors if p.code not in seals]
        moved = record is not None and record.head != snapshot.head
        if moved and not errors and self._is_signed(place, snapshot):
            return snapshot.head  # whoever committed it has signed it
        if record is None or record.head != snapshot.head or others:
            detail = (
                f"{place.resource}: the state does not remember its newest entry, or the log has"
                " other faults, so a signature would vouch for what nobody here wrote."
            )
            fix = "Bring the log back from a copy, or read the source anew with `--resync`."
            raise BatutaError(*others or (_unproven(detail, fix),))
        head = place.dataset.seal_head()
        assert head is not None
        return head

    def _is_signed(self, place: Place, snapshot: Snapshot) -> bool:
        raw = place.dataset.raw(snapshot.head.version)[1]
        return judge(self.seals.keys[1], snapshot.head, snapshot.entry, raw).state == "good"

    def waiting(self, where: str, grant: Grant) -> Approval | None:
        """Return the same decision about the same rows that waits to be used; None: there is none.

        Raises:
            BatutaError: LBL101, no log is there.
        """
        return self._waiting(self._at(where)[1], grant)

    def _waiting(self, snapshot: Snapshot, grant: Grant) -> Approval | None:
        used, content = spent(self.datasets.store), content_of(snapshot)
        wanted = (grant.kind, grant.tier, content, snapshot.entry.label)
        found = in_force(snapshot.entry.decisions, self.seals.keys[1], now_utc())
        return next(
            (
                each
                for each in found
                if each.text not in used
                and (each.kind, each.tier, each.content, each.before) == wanted
            ),
            None,
        )

    def approve(self, where: str, grant: Grant) -> Approval:
        """Commit a decision to the log of the data it is about; who calls it holds the lease.

        What was decided already and waits to be used is returned as it is.

        Raises:
            BatutaError: LBL101, no log is there; LBL102, it would change nothing; LBL104, the
                label there does not hold; KEY106, it could not be signed.
        """
        self.seals.require()
        place, snapshot = self._at(where)
        view = self.show(where)
        if not view.holds:
            detail = f"The label of {place.resource} does not hold, so nothing is known to decide."
            raise BatutaError(_unproven(detail, f"See what is wrong: batuta label verify {where}"))
        _check_change(place.resource, snapshot.entry.label, grant)
        if (before := self._waiting(snapshot, grant)) is not None:
            known = place.record
            if known is not None and place.dataset.relation(known.head) == "descendant":
                # Who committed it was killed before the state knew.
                self._remember(known, snapshot.entry, snapshot.head)
            return before
        approval = granted(snapshot, replace(grant, actor=grant.actor or self.actor), now_utc())
        key = self.seals.keys[0]
        text = record(approval, key)
        now = snapshot.entry
        kept = tuple(pair for pair in now.decisions if pair[0] in APPROVAL_KINDS)
        entry = replace(
            now, version=0, parent=None, written_at=approval.made_at,
            batuta_version=batuta.__version__, action="approve", plan=None, added=(), removed=(),
            decisions=(*kept, (APPROVAL, text)),
        )  # fmt: skip
        head = place.dataset.commit(entry, snapshot.head, ())
        if place.record is not None:
            self._remember(place.record, entry, head)
        return replace(approval, text=text, key=key.id if key is not None else "")

    def _remember(self, before: ResourceRecord, entry: LogEntry, head: Head) -> None:
        after = replace(before, revision=before.revision + 1, head=head, label=entry.label)
        self.datasets.store.write([put_resource(after), *label_writes(entry, ())])

    def _at(self, where: str) -> tuple[Place, Snapshot]:
        place = self.datasets.find(where)
        try:
            snapshot = place.dataset.snapshot()
            way = self.datasets.way_to(where, place) if snapshot is None else None
            fix = way or (self._first(where, place) if snapshot is None else "")
        except BatutaError as error:
            if error.diagnostics[0].code != "LOC107":
                raise
            snapshot, fix = None, _BRING_IN.format(where)  # one file is no folder with a log
        if snapshot is None:
            raise BatutaError(
                Diagnostic(
                    code="LBL101",
                    summary="No label lies there",
                    detail=f"`{where}` has no log of batuta, so it has no label that could be"
                    " shown or decided about.",
                    fix=fix,
                )
            )
        return place, snapshot

    def _first(self, where: str, place: Place) -> str:
        """What may be done with what lies there, if anything does."""
        if place.dataset.observe().condition in {"absent", "empty"}:
            return NAME_ONE
        return _BRING_IN.format(where)

    def _remembered(self, snapshot: Snapshot) -> tuple[Label, ...]:
        digests = [part.sha256 for part in snapshot.parts if part.size_bytes]
        return known_labels(self.datasets.store, digests, apart_from="\0")

    def _decided(self, resource: str, entry: LogEntry) -> tuple[Decided, ...]:
        used, now, trust = spent(self.datasets.store), now_utc(), self.seals.keys[1]
        found = []
        for name, approval in all_of(entry.decisions):
            if name != APPROVAL:
                state = "used by this dataset"
            elif approval.text in used:
                state = f"used by {used[approval.text]}"
            else:
                state = "expired" if approval.expires_at <= now else "waits to be used"
            signed = signature_holds(approval, trust)
            found.append(Decided(approval=approval, state=state, signed=signed))
        return tuple(found)


def head_in(path: Path) -> Head:
    """Return the head that an audit kept: what a log is held against later.

    Raises:
        BatutaError: AUD101, the file is no audit.
    """
    from batuta.runtime.audit_check import bundle_head

    return bundle_head(path)


def _head(version: int, content: bytes) -> Head:
    import hashlib

    return Head(version, hashlib.sha256(content).hexdigest())


def _stands(seal: SealFinding) -> bool:
    return seal.state == "good" or (seal.state == "absent" and not seal.required)


def _check_change(resource: str, label: Label, grant: Grant) -> None:
    side = label.confidentiality if grant.kind == "declassify" else label.integrity
    wanted = RANK[grant.tier] - RANK[side]
    if wanted > 0 if grant.kind == "declassify" else wanted < 0:
        return
    what = "confidentiality" if grant.kind == "declassify" else "integrity"
    way = (
        "A decision without --endorse lowers the confidentiality: name a less sovereign tier."
        if grant.kind == "declassify"
        else "--endorse raises the integrity: name a more sovereign tier."
    )
    needed = ", ".join(f"{tier} needs {low}" for tier, low in NEEDED_INTEGRITY.items())
    raise BatutaError(
        Diagnostic(
            code="LBL102",
            summary="The decision would change nothing",
            detail=f"{resource} has the {what} {side}; {grant.tier} would not change it so.",
            fix=f"{way} (Integrity: {needed}.)",
        )
    )


def _contradiction(resource: str, recorded: Label, live: Label) -> Diagnostic:
    def said(label: Label) -> str:
        return json.dumps([label.confidentiality, label.integrity, *label.residency])

    detail = f"{resource}: the state records the label {said(recorded)}, the log {said(live)}."
    return _unproven(detail, "Bring the log back from a copy, or read the source anew.")


def _unproven(detail: str, fix: str) -> Diagnostic:
    return Diagnostic(code="LBL104", summary="A label does not hold", detail=detail, fix=fix)
