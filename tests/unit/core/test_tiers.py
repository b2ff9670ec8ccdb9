"""The sovereignty matrix as a table that a compliance officer can read, and the labels."""

import pytest

from batuta.core.tiers import (
    UNKNOWN,
    Carried,
    End,
    admits,
    derive,
    join,
    keeps_secret,
    known,
    platform_label,
    restrict,
    trusts,
)
from batuta.model.log import Label
from batuta.model.tier import Network, Tier

FULL, HYBRID, PRIVATE, STANDARD = Tier
LOCAL, ON_PREM, LINK, VPC, PUBLIC = Network

# platform type, network                admitted by: Full   Hybrid Private Standard
MATRIX = [
    ("local",       LOCAL,                            True,  True,  True,  True),
    ("pacha",       LOCAL,                            True,  True,  True,  True),
    ("aws",         ON_PREM,                          True,  True,  True,  True),
    ("mlflow",      ON_PREM,                          True,  True,  True,  True),
    ("aws",         LINK,                             False, True,  True,  True),
    ("snowflake",   LINK,                             False, True,  True,  True),
    ("azure",       LINK,                             False, True,  True,  True),
    ("iceberg",     LINK,                             False, True,  True,  True),
    ("databricks",  LINK,                             False, False, True,  True),
    ("huggingface", LINK,                             False, False, True,  True),
    ("aws",         VPC,                              False, False, True,  True),
    ("snowflake",   VPC,                              False, False, True,  True),
    ("databricks",  VPC,                              False, False, True,  True),
    ("huggingface", VPC,                              False, False, True,  True),
    ("aws",         PUBLIC,                           False, False, False, True),
    ("snowflake",   PUBLIC,                           False, False, False, True),
    ("databricks",  PUBLIC,                           False, False, False, True),
    ("huggingface", PUBLIC,                           False, False, False, True),
    ("anything",    PUBLIC,                           False, False, False, True),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "network", "full", "hybrid", "private", "standard"), MATRIX)
def test_a_tier_admits_what_the_matrix_says(
    platform: str, network: Network, full: bool, hybrid: bool, private: bool, standard: bool
) -> None:
    found = [admits(tier, network, platform) for tier in Tier]
    assert found == [full, hybrid, private, standard]


@pytest.mark.parametrize("network", list(Network))
@pytest.mark.parametrize("platform", ["local", "aws", "databricks", "huggingface", "snowflake"])
def test_a_tier_admits_all_that_a_more_sovereign_one_admits(
    platform: str, network: Network
) -> None:
    found = [admits(tier, network, platform) for tier in Tier]
    assert found == sorted(found), "once admitted, admitted by every weaker tier"


# data of a Platform at the row's tier may enter a dataset of the column's tier
#            into:  Full   Hybrid Private Standard
FLOWS = [
    (FULL,          True,  False, False, False),
    (HYBRID,        True,  True,  False, False),
    (PRIVATE,       True,  True,  True,  False),
    (STANDARD,      False, False, True,  True),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "full", "hybrid", "private", "standard"), FLOWS)
def test_data_flows_as_the_table_says(
    origin: Tier, full: bool, hybrid: bool, private: bool, standard: bool
) -> None:
    label = Label(confidentiality=origin, integrity=origin)
    found = [keeps_secret(tier, label) and trusts(tier, label) for tier in Tier]
    assert found == [full, hybrid, private, standard]


def test_no_place_admits_data_whose_label_is_lost() -> None:
    assert not any(keeps_secret(tier, UNKNOWN) and trusts(tier, UNKNOWN) for tier in Tier)
    assert known(Label(confidentiality="Secret", integrity="Standard")) == UNKNOWN


def _ends(source: Network, destination: Network) -> tuple[End, End]:
    return (
        End(role="source", what="a", network=source, platform_type="aws"),
        End(role="destination", what="b", network=destination, platform_type="aws"),
    )


@pytest.mark.parametrize(
    ("source", "destination", "carried", "tier"),
    [
        (LOCAL, LOCAL, Carried(), PRIVATE),
        (LOCAL, LOCAL, Carried(stated=FULL), FULL),
        (LOCAL, LOCAL, Carried(stated=STANDARD), PRIVATE),
        (LOCAL, PUBLIC, Carried(), STANDARD),
        (LOCAL, PUBLIC, Carried(stated=PRIVATE), None),
        (LOCAL, LINK, Carried(stated=HYBRID), HYBRID),
        (LINK, LOCAL, Carried(label=platform_label(LINK, "aws")), HYBRID),
        (VPC, LOCAL, Carried(label=platform_label(VPC, "aws")), PRIVATE),
        (PUBLIC, LOCAL, Carried(label=platform_label(PUBLIC, "aws")), STANDARD),
        (ON_PREM, LOCAL, Carried(label=platform_label(ON_PREM, "aws")), FULL),
        (LOCAL, LOCAL, Carried(label=UNKNOWN), None),
    ],
)
def test_the_derived_tier_is_the_most_sovereign_one_that_admits_both_ends_and_the_label(
    source: Network, destination: Network, carried: Carried, tier: Tier | None
) -> None:
    assert derive(_ends(source, destination), carried) is tier


def test_rows_that_stay_keep_the_greater_secrecy_and_the_lower_trust() -> None:
    kept = Label(confidentiality=HYBRID, integrity=HYBRID, declared=False)
    new = Label(confidentiality=STANDARD, integrity=STANDARD, declared=False)
    mixed = join(kept, new)
    assert (mixed.confidentiality, mixed.integrity) == (HYBRID, STANDARD)


def test_a_newer_statement_replaces_an_older_one() -> None:
    old, new = Label(confidentiality=FULL, integrity=FULL), Label(
        confidentiality=PRIVATE, integrity=STANDARD
    )  # fmt: skip
    assert join(old, new) == new


@pytest.mark.parametrize(
    ("label", "asked", "left"),
    [
        ((), (), ()),
        ((), ("eu",), ("eu",)),
        (("eu",), (), ("eu",)),
        (("eu", "us"), ("us", "asia"), ("us",)),
        (("eu",), ("us",), None),
    ],
)
def test_residency_only_ever_narrows(
    label: tuple[str, ...], asked: tuple[str, ...], left: tuple[str, ...] | None
) -> None:
    found = restrict(Label(confidentiality=FULL, integrity=FULL, residency=label), asked)
    assert (found.residency if found else None) == left
