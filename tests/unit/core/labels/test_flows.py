"""Where labelled data may lie: tables for a compliance officer, and the attack table's labels."""

from itertools import product
from pathlib import Path

import pytest
import yaml

from batuta.core.labels.flows import (
    Broken,
    Choice,
    Denial,
    Input,
    Place,
    admits,
    conflict,
    ingested,
    merged,
    query_refusals,
    refusals,
    settled,
    unlabelled,
)
from batuta.core.labels.lattice import ALL, NONE, TOP, Label, Names, of_record, to_record
from batuta.model import log
from batuta.model.tier import Tier

FULL, HYBRID, PRIVATE, STANDARD = Tier
GOLDEN = yaml.safe_load((Path(__file__).parents[3] / "data/egress/attacks.yaml").read_text())
WORDS = {"ok": (), "no:confidentiality": (Denial.CONFIDENTIALITY,),
         "no:integrity": (Denial.INTEGRITY,)}  # fmt: skip

# origin                 to: Full  Hybrid Private Standard   (ok, C: too secret, I: too doubtful)
FLOWS = [
    (FULL,                   "ok", "C",   "C",    "C"),
    (HYBRID,                 "ok", "ok",  "C",    "C"),
    (PRIVATE,                "ok", "ok",  "ok",   "C"),
    (STANDARD,               "I",  "I",   "ok",   "ok"),
]  # fmt: skip

# origin                 to a strict place: Full  Hybrid Private Standard
STRICT = [
    (FULL,                                  "ok", "C",   "C",    "C"),
    (HYBRID,                                "I",  "ok",  "C",    "C"),
    (PRIVATE,                               "I",  "I",   "ok",   "C"),
    (STANDARD,                              "I",  "I",   "I",    "ok"),
]  # fmt: skip
LETTERS = {Denial.CONFIDENTIALITY: "C", Denial.INTEGRITY: "I", Denial.RESIDENCY: "R"}


def _word(place: Place, label: Label) -> str:
    return "".join(LETTERS[d] for d in refusals(place, label)) or "ok"


@pytest.mark.parametrize("row", FLOWS)
def test_data_flows_as_the_table_says(row: tuple[Tier, str, str, str, str]) -> None:
    origin, *words = row
    assert [_word(Place(tier=t), ingested(origin)) for t in Tier] == words


@pytest.mark.parametrize("row", STRICT)
def test_a_strict_place_takes_its_own_tier_or_better(row: tuple[Tier, str, str, str, str]) -> None:
    origin, *words = row
    assert [_word(Place(tier=t, strict=True), ingested(origin)) for t in Tier] == words


@pytest.mark.parametrize("origin", list(Tier))
def test_the_table_is_the_attack_table_s(origin: Tier) -> None:
    words = GOLDEN["flow_table"][origin.value]
    found = [refusals(Place(tier=t), ingested(origin)) for t in Tier]
    assert found == [WORDS[word] for word in words]


def test_nothing_is_weaker_than_the_specification_and_every_other_denial_is_a_write_down() -> None:
    allowed = 0
    for origin, place in product(Tier, Tier):
        specified = not (origin is STANDARD and place in {FULL, HYBRID})
        found = refusals(Place(tier=place), ingested(origin))
        allowed += not found
        if specified:
            assert set(found) <= {Denial.CONFIDENTIALITY}
        else:
            assert found
    assert allowed == 8


@pytest.mark.parametrize(
    ("regions", "region", "word"),
    [
        ((), None, "ok"),
        ((), "eu", "ok"),
        (("eu",), "eu", "ok"),
        (("eu", "ch"), "ch", "ok"),
        (("eu",), "us", "R"),
        (("eu",), None, "R"),
    ],
)
def test_data_stays_in_its_regions_and_an_unknown_one_is_none(
    regions: tuple[str, ...], region: str | None, word: str
) -> None:
    assert _word(Place(tier=PRIVATE, region=region), ingested(PRIVATE, regions)) == word


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("region", [None, "eu"])
def test_no_place_takes_in_data_without_a_label(tier: Tier, region: str | None) -> None:
    assert settled(()) == TOP
    assert not admits(Place(tier=tier, region=region), settled(()))


EU, US = ingested(HYBRID, ("eu",)), ingested(HYBRID, ("us",))


@pytest.mark.parametrize(
    ("found", "label"),
    [
        ((), TOP),
        ((EU,), EU),
        ((EU, EU, EU), EU),
        ((EU, US), TOP),
        ((EU, "broken"), TOP),
        (("broken",), TOP),
        ((ingested(FULL), ingested(STANDARD)), TOP),
    ],
)
def test_a_label_is_believed_where_all_that_is_found_agrees(
    found: tuple[Label | Broken, ...], label: Label
) -> None:
    assert settled(found) == label


def test_output_that_is_brought_in_again_as_public_keeps_its_label_or_loses_all() -> None:
    known, stated = ingested(FULL), ingested(STANDARD)
    again = settled((known, stated))
    assert not any(admits(Place(tier=t), again) for t in Tier)


@pytest.mark.parametrize(
    ("tier", "stated", "platform", "secret", "trusted"),
    [
        (PRIVATE, None, None, PRIVATE, STANDARD),
        (FULL, None, None, FULL, STANDARD),
        (FULL, FULL, None, FULL, FULL),
        (PRIVATE, STANDARD, None, STANDARD, STANDARD),
        (PRIVATE, None, HYBRID, HYBRID, HYBRID),
        (STANDARD, FULL, STANDARD, STANDARD, STANDARD),
    ],
)
def test_data_without_a_label_gets_the_platform_s_the_owner_s_or_the_dataset_s(
    tier: Tier, stated: Tier | None, platform: Tier | None, secret: Tier, trusted: Tier
) -> None:
    found = unlabelled(tier, stated, platform)
    assert (found.confidentiality, found.integrity) == (secret, trusted)


