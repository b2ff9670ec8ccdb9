"""Saved plans: a file that somebody named, or one under its digest beside the state."""

import json
import os
from pathlib import Path

import msgspec

from batuta.core.plan_document import digest_of, parse_plan
from batuta.model.canonical import canonical_bytes
from batuta.model.diagnostic import BatutaError, Diagnostic, StalePlan
from batuta.model.plan import Envelope, Kept

_MOST_BYTES = 512 * 1024 * 1024


def save_plan(envelope: Envelope, path: Path | None, folder: Path) -> Path:
    """Write a plan whole or not at all; return where it is. Only a folder of batuta's own is made."""
    target = path or folder / f"{envelope.digest}.json"
    if path is None:
        folder.mkdir(parents=True, exist_ok=True)
    document = {
        "created_at": envelope.created_at,
        "digest": envelope.digest,
        "free_bytes": [list(pair) for pair in envelope.free_bytes],
        "plan": msgspec.to_builtins(envelope.plan),
        "state_serial": envelope.state_serial,
        "workers": msgspec.to_builtins(envelope.workers),
    }
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_bytes(canonical_bytes(document))
    draft.replace(target)
    return target


def find_plan(name: str, folder: Path, plans: Path) -> Envelope:
    """Read the plan in the file `name`, or the one whose digest begins with `name`.

    Raises:
        BatutaError: PLN190 no such plan, PLN191 not a plan.
        StalePlan: PLN192, the file does not match its digest.
    """
    path = folder / name
    if not path.is_file():
        found = sorted(plans.glob(f"{name}*.json")) if name.isalnum() and len(name) > 3 else []
        if len(found) != 1:
            raise BatutaError(_missing(name, len(found)))
        path = found[0]
    if path.stat().st_size > _MOST_BYTES:
        raise BatutaError(_unreadable(name, "it is too large"))
    try:
        document = json.loads(path.read_bytes())
        plan = parse_plan(json.dumps(document["plan"]).encode())
        envelope = Envelope(
            created_at=str(document["created_at"]), digest=str(document["digest"]), plan=plan,
            state_serial=int(document["state_serial"]),
            free_bytes=tuple((str(a), int(b)) for a, b in document["free_bytes"]),
            workers=msgspec.convert(document["workers"], tuple[Kept, ...]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BatutaError(_unreadable(name, str(error))) from error
    if digest_of(plan) != envelope.digest:
        raise StalePlan(
            Diagnostic(
                code="PLN192",
                summary="The plan was changed after it was made",
                detail=f"`{name}` does not match its digest {envelope.digest[:12]}.",
                fix="Plan again: batuta plan --out FILE",
            )
        )
    return envelope


def _missing(name: str, count: int) -> Diagnostic:
    found = "no saved plan" if count == 0 else f"{count} saved plans"
    return Diagnostic(
        code="PLN190",
        summary="No such plan",
        detail=f"`{name}` is no file, and {found} begins with it.",
        fix="Give the file that `batuta plan --out FILE` wrote, or more digits of the digest.",
    )


def _unreadable(name: str, why: str) -> Diagnostic:
    return Diagnostic(
        code="PLN191",
        summary="Not a plan",
        detail=f"`{name}` cannot be read as a plan: {why}.",
        fix="Plan again: batuta plan --out FILE",
    )
