"""Whether tiers, labels and residency allow one dataset's transfer, and what to say if not."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from batuta.core.labels.flows import NEEDED_INTEGRITY
from batuta.core.tiers import (
    ATTESTED,
    RANK,
    Carried,
    End,
    derive,
    keeps_secret,
    restrict,
    trusts,
)
from batuta.model.decision import Approval, ApprovalKind
from batuta.model.diagnostic import Diagnostic, Location, Severity
from batuta.model.log import Label
from batuta.model.resource import Dataset, Origin, Workspace
from batuta.model.tier import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One dataset, its ends and what is known of its data.

    `ways` are what else may be carried if recorded decisions are used, fewest first.
    `recorded` is the label in the log, `recorded_tier` the tier there with whether it was
    derived; None where there is no log yet.
    """

    dataset: Dataset
    workspace: Workspace
    ends: tuple[End, ...]
    carried: Carried
    ways: tuple[tuple[Carried, tuple[Approval, ...]], ...] = ()
    recorded: Label | None = None
    recorded_tier: tuple[Tier, bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The tier and the label. Where an error is among `diagnostics` nothing may move.

    `approvals` are the recorded decisions without which it would be refused.
    """

    tier: Tier
    derived: bool
    label: Label
    diagnostics: tuple[Diagnostic, ...] = ()
    approvals: tuple[Approval, ...] = ()

    @property
    def refused(self) -> bool:
        """True where at least one rule forbids the transfer."""
        return any(d.severity is Severity.ERROR for d in self.diagnostics)


def judge(question: Question) -> Answer:
    """Return the tier, declared or derived, the label, and every rule that is broken.

    A recorded decision is used only where without it the answer is a refusal.
    """
    answer = _judged(question)
    for carried, approvals in question.ways if answer.refused else ():
        other = _judged(replace(question, carried=carried))
        if not other.refused:
            return replace(other, approvals=approvals)
    return answer


def _judged(question: Question) -> Answer:
    declared = question.dataset.tier or question.workspace.default_tier
    if declared is not None:
        return _checked(question, declared, derived=False)
    tier = derive(question.ends, question.carried)
    if tier is not None:
        return _checked(question, tier, derived=True)
    label = question.carried.at(Tier.STANDARD)
    return Answer(tier=Tier.STANDARD, derived=True, label=label,
                  diagnostics=(_no_tier(question, label),))  # fmt: skip


def _checked(question: Question, tier: Tier, *, derived: bool) -> Answer:
    label = question.carried.at(tier)
    found: list[Diagnostic] = []
    if not derived:
        found += not_admitted(question.dataset, tier, question.ends)
        found += _flows(question, tier, label)
    found += _weaker(question, tier, derived=derived)
    confined = restrict(label, question.dataset.residency)
    if confined is None or confined.residency:
        found += _residency(question, label, confined)
    found += _notes(question, tier, label)
    return Answer(tier=tier, derived=derived, label=confined or label, diagnostics=tuple(found))


def unseen(question: Question, tier: Tier | None) -> tuple[Diagnostic, ...]:
    """Return the rules that are broken whatever a look at the data would tell.

    Args:
        question: What is carried is what owners stated, and nothing else.
        tier: The declared one; None where it is to be derived.
    """
    dataset, found = question.dataset, list[Diagnostic]()
    stated = question.carried.stated is not None
    if tier is not None:
        found += not_admitted(dataset, tier, question.ends)
        found += _flows(question, tier, question.carried.at(tier)) if stated else ()
    elif stated and derive(question.ends, question.carried) is None:
        found.append(_no_tier(question, question.carried.at(Tier.STANDARD)))
    if dataset.residency:
        anywhere = Label(confidentiality=Tier.STANDARD, integrity=Tier.STANDARD)
        found += _residency(question, anywhere, restrict(anywhere, dataset.residency))
    return tuple(found)


def not_admitted(dataset: Dataset, tier: Tier, ends: Iterable[End]) -> list[Diagnostic]:
    """Return for each end that a declared tier does not admit why, and the way out."""
    return [_not_admitted(dataset, tier, end) for end in ends if tier.rank < end.fits.rank]


def _not_admitted(dataset: Dataset, tier: Tier, end: End) -> Diagnostic:
    where = f"Platform/{end.platform}" if end.platform else f"a Platform for {end.what}"
    return Diagnostic(
        code="SOV101",
        summary="The tier does not admit this platform",
        detail=f"{dataset.address} has the tier {tier}, and its {end.role} {end.what} is"
        f" reached over the network {end.network} ({end.platform_type}), which fits {end.fits}"
        " and weaker tiers only.",
        fix=f"Declare `tier: {end.fits}` for the dataset, or reach the platform over a network"
        f" that fits {tier} (`spec.network` of {where}).",
        locations=dataset.place("spec.tier") or dataset.place(f"spec.{end.role}"),
        address=dataset.address,
    )


def _flows(question: Question, tier: Tier, label: Label) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    if not keeps_secret(tier, label):
        found.append(
            Diagnostic(
                code="SOV105",
                summary="Data may not flow to a less sovereign place",
                detail=f"The data of {question.dataset.address} has the confidentiality"
                f" {label.confidentiality}{_lost(question)}; a dataset of the tier {tier} is less"
                " sovereign.",
                fix=_leads_out(
                    question, tier, "declassify", f"Declare `tier: {label.confidentiality}`, with"
                    " ends that it admits",
                ),
                locations=_places(question, "spec.tier"),
                address=question.dataset.address,
            )
        )  # fmt: skip
    if not trusts(tier, label):
        found.append(_untrusted(question, tier, label))
    return found


def _untrusted(question: Question, tier: Tier, label: Label) -> Diagnostic:
    carried = question.carried
    undeclared = carried.label is None and carried.stated is None and not carried.parts
    return Diagnostic(
        code="SOV106",
        summary="Data of low integrity may not enter this tier",
        detail=f"The data of {question.dataset.address} has the integrity {label.integrity}"
        f"{', since it carries no label and nobody stated its origin' if undeclared else ''}"
        f"{_lost(question)}; the tier {tier} needs {NEEDED_INTEGRITY[tier]} or better.",
        fix=_leads_out(question, tier, "endorse", "Declare `tier: PrivateCloud` or Standard"),
        locations=_places(question, "spec.source.origin") or _places(question, "spec.tier"),
        address=question.dataset.address,
    )


def _weaker(question: Question, tier: Tier, *, derived: bool) -> list[Diagnostic]:
    dataset, weakest = question.dataset, question.workspace.weakest_tier
    found: list[Diagnostic] = []
    if weakest is not None and tier.rank > weakest.rank:
        found.append(
            Diagnostic(
                code="SOV103",
                summary="The environment does not allow a tier this weak",
                detail=f"{dataset.address} has the tier {tier}"
                f"{' (derived)' if derived else ''}; the environment"
                f" {question.workspace.environment or question.workspace.name} allows {weakest}"
                " at the weakest.",
                fix=f"Use ends that {weakest} admits, or change `weakestTier`.",
                locations=_places(question, "spec.tier"),
                address=dataset.address,
            )
        )
    before = question.recorded_tier
    if derived and before is not None and before[1] and tier.rank > before[0].rank:
        found.append(
            Diagnostic(
                code="SOV104",
                summary="A derived tier would become weaker by itself",
                detail=f"The log of {dataset.address} records the derived tier {before[0]}; its"
                f" ends and label now give {tier}. A tier never weakens without an edit.",
                fix=f"Declare `tier: {tier}` if that is meant, else restore the ends.",
                locations=_places(question, "spec"),
                address=dataset.address,
            )
        )
    return found


def _residency(question: Question, label: Label, confined: Label | None) -> list[Diagnostic]:
    dataset = question.dataset
    end = next((e for e in question.ends if e.role == "destination"), None)
    if confined is not None and end is not None and end.region in confined.residency:
        return []
    if confined is None:
        detail = (
            f"The data may stay in {', '.join(label.residency)} and {dataset.address} asks for"
            f" {', '.join(dataset.residency)}: no region satisfies both."
        )
    else:
        where = f"in {end.region}" if end and end.region else "in a region that nobody declared"
        detail = (
            f"The data of {dataset.address} may stay in {', '.join(confined.residency)}; its"
            f" destination is {where}."
        )
    return [
        Diagnostic(
            code="SOV107",
            summary="Residency does not allow this place",
            detail=detail,
            fix="Choose a destination in an allowed region, or declare its region (`region` of"
            " the Platform; of the Workspace for local folders).",
            locations=_places(question, "spec.residency")
            or (dataset.place(f"spec.{end.role}") if end else ()),
            address=dataset.address,
        )
    ]


def _notes(question: Question, tier: Tier, label: Label) -> list[Diagnostic]:
    dataset = question.dataset
    found = [
        Diagnostic(
            code="SOV108",
            summary="These hosts are declared, not proven",
            detail=f"The {end.role} of {dataset.address} is a {end.platform_type} platform, which"
            f" documents no private endpoint; that it fits {tier} rests on its declaration.",
            fix="Have the declared hosts of the Platform attested by whoever runs them.",
            severity=Severity.NOTE,
            locations=dataset.place(f"spec.{end.role}"),
            address=dataset.address,
        )
        for end in question.ends
        if end.platform_type in ATTESTED and tier is not Tier.STANDARD
    ]
    old = question.recorded
    if old is not None and RANK[label.confidentiality] > RANK[old.confidentiality]:
        found.append(
            Diagnostic(
                code="SOV109",
                summary="The confidentiality of data would be lowered",
                detail=f"The log of {dataset.address} records the confidentiality"
                f" {old.confidentiality}; it would become {label.confidentiality}.",
                fix="Review this as a release of data; keep the old tier if it is not meant.",
                severity=Severity.WARNING,
                locations=_places(question, "spec.tier"),
                address=dataset.address,
            )
        )
    return found


def _no_tier(question: Question, label: Label) -> Diagnostic:
    ends = "; ".join(f"the {e.role} {e.what} fits {e.fits}" for e in question.ends)
    return Diagnostic(
        code="SOV102",
        summary="No tier admits this transfer",
        detail=f"{question.dataset.address}: {ends}; the data has the confidentiality"
        f" {label.confidentiality} and the integrity {label.integrity}{_lost(question)}. No tier"
        " admits all three.",
        fix=_verify(question)
        if any(carried.lost for carried, _ in _inputs(question))
        else "Keep the data at a place that is as sovereign as its label, or bring it home in two"
        " datasets, the second with `source: {dataset: …}`, or record a decision:"
        " `batuta label approve DATASET --to TIER --reason REASON`.",
        locations=_places(question, "spec.destination"),
        address=question.dataset.address,
    )


def _places(question: Question, path: str) -> tuple[Location, ...]:
    return question.dataset.place(path)


def _inputs(question: Question) -> Iterable[tuple[Carried, End]]:
    """Return what is known of each place that is read, with the place."""
    return zip(question.carried.each, question.ends, strict=False)


def _lost(question: Question) -> str:
    names = [end.what for carried, end in _inputs(question) if carried.lost]
    whose = ", ".join(names)
    return (
        f", since the label of {whose} does not hold and counts as the strictest" if names else ""
    )


def _verify(question: Question) -> str:
    """What helps where a label is lost: nothing can be decided about one that nobody knows."""
    names = [shlex.quote(end.what) for carried, end in _inputs(question) if carried.lost]
    checks = ", ".join(f"`batuta label verify {name}`" for name in names)
    return f"See what is wrong with the label, and bring its log back from a copy: {checks}."


def _leads_out(question: Question, tier: Tier, kind: ApprovalKind, other: str) -> str:
    """Return what can be done: about each place whose data is at fault, or with another tier."""
    guilty = [
        (carried, end)
        for carried, end in _inputs(question)
        if not (keeps_secret if kind == "declassify" else trusts)(tier, carried.at(tier))
    ]
    if any(carried.lost for carried, _ in guilty):
        return _verify(question)
    ways = [_way(question.dataset, about, tier, kind) for about in guilty]
    return f"{other}, or {', and '.join(ways)}." if ways else f"{other}."


def _way(dataset: Dataset, about: tuple[Carried, End], tier: Tier, kind: ApprovalKind) -> str:
    carried, end = about
    what = shlex.quote(end.what)
    if carried.own and kind == "declassify":
        return f"have {what} declassified: `batuta label approve {what} --to {tier} --reason WHY`"
    if carried.own:
        return (
            f"take {what} from a controlled origin, or have it endorsed after a review:"
            f" `batuta label approve {what} --to {NEEDED_INTEGRITY[tier]} --endorse --reason WHY`"
        )
    # What carries no label of its own has no log that a decision could be recorded in.
    past = "declassified" if kind == "declassify" else "endorsed"
    if dataset.origin is Origin.COMMAND:
        return (
            f"bring {what} in first, as a dataset whose data can be {past}:"
            f" `batuta data sync {what} DESTINATION`"
        )
    land = (
        f"read {what} as a dataset of its own (`source: {{dataset: NAME}}`), brought in first where"
        f" it is none: its data can be {past}"
    )
    if carried.label is not None:
        return land  # what its Platform is says the label, or what the state knows of the contents
    needed = NEEDED_INTEGRITY[tier] if kind == "endorse" else tier
    side = "more" if kind == "endorse" else "less"
    state = "state its origin" if carried.stated is None else "correct its origin"
    return (
        f"{state}, if that is true (`origin: {{tier: {needed}}}` or a {side} sovereign tier),"
        f" or {land}"
    )
