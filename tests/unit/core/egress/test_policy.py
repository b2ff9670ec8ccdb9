"""What tier, dataset and needs allow together; and every way in which they do not."""

from dataclasses import replace

import pytest

from batuta.core.egress.addresses import PRIVATE_RANGES
from batuta.core.egress.findings import denied, lint
from batuta.core.egress.policy import Action, compose, narrow
from batuta.core.egress.rules import Rule
from batuta.core.egress.verdict import Request, choose, read_head
from batuta.model.diagnostic import Severity
from batuta.model.egress import HostNeed
from batuta.model.resource import EgressPolicy, EgressRule
from batuta.model.tier import Network, Tier
from tests.unit.core.egress.policies import (
    FULL,
    HYBRID,
    PRIVATE,
    STANDARD,
    action,
    document,
    place,
    reached,
)

BUCKET = "sales.s3.eu-central-1.amazonaws.com"
PLAIN = HostNeed(host="127.0.0.1", port=8333, scheme="http", why="serves the objects")
HOUSE = {"network": Network.ON_PREM, "cidrs": ("127.0.0.0/8", "10.0.0.0/8")}


def _names(documents: tuple[EgressPolicy, ...], asked: Action) -> list[str]:
    return [rule.name for rule in compose(documents, asked).policy.allow]


def _codes(documents: tuple[EgressPolicy, ...], asked: Action) -> list[str]:
    return [d.code for d in compose(documents, asked).diagnostics]


def _request(text: str) -> Request:
    found = read_head(text.encode() + b"\r\n\r\n")
    assert isinstance(found, Request)
    return found


def test_without_documents_an_action_reaches_what_it_needs_and_nothing_else() -> None:
    assert _names((), action(reached(BUCKET))) == [f"{BUCKET}:443"]
    assert _names((), action()) == []
    assert compose((), action(tier=FULL)).policy.closed


@pytest.mark.parametrize(
    ("documents", "named", "allowed"),
    [
        ((document("t", BUCKET, tiers=(STANDARD,)),), None, True),
        ((document("t", "other.test", tiers=(STANDARD,)),), None, False),
        ((document("t", tiers=(STANDARD,)),), None, False),
        ((document("t", "other.test", tiers=(PRIVATE,)),), None, True),
        ((document("t", "other.test", tiers=(STANDARD,), datasets=("hr*",)),), None, True),
        ((document("t", "other.test", tiers=(PRIVATE,), datasets=("sal*",)),), None, True),
        ((document("d", BUCKET, datasets=("sal*",)),), None, True),
        ((document("d", "other.test", datasets=("sal*",)),), None, False),
        ((document("d", "other.test", datasets=("hr*",)),), None, True),
        ((document("n", "other.test"),), None, True),
        ((document("n", "other.test"),), "n", False),
        ((document("n", BUCKET), document("d", "other.test", datasets=("sal*",))), "n", True),
        ((document("t", BUCKET, tiers=(STANDARD,)), document("n", "other.test")), "n", False),
        ((document("t", "other.test", tiers=(STANDARD,)), document("n", BUCKET)), "n", False),
        (
            (document("t", "x.test", tiers=(STANDARD,)), document("u", BUCKET, tiers=(STANDARD,))),
            None,
            True,
        ),
        ((document("w", "*.s3.eu-central-1.amazonaws.com", tiers=(STANDARD,)),), None, True),
        ((document("w", "*.amazonaws.com", tiers=(STANDARD,)),), None, False),
    ],
)
def test_each_layer_that_applies_has_to_allow_a_needed_host(
    documents: tuple[EgressPolicy, ...], named: str | None, allowed: bool
) -> None:
    asked = action(reached(BUCKET), named=named)
    assert _names(documents, asked) == ([f"{BUCKET}:443"] if allowed else [])
    assert _codes(documents, asked) == ([] if allowed else ["EGR101"])


def test_a_wildcard_in_a_document_opens_only_the_host_that_is_needed() -> None:
    both = (document("t", "*.s3.eu-central-1.amazonaws.com", tiers=(STANDARD,)),)
    policy = compose(both, action(reached(BUCKET))).policy
    assert [(r.pattern, r.origin, r.locations) for r in policy.allow] == [
        (BUCKET, "EgressPolicy/t", (place(10),))
    ]


