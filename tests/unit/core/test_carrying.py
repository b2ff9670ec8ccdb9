"""Decisions about labels: which hold for which rows, when they are needed, and when they are spent."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batuta.core.carrying import decided
from batuta.core.plan_input import Observation, PlanInput
from batuta.core.planner import plan
from batuta.core.tiers import RANK, united
from batuta.core.uniting import united as united_states
from batuta.model.decision import APPROVAL_USED, Approval, content_digest
from batuta.model.log import Label
from batuta.model.observed import DestinationState, SourceState, Unit
from batuta.model.plan import Action, Blocked, Create, Plan
from batuta.model.resource import Dataset, Desired, SourcePart, SourceSpec
from batuta.model.tier import Tier
from tests.unit.core import build

FULL, HYBRID, PRIVATE, STANDARD = (tier.value for tier in Tier)
PUBLIC = Label(confidentiality=STANDARD, integrity=STANDARD, declared=False)
SECRET = Label(confidentiality=FULL, integrity=FULL, declared=False)
UNITS = (
    Unit(key="a", version="1" * 64, size_bytes=9),
    Unit(key="b", version="2" * 64, size_bytes=9),
)
CONTENT = content_digest(tuple((u.key, u.version) for u in UNITS))

tiers = st.sampled_from([tier.value for tier in Tier])
some_labels = st.builds(Label, confidentiality=tiers, integrity=tiers, declared=st.booleans())


def approval(kind: str = "endorse", tier: str = PRIVATE, **fields: object) -> Approval:
    known = {
        "id": "1", "kind": kind, "resource": "Dataset/web", "content": CONTENT, "before": PUBLIC,
        "tier": tier, "reason": "r", "actor": "maria", "made_at": "t", "expires_at": "u",
        "text": f"{kind} {tier}",
    }  # fmt: skip
    return Approval(**{**known, **fields})  # type: ignore[arg-type]  # the fields of the class


def source(label: Label, *approvals: Approval) -> SourceState:
    return replace(build.source(), units=UNITS, label=label, approvals=approvals)


def planned(
    dataset: Dataset,
    seen: Observation,
    others: dict[str, Observation] | None = None,
    spent: dict[str, str] | None = None,
) -> Plan:
    return plan(
        PlanInput(
            desired=Desired(workspace=build.workspace(), datasets=(dataset,)),
            observed={dataset.name: seen, **(others or {})}, target_bytes=build.FORMATS,
            spent=spent or {},
        )
    )  # fmt: skip


def absent() -> DestinationState:
    return DestinationState(address="out", condition="absent")


HOME = build.dataset("home", tier=FULL)


def test_public_data_is_refused_without_a_decision_and_taken_with_one_that_is_used() -> None:
    (refused,) = planned(HOME, Observation(source=source(PUBLIC), destination=absent())).actions
    assert isinstance(refused, Blocked)

    given_ = Observation(source=source(PUBLIC, approval()), destination=absent())
    (taken,) = planned(HOME, given_).actions

    assert isinstance(taken, Create)
    assert taken.label.integrity == PRIVATE
    assert (APPROVAL_USED, "endorse PrivateCloud") in taken.decisions


@pytest.mark.parametrize(
    "useless",
    [
        approval(content="0" * 64),
        approval(before=SECRET),
        approval(tier=STANDARD),
        approval(tier="nothing"),
        approval("declassify", PRIVATE),
    ],
    ids=["other rows", "another label", "no higher", "no tier", "the other kind"],
)
def test_a_decision_that_does_not_fit_changes_nothing(useless: Approval) -> None:
    seen = Observation(source=source(PUBLIC, useless), destination=absent())
    assert isinstance(planned(HOME, seen).actions[0], Blocked)


def test_a_decision_that_is_not_needed_is_not_used() -> None:
    dataset = build.dataset("home", tier=PRIVATE)
    seen = Observation(source=source(replace(PUBLIC, confidentiality=PRIVATE), approval()),
                       destination=absent())  # fmt: skip
    (taken,) = planned(dataset, seen).actions

    assert isinstance(taken, Create)
    assert taken.decisions == ()


def test_a_decision_that_another_dataset_used_is_spent_and_ones_own_is_not() -> None:
    seen = Observation(source=source(PUBLIC, approval()), destination=absent())
    text = approval().text

    assert isinstance(planned(HOME, seen, spent={text: "Dataset/other"}).actions[0], Blocked)
    assert isinstance(planned(HOME, seen, spent={text: "Dataset/home"}).actions[0], Create)


def test_two_datasets_of_one_plan_do_not_share_a_decision() -> None:
    seen = Observation(source=source(PUBLIC, approval()), destination=absent())
    names = ("home", "too")
    wanted = Desired(workspace=build.workspace(),
                     datasets=tuple(build.dataset(name, tier=FULL) for name in names))  # fmt: skip
    made = plan(PlanInput(desired=wanted, observed=dict.fromkeys(names, seen),
                          target_bytes=build.FORMATS))  # fmt: skip

    assert [action.kind for action in made.actions] == ["create", "blocked"]


def test_secret_data_goes_down_only_as_far_as_it_was_declassified() -> None:
    down = approval("declassify", PRIVATE, before=SECRET)
    seen = Observation(source=source(SECRET, down), destination=absent())

    assert isinstance(planned(build.dataset("o", tier=PRIVATE), seen).actions[0], Create)
    assert isinstance(planned(build.dataset("o", tier=STANDARD), seen).actions[0], Blocked)


@given(some_labels, st.sampled_from(["declassify", "endorse"]), tiers, some_labels)
def test_a_decision_moves_one_side_in_its_own_direction_and_from_where_it_was_made(
    label: Label, kind: str, tier: str, before: Label
) -> None:
    found = decided(label, approval(kind, tier, before=before))

    if kind == "declassify":
        assert found.integrity == label.integrity
        assert RANK[found.confidentiality] >= RANK[label.confidentiality]
        assert found.confidentiality in {label.confidentiality, tier}
        moved = found.confidentiality != label.confidentiality
        assert not moved or label.confidentiality == before.confidentiality
    else:
        assert found.confidentiality == label.confidentiality
        assert RANK[found.integrity] <= RANK[label.integrity]
        moved = found.integrity != label.integrity
        assert not moved or label.integrity == before.integrity
    assert found.residency == label.residency


# -- merges ------------------------------------------------------------------------------------


def merge(*labels: Label, tier: str | None = None) -> tuple[Dataset, SourceState]:
    parts = tuple(
        SourcePart(address=build.dataset(f"d{n}").source.address) for n in range(len(labels))
    )
    spec = SourceSpec(merge=parts)
    dataset = replace(build.dataset("all", **({"tier": tier} if tier else {})), source=spec)
    return dataset, united_states(spec, [source(label) for label in labels])


@given(st.lists(some_labels, min_size=2, max_size=4), st.randoms())
def test_the_label_of_a_merge_is_the_join_whatever_the_order(
    labels: list[Label], random: object
) -> None:
    whole = united(tuple(labels))
    shuffled = list(labels)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis' own

    assert united(tuple(shuffled)) == whole
    assert RANK[whole.confidentiality] == min(RANK[each.confidentiality] for each in labels)
    assert RANK[whole.integrity] == max(RANK[each.integrity] for each in labels)


def test_regions_that_no_input_shares_leave_none() -> None:
    one, other = replace(PUBLIC, residency=("eu",)), replace(PUBLIC, residency=("us",))
    assert united((one, PUBLIC)).residency == ("eu",)
    assert united((one, other)).residency == ("nowhere",)


@given(st.lists(some_labels, min_size=1, max_size=3), some_labels, tiers)
def test_what_refuses_one_input_refuses_every_merge_that_contains_it(
    labels: list[Label], bad: Label, tier: str
) -> None:
    def blocked(*given_: Label) -> bool:
        dataset, state = merge(*given_, tier=tier)
        seen = Observation(source=state, destination=absent())
        return isinstance(planned(dataset, seen).actions[0], Blocked)

    if blocked(bad, bad):
        assert blocked(*labels, bad)


def test_a_refused_merge_names_the_ways_out_and_asks() -> None:
    dataset, state = merge(SECRET, PUBLIC)
    (found,) = planned(dataset, Observation(source=state, destination=absent())).actions

    assert isinstance(found, Blocked)
    assert found.question == "sovereignty"
    (way,) = [d for d in found.diagnostics if d.code == "LBL106"]
    assert "--endorse" in way.fix
    assert "--to Standard" in way.fix


def refusal_of(dataset: Dataset, state: SourceState) -> str:
    (found,) = planned(dataset, Observation(source=state, destination=absent())).actions
    assert isinstance(found, Blocked)
    return next(d.fix for d in found.diagnostics if d.code == "LBL106")


def test_no_decision_is_offered_about_data_that_has_no_log() -> None:
    dataset, state = merge(SECRET, PUBLIC, tier=FULL)
    secret, raw = state.parts  # type: ignore[attr-defined]  # the state of a merge
    bare = replace(state, parts=(secret, replace(raw, label=None)))  # type: ignore[call-arg]
    fix = refusal_of(dataset, bare)

    assert "--endorse" not in fix
    assert "approve delta+data/d1" not in fix
    assert "approve delta+data/d0 --to Standard" in fix


def test_a_decision_that_waits_and_is_not_enough_is_said_and_not_asked_for_again() -> None:
    dataset, state = merge(SECRET, replace(PUBLIC, confidentiality=PRIVATE), tier=FULL)
    secret, public = state.parts  # type: ignore[attr-defined]  # the state of a merge
    units = tuple(replace(unit, key=f"s{unit.key}") for unit in UNITS)
    content = content_digest(tuple((u.key, u.version) for u in units))
    made = approval("declassify", STANDARD, before=SECRET, content=content, made_at="2026-03-03T")
    waits = replace(secret, units=units, approvals=(made,))
    fix = refusal_of(dataset, replace(state, parts=(waits, public)))  # type: ignore[call-arg]

    assert "Decided already, of 2026-03-03: declassify delta+data/d0 to Standard" in fix
    assert "approve delta+data/d0" not in fix
    assert "approve delta+data/d1 --to Standard" in fix


def test_a_decision_about_one_input_of_a_merge_is_about_that_one_alone() -> None:
    dataset, state = merge(SECRET, PUBLIC, tier=FULL)
    secret, public = state.parts  # type: ignore[attr-defined]  # the state of a merge
    others = replace(public, approvals=(approval(),))
    seen = Observation(source=replace(state, parts=(secret, others)), destination=absent())  # type: ignore[call-arg]
    (taken,) = planned(dataset, seen).actions

    assert isinstance(taken, Create)
    assert (taken.label.confidentiality, taken.label.integrity) == (FULL, PRIVATE)


# -- where data may lie ------------------------------------------------------------------------


def test_data_of_a_platform_stays_where_the_platform_says() -> None:
    """The label has its regions, and a destination elsewhere is refused."""
    lake = build.platform("lake", residency=("eu-central-1",))
    dataset = build.dataset("web", source={"address": "s3://lake/x/", "platform": "lake"})
    seen = Observation(source=replace(source(PUBLIC), label=None), destination=absent())

    def answer(region: str) -> Action:
        wanted = build.desired(dataset, platforms=[lake], workspace=build.workspace(region=region))
        (action,) = plan(build.given(wanted, {"web": seen})).actions
        return action

    inside = answer("eu-central-1")
    assert isinstance(inside, Create)
    assert inside.label.residency == ("eu-central-1",)
    outside = answer("us-east-1")
    assert isinstance(outside, Blocked)
    assert [d.code[:3] for d in outside.diagnostics] == ["SOV"]
