"""A plan as a document: canonical JSON, named by its digest, read back strictly."""

import hashlib
import json
from dataclasses import replace

import msgspec

from batuta.core.codec import decode
from batuta.model.canonical import Json, canonical_bytes
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.plan import PLAN_FORMAT_VERSION, Action, Plan

_ACTION = msgspec.json.Encoder(order="sorted")  # the canonical spelling of all but floats
_NEVER = "`format_version` {} was never in use."


def plan_to_document(plan: Plan) -> dict[str, Json]:
    """Return `plan` as JSON values: maps, lists, texts, integers and booleans."""
    document: dict[str, Json] = msgspec.to_builtins(plan)
    return document


def plan_bytes(plan: Plan) -> bytes:
    """Return the canonical JSON of `plan`. Equal plans have equal bytes."""
    return canonical_bytes(plan_to_document(plan))


def digest_of(plan: Plan) -> str:
    """Return the SHA-256 of the plan's canonical JSON, 64 lower-case hex digits."""
    # `actions` is the first of the sorted keys: each is spelled and let go of by itself.
    found = hashlib.sha256(b'{"actions":[')
    for number, action in enumerate(plan.actions):
        found.update(b"," if number else b"")
        found.update(_spelled(action))
    rest = plan_to_document(replace(plan, actions=()))
    del rest["actions"]
    found.update(b"]," + canonical_bytes(rest)[1:])
    return found.hexdigest()


def _spelled(action: Action) -> bytes:
    """Return the canonical JSON of an action, ten times faster than by way of JSON values."""
    try:
        return _ACTION.encode(action)
    except OverflowError:  # a number of more than 64 bits
        return canonical_bytes(msgspec.to_builtins(action))


def parse_plan(document: bytes) -> Plan:
    """Return the plan that `document` spells.

    Raises:
        BatutaError: PLN131 for a text that is no plan, PLN132 for one of a newer version, PLN133 for
            one of an older version.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"It is not JSON: {str(error)[:200]}.") from error
    if not isinstance(value, dict) or type(value.get("format_version")) is not int:
        raise _unreadable("It has no `format_version`.")
    version = value["format_version"]
    if version > PLAN_FORMAT_VERSION:
        raise BatutaError(_newer(version))
    if version != PLAN_FORMAT_VERSION:
        raise BatutaError(_older(version)) if version > 0 else _unreadable(_NEVER.format(version))
    try:
        return decode(Plan, value)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"{str(error)[:300]}.") from error


def _unreadable(detail: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="PLN131",
            summary="The document is not a plan",
            detail=detail,
            fix="Make a new one with `batuta plan --out FILE`; a plan is never edited.",
        )
    )


def _older(version: int) -> Diagnostic:
    return Diagnostic(
        code="PLN133",
        summary="The plan was made by an older batuta",
        detail=f"Its format version is {version}; since {PLAN_FORMAT_VERSION} a plan says by which"
        " egress policies its workers are kept and which labels it rests on, so an older one is"
        " not applied.",
        fix="Plan again with this batuta: batuta plan --out FILE",
    )


def _newer(version: int) -> Diagnostic:
    return Diagnostic(
        code="PLN132",
        summary="The plan was made by a newer batuta",
        detail=f"Its format version is {version}; this batuta reads up to {PLAN_FORMAT_VERSION}.",
        fix="Update batuta, or plan again with this one.",
    )
