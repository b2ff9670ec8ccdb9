"""The plan: what each dataset needs, in the order it runs, under the workspace's limits.

Pure and deterministic: the same input gives the same plan whatever order its parts come in.
The destinations' logs are the authority on what is there; the state only says what batuta did,
so that losing it never makes a plan create what exists.
"""

from collections.abc import Mapping
from dataclasses import replace

from batuta.core import refusals
from batuta.core.case import World, preconditions, target, world_of
from batuta.core.decide import Upstream, decide
from batuta.core.draft import Decision, stop_unseen
from batuta.core.limits import within_limits
from batuta.core.order import ordered
from batuta.core.plan_input import Observation, PlanInput, is_named
from batuta.core.reasons import Why, reason
from batuta.core.removal import orphaned
from batuta.core.room import within_disks
from batuta.core.select import Selection, resynced, select
from batuta.model.canonical import Json
from batuta.model.decision import APPROVAL_USED
from batuta.model.diagnostic import Diagnostic
from batuta.model.observed import DestinationState
from batuta.model.plan import Blocked, Create, Move, NoOp, Plan
from batuta.model.resource import Dataset, Limits, Origin

_DATASET = "Dataset/"


def plan(given: PlanInput) -> Plan:
    """Return what has to be done; empty of changes where desired and observed state agree.

    Selectors that meet nothing are errors among the plan's diagnostics. Linear in datasets
    and units, but for sorting.
    """
    orphans = {
        orphan.record.address.removeprefix(_DATASET): orphan
        for orphan in given.orphans
        if orphan.record.origin != Origin.COMMAND.value
        or is_named((*given.asked.destroy, *given.asked.release), orphan.record.address)
    }
    tiers = _tiers(given)
    selection = select(given.desired, given.asked, tiers=tiers, others=orphans)
    names, misspelt = resynced(given.desired, given.asked, tiers=tiers, others=orphans)
    given = replace(given, asked=replace(given.asked, resync=names))
    world = world_of(given)
    decisions = _datasets(world, selection)
    used = {_folder(dataset) for dataset in given.desired.datasets}
    decisions += [
        orphaned(given, orphan, in_use=_key(orphan.record.destination_platform,
                                            orphan.record.destination) in used)
        for name, orphan in sorted(orphans.items())
        if name in selection.names
    ]  # fmt: skip
    decisions = within_limits(decisions, given.desired.workspace.limits)
    decisions = within_disks(decisions, given)
    left_out = len(orphans.keys() | world.datasets.keys()) - len(selection.names)
    workspace = given.desired.workspace
    return Plan(
        batuta_version=given.batuta_version,
        workspace=workspace.name,
        environment=workspace.environment,
        partial=left_out > 0,
        not_selected=left_out,
        read=tuple(sorted(given.read)),
        actions=tuple(decision.action for decision in decisions),
        diagnostics=selection.diagnostics
        + _notes(given, selection)
        + misspelt
        + tuple(found for decision in decisions for found in _by_code(decision.diagnostics)),
        limits=_limits(workspace.limits),
    )


def _datasets(world: World, selection: Selection) -> list[Decision]:
    upstream = Upstream()
    shared = _shared(world.datasets)
    decisions: list[Decision] = []
    for name in ordered({name: d.depends_on for name, d in world.datasets.items()}):
        if name not in selection.names:
            continue
        dataset = world.datasets[name]
        other = shared.get(name)
        decision = _shares(world, dataset, other) if other else decide(world, dataset, upstream)
        decisions.append(decision)
        upstream.used.update(t for kind, t in decision.action.decisions if kind == APPROVAL_USED)
        if isinstance(decision.action, Create | Move):
            upstream.made.add(name)
        elif not isinstance(decision.action, NoOp | Blocked):
            upstream.changed.add(name)
    return decisions


def _shares(world: World, dataset: Dataset, other: str) -> Decision:
    observation = world.input.observed.get(dataset.name)
    found = refusals.shared_destination(dataset, f"{_DATASET}{other}")
    if observation is None:
        return Decision(action=replace(stop_unseen(world, dataset), diagnostics=(found,)))
    return Decision(
        action=Blocked(
            target=target(dataset),
            preconditions=preconditions(world, dataset, observation),
            reasons=(reason(Why.OTHER_OWNER, found.locations),),
            diagnostics=(found,),
        )
    )


def _shared(datasets: Mapping[str, Dataset]) -> dict[str, str]:
    """Names of datasets whose folder is another's, or lies in one, with a name of the other."""
    found: dict[str, str] = {}
    open_folders: list[tuple[str, str]] = []
    for folder, name in sorted((_folder(d), name) for name, d in datasets.items()):
        while open_folders and not folder.startswith(open_folders[-1][0]):
            open_folders.pop()
        if open_folders:
            found[name] = open_folders[-1][1]
            found.setdefault(open_folders[-1][1], name)
        open_folders.append((folder, name))
    return found


def _folder(dataset: Dataset) -> str:
    return _key(dataset.destination_platform, str(dataset.destination))


def _key(platform: str | None, destination: str) -> str:
    return f"{platform or ''} {destination.rstrip('/')}/"


def _tiers(given: PlanInput) -> dict[str, str]:
    return {name: tier for name, seen in given.observed.items() if (tier := _tier(seen))}


def _tier(seen: Observation) -> str | None:
    state = seen.destination
    if isinstance(state, DestinationState) and state.snapshot is not None:
        return state.snapshot.entry.facts.tier
    return seen.record.facts.tier if seen.record is not None else None


def _notes(given: PlanInput, selection: Selection) -> tuple[Diagnostic, ...]:
    """What is worth saying of Platforms and policies, once for all datasets that use them."""
    found = {
        note
        for name in selection.names
        if (before := given.beforehand.get(name)) is not None
        for note in before.notes
    }
    return tuple(sorted(found, key=lambda d: (d.code, d.detail)))


def _by_code(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    if len(found) < 2:
        return found
    return tuple(sorted(found, key=lambda d: (d.code, d.detail)))


def _limits(limits: Limits) -> tuple[tuple[str, Json], ...]:
    return (
        ("datasets", limits.datasets),
        ("deletes", limits.deletes),
        ("files", limits.files),
        ("replaces", limits.replaces),
    )
