"""Conflicts of a merge, and the attack table's labels. The tables are in test_label_tables."""

from pathlib import Path

import pytest
import yaml

from batuta.core.labels.flows import (
    Choice,
    Denial,
    Input,
    Place,
    admits,
    conflict,
    ingested,
    merged,
    refusals,
    settled,
)
from batuta.core.labels.lattice import ALL, NONE, TOP, Label, Names, of_record, to_record
from batuta.model import log
from batuta.model.tier import Tier

FULL, HYBRID, PRIVATE, STANDARD = Tier
GOLDEN = yaml.safe_load((Path(__file__).parents[3] / "data/egress/attacks.yaml").read_text())
WORDS = {"ok": (), "no:confidentiality": (Denial.CONFIDENTIALITY,),
         "no:integrity": (Denial.INTEGRITY,)}  # fmt: skip


@pytest.mark.parametrize("origin", list(Tier))
def test_the_table_is_the_attack_table_s(origin: Tier) -> None:
    words = GOLDEN["flow_table"][origin.value]
    found = [refusals(Place(tier=t), ingested(origin)) for t in Tier]
    assert found == [WORDS[word] for word in words]


def test_output_that_is_brought_in_again_as_public_keeps_its_label_or_loses_all() -> None:
    known, stated = ingested(FULL), ingested(STANDARD)
    again = settled((known, stated))
    assert not any(admits(Place(tier=t), again) for t in Tier)


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
