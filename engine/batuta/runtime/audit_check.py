"""An audit bundle: what it holds, and checking one offline, with a trust file and nothing else.

A bundle is one signed document. The entries of the log lie in it byte for byte with their
signatures, so that whoever reads it can do again what its summary says.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batuta.model.canonical import Json, canonical_bytes
from batuta.model.decision import APPROVAL_KINDS
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.log import Head, LogEntry
from batuta.runtime.approvals import all_of
from batuta.runtime.dsse import Envelope, NotSigned, open_envelope
from batuta.runtime.seals import judge, said_in
from batuta.runtime.trust import Trust

TYPE = "application/vnd.batuta.audit+json"
FORMAT = 2
_FORMATS = frozenset({1, FORMAT})
_SINCE_2 = ("place", "platform", "place_from")
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What checking a bundle found. `key` is who signed it; `problems` is empty where it holds."""

    resource: str
    made_at: str
    key: str
    head: Head
    versions: int
    signed: int
    gaps: tuple[str, ...]
    problems: tuple[Diagnostic, ...]


def check_bundle(path: Path, trust: Trust) -> AuditCheck:
    """Check a bundle: its signature, every entry, the chain, and that its summary says the same.

    Raises:
        BatutaError: AUD101, the file is no bundle.
    """
    envelope, body = _opened(path)
    problems: list[Diagnostic] = []
    key = trust.key(envelope.key)
    if not trust.keys:
        problems.append(_wrong("AUD105", f"It names the key {envelope.key}."))
    elif key is None or not envelope.holds(trust.check):
        why = "nobody trusts" if key is None else "did not sign what lies there"
        problems.append(_wrong("AUD102", f"It names the key {envelope.key}, which {why}."))
    elif not key.was_valid(str(body["made_at"])):
        problems.append(_wrong("AUD102", f"The key {key.id} was not valid when it was made."))
    logs = [body, *_earlier(body)]
    walks = [_walked(trust, log, str(body["format_version"])) for log in logs]
    found = [each for walk in walks for each in walk.problems] + _misreported(body, walks)
    problems += [_wrong("AUD103", f"{each[:1].upper()}{each[1:]}.") for each in found]
    strangers = [each for walk in walks for each in walk.strangers] if trust.keys else []
    problems += [_wrong("AUD102", each) for each in strangers]
    return AuditCheck(
        resource=str(body["resource"]), made_at=str(body["made_at"]), key=envelope.key,
        head=_head(body["head"]), versions=sum(len(walk.summaries) for walk in walks),
        signed=sum(walk.signed for walk in walks),
        gaps=tuple(str(gap) for gap in _list(body, "gaps")), problems=tuple(problems),
    )  # fmt: skip


def _walked(trust: Trust, log: Mapping[str, Json], form: str) -> "_Walk":
    """Follow one log of a bundle, and hold against it what the bundle says of it."""
    walk = _Walk(trust)
    for item in _list(log, "evidence"):
        walk.step(item)
    if walk.head != _head(log["head"]) and not walk.problems:
        walk.problems.append(f"the entries end at version {walk.last}, not at the head it names")
    told = _list(log, "versions")
    seen = [_as_told(one, told[n] if n < len(told) else None, form)
            for n, one in enumerate(walk.summaries)]  # fmt: skip
    if seen != told:
        walk.problems.append("its summary is not what its entries say")
    return walk


def _misreported(body: Mapping[str, Json], walks: Sequence["_Walk"]) -> list[str]:
    """Say which runs are told otherwise than the signatures of what they made tell them."""
    told = {str(run.get("id")): run for run in _list(body, "runs") if isinstance(run, Mapping)}
    return [
        f"run {said.get('run')}: its {name} are not those that a signature tells"
        for walk in walks
        for said in walk.said
        for name in ("enforcement", "policies")
        if (run := told.get(str(said.get("run")))) is not None
        and said.get(name) is not None
        and run.get(name) != said[name]
    ]


def _as_told(summary: Mapping[str, Json], told: Json, form: str) -> dict[str, Json]:
    """Return a summary with what cannot be done again as it was told.

    That is a place that only a state knew, and what a signature says whose key nobody here trusts.
    """
    seen = dict(summary)
    if isinstance(told, Mapping) and seen["signature"] == "untrusted":
        seen |= {name: told.get(name) for name in ("signature", *_SINCE_2)}
    if form == "1":
        return {name: value for name, value in seen.items() if name not in _SINCE_2}
    if isinstance(told, Mapping) and told.get("place_from") == "state" and not seen["place"]:
        return seen | {name: told.get(name) for name in _SINCE_2}
    return seen


