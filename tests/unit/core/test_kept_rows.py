"""The label of rows that stay: a newer one of the source says nothing of rows it has no more."""

from dataclasses import replace

import pytest

from batuta.core.plan_input import Observation
from batuta.core.planner import plan
from batuta.model.decision import APPROVAL_USED, Approval, content_digest
from batuta.model.log import Label
from batuta.model.observed import SourceState
from batuta.model.plan import Action, Blocked, NoOp, Plan, Relabel, Replace
from batuta.model.resource import Dataset
from batuta.model.tier import Tier
from tests.unit.core import build

FULL, HYBRID, PRIVATE, STANDARD = (tier.value for tier in Tier)
SECRET = Label(confidentiality=FULL, integrity=FULL)
LOWER = Label(confidentiality=PRIVATE, integrity=PRIVATE)
BY_KEY = {"mode": "Incremental", "incremental": {"cursor": "id", "key": ["id"]}}


def source(label: Label, *units: str, version: str = "8") -> SourceState:
    return replace(build.source(version=version, units=list(units)), label=label)


def standing(
    dataset: Dataset, now: SourceState, label: Label, parts: list[list[str]], version: str = "7"
) -> Observation:
    """The dataset as it is: these parts, of an earlier version of the source, with this label."""
    facts, _ = build.settled(build.desired(dataset), dataset, now)
    facts = replace(facts, source_version=version)
    shot = build.snapshot(facts, label, dataset.address, parts=parts)
    return Observation(
        source=now, destination=build.destination("dataset", snapshot=shot), head="same",
        record=build.record(facts, label, dataset.address),
    )  # fmt: skip


def planned(dataset: Dataset, seen: Observation, region: str | None = None) -> Plan:
    wanted = build.desired(dataset, workspace=build.workspace(region=region))
    return plan(build.given(wanted, {dataset.name: seen}))


def only(made: Plan) -> Action:
    (action,) = made.actions
    return action


def codes(made: Plan) -> set[str]:
    return {found.code for found in made.diagnostics}


def test_rows_merged_into_secret_ones_leave_them_as_secret_as_they_were() -> None:
    orders = build.dataset("orders", tier=FULL, **BY_KEY)
    made = planned(orders, standing(orders, source(LOWER, "b@1"), SECRET, [["a@1"]]))
    action = only(made)

    assert isinstance(action, Replace)
    assert action.transfer.scope == "merge"
    assert (action.label.confidentiality, action.label.integrity) == (FULL, PRIVATE)
    assert "SOV109" not in codes(made), "nothing is lowered"

    # Nor does the next plan do it: no part of what was merged is a unit of the source.
    after = standing(orders, source(LOWER, "b@1"), action.label, [[]], version="8")
    again = planned(orders, after)
    assert isinstance(only(again), NoOp)
    assert "SOV109" not in codes(again)


def test_rows_that_are_gone_at_the_source_and_kept_stay_as_secret_as_they_were() -> None:
    orders = build.dataset("orders", tier=FULL, on_source_delete="Keep")
    now = source(LOWER, "b@1")
    action = only(planned(orders, standing(orders, now, SECRET, [["a@1"]])))

    assert not isinstance(action, Blocked | NoOp | Relabel)
    assert action.label.confidentiality == FULL  # type: ignore[union-attr]  # it moves bytes
    at_rest = standing(orders, now, action.label, [["a@1"], ["b@1"]], version="8")  # type: ignore[union-attr]  # it moves bytes
    assert isinstance(only(planned(orders, at_rest)), NoOp)


def test_a_newer_statement_holds_for_all_rows_that_the_source_still_has() -> None:
    orders = build.dataset("orders", tier=FULL)
    at_rest = standing(orders, source(LOWER, "a@1", "b@1"), SECRET, [["a@1"]])
    made = planned(orders, at_rest)
    more = only(made)

    assert more.kind == "append"
    assert more.label == LOWER
    assert "SOV109" in codes(made)
    same = standing(orders, source(LOWER, "a@1"), SECRET, [["a@1"]], version="8")
    restated = only(planned(orders, same))
    assert isinstance(restated, Relabel)
    assert restated.label == LOWER


def test_rows_that_stay_while_drift_is_skipped_keep_their_label() -> None:
    orders = build.dataset("orders", tier=FULL)
    at_rest = standing(orders, source(LOWER, "b@1"), SECRET, [["a@1"]], version="8")
    made = only(planned(orders, at_rest))

    assert isinstance(made, NoOp | Relabel)
    assert not isinstance(made, Relabel) or made.label.confidentiality == FULL


@pytest.mark.parametrize(
    ("kept", "new", "both"),
    [
        (("eu",), (), ("eu",)),
        (("eu", "us"), ("eu", "asia"), ("eu",)),
        (("us",), ("eu",), None),
    ],
)
def test_rows_together_may_lie_where_each_of_them_may(
    kept: tuple[str, ...], new: tuple[str, ...], both: tuple[str, ...] | None
) -> None:
    orders = build.dataset("orders", tier=FULL, **BY_KEY)
    now = source(replace(SECRET, residency=new), "b@1")
    seen = standing(orders, now, replace(SECRET, residency=kept), [["a@1"]])
    action = only(planned(orders, seen, region="eu"))

    if both is None:
        assert isinstance(action, Blocked)
        assert {found.code for found in action.diagnostics} == {"SOV110"}
    else:
        assert action.label.residency == both  # type: ignore[union-attr]  # it moves bytes


def test_what_was_declassified_each_time_goes_on_to_be_merged() -> None:
    """Nobody reads everything anew, or decides about old rows again, for new ones."""
    orders = build.dataset("orders", tier=PRIVATE, **BY_KEY)
    now = source(SECRET, "b@1")
    content = content_digest(tuple((unit.key, unit.version) for unit in now.units))
    down = Approval(
        id="2", kind="declassify", resource="Dataset/a", content=content, before=SECRET,
        tier=PRIVATE, reason="r", actor="maria", made_at="t", expires_at="u", text="second",
    )  # fmt: skip
    decided = replace(SECRET, confidentiality=PRIVATE)
    seen = standing(orders, replace(now, approvals=(down,)), decided, [["a@1"]])
    action = only(planned(orders, seen))

    assert isinstance(action, Replace)
    assert action.label == decided
    assert (APPROVAL_USED, "second") in action.decisions
