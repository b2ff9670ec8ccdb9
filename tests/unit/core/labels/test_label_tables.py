"""The tables of tests/cases/tiers/labels.md, against the lattice and the rules of flow."""

from dataclasses import astuple
from itertools import product

import pytest

from batuta.core import tiers
from batuta.core.labels.flows import (
    Broken,
    Denial,
    Place,
    admits,
    ingested,
    query_refusals,
    refusals,
    settled,
    unlabelled,
)
from batuta.core.labels.lattice import ALL, NONE, TOP, Label, Names, flows, join
from batuta.model import log
from batuta.model.tier import Tier
from tests.tables import TIERS, Row, headings, table

PAGE = TIERS / "labels.md"
BETWEEN = table(PAGE, "Data from one place to another")
EVERY = table(PAGE, "Every label")
WORDS = {
    Denial.CONFIDENTIALITY: "too secret",
    Denial.INTEGRITY: "too doubtful",
    Denial.RESIDENCY: "wrong region",
    Denial.QUERY: "too secret",
}


def _id(row: Row) -> str:
    return ", ".join(list(row.values())[:4])


def _word(denials: tuple[Denial, ...]) -> str:
    return ", ".join(WORDS[d] for d in denials) or "ok"


def _names(cell: str) -> Names:
    if cell in {"anywhere", "everybody"}:
        return ALL
    return NONE if cell in {"nowhere", "nobody"} else Names(frozenset(cell.split(", ")))


def test_the_page_has_no_table_that_is_not_executed() -> None:
    assert headings(PAGE) == [
        "Data from one place to another",
        "Every label",
        "Places that are strict",
        "Residency",
        "Residency that a dataset asks for",
        "Merges",
        "Merges of owners and regions",
        "Data without a label",
        "Evidence",
        "Texts of queries",
    ]


@pytest.mark.parametrize("row", BETWEEN, ids=_id)
def test_data_flows_as_the_table_says(row: Row) -> None:
    label = ingested(Tier(row["from a place of"]))
    found = {tier: _word(refusals(Place(tier=tier), label)) for tier in Tier}
    assert found == {tier: row[tier] for tier in Tier}


def test_the_table_of_every_label_has_every_label() -> None:
    found = [(row["confidentiality"], row["integrity"]) for row in EVERY]
    assert found == list(product(Tier, Tier))


@pytest.mark.parametrize("row", EVERY, ids=_id)
def test_a_place_takes_in_the_labels_that_the_table_says(row: Row) -> None:
    secret, trusted = Tier(row["confidentiality"]), Tier(row["integrity"])
    label = Label(confidentiality=secret, integrity=trusted)
    found = {tier: _word(refusals(Place(tier=tier), label)) for tier in Tier}
    assert found == {tier: row[tier] for tier in Tier}
    # The planner asks for the two directions one by one, of a label as a log has it.
    record = log.Label(confidentiality=secret, integrity=trusted)
    for tier in Tier:
        assert tiers.keeps_secret(tier, record) is ("too secret" not in row[tier])
        assert tiers.trusts(tier, record) is ("too doubtful" not in row[tier])


def test_nothing_is_weaker_than_the_specification_and_every_other_denial_is_a_write_down() -> None:
    sovereign = {Tier.FULLY_SOVEREIGN, Tier.HYBRID_SOVEREIGN}
    for row, tier in product(BETWEEN, Tier):
        forbidden = row["from a place of"] == "Standard" and tier in sovereign
        assert row[tier] == "too doubtful" if forbidden else row[tier] in {"ok", "too secret"}
    assert sum(row[tier] == "ok" for row, tier in product(BETWEEN, Tier)) == 8


@pytest.mark.parametrize("row", table(PAGE, "Places that are strict"), ids=_id)
def test_a_strict_place_takes_its_own_tier_or_better(row: Row) -> None:
    label = ingested(Tier(row["from a place of"]))
    found = {tier: _word(refusals(Place(tier=tier, strict=True), label)) for tier in Tier}
    assert found == {tier: row[tier] for tier in Tier}


