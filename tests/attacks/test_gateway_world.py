"""The rows of the table from inside a real worker, against an internet in namespaces.

Three witnesses: what the worker saw, the egress log, and the sinks. The rows that must get
through come in the same run, so a silent sink means something.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.attacks.gateway_lab import attacks
from tests.attacks.harness import SOMEBODY, Internet, users
from tests.kernel import requires_kernel

pytestmark = [
    requires_kernel("user namespaces", "network namespaces", "seccomp", "landlock", "nftables"),
    pytest.mark.xdist_group("internet"),
]

GROUPS = ("gateway-name", "gateway-ip", "gateway-tls", "platform-redirect")
ALLOWED = ["EG-001", "EG-002", "EG-003"]
# A worker cannot send a NUL or an old hello through `ssl`; those rows are tried byte for byte in
# test_gateway_tls. Names under a wildcard are counted in test_gateway_names.
BLOCKED = [
    row
    for row in attacks(*GROUPS)
    if "connect" in row.get("request", {}) and row["name"] != "dns-tunnel-under-wildcard"
]
LEVELS = ["isolated", "filtered"]
WHO = ["runner" if uid is None else "somebody" for uid in users()]


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    with Internet() as made:
        made.call("tests.attacks.scenes:control")
        assert {record["to"] for record in made.seen()} & {"23.20.0.12:443", "23.20.0.12:80"}
        yield made


@pytest.fixture(
    scope="module", params=[(level, who) for level in LEVELS for who in WHO], ids="-".join
)
def told(internet: Internet, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Everything once at a level as somebody, and what the sinks saw of it."""
    level, who = request.param
    found: dict[str, Any] = internet.call(
        "tests.attacks.gateway_scenes:through", uid=SOMEBODY if who == "somebody" else None,
        level=level, ids=[*ALLOWED, *(row["id"] for row in BLOCKED)],
        authority=str(internet.ca_file),
    )  # fmt: skip
    return found | {"seen": internet.seen()}


def test_what_is_allowed_reaches_the_sink(told: dict[str, Any]) -> None:
    heads = [record["head"] for record in told["seen"] if record["kind"] == "tcp"]
    for each in ALLOWED:
        assert told["outcomes"][each]["text"] == "200", told["outcomes"][each]
        assert any(f"GET /{each} " in head for head in heads)
    assert sum(line["event"] == "open" for line in told["log"]) == len(ALLOWED)


@pytest.mark.parametrize("row", BLOCKED, ids=lambda row: row["name"])
def test_what_is_blocked_reaches_nobody(told: dict[str, Any], row: dict[str, Any]) -> None:
    outcome = told["outcomes"][row["id"]]
    assert outcome["done"], outcome
    assert outcome["text"] in {"403", "TLSV1_ALERT_ACCESS_DENIED"}, outcome
    heads = [record["head"] for record in told["seen"] if record["kind"] == "tcp"]
    assert not any(row["id"] in head for head in heads)
    order = [each["id"] for each in attacks("control", *GROUPS) if each["id"] in told["outcomes"]]
    lines = [line for line in told["log"] if line["event"] in ("refused", "open")]
    line = lines[order.index(row["id"])]
    assert line["verdict"] == "deny"
    assert line["code"] in row["code"].split("|")


def test_only_the_good_sink_was_spoken_to(told: dict[str, Any]) -> None:
    places = {record["to"] for record in told["seen"] if record["kind"] in ("tcp", "udp", "dns")}
    assert places == {"23.20.0.10:443"}
