"""The tables of tests/cases/tiers/platforms.md, against the rules and against the planner."""

from itertools import product

import pytest

from batuta.core.egress.policy import tier_denials
from batuta.core.egress.rules import Rule
from batuta.core.planner import plan
from batuta.core.tiers import UNKNOWN, Carried, End, admits, derive, fit, platform_label
from batuta.model.log import Label
from batuta.model.plan import Blocked
from batuta.model.tier import Network, Tier
from tests.tables import TIERS, Row, headings, table
from tests.unit.core import build
from tests.unit.core.egress.policies import action, reached

PAGE = TIERS / "platforms.md"
PLATFORMS = table(PAGE, "Platforms and networks")
PLACES = table(PAGE, "Several places")
DERIVED = table(PAGE, "The derived tier")
BLOCKED = table(PAGE, "Blocked hosts")
AT_HOME = ("local", "alimentar", "pacha", "entrenar")
ANYWHERE = Label(confidentiality=Tier.STANDARD, integrity=Tier.FULLY_SOVEREIGN)
"""Data that may go everywhere, so that the places alone decide."""


def _id(row: Row) -> str:
    return " ".join(list(row.values())[:3])


def _end(role: str, cell: str) -> End:
    platform, network = cell.split()
    return End(role=role, what=role, network=Network(network), platform_type=platform)


def test_the_page_has_no_table_that_is_not_executed() -> None:
    assert headings(PAGE) == [
        "Platforms and networks",
        "Several places",
        "The derived tier",
        "Blocked hosts",
    ]


def test_every_platform_type_has_a_row_for_every_network_that_it_can_have() -> None:
    found = [(row["platform type"], Network(row["network"])) for row in PLATFORMS]
    types = dict.fromkeys(t for t, _ in found if t not in AT_HOME)
    abroad = [n for n in Network if n is not Network.LOCAL]
    expected = [*((t, Network.LOCAL) for t in AT_HOME), *product(types, abroad)]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("row", PLATFORMS, ids=_id)
def test_a_tier_admits_what_the_table_says(row: Row) -> None:
    network = Network(row["network"])
    found = {t: "yes" if admits(t, network, row["platform type"]) else "no" for t in Tier}
    assert found == {tier: row[tier] for tier in Tier}


@pytest.mark.parametrize("row", PLATFORMS, ids=_id)
def test_a_tier_admits_all_that_a_more_sovereign_one_admits(row: Row) -> None:
    cells = [row[tier] for tier in Tier]
    assert cells == sorted(cells), "once admitted, admitted by every weaker tier"


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("row", [r for r in PLATFORMS if r["network"] != "Local"], ids=_id)
def test_the_planner_refuses_exactly_the_platforms_that_the_table_refuses(
    row: Row, tier: Tier
) -> None:
    network, kind = Network(row["network"]), row["platform type"]
    there = build.platform("there", type=kind, network=network.value)
    orders = build.dataset(
        source={"address": "s3://there/orders/", "platform": "there"}, tier=tier.value
    )
    own = platform_label(network, kind)
    state = build.source(label={"confidentiality": own.confidentiality, "integrity": own.integrity})
    wanted = build.desired(orders, platforms=[there])
    made = plan(build.given(wanted, {"orders": build.agreed(wanted, orders, state)}))
    codes = {d.code for a in made.actions if isinstance(a, Blocked) for d in a.diagnostics}
    notes = {d.code for d in made.diagnostics}
    assert ("SOV101" in codes) is (row[tier] == "no")
    attested = bool(row["note"]) and row[tier] == "yes" and tier is not Tier.STANDARD
    assert ("SOV108" in notes) is attested


@pytest.mark.parametrize("row", PLACES, ids=_id)
def test_the_weakest_of_several_places_decides(row: Row) -> None:
    ends = tuple(_end(role, row[role]) for role in ("catalog", "storage", "destination"))
    assert derive(ends, Carried(label=ANYWHERE)) == row["most sovereign tier"]


@pytest.mark.parametrize("row", DERIVED, ids=_id)
def test_the_derived_tier_is_the_most_sovereign_one_that_admits_both_ends_and_the_label(
    row: Row,
) -> None:
    source, destination = _end("source", row["source"]), _end("destination", row["destination"])
    found = derive((source, destination), _carried(source, row["origin"]))
    assert (found or "none") == row["tier"]


def _carried(source: End, origin: str) -> Carried:
    match origin:
        case "not stated":
            return Carried()
        case "unknown":
            return Carried(label=UNKNOWN)
        case "the platform's":
            assert source.fits is fit(source.network, source.platform_type)
            return Carried(label=platform_label(source.network, source.platform_type))
        case _:
            return Carried(stated=Tier(origin))


@pytest.mark.parametrize("row", BLOCKED, ids=lambda row: str(row["host"]))
def test_the_specification_s_endpoints_are_denied_with_all_below_them(row: Row) -> None:
    found = {tier: "blocked" if _denied(tier, row["host"]) else "-" for tier in Tier}
    assert found == {tier: row[tier] for tier in Tier}


def _denied(tier: Tier, host: str) -> bool:
    from batuta.core.egress.findings import denied

    return denied(Rule(pattern=host), tier_denials(tier)) is not None


def test_a_blocked_host_is_blocked_for_an_action_that_needs_it() -> None:
    from batuta.core.egress.policy import compose

    for row, tier in product(BLOCKED, Tier):
        place = reached(row["host"], network=Network.PRIVATE_LINK, cidrs=("10.0.0.0/8",))
        codes = [d.code for d in compose((), action(place, tier=tier)).diagnostics]
        assert codes == (["EGR102"] if row[tier] == "blocked" else []), (row["host"], tier)
