"""Labels of a log: lost ones, and those of rows that stay. The tables are in test_tier_tables."""

from batuta.core.tiers import (
    UNKNOWN,
    keeps_secret,
    known,
    restated,
    trusts,
)
from batuta.model.log import Label
from batuta.model.tier import Network, Tier

FULL, HYBRID, PRIVATE, STANDARD = Tier
LOCAL, ON_PREM, LINK, VPC, PUBLIC = Network


def test_no_place_admits_data_whose_label_is_lost() -> None:
    assert not any(keeps_secret(tier, UNKNOWN) and trusts(tier, UNKNOWN) for tier in Tier)
    assert known(Label(confidentiality="Secret", integrity="Standard")) == UNKNOWN


def test_rows_that_stay_keep_the_greater_secrecy_and_the_lower_trust() -> None:
    kept = Label(confidentiality=HYBRID, integrity=HYBRID, declared=False)
    new = Label(confidentiality=STANDARD, integrity=STANDARD, declared=False)
    mixed = restated(kept, new)
    assert (mixed.confidentiality, mixed.integrity) == (HYBRID, STANDARD)


def test_a_newer_statement_about_the_same_rows_replaces_an_older_one() -> None:
    old, new = Label(confidentiality=FULL, integrity=FULL), Label(
        confidentiality=PRIVATE, integrity=STANDARD
    )  # fmt: skip
    assert restated(old, new) == new
