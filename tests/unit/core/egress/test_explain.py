"""An explanation says what decided, from which line, and what would change it."""

import pytest

from batuta.core.egress.codes import MEANING, Code
from batuta.core.egress.explain import explain
from batuta.model.egress import HostNeed
from batuta.model.resource import EgressRule
from batuta.model.tier import Network
from tests.unit.core.egress.policies import FULL, HYBRID, STANDARD, action, document, place, reached

TIER = document("t", "*.good.test", tiers=(STANDARD,))
DATASET = document("d", "api.good.test", deny=("*.bad.test",), datasets=("sales",))


def test_an_open_host_names_the_rule_its_line_and_what_is_still_checked() -> None:
    found = explain((TIER, DATASET), action(reached("api.good.test")), "API.good.test.")
    assert found.allowed
    assert found.host == "api.good.test"
    assert found.rule is not None
    assert found.rule.origin == "EgressPolicy/d"
    assert found.steps[0].locations == (place(10),)
    assert "serves the objects" in found.steps[0].text
    assert "public" in found.steps[1].text
    assert found.fix == ""


def test_a_denied_host_names_the_denial_and_its_line() -> None:
    found = explain((TIER, DATASET), action(reached("api.good.test")), "x.y.bad.test")
    assert found.code is Code.HOST_BLOCKED
    assert found.rule is not None
    assert found.rule.pattern == "*.bad.test"
    assert found.steps[0].locations == (place(20),)
    assert found.fix


def test_a_host_that_the_specification_blocks_names_the_tier() -> None:
    found = explain((), action(tier=HYBRID), "huggingface.co")
    assert found.code is Code.HOST_BLOCKED
    assert "tier HybridSovereign" in found.steps[0].text
    assert found.fix == ""


def test_a_host_that_one_layer_leaves_out_names_that_layer_and_the_line_to_add() -> None:
    found = explain((TIER, DATASET), action(reached("other.good.test")), "other.good.test")
    assert found.code is Code.HOST_NOT_ALLOWED
    texts = [step.text for step in found.steps]
    assert "EgressPolicy/t, which applies by tier, allows it." in texts
    assert "EgressPolicy/d, which applies by dataset, does not allow it." in texts
    assert found.fix.startswith("Add `- {host: other.good.test, ports: [443]}`")
    assert "EgressPolicy/d" in found.fix


def test_a_host_that_is_not_needed_says_what_is() -> None:
    found = explain((TIER,), action(reached("api.good.test")), "www.good.test")
    assert found.code is Code.HOST_NOT_ALLOWED
    assert "it needs api.good.test:443" in found.steps[0].text
    assert found.fix == "Nothing opens a host that the action does not need."
    assert "no host at all" in explain((), action(tier=FULL), "www.good.test").steps[0].text


def test_another_port_of_an_open_host_is_closed() -> None:
    found = explain((), action(reached("api.good.test")), "api.good.test", 80)
    assert found.code is Code.PORT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("b\u00fccher.test", Code.HOST_NON_ASCII),
        ("a..test", Code.HOST_MALFORMED),
        ("0x7f.1", Code.HOST_IP_LITERAL),
        ("10.0.0.1", Code.HOST_IP_LITERAL),
    ],
)
def test_what_is_no_host_is_explained_too(host: str, code: Code) -> None:
    found = explain((), action(), host)
    assert found.code is code
    assert found.steps[0].text


def test_a_plain_endpoint_in_the_house_is_explained_by_its_form() -> None:
    house = reached(
        HostNeed(host="127.0.0.1", port=8333, scheme="http"),
        network=Network.ON_PREM,
        cidrs=("127.0.0.0/8",),
    )
    said = document("plain", EgressRule(host="127.0.0.1", ports=(8333,)), require_tls=False)
    found = explain((said,), action(house, tier=FULL, named="plain"), "127.0.0.1", 8333)
    assert found.allowed
    assert "127.0.0.0/8" in found.steps[1].text
    assert "Plain HTTP" in found.steps[1].text


def test_every_code_has_a_sentence() -> None:
    assert set(MEANING) == set(Code)
    assert all(text.endswith(".") for text in MEANING.values())


def test_an_ipv6_address_has_one_spelling_in_needs_questions_and_ways_out() -> None:
    need = HostNeed(host="[FD00:0::5]", port=9000, why="serves the objects")
    house = reached(need, network=Network.ON_PREM, cidrs=("fd00::/8",))
    asked = action(house, named="d")
    found = explain((document("d", "x.test"),), asked, "[fd00::5]", 9000)
    assert found.host == "[fd00::5]"
    assert found.steps[0].text == "The action needs [fd00::5]:9000."
    assert found.fix.startswith('Add `- {host: "[fd00::5]", ports: [9000]}`')

    allowed = document("d", EgressRule(host="[fd00::5]", ports=(9000,)))
    assert explain((allowed,), asked, "[fd00::5]", 9000).allowed
