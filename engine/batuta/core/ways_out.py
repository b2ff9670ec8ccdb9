"""The ways out of a merge that no place admits: only such sets of commands as really resolve it.

Each is tried here as the plan would try it: with the decisions that wait already, with those that
the commands would record, and with the tier that would be declared.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from batuta.core.carrying import Source, fresh_of, is_decidable, ways_with
from batuta.core.case import Case
from batuta.core.labels.flows import Choice, Conflict, Way
from batuta.core.sovereignty import Question, judge
from batuta.core.uniting import source_name
from batuta.model.decision import Approval, ApprovalKind, content_digest
from batuta.model.log import Label
from batuta.model.resource import Dataset, MergeConflict, Origin
from batuta.model.tier import Tier

_MOST = 4
"""Of more sources than these all or none are decided about: the sets would be too many to try."""
_SAID = {
    "declassify": "Declassify what is more secret than the place:",
    "endorse": "Endorse what is doubtful, after a review:",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merge:
    case: Case
    question: Question
    sources: Sequence[Source]
    waiting: tuple[Approval, ...]


def ways_out(
    case: Case, question: Question, sources: Sequence[Source], found: Conflict
) -> list[str]:
    """Return the lines that name each way out, and the decisions that wait to be used already."""
    waiting = fresh_of(case, sources)
    merge = _Merge(case=case, question=question, sources=sources, waiting=waiting)
    lead_out: list[list[str]] = []
    for way in found.ways:
        match way.choice:
            case Choice.DECLASSIFY:
                lead_out.append(_decided(merge, "declassify", way))
            case Choice.ENDORSE:
                lead_out.append(_decided(merge, "endorse", way))
            case Choice.RESOURCE:
                names = ", ".join(way.inputs)
                lead_out.append([f"Take {names} from an origin of {way.to} or better."])
            case Choice.QUIT:
                pass
    return [*(_told(merge, approval) for approval in waiting), *_either(lead_out)]


def _either(lead_out: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of ways of which one is enough: each but the first begins with `Or`."""
    for number, (first, *rest) in enumerate(filter(None, lead_out)):
        yield first if number == 0 else f"Or {first[0].lower()}{first[1:]}"
        yield from rest


def _told(merge: _Merge, approval: Approval) -> str:
    about = next((_name(s) for s in merge.sources if approval in _approvals(s)), approval.resource)
    return (
        f"Decided already, of {approval.made_at[:10]}: {approval.kind} {about} to {approval.tier};"
        " it waits to be used and is not enough."
    )


def _decided(merge: _Merge, kind: ApprovalKind, way: Way) -> list[str]:
    """Return the smallest set of decisions, and the tier, with which the merge is admitted."""
    if way.to is None:
        return []
    for chosen in _sets([s for s in merge.sources if _changes(s, kind, way.to)]):
        new = tuple(_imagined(s, kind, way.to) for s in chosen)
        for tier in (None, way.to) if kind == "declassify" else (None,):
            if _resolves(merge, new, tier):
                said = _SAID[kind] if chosen else f"Let the merge lie at a place of {way.to}:"
                return [said, *_commands(merge, chosen, kind, way.to, tier)]
    return []


def _changes(source: Source, kind: ApprovalKind, to: Tier) -> bool:
    """True where a decision about the source could be recorded and would change its label."""
    label = _label(source)
    if label is None or (source.state is not None and not is_decidable(source.state)):
        return False
    if any(a.kind == kind and a.tier == to for a in _approvals(source)):
        return False
    if kind == "declassify":
        return Tier(label.confidentiality).rank < to.rank
    return Tier(label.integrity).rank > to.rank


def _sets(sources: Sequence[Source]) -> Iterator[tuple[Source, ...]]:
    sizes = range(len(sources) + 1) if len(sources) <= _MOST else (0, len(sources))
    for size in sizes:
        yield from combinations(sources, size)


def _resolves(merge: _Merge, new: tuple[Approval, ...], tier: Tier | None) -> bool:
    question = merge.question
    if tier is not None:
        question = replace(question, dataset=replace(question.dataset, tier=tier))
    decisions = (*merge.waiting, *new)
    tried = ways_with(merge.case, merge.sources, decisions)
    return not judge(replace(question, ways=tried)).refused


def _imagined(source: Source, kind: ApprovalKind, to: Tier) -> Approval:
    label, state = _label(source), source.state
    assert label is not None
    assert state is not None
    content = content_digest(tuple((unit.key, unit.version) for unit in state.units))
    return Approval(
        id="", kind=kind, resource="", content=content, before=label, tier=to, reason="",
        actor="", made_at="", expires_at="",
    )  # fmt: skip


def _label(source: Source) -> Label | None:
    return source.state.label if source.state is not None else None


def _approvals(source: Source) -> tuple[Approval, ...]:
    return source.state.approvals if source.state is not None else ()


def _commands(
    merge: _Merge, chosen: Sequence[Source], kind: ApprovalKind, to: Tier, tier: Tier | None
) -> list[str]:
    flags = [*(["--endorse"] if kind == "endorse" else []), "--reason", "REASON"]
    lines = [
        shlex.join(["batuta", "label", "approve", _name(source), "--to", to, *flags])
        for source in chosen
    ]
    return [f"  {line}" for line in (*lines, *_again(merge.case.dataset, tier))]


def _again(dataset: Dataset, tier: Tier | None) -> list[str]:
    """How the merge is asked for once more, with the tier that it then has to have."""
    if dataset.origin is not Origin.COMMAND or len(dataset.source.merge) != 2:
        return [f"tier: {tier}   # in the document of {dataset.name}"] if tier is not None else []
    words = ["batuta", "data", "merge", *(source_name(part) for part in dataset.source.merge)]
    for column in dataset.source.on:
        words += ["--on", column]
    if dataset.source.on and dataset.source.conflict is not MergeConflict.FAIL:
        words += ["--conflict", dataset.source.conflict]
    wanted = tier or dataset.tier
    words += ["--tier", wanted] if wanted is not None else []
    words += ["--egress", dataset.egress] if dataset.egress else []
    return [shlex.join(words)]


def _name(source: Source) -> str:
    part = source.part
    return part.dataset if part.dataset is not None else str(part.address)
