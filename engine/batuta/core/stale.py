"""Whether a saved plan still holds: what of its preconditions moved since, said one by one."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from batuta.model.canonical import digest
from batuta.model.diagnostic import Diagnostic
from batuta.model.log import Head
from batuta.model.observed import SourceState, states_of
from batuta.model.plan import Action, Blocked, Delete, NoOp, Plan, Relabel, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One resource as it is now; `source_version` is None where the source is not read.

    `policies` is a digest of the egress policies that apply to it, `labels` that of the labels of
    what it reads (`labels_read`).
    """

    source_version: str | None
    head: Head | None
    revision: int
    manifest: str
    policies: str = ""
    labels: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldNow:
    """The world now: the digest of prices, and the resources by address.

    `manifest_known` is False where only a saved plan is at hand, without its manifests.
    """

    prices: str
    resources: Mapping[str, Now]
    manifest_known: bool = True


def labels_read(state: SourceState | None) -> str:
    """Return a digest of the labels of what is read, in order; empty where nothing carries one.

    The version of a source says nothing of its label: neither files nor rows change with it.
    """
    labels = [each.label for each in states_of(state)] if state is not None else []
    return digest(msgspec.to_builtins(labels)) if any(labels) else ""


def stale(plan: Plan, now: WorldNow) -> tuple[Diagnostic, ...]:
    """Return what moved since `plan` was made, in plan order; empty where it may be applied.

    Actions that do nothing have no preconditions, so unrelated changes never make a plan stale.
    """
    found: list[Diagnostic] = []
    for action in plan.actions:
        if not isinstance(action, NoOp | Blocked):
            found += moved(action, now)
    return tuple(found)


def moved(action: Action, now: WorldNow) -> tuple[Diagnostic, ...]:
    """Return what moved of one action's preconditions."""
    address, before = action.target.resource, action.preconditions
    found: list[Diagnostic] = []
    here = now.resources.get(address)
    if here is None:
        return (_diagnostic("PLN123", address, "the resource is no longer known"),)
    reads = not isinstance(action, Relabel | Delete | Release)
    if reads and before.source_version != here.source_version:
        says = f"the source was at {before.source_version} and is at {here.source_version}"
        found.append(_diagnostic("PLN121", address, says))
    # Of what is given up nothing is read; all else goes on to carry the label of its source.
    if not isinstance(action, Delete | Release) and before.labels != here.labels:
        says = "what it reads has got another label, or its label can no longer be believed"
        found.append(_diagnostic("PLN129", address, says))
    if before.head != here.head:
        says = f"the log's head was {_head(before.head)} and is {_head(here.head)}"
        found.append(_diagnostic("PLN122", address, says))
    if before.revision != here.revision:
        says = f"the state's revision was {before.revision} and is {here.revision}"
        found.append(_diagnostic("PLN123", address, says))
    if now.manifest_known and before.manifest != here.manifest:
        found.append(_diagnostic("PLN124", address, "its manifest was edited"))
    if before.policies != here.policies:
        found.append(_diagnostic("PLN125", address, "its egress policies were edited"))
    if before.prices != now.prices:
        found.append(_diagnostic("PLN126", address, "the prices were edited"))
    return tuple(found)


SUMMARIES = {
    "PLN121": "The plan is stale: the source moved",
    "PLN122": "The plan is stale: the destination moved",
    "PLN123": "The plan is stale: the state moved",
    "PLN124": "The plan is stale: the manifest moved",
    "PLN125": "The plan is stale: policies moved",
    "PLN126": "The plan is stale: prices moved",
    "PLN129": "The plan is stale: labels moved",
}
"""The fixed summary of each code; one code for each thing that can move."""


def _diagnostic(code: str, address: str, says: str) -> Diagnostic:
    return Diagnostic(
        code=code,
        summary=SUMMARIES[code],
        detail=f"{address}: since the plan was made, {says}.",
        fix="Plan again, and review what is new.",
        address=address,
    )


def _head(head: Head | None) -> str:
    return "absent" if head is None else f"version {head.version} ({head.digest[:12]})"
