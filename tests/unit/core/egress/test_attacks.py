"""The rows of the attack table that are decided without a socket, each by its expected code."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from batuta.core.egress.addresses import MAX_ADDRESSES, Demand
from batuta.core.egress.clienthello import Hello, parse_hello
from batuta.core.egress.codes import Code, Refused
from batuta.core.egress.hosts import Host
from batuta.core.egress.inspection import READING, Inside, judge_request
from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import Rule
from batuta.core.egress.verdict import (
    Request,
    Spent,
    choose,
    judge_addresses,
    judge_hello,
    may_open,
    may_send,
    read_head,
    split_head,
)
from batuta.model.tier import Tier
from tests.unit.core.egress.hellos import built, openssl, server_name

TABLE = yaml.safe_load((Path(__file__).parents[3] / "data/egress/attacks.yaml").read_text())
ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in TABLE["attacks"]}

NAMED = (
    "api.good.test", "*.prod.good.test", "good-bucket.s3.eu-central-1.amazonaws.com",
    *(f"{row['name']}.good.test" for row in TABLE["attacks"] if row["group"] == "gateway-ip"),
)  # fmt: skip
POLICY = Policy(
    tier=Tier.STANDARD,
    allow=(
        *(Rule(pattern=name) for name in NAMED),
        Rule(pattern="pull.good.test", max_upload_bytes=65536),
        Rule(pattern="cname.good.test", demand=Demand(cidrs=("23.20.0.10/32",))),
    ),
)


def _of(group: str, *fields: str) -> list[str]:
    rows = [r for r in TABLE["attacks"] if r["group"] == group and "request" in r]
    return [r["name"] for r in rows if all(f in r["request"] for f in fields)]


def _connect(row: dict[str, Any]) -> tuple[Rule | Refused, Host | None, bytes]:
    """Run the steps up to the rule; the bytes left over are the tunnel's."""
    target = row["request"]["connect"].replace("\\r\\n", "\r\n")
    received = f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    head = split_head(received)
    assert isinstance(head, tuple)
    request = read_head(head[0])
    if isinstance(request, Refused):
        return request, None, head[1]
    return choose(POLICY, request), request.host, head[1]


def _expected(row: dict[str, Any]) -> list[str]:
    return str(row["code"]).split("|")


def _hello(received: bytes) -> Hello:
    found = parse_hello(received)
    assert isinstance(found, Hello)
    return found


@pytest.mark.parametrize("name", _of("control", "connect", "sni"))
def test_a_control_reaches_its_host(name: str) -> None:
    row = ROWS[name]
    rule, host, _ = _connect(row)
    assert isinstance(rule, Rule)
    assert host is not None
    assert judge_addresses(rule, ["23.20.0.10", "2600:1f00::10"]) is None
    assert judge_hello(host, _hello(openssl(row["request"]["sni"]))) is None


@pytest.mark.parametrize("name", _of("gateway-name", "connect"))
def test_a_name_is_refused_before_it_is_looked_up(name: str) -> None:
    row = ROWS[name]
    found, _, rest = _connect(row)
    if row["code"] == "tls.not_tls":
        assert isinstance(found, Rule)
        hello = parse_hello(rest)
        assert isinstance(hello, Refused)
        assert hello.code == row["code"]
        return
    assert isinstance(found, Refused)
    assert found.code in _expected(row)


@pytest.mark.parametrize("name", _of("platform-redirect", "connect"))
def test_a_host_that_a_platform_might_send_one_to_is_refused(name: str) -> None:
    found, _, _ = _connect(ROWS[name])
    assert isinstance(found, Refused)
    assert found.code == ROWS[name]["code"]


@pytest.mark.parametrize("name", _of("gateway-ip", "dns"))
def test_an_answer_is_refused_before_it_is_connected_to(name: str) -> None:
    row = ROWS[name]
    rule, _, _ = _connect(row)
    assert isinstance(rule, Rule)
    found = judge_addresses(rule, row["request"]["dns"])
    assert found is not None
    assert found.code == row["code"]