def test_a_missing_host_names_the_policy_its_line_and_the_line_to_add() -> None:
    both = (document("t", "other.test", tiers=(STANDARD,)),)
    (found,) = compose(both, action(reached(BUCKET))).diagnostics
    assert "EgressPolicy/t" in found.detail
    assert f"- {{host: {BUCKET}, ports: [443]}}" in found.fix
    assert found.locations == (place(9),)


def test_a_port_that_no_line_lists_is_missing() -> None:
    other_port = (document("t", EgressRule(host=BUCKET, ports=(8443,)), tiers=(STANDARD,)),)
    assert _codes(other_port, action(reached(BUCKET))) == ["EGR101"]


@pytest.mark.parametrize(
    "denial", [BUCKET, BUCKET.upper() + ".", "*.amazonaws.com", "*.s3.eu-central-1.amazonaws.com"]
)
def test_a_denial_beats_what_is_allowed_at_any_depth(denial: str) -> None:
    both = (document("t", BUCKET, deny=(denial,), tiers=(STANDARD,)),)
    found = compose(both, action(reached(BUCKET)))
    assert [d.code for d in found.diagnostics] == ["EGR102"]
    assert found.diagnostics[0].locations == (place(20),)
    assert found.policy.allow == ()


@pytest.mark.parametrize(
    ("pattern", "denial", "ports", "closed"),
    [
        ("*.stage.test", "*.stage.test", (), True),
        ("*.a.stage.test", "*.stage.test", (), True),
        ("*.stage.test", "*.a.stage.test", (), False),
        ("*.stage.test", "a.stage.test", (), False),
        ("*.xstage.test", "*.stage.test", (), False),
        ("a.stage.test", "*.stage.test", (80,), False),
        ("a.stage.test", "*.stage.test", (80, 443), True),
    ],
)
def test_a_denial_closes_a_need_that_lies_within_it_as_a_whole(
    pattern: str, denial: str, ports: tuple[int, ...], closed: bool
) -> None:
    rule = Rule(pattern=denial, ports=ports)
    assert denied(Rule(pattern=pattern), [rule]) is (rule if closed else None)


def test_every_document_s_denials_count_also_of_one_that_is_not_named() -> None:
    both = (document("n", BUCKET), document("t", BUCKET, deny=(BUCKET,), tiers=(STANDARD,)))
    assert _codes(both, action(reached(BUCKET), named="n")) == ["EGR102"]


def test_the_smaller_cap_holds_between_layers_and_the_smallest_total_of_all() -> None:
    both = (
        document(
            "t",
            EgressRule(host=BUCKET, max_upload_bytes=100),
            tiers=(STANDARD,),
            max_bytes=5000,
        ),
        document("n", EgressRule(host=BUCKET, max_upload_bytes=70), max_bytes=9000),
    )
    policy = compose(both, action(reached(BUCKET), named="n")).policy
    assert [r.max_upload_bytes for r in policy.allow] == [70]
    assert policy.max_bytes == 5000
    assert policy.documents == ("n", "t")


@pytest.mark.parametrize("tier", list(Tier))
def test_a_plain_endpoint_in_the_house_needs_a_policy_that_says_so(tier: Tier) -> None:
    house = reached(PLAIN, **HOUSE)  # type: ignore[arg-type]
    said = document("plain", EgressRule(host="127.0.0.1", ports=(8333,)), require_tls=False)
    silent = document("tls", EgressRule(host="127.0.0.1", ports=(8333,)))
    assert _codes((), action(house, tier=tier)) == ["EGR103"]
    assert _codes((silent,), action(house, tier=tier, named="tls")) == ["EGR103"]
    (rule,) = compose((said,), action(house, tier=tier, named="plain")).policy.allow
    assert (rule.plain, rule.inspect, rule.on_prem) == (True, True, True)
    assert rule.demand.cidrs == HOUSE["cidrs"]
    assert rule.demand.loopback
    assert rule.demand.private


