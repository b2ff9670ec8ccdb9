"""Selectors choose by name, glob, tag, tier, platform, and along who reads whom."""

import pytest

from batuta.core.plan_input import Asked
from batuta.core.select import select
from batuta.model.resource import Desired
from tests.unit.core import build


@pytest.fixture
def wanted() -> Desired:
    return build.desired(
        build.dataset("sales-eu", tags={"team": "core"}, tier="PrivateCloud"),
        build.dataset("sales-us", tags={"team": "edge"}),
        build.dataset("joined", source={"dataset": "sales-eu"}),
        build.dataset("report", source={"dataset": "joined"}),
        build.dataset("lake", source={"address": "s3://lake/x/", "platform": "aws-eu"}),
    )


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("sales-eu", "sales-eu"),
        ("Dataset/sales-eu", "sales-eu"),
        ("sales-*", "sales-eu sales-us"),
        ("tag:team", "sales-eu sales-us"),
        ("tag:team=core", "sales-eu"),
        ("tag:team=c*", "sales-eu"),
        ("tier:PrivateCloud", "sales-eu"),
        ("tier:Standard", "lake"),
        ("platform:aws-eu", "lake"),
        ("+report", "joined report sales-eu"),
        ("sales-eu+", "joined report sales-eu"),
        ("+joined+", "joined report sales-eu"),
        ("old", "old"),
    ],
)
def test_a_selector_chooses(wanted: Desired, selector: str, names: str) -> None:
    found = select(wanted, Asked(select=(selector,)), tiers={"lake": "Standard"}, others=["old"])
    assert " ".join(sorted(found.names)) == names
    assert found.diagnostics == ()


def test_a_name_is_itself_whatever_characters_it_has() -> None:
    """A child of a wildcard has brackets in its name; a tag may have any character."""
    wanted = build.desired(build.dataset("salesO"), build.dataset("x", tags={"k": "[a]*"}))
    child = 'sales["ORDERS"]'

    assert select(wanted, Asked(select=(child,)), others=[child]).names == {child}
    assert select(wanted, Asked(select=("tag:k=[a]*",))).names == {"x"}


def test_selectors_unite_and_excluding_wins(wanted: Desired) -> None:
    found = select(wanted, Asked(select=("sales-*", "report"), exclude=("*-us",)))
    assert sorted(found.names) == ["report", "sales-eu"]


def test_excluding_alone_starts_from_everything(wanted: Desired) -> None:
    found = select(wanted, Asked(exclude=("sales-eu+",)))
    assert sorted(found.names) == ["lake", "sales-us"]


def test_a_selector_that_meets_nothing_names_the_nearest(wanted: Desired) -> None:
    (found,) = select(wanted, Asked(select=("raport",))).diagnostics
    assert found.code == "PLN117"
    assert "'report'" in found.fix
    (found,) = select(wanted, Asked(exclude=("tier:Privat",))).diagnostics
    assert "'tier:PrivateCloud'" in found.fix


@pytest.mark.parametrize(
    ("selector", "fix"),
    [
        ("tier:Foo", "FullySovereign, HybridSovereign, PrivateCloud, Standard"),
        ("tier:standard", "'tier:Standard'"),
        ("tier:HybridSovereign", "Name a tier that a dataset has: "),
    ],
)
def test_a_tier_that_no_dataset_has_is_answered_with_those_that_there_are(
    wanted: Desired, selector: str, fix: str
) -> None:
    (found,) = select(wanted, Asked(select=(selector,))).diagnostics
    assert fix in found.fix
    assert "batuta render" not in found.fix