@pytest.mark.parametrize("row", table(PAGE, "Residency"), ids=_id)
@pytest.mark.parametrize("tier", list(Tier))
def test_data_stays_in_its_regions_and_an_unknown_one_is_none(row: Row, tier: Tier) -> None:
    label = Label(confidentiality=tier, integrity=tier, regions=_names(row["may lie in"]))
    region = None if row["the place is in"] == "unknown" else row["the place is in"]
    assert _word(refusals(Place(tier=tier, region=region), label)) == row["answer"]


@pytest.mark.parametrize("row", table(PAGE, "Residency that a dataset asks for"), ids=_id)
def test_residency_only_ever_narrows(row: Row) -> None:
    had, asked, then = (tuple(sorted(_names(cell).some)) for cell in row.values())
    found = tiers.restrict(log.Label(confidentiality="", integrity="", residency=had), asked)
    if row["then it may lie in"] == "refused":
        assert found is None
    else:
        assert found is not None
        assert found.residency == then


@pytest.mark.parametrize("row", table(PAGE, "Merges"), ids=_id)
def test_a_merge_has_the_label_that_the_table_says_in_either_order(row: Row) -> None:
    one, other = ingested(Tier(row["one"])), ingested(Tier(row["other"]))
    made = join(one, other)
    assert made == join(other, one)
    assert (made.confidentiality, made.integrity) == (row["confidentiality"], row["integrity"])
    assert flows(one, made)
    assert flows(other, made)
    places = [tier for tier in Tier if admits(Place(tier=tier), made)]
    assert (", ".join(places) or "no place") == row["admitted by"]


def test_the_table_of_merges_has_every_pair_of_places() -> None:
    found = {frozenset((r["one"], r["other"])) for r in table(PAGE, "Merges")}
    assert found == {frozenset((a.value, b.value)) for a, b in product(Tier, Tier)}


@pytest.mark.parametrize("row", table(PAGE, "Merges of owners and regions"), ids=_id)
def test_a_merge_belongs_to_all_and_lies_where_all_may(row: Row) -> None:
    owners, others, both, regions, outer, shared = map(_names, row.values())
    one = Label(confidentiality=Tier.STANDARD, integrity=Tier.STANDARD, owners=owners,
                regions=regions)  # fmt: skip
    other = Label(confidentiality=Tier.STANDARD, integrity=Tier.STANDARD, owners=others,
                  regions=outer)  # fmt: skip
    assert astuple(join(one, other))[2:] == (astuple(shared), astuple(both))


@pytest.mark.parametrize("row", table(PAGE, "Data without a label"), ids=_id)
def test_data_without_a_label_gets_the_platform_s_the_owner_s_or_the_dataset_s(row: Row) -> None:
    stated = None if row["origin stated"] == "not stated" else Tier(row["origin stated"])
    platform = None if row["platform fits"] == "local" else Tier(row["platform fits"])
    found = unlabelled(Tier(row["dataset's tier"]), stated, platform)
    assert (found.confidentiality, found.integrity) == (row["confidentiality"], row["integrity"])
    # The planner comes to the same by way of what a source carries.
    own = log.Label(confidentiality=platform, integrity=platform) if platform else None
    carried = tiers.Carried(label=own, stated=stated).at(Tier(row["dataset's tier"]))
    assert (carried.confidentiality, carried.integrity) == (
        row["confidentiality"],
        row["integrity"],
    )


@pytest.mark.parametrize("row", table(PAGE, "Evidence"), ids=_id)
def test_a_label_is_believed_where_all_that_is_found_agrees(row: Row) -> None:
    words = [] if row["found"] == "nothing" else row["found"].split(", ")
    found: list[Label | Broken] = ["broken" if w == "broken" else ingested(Tier(w)) for w in words]
    believed = TOP if row["believed"] == "unknown" else ingested(Tier(row["believed"]))
    assert settled(found) == believed
    if row["believed"] == "unknown":
        assert not any(
            admits(Place(tier=tier, region=region), believed)
            for tier, region in product(Tier, [None, "eu"])
        )


@pytest.mark.parametrize("row", table(PAGE, "Texts of queries"), ids=_id)
def test_a_query_carries_what_its_literals_were_taken_from(row: Row) -> None:
    text = row["literals from"]
    literals = [] if text == "unknown" else [ingested(Tier(w)) for w in text.split(", ")]
    place = Place(tier=Tier(row["sent to a place of"]))
    assert _word(query_refusals(place, literals, Tier(row["project's tier"]))) == row["answer"]