def test_a_plain_endpoint_is_open_at_its_port_and_form_alone() -> None:
    said = document("plain", EgressRule(host="127.0.0.1", ports=(8333,)), require_tls=False)
    asked = action(reached(PLAIN, **HOUSE), tier=FULL, named="plain")  # type: ignore[arg-type]
    policy = compose((said,), asked).policy
    first = choose(policy, _request("GET http://127.0.0.1:8333/b/k HTTP/1.1"))
    assert isinstance(first, Rule)
    for closed, code in [
        ("GET http://127.0.0.1:8334/b/k HTTP/1.1", "http.plaintext_proxying"),
        ("GET http://127.0.0.2:8333/b/k HTTP/1.1", "http.plaintext_proxying"),
        ("CONNECT 127.0.0.1:8334 HTTP/1.1", "port.not_allowed"),
        ("CONNECT 127.0.0.1:8333 HTTP/1.1", "http.method"),
        ("CONNECT 127.0.0.2:8333 HTTP/1.1", "host.ip_literal"),
        ("CONNECT localhost:8333 HTTP/1.1", "host.malformed"),
    ]:
        verdict = choose(policy, _request(closed))
        assert not isinstance(verdict, Rule)
        assert verdict.code == code, closed


def test_a_tls_endpoint_in_the_house_may_be_an_address_or_one_label() -> None:
    for host in ("10.0.0.7", "[fd00::7]", "minio"):
        house = reached(HostNeed(host=host, port=9000), **HOUSE)  # type: ignore[arg-type]
        policy = compose((), action(house, tier=FULL)).policy
        verdict = choose(policy, _request(f"CONNECT {host}:9000 HTTP/1.1"))
        assert isinstance(verdict, Rule)
        assert not verdict.plain


@pytest.mark.parametrize(
    ("need", "network", "tier", "codes"),
    [
        (PLAIN, Network.PUBLIC, STANDARD, ["EGR104"]),
        (PLAIN, Network.VPC, PRIVATE, ["EGR104", "EGR107"]),
        (HostNeed(host="10.0.0.7"), Network.PUBLIC, STANDARD, ["EGR105"]),
        (HostNeed(host="minio"), Network.PUBLIC, STANDARD, ["EGR105"]),
        (HostNeed(host="b\u00fccher.test"), Network.PUBLIC, STANDARD, ["EGR105"]),
        (HostNeed(host="*.stage.test"), Network.PUBLIC, STANDARD, []),
        (HostNeed(host="*.stage.test"), Network.VPC, PRIVATE, ["EGR106", "EGR107"]),
        (HostNeed(host="*.stage.test"), Network.PRIVATE_LINK, HYBRID, ["EGR106", "EGR107"]),
    ],
)
def test_a_need_that_the_network_or_the_tier_cannot_check_is_refused(
    need: HostNeed, network: Network, tier: Tier, codes: list[str]
) -> None:
    found = compose((), action(reached(need, network=network), tier=tier))
    assert [d.code for d in found.diagnostics] == codes
    assert found.policy.closed is any(d.severity is Severity.ERROR for d in found.diagnostics)


@pytest.mark.parametrize(
    ("network", "tier", "cidrs", "ranges", "notes"),
    [
        (Network.PRIVATE_LINK, HYBRID, ("10.1.0.0/16",), ("10.1.0.0/16",), []),
        (Network.PRIVATE_LINK, HYBRID, (), PRIVATE_RANGES, ["EGR107"]),
        (Network.VPC, PRIVATE, ("10.1.0.0/16",), ("10.1.0.0/16",), []),
        (Network.VPC, PRIVATE, (), (), ["EGR107"]),
        (Network.PUBLIC, STANDARD, (), (), []),
    ],
)
def test_addresses_lie_where_the_platform_s_network_says(
    network: Network,
    tier: Tier,
    cidrs: tuple[str, ...],
    ranges: tuple[str, ...],
    notes: list[str],
) -> None:
    found = compose((), action(reached(BUCKET, network=network, cidrs=cidrs), tier=tier))
    (rule,) = found.policy.allow
    assert rule.demand.cidrs == ranges
    assert not rule.demand.loopback
    assert [(d.code, d.severity) for d in found.diagnostics] == [
        (code, Severity.NOTE) for code in notes
    ]


