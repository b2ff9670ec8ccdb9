"""Which label the data of a dataset's source carries, and which recorded decisions may change it.

A decision counts for the rows it was made about and no others; one that a commit of another
dataset has used, or an action of the same plan uses, is spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from batuta.core.case import Case, World, ends_of, upstream_label
from batuta.core.tiers import RANK, Carried, End, known, platform_label
from batuta.model.decision import APPROVAL_USED, Approval, content_digest
from batuta.model.log import Label
from batuta.model.observed import DestinationState, SourceState, states_of
from batuta.model.resource import Dataset, SourcePart
from batuta.model.tier import Network

_SHA256 = 64
"""Hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that is read: what was found there, and the end it is."""

    part: SourcePart
    state: SourceState | None
    end: End


def sources_of(world: World, dataset: Dataset, state: SourceState | None) -> tuple[Source, ...]:
    """Return what is read, in order; one unless the dataset is a merge."""
    spec = dataset.source
    parts: tuple[SourcePart, ...] = spec.merge or (spec,)
    found: Sequence[SourceState | None] = (state,)
    if spec.merge:
        found = states_of(state) if state is not None else (None,) * len(parts)
    ends = ends_of(world, dataset)[:-1]
    return tuple(
        Source(part=part, state=seen, end=end)
        for part, seen, end in zip(parts, found, ends, strict=True)
    )


def carried(world: World, sources: Sequence[Source], approvals: Sequence[Approval]) -> Carried:
    """Return what is known of the label of all that is read, under these decisions."""
    each = tuple(_decided(source, _carried(world, source), approvals) for source in sources)
    return each[0] if len(each) == 1 else Carried(parts=each)


def ways(case: Case, sources: Sequence[Source]) -> tuple[tuple[Carried, tuple[Approval, ...]], ...]:
    """Return what would be carried if decisions that hold and are not spent were used.

    Fewest first: a decision is used where it is needed and stays otherwise.
    """
    return ways_with(case, sources, fresh_of(case, sources))


def ways_with(
    case: Case, sources: Sequence[Source], decisions: Sequence[Approval]
) -> tuple[tuple[Carried, tuple[Approval, ...]], ...]:
    """Return what would be carried if one of these decisions were used, or all of them."""
    standing = case.observation.standing
    choices: list[tuple[Approval, ...]] = [(one,) for one in decisions]
    if len(decisions) > 1:
        choices.append(tuple(decisions))
    return tuple((carried(case.world, sources, (*standing, *chosen)), chosen) for chosen in choices)


def fresh_of(case: Case, sources: Sequence[Source]) -> tuple[Approval, ...]:
    """Return the decisions about what is read that hold and are not spent."""
    about = [
        approval
        for source in sources
        for approval in (source.state.approvals if source.state is not None else ())
        if _is_about(approval, source)
    ]
    if not about:
        return ()  # so that only datasets with decisions look at all others
    spent = _spent(case)
    return tuple(approval for approval in about if approval.text not in spent)


def _carried(world: World, source: Source) -> Carried:
    state = source.state
    if state is not None and state.label is not None:
        return _own(state.label, decidable=is_decidable(state))
    if source.part.dataset is not None:
        label = upstream_label(world, source.part.dataset)
        if label is not None:
            return _own(label, decidable=True)
    if source.end.network is Network.LOCAL:
        return Carried(stated=source.part.origin_tier)
    own = platform_label(source.end.network, source.end.platform_type)
    return Carried(label=replace(own, residency=source.end.residency))


def is_decidable(state: SourceState) -> bool:
    """True where a decision about what was found can be recorded, and would be found again.

    It needs a log, and names contents by their SHA-256: an object store that is read by its
    address tells others, and only who reads the dataset through its log knows them.
    """
    return state.has_log is not False and all(len(u.version) == _SHA256 for u in state.units)


def _own(label: Label, *, decidable: bool) -> Carried:
    return Carried(label=known(label), own=decidable, lost=known(label) != label)


def _decided(source: Source, before: Carried, approvals: Sequence[Approval]) -> Carried:
    label = before.label
    for approval in approvals:
        if label is not None and _is_about(approval, source):
            label = decided(label, approval)
    return before if label == before.label else replace(before, label=label)


def decided(label: Label, approval: Approval) -> Label:
    """Return `label` under a decision; as it is where the decision was about another label."""
    match approval.kind:
        case "declassify":
            fits = label.confidentiality == approval.before.confidentiality
            lower = fits and RANK[approval.tier] > RANK[label.confidentiality]
            return replace(label, confidentiality=approval.tier) if lower else label
        case "endorse":
            fits = label.integrity == approval.before.integrity
            higher = fits and RANK[approval.tier] < RANK[label.integrity]
            return replace(label, integrity=approval.tier) if higher else label


def _is_about(approval: Approval, source: Source) -> bool:
    state = source.state
    if state is None or approval.tier not in RANK:
        return False
    return approval.content == content_digest(tuple((u.key, u.version) for u in state.units))


def _spent(case: Case) -> frozenset[str]:
    """Decisions that another dataset's last commit used, or its action in this plan."""
    used: set[str] = set(case.used)
    for name, seen in case.world.input.observed.items():
        state = seen.destination
        if name == case.dataset.name or not isinstance(state, DestinationState):
            continue
        if state.snapshot is not None:
            used.update(t for kind, t in state.snapshot.entry.decisions if kind == APPROVAL_USED)
    own = case.dataset.address
    used.update(text for text, resource in case.world.input.spent.items() if resource != own)
    return frozenset(used)
