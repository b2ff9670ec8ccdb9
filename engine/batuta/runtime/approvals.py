"""Recorded decisions about labels: made, signed, read back from a log, and checked before use.

A record lies in the log of the data that it is about and in the log of the commit that used it,
so that each log tells the whole story without the other. Where there are keys, only a record
that a trusted key signed counts.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from batuta.model.canonical import Json, canonical_bytes
from batuta.model.decision import APPROVAL, APPROVAL_USED, Approval, ApprovalKind, content_digest
from batuta.model.diagnostic import Diagnostic, StalePlan
from batuta.model.log import Snapshot
from batuta.model.observed import DestinationState
from batuta.model.plan import Plan
from batuta.runtime.dsse import NotSigned, open_envelope, seal
from batuta.runtime.trust import Trust

if TYPE_CHECKING:
    from batuta.runtime.observe import Seen

TYPE = "application/vnd.batuta.approval+json"
Decisions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What somebody wants to decide. `days` is how long it may wait to be used."""

    kind: ApprovalKind
    tier: str
    reason: str
    actor: str
    days: int


def granted(snapshot: Snapshot, grant: Grant, now: str) -> Approval:
    """Return the decision about what a dataset holds at this moment."""
    made = datetime.fromisoformat(now)
    ends = (made + timedelta(days=grant.days)).astimezone(UTC)
    return Approval(
        id=secrets.token_hex(8), kind=grant.kind, resource=snapshot.entry.resource,
        content=content_of(snapshot), before=snapshot.entry.label, tier=grant.tier,
        reason=grant.reason, actor=grant.actor, made_at=now,
        expires_at=ends.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )  # fmt: skip


def content_of(snapshot: Snapshot) -> str:
    """Return the digest that names the rows of a snapshot in an approval."""
    return content_digest(tuple((part.path, part.sha256) for part in snapshot.parts))


def record(approval: Approval, key: "object | None") -> str:
    """Return the text of a decision as a log keeps it; signed where there is a key."""
    from batuta.runtime.keys import SigningKey

    body = canonical_bytes(_fields(approval))
    if not isinstance(key, SigningKey):
        return body.decode()
    return seal(TYPE, body, key.id, key.sign).decode()


def in_force(decisions: Decisions, trust: Trust, now: str) -> tuple[Approval, ...]:
    """Return the granted decisions that may be used at `now`, in the order of the log."""
    return tuple(a for a in _read(decisions, APPROVAL, trust) if a.expires_at > now)


def standing(decisions: Decisions, trust: Trust) -> tuple[Approval, ...]:
    """Return the decisions that a commit used; they go on to hold for what it wrote."""
    return _read(decisions, APPROVAL_USED, trust)


def all_of(decisions: Decisions) -> tuple[tuple[str, Approval], ...]:
    """Return every decision of an entry with its name, whoever signed it, for showing."""
    found = ((name, _parsed(text)) for name, text in decisions)
    return tuple((name, approval) for name, approval in found if approval is not None)


def signature_holds(approval: Approval, trust: Trust) -> bool:
    """True where a trusted key that was valid then signed the record."""
    return bool(approval.key) and _believed(approval, trust)


def refuse_expired(plan: Plan, seen: "Mapping[str, Seen]", now: str) -> None:
    """Refuse a plan that would use a decision whose time is over.

    Raises:
        StalePlan: LBL103, with each such decision.
    """
    found = [
        _expired(resource, approval)
        for resource, approval in _newly_used(plan, seen)
        if approval.expires_at <= now
    ]
    if found:
        raise StalePlan(*found)


def refuse_spent(plan: Plan, seen: "Mapping[str, Seen]", spent: Mapping[str, str]) -> None:
    """Refuse a plan that would use a decision which another resource has used, or uses in it.

    `spent` is the resource that used each decision, by the decision's text.

    Raises:
        StalePlan: LBL107, with each such decision.
    """
    users = dict(spent)
    found: list[Diagnostic] = []
    for resource, approval in _newly_used(plan, seen):
        user = users.setdefault(approval.text, resource)
        if user != resource:
            found.append(_used_up(resource, approval, user))
    if found:
        raise StalePlan(*found)


def _newly_used(plan: Plan, seen: "Mapping[str, Seen]") -> Iterator[tuple[str, Approval]]:
    """Yield each resource with the decisions that its own log does not rest on yet."""
    for action in plan.actions:
        looked = seen.get(action.target.resource.partition("/")[2])
        state = looked.destination if looked is not None else None
        before: frozenset[tuple[str, str]] = frozenset()
        if isinstance(state, DestinationState) and state.snapshot is not None:
            before = frozenset(state.snapshot.entry.decisions)
        for name, text in action.decisions:
            approval = _parsed(text) if name == APPROVAL_USED else None
            if approval is not None and (name, text) not in before:
                yield action.target.resource, approval


def _again(approval: Approval) -> str:
    name = approval.resource.partition("/")[2] or approval.resource
    kind = " --endorse" if approval.kind == "endorse" else ""
    decide = f"batuta label approve {name} --to {approval.tier}{kind} --reason REASON"
    return f"Decide again with `{decide}`, then plan again."


def _expired(resource: str, approval: Approval) -> Diagnostic:
    return Diagnostic(
        code="LBL103",
        summary="An approval has expired",
        detail=f"{resource} rests on the decision {approval.id} of {approval.actor}, which could be"
        f" used until {approval.expires_at}.",
        fix=_again(approval),
        address=resource,
    )


def _used_up(resource: str, approval: Approval, user: str) -> Diagnostic:
    return Diagnostic(
        code="LBL107",
        summary="An approval was used by another resource",
        detail=f"{resource} rests on the decision {approval.id} of {approval.actor}, which {user}"
        " uses; a decision is used once.",
        fix=_again(approval),
        address=resource,
    )


def _read(decisions: Decisions, wanted: str, trust: Trust) -> tuple[Approval, ...]:
    parsed: Iterable[Approval | None] = (
        _parsed(text) for name, text in decisions if name == wanted
    )
    return tuple(a for a in parsed if a is not None and (not trust.keys or _believed(a, trust)))


def _believed(approval: Approval, trust: Trust) -> bool:
    key = trust.key(approval.key)
    if key is None or not key.was_valid(approval.made_at):
        return False
    return open_envelope(approval.text.encode()).holds(trust.check)


def _parsed(text: str) -> Approval | None:
    """Return what a text says, with the key it names; None where it is no decision."""
    body, key = text.encode(), ""
    try:
        if '"payloadType"' in text:
            envelope = open_envelope(body)
            if envelope.type != TYPE:
                return None
            body, key = envelope.payload, envelope.key
        value = json.loads(body)
        if not isinstance(value, dict) or canonical_bytes(value) != body:
            return None
        return msgspec.convert({**value, "key": key, "text": text}, Approval, strict=True)
    except (NotSigned, ValueError, TypeError, RecursionError, msgspec.MsgspecError):
        return None


def _fields(approval: Approval) -> dict[str, Json]:
    whole: dict[str, Json] = msgspec.to_builtins(approval)
    return {name: value for name, value in whole.items() if name not in {"key", "text"}}