@pytest.mark.parametrize(
    ("tier", "shared", "inspected"),
    [
        (HYBRID, False, True), (HYBRID, True, True), (PRIVATE, False, False),
        (PRIVATE, True, True), (STANDARD, True, False),
    ],
)  # fmt: skip
def test_requests_are_read_where_the_host_proves_too_little(
    tier: Tier, shared: bool, inspected: bool
) -> None:
    need = HostNeed(host=BUCKET, shared=shared, paths=("/sales",))
    asked = action(reached(need, network=Network.PRIVATE_LINK, cidrs=("10.0.0.0/8",)), tier=tier)
    (rule,) = compose((), asked).policy.allow
    assert (rule.inspect, rule.paths) == (inspected, ("/sales",))


def test_a_malformed_host_in_a_document_is_a_finding_with_its_line_and_opens_nothing() -> None:
    both = (document("t", "a..test", BUCKET, deny=("b-.test",), tiers=(STANDARD,)),)
    found = compose(both, action(reached(BUCKET)))
    assert [(d.code, d.locations) for d in found.diagnostics] == [
        ("EGR105", (place(10),)), ("EGR105", (place(20),)),
    ]  # fmt: skip
    assert [r.pattern for r in found.policy.allow] == [BUCKET]


def test_the_digest_tells_what_is_said_and_not_where_or_in_which_order() -> None:
    first = compose((), action(reached("a.test", "b.test"))).policy
    again = compose((), action(reached("b.test", "a.test", name="other"))).policy
    assert first.digest == again.digest
    assert len(first.digest) == 64
    moved = replace(first, allow=tuple(replace(r, locations=(place(99),)) for r in first.allow))
    assert moved.digest == first.digest
    for other in (
        replace(first, tier=PRIVATE),
        replace(first, max_bytes=1),
        replace(first, allow=first.allow[1:]),
        replace(first, allow=tuple(replace(r, max_upload_bytes=1) for r in first.allow)),
        replace(first, allow=tuple(replace(r, methods=("GET",)) for r in first.allow)),
    ):
        assert other.digest != first.digest


def test_a_worker_s_policy_is_never_wider_than_the_action_s() -> None:
    policy = compose((), action(reached("a.test", "*.stage.test"))).policy
    reader = narrow(
        policy,
        [("a.test", 443), ("x.stage.test", 443), ("evil.test", 443), ("a.test", 80)],
        methods=("GET", "HEAD"),
        upload_bytes=64 * 1024,
    )
    assert [(r.name, r.methods, r.max_upload_bytes) for r in reader.allow] == [
        ("a.test:443", ("GET", "HEAD"), 65536),
        ("x.stage.test:443", ("GET", "HEAD"), 65536),
    ]
    assert narrow(reader, [("a.test", 443)], methods=("PUT",)).closed
    assert narrow(reader, [("a.test", 443)], upload_bytes=10**9).allow[0].max_upload_bytes == 65536


@pytest.mark.parametrize(
    ("host", "tiers", "severity"),
    [
        ("*.amazonaws.com", (PRIVATE,), Severity.ERROR),
        ("*.hf.co", (HYBRID, STANDARD), Severity.ERROR),
        ("*.core.windows.net", (FULL,), Severity.ERROR),
        ("*.amazonaws.com", (STANDARD,), Severity.WARNING),
        ("*.s3.eu-central-1.amazonaws.com", (PRIVATE,), Severity.WARNING),
        ("*.lake.test", (PRIVATE,), None),
        (BUCKET, (PRIVATE,), None),
        ("*.notamazonaws.com", (PRIVATE,), None),
    ],
)
def test_a_wildcard_under_a_domain_that_all_customers_share_is_found(
    host: str, tiers: tuple[Tier, ...], severity: Severity | None
) -> None:
    found = lint(document("p", host, tiers=tiers))
    assert [(d.code, d.severity, d.locations) for d in found] == (
        [("EGR108", severity, (place(10),))] if severity else []
    )