def test_a_query_carries_what_its_literals_were_taken_from() -> None:
    cloud = Place(tier=STANDARD)
    assert query_refusals(cloud, [ingested(FULL)], STANDARD) == (Denial.QUERY,)
    assert query_refusals(cloud, [ingested(STANDARD), ingested(PRIVATE)], STANDARD) == (
        Denial.QUERY,
    )
    assert query_refusals(cloud, [ingested(STANDARD)], FULL) == ()
    assert query_refusals(cloud, [], PRIVATE) == (Denial.QUERY,)
    assert query_refusals(Place(tier=FULL), [ingested(STANDARD)], FULL) == ()


def test_the_specification_s_conflict_is_one_with_its_choices_and_the_honest_one() -> None:
    model = Input("./sovereign-model/", ingested(FULL, owners=("legal",)))
    public = Input("./public-hf-data/", ingested(STANDARD))
    found = conflict(Place(tier=FULL), [model, public])
    assert found is not None
    assert found.denials == (Denial.INTEGRITY,)
    assert found.nowhere
    ways = {w.choice: w for w in found.ways}
    assert list(ways) == [Choice.DECLASSIFY, Choice.RESOURCE, Choice.ENDORSE, Choice.QUIT]
    assert ways[Choice.DECLASSIFY].inputs == ("./sovereign-model/",)
    assert ways[Choice.DECLASSIFY].to is STANDARD
    assert ways[Choice.DECLASSIFY].owners == Names(frozenset({"legal"}))
    assert ways[Choice.RESOURCE].inputs == ("./public-hf-data/",)
    assert ways[Choice.RESOURCE].to is PRIVATE
    assert ways[Choice.ENDORSE].inputs == ("./public-hf-data/",)
    assert ways[Choice.ENDORSE].to is PRIVATE
    assert ways[Choice.QUIT].inputs == ()


def test_a_merge_that_the_target_admits_is_no_conflict() -> None:
    parts = [Input("a", ingested(PRIVATE)), Input("b", ingested(HYBRID))]
    assert conflict(Place(tier=FULL), parts) is None
    assert conflict(Place(tier=HYBRID), parts) is None


def test_a_merge_into_a_less_sovereign_place_can_only_be_released() -> None:
    found = conflict(
        Place(tier=STANDARD), [Input("a", ingested(PRIVATE)), Input("b", ingested(FULL))]
    )
    assert found is not None
    assert not found.nowhere
    assert [w.choice for w in found.ways] == [Choice.DECLASSIFY, Choice.RESOURCE, Choice.QUIT]
    assert found.ways[0].inputs == ("a", "b")


def test_a_review_is_no_way_out_where_the_place_is_also_too_open() -> None:
    parts = [Input("secret", ingested(FULL)), Input("public", ingested(STANDARD))]
    found = conflict(Place(tier=PRIVATE, strict=True), parts)
    assert found is not None
    assert found.denials == (Denial.CONFIDENTIALITY, Denial.INTEGRITY)
    assert [(w.choice, w.inputs) for w in found.ways] == [
        (Choice.DECLASSIFY, ("secret",)),
        (Choice.RESOURCE, ("secret", "public")),
        (Choice.QUIT, ()),
    ]


def test_data_whose_label_is_lost_can_only_be_fetched_anew() -> None:
    found = conflict(Place(tier=FULL), [Input("a", ingested(FULL)), Input("b", TOP)])
    assert found is not None
    assert [(w.choice, w.inputs) for w in found.ways] == [
        (Choice.RESOURCE, ("b",)), (Choice.QUIT, ()),
    ]  # fmt: skip


def test_what_is_taken_out_of_a_merge_again_keeps_the_merge_s_label() -> None:
    parts = [Input("own", ingested(FULL)), Input("foreign", ingested(STANDARD))]
    assert not any(admits(Place(tier=t), merged(parts)) for t in Tier)


def test_a_label_of_a_log_is_read_and_written() -> None:
    record = log.Label(confidentiality="HybridSovereign", integrity="PrivateCloud",
                       residency=("ch", "eu"), declared=True)  # fmt: skip
    label = of_record(record)
    assert label.regions == Names(frozenset({"eu", "ch"}))
    assert to_record(label, declared=True) == record
    anywhere = of_record(log.Label(confidentiality="Standard", integrity="Standard"))
    assert anywhere.regions == ALL
    assert to_record(anywhere, declared=False) == log.Label(
        confidentiality="Standard", integrity="Standard", declared=False
    )


@pytest.mark.parametrize(("secret", "trusted"), [("Secret", "Standard"), ("Standard", "")])
def test_a_record_that_names_no_tier_is_the_top(secret: str, trusted: str) -> None:
    assert of_record(log.Label(confidentiality=secret, integrity=trusted)) == TOP
    assert of_record(None) == TOP


def test_a_label_without_a_region_cannot_be_written_as_one_with_all() -> None:
    assert (
        to_record(Label(confidentiality=FULL, integrity=FULL, regions=NONE), declared=True) is None
    )
    assert to_record(TOP, declared=True) is None