def test_a_flood_of_answers_is_refused() -> None:
    rule = Rule(pattern="api.good.test")
    found = judge_addresses(rule, ["23.20.0.10"] * (MAX_ADDRESSES + 1))
    assert found is not None
    assert found.code == ROWS["dns-answer-flood"]["code"]


def test_a_tunnel_of_names_under_a_wildcard_has_an_end() -> None:
    rule = next(r for r in POLICY.allow if r.wildcard)
    names: set[str] = set()
    asked = (f"data{n}.prod.good.test" for n in range(10_000))
    for name in asked:
        if may_open(rule, Host(name), Spent(names=frozenset(names))) is not None:
            break
        names.add(name)
    assert len(names) == rule.max_names


HELLOS = {
    "sni-mismatch": openssl("evil.test"),
    "nul-sni": built(server_name(b"api.good.test\0")),
    "encrypted-client-hello": built(server_name(b"api.good.test"), (0xFE0D, b"x")),
    "old-tls": built(server_name(b"api.good.test"), legacy=0x0302),
}


@pytest.mark.parametrize("name", HELLOS)
def test_a_greeting_is_refused(name: str) -> None:
    hello = parse_hello(HELLOS[name])
    assert hello is not None
    found = hello if isinstance(hello, Refused) else judge_hello(Host("api.good.test"), hello)
    assert found is not None
    assert found.code in _expected(ROWS[name])


@pytest.mark.parametrize(
    ("sni", "code"),
    [
        (None, Code.TLS_NO_SNI),
        ("xapi.good.test", Code.TLS_SNI_MISMATCH),
        ("good.test", Code.TLS_SNI_MISMATCH),
        ("api.good.test.evil.test", Code.TLS_SNI_MISMATCH),
        ("API.GOOD.TEST", None),
    ],
)
def test_the_greeting_names_exactly_the_host_of_the_tunnel(
    sni: str | None, code: Code | None
) -> None:
    found = judge_hello(Host("api.good.test"), _hello(openssl(sni)))
    assert (found.code if found else None) is code


def test_plain_http_is_not_proxied() -> None:
    request = read_head(b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
    assert isinstance(request, Request)
    found = choose(POLICY, request)
    assert isinstance(found, Refused)
    assert found.code == ROWS["plain-http-absolute"]["code"]


def test_an_upload_ends_at_its_budget() -> None:
    rule = next(r for r in POLICY.allow if r.max_upload_bytes)
    sent = 0
    while may_send(POLICY, rule, Spent(uploaded_bytes=sent), 4096) is None:
        sent += 4096
    assert sent == rule.max_upload_bytes
    found = may_send(POLICY, rule, Spent(uploaded_bytes=sent), 4096)
    assert found is not None
    assert found.code == ROWS["upload-over-budget"]["code"]


INSPECTED = Rule(pattern="api.good.test", methods=READING, paths=("/sales",), inspect=True)
REQUESTS = {
    "domain-fronting-inspect": ("GET", "/sales/x", b"evil.test"),
    "inspect-method": ("PUT", "/sales/x", b"api.good.test"),
    "absolute-target-inside": ("GET", "https://evil.test/", b"api.good.test"),
    "hf-upload": ("POST", "/sales/x", b"api.good.test"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_inside_an_inspected_tunnel_is_refused(name: str) -> None:
    method, target, host = REQUESTS[name]
    inside = Inside(method=method, target=target, headers=((b"host", host),))
    found = judge_request(INSPECTED, Host("api.good.test"), 443, inside)
    assert found is not None
    assert found.code in _expected(ROWS[name])


def test_a_row_without_allow_list_is_refused() -> None:
    request = Request(method="CONNECT", host=Host("api.good.test"), port=443, target="")
    found = choose(Policy(tier=Tier.STANDARD), request)
    assert isinstance(found, Refused)
    assert found.code == ROWS["empty-allow-list"]["code"]


def test_the_table_has_rows_of_each_group() -> None:
    groups = ("gateway-name", "gateway-ip", "platform-redirect")
    assert [bool(_of(group, "connect")) for group in groups] == [True] * 3
