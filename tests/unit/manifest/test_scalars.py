"""What a written form lets through can be parsed, exactly."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from batuta.manifest import scalars


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", 900), ("24h", 86400), ("30d", 2592000), ("2w", 1209600), ("0s", 0)]
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert re.search(scalars.DURATION.pattern, text)
    assert scalars.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["15", "m", "1h30m", "-1h", "1.5h", "1 h", "1y"])
def test_other_texts_are_no_durations(text: str) -> None:
    assert not re.search(scalars.DURATION.pattern, text)


def test_sizes_are_powers_of_1024_and_money_is_exact() -> None:
    assert scalars.size_bytes("5Ti") == 5 * 1024**4
    assert scalars.size_bytes(17) == 17
    assert scalars.money("20.10 USD") == (Decimal("20.10"), "USD")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-31T10:00:00Z", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ("2027-01-31t10:00:00.5+02:00", datetime(2027, 1, 31, 8, 0, 0, 500000, tzinfo=UTC)),
        ("2027-01-31 10:00:00.123456789z", datetime(2027, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2027-01-31", None), ("2027-02-30T10:00:00Z", None), ("2027-01-31T10:00:00", None),
        ("0001-01-01T00:00:00+23:00", None), ("2027-01-31T10:00:00Z\n", None),
    ],
)  # fmt: skip
def test_a_time_is_rfc_3339_and_becomes_utc(text: str, moment: datetime | None) -> None:
    assert scalars.instant(text) == moment


@pytest.mark.parametrize(
    "reference", ["env:A", "file:~/x", "keyring:s/n", "profile:p", "command:c"]
)
def test_a_secret_is_one_of_five_references(reference: str) -> None:
    assert re.search(scalars.REFERENCE.pattern, reference)
    assert not re.search(scalars.REFERENCE.pattern, reference.replace(":", ""))
