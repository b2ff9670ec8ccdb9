"""A saved plan is refused when something it rests on moved, and says what."""

from dataclasses import replace

import pytest

from batuta.core.planner import plan
from batuta.core.stale import Now, WorldNow, stale
from batuta.model.log import Head
from batuta.model.plan import Plan
from tests.unit.core import build


@pytest.fixture
def made() -> Plan:
    orders, other = build.dataset("orders"), build.dataset("other")
    wanted = build.desired(orders, other)
    changed = build.agreed(wanted, orders, build.source(version="8"), source_version="7")
    calm = build.agreed(wanted, other, build.source())
    return plan(build.given(wanted, {"orders": changed, "other": calm}))


NOW = Now(source_version="8", head=build.HEAD, revision=3, manifest="manifest-orders", policies="p")
WORLD = WorldNow(prices="q", resources={"Dataset/orders": NOW})


def test_a_plan_is_not_stale_while_nothing_moves(made: Plan) -> None:
    assert stale(made, WORLD) == ()


@pytest.mark.parametrize(
    ("now", "code", "says"),
    [
        (replace(NOW, head=Head(5, "ef" * 32)), "PLN122", "version 5"),
        (replace(NOW, head=None), "PLN122", "is absent"),
        (replace(NOW, revision=4), "PLN123", "was 3 and is 4"),
        (replace(NOW, manifest="new"), "PLN124", "manifest"),
        (replace(NOW, policies="new"), "PLN125", "egress policies"),
        (replace(NOW, labels="new"), "PLN129", "another label"),
    ],
)
def test_it_says_what_of_a_resource_moved(made: Plan, now: Now, code: str, says: str) -> None:
    (found,) = stale(made, replace(WORLD, resources={"Dataset/orders": now}))
    assert found.code == code
    assert says in found.detail


def test_a_source_that_moved_makes_a_transfer_stale() -> None:
    orders = build.dataset("orders")
    wanted = build.desired(orders)
    seen = build.agreed(
        wanted, orders, build.source(version="8", units=["a@2"]), source_version="7"
    )
    made = plan(build.given(wanted, {"orders": seen}))
    now = replace(NOW, source_version="9")
    (found,) = stale(made, replace(WORLD, resources={"Dataset/orders": now}))
    assert (found.code, "at 8 and is at 9" in found.detail) == ("PLN121", True)


def test_prices_count(made: Plan) -> None:
    (found,) = stale(made, replace(WORLD, prices="new"))
    assert found.code == "PLN126"


def test_everything_that_moved_is_said_at_once(made: Plan) -> None:
    now = replace(NOW, head=None, revision=9, policies="x")
    world = WorldNow(prices="y", resources={"Dataset/orders": now})
    assert [d.code for d in stale(made, world)] == ["PLN122", "PLN123", "PLN125", "PLN126"]


def test_a_resource_that_does_nothing_never_makes_a_plan_stale(made: Plan) -> None:
    calm = Now(source_version="99", head=None, revision=77, manifest="new")
    world = replace(WORLD, resources={**WORLD.resources, "Dataset/other": calm})
    assert stale(made, world) == ()