def _earlier(body: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """Return the logs at places where the dataset lay before."""
    found = _list(body, "earlier") if "earlier" in body else []
    return [log for log in found if isinstance(log, Mapping)]


def bundle_head(path: Path) -> Head:
    """Return the head that a bundle names, to hold a log against it.

    Raises:
        BatutaError: AUD101, the file is no bundle.
    """
    return _head(_opened(path)[1]["head"])


def summary_of(
    head: Head, entry: LogEntry, state: str, said: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """Return what a bundle says of one version.

    `state` is that of its signature, and `said` what one that is good tells besides.
    """
    source = entry.source
    place = (said or {}).get("place")
    decided = [
        {
            "name": name, "id": a.id, "kind": a.kind, "to": a.tier, "by": a.actor, "at": a.made_at,
            "reason": a.reason, "expires_at": a.expires_at, "signed_by": a.key or None,
        }
        for name, a in all_of(entry.decisions)
    ]  # fmt: skip
    others: list[Json] = [list(p) for p in entry.decisions if p[0] not in APPROVAL_KINDS]
    return {
        "version": head.version, "digest": head.digest, "written_at": entry.written_at,
        "action": entry.action, "tier": entry.facts.tier,
        "tier_derived": entry.facts.tier_derived,
        "label": {**msgspec.to_builtins(entry.label), "residency": list(entry.label.residency)},
        "rows": entry.rows, "files_added": len(entry.added), "files_removed": len(entry.removed),
        "bytes_added": sum(part.size_bytes for part in entry.added),
        "source": source.address if source is not None else None,
        "source_version": source.version if source is not None else None,
        "plan": entry.plan, "signature": state, "approvals": decided, "decisions": others,
        "place": place, "platform": (said or {}).get("platform"),
        "place_from": "signature" if place is not None else None,
    }  # fmt: skip


class _Walk:
    """Follows the entries of a bundle."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self.head: Head | None = None
        self.signed = 0
        self.said: list[Mapping[str, Json]] = []
        self.summaries: list[dict[str, Json]] = []
        self.problems: list[str] = []
        self.strangers: list[str] = []

    @property
    def last(self) -> str:
        return "none" if self.head is None else str(self.head.version)

    def step(self, item: Json) -> None:
        if not isinstance(item, Mapping) or not isinstance(item.get("entry"), str):
            self.problems.append("an entry cannot be read")
            return
        text = str(item["entry"]).encode()
        try:
            entry = msgspec.json.decode(text, type=LogEntry)
        except msgspec.MsgspecError:
            self.problems.append("an entry cannot be read")
            return
        head = Head(entry.version, hashlib.sha256(text).hexdigest())
        if self.head is not None and (entry.version, entry.parent) != (
            self.head.version + 1, self.head.digest,
        ):  # fmt: skip
            self.problems.append(f"version {entry.version} does not follow version {self.last}")
        self.head = head
        seal = item.get("signature")
        raw = str(seal).encode() if seal is not None else None
        found = judge(self._trust, head, entry, raw)
        said: Mapping[str, Json] = {}
        if found.state == "good" and raw is not None:
            self.signed += 1
            said = said_in(raw)
            self.said.append(said)
        elif found.state == "untrusted":
            self.strangers.append(f"Version {entry.version}: {found.detail}")
        elif found.state != "absent" or found.required or self.signed:
            self.problems.append(f"version {entry.version}: {found.detail.rstrip('.')}")
        self.summaries.append(summary_of(head, entry, found.state, said))


def _opened(path: Path) -> tuple[Envelope, Mapping[str, Json]]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
        envelope = open_envelope(content.rstrip(b"\n"))
        body = json.loads(envelope.payload)
        wanted = {"resource", "made_at", "head", "evidence", "versions", "gaps", "format_version"}
        if envelope.type != TYPE or not isinstance(body, dict) or wanted - body.keys():
            raise NotSigned("it is another kind of document")
        if canonical_bytes(body) != envelope.payload or body["format_version"] not in _FORMATS:
            raise NotSigned("it is of another version, or not spelled as batuta spells it")
        for log in (body, *_earlier(body)):
            _head(log["head"])
    except OSError as error:
        raise _no_bundle(path, (error.strerror or "it cannot be read").lower()) from error
    except (NotSigned, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _no_bundle(path, str(error) or "it does not parse") from error
    return envelope, body


def _list(body: Mapping[str, Json], name: str) -> Sequence[Json]:
    value = body.get(name)
    return value if isinstance(value, list) else []


def _head(value: Json) -> Head:
    if not isinstance(value, Mapping):
        raise TypeError("it names no head")
    return Head(int(str(value["version"])), str(value["digest"]))


def _no_bundle(path: Path, why: str) -> BatutaError:
    return BatutaError(_wrong("AUD101", f"{path.name}: {why}."))


_TABLE = {
    "AUD105": (
        "Whether the audit is genuine cannot be judged: no key is trusted here",
        "Get the trust file from whoever made it, by another way than the audit itself: "
        "`batuta audit --verify FILE --trust TRUST`, or for good: `batuta keys trust TRUST`",
    ),
    "AUD101": (
        "The file is not an audit",
        "Name a file that `batuta audit DATASET --out FILE` wrote, unchanged.",
    ),
    "AUD102": (
        "The audit is not signed by a trusted key",
        "Get the trust file from whoever made it, by another way than the audit itself: "
        "batuta audit --verify FILE --trust TRUST",
    ),
    "AUD103": (
        "The audit contradicts itself",
        "Ask for it again: it was changed, or the log that it was made from was.",
    ),
}


def _wrong(code: str, detail: str) -> Diagnostic:
    summary, fix = _TABLE[code]
    return Diagnostic(code=code, summary=summary, detail=detail, fix=fix)
