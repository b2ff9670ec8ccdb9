"""Heads of requests, the choice of a rule, and budgets."""

from dataclasses import replace

import pytest

from batuta.core.egress.codes import Code, Refused
from batuta.core.egress.hosts import Host
from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import MAX_CONNECTION_S, MAX_CONNECTIONS, Rule
from batuta.core.egress.verdict import (
    MAX_HEAD,
    Request,
    Spent,
    choose,
    may_move,
    may_open,
    may_send,
    may_stay,
    read_head,
    split_head,
)
from batuta.model.tier import Tier
from tests.unit.core.egress.policies import policy_for

END = b"\r\n\r\n"


def _code(line: bytes) -> Code | None:
    found = read_head(line + END)
    return found.code if isinstance(found, Refused) else None


def test_a_connect_names_host_and_port() -> None:
    found = read_head(b"CONNECT API.good.test.:443 HTTP/1.1\r\nHost: evil.test" + END)
    assert found == Request(
        method="CONNECT", host=Host("api.good.test"), port=443, target="API.good.test.:443"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"", b"CONNECT", b"CONNECT api.good.test:443", b"CONNECT  api.good.test:443 HTTP/1.1",
        b"CONNECT api.good.test:443 HTTP/1.1 x", b"connect api.good.test:443 HTTP/1.1",
        b"CONNECT api.good.test:443 HTTP/2", b"CONNECT api.good.test:443 http/1.1",
        b"CONNECT api.good.test HTTP/1.1", b"CONNECT api.good.test: HTTP/1.1",
        b"CONNECT api.good.test:0 HTTP/1.1", b"CONNECT api.good.test:65536 HTTP/1.1",
        b"CONNECT api.good.test:000443 HTTP/1.1", b"CONNECT api.good.test:+443 HTTP/1.1",
        b"CONNECT api.good.test:4_3 HTTP/1.1", b"CONNECT api.good.test:-1 HTTP/1.1",
        b"CONNECT api.good.test:0x1bb HTTP/1.1", b"CONNECT :443 HTTP/1.1\nX: y",
        b"CONNECT api.good.test:443 HTTP/1.1\nX: y", b"CONNECT api.good.test:443 HTTP/1.1\r\nX: \0",
        b"CONNECT api.good.test:443 HTTP/1.1\r\nX: a\rb", b"CONNECT\tapi.good.test:443\tHTTP/1.1",
        b"GET http://a.test HTTP/1.1", b"GET http://a.test:x/ HTTP/1.1",
        b"GET http://a.test/#f HTTP/1.1", "GET http://a.test/\u00e9 HTTP/1.1".encode(),
    ],
)  # fmt: skip
def test_a_head_that_http_does_not_define_is_malformed(line: bytes) -> None:
    assert _code(line) is Code.HTTP_MALFORMED


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1", b"GET https://api.good.test/ HTTP/1.1", b"OPTIONS * HTTP/1.1",
        b"POST ftp://a.test/ HTTP/1.0", b"TRACE / HTTP/1.1",
    ],
)  # fmt: skip
def test_anything_but_connect_and_absolute_http_is_plain_proxying(line: bytes) -> None:
    assert _code(line) is Code.HTTP_PLAINTEXT


@pytest.mark.parametrize(
    ("target", "host", "port", "path"),
    [
        ("http://minio/b", "minio", 80, "/b"),
        ("HTTP://Minio:9000/b/k?x=y", "minio", 9000, "/b/k?x=y"),
        ("http://[::1]:9000/", "::1", 9000, "/"),
        ("http://[::1]/", "::1", 80, "/"),
        ("http://127.0.0.1:8333/b?sig=secret", "127.0.0.1", 8333, "/b?sig=secret"),
    ],
)
def test_an_absolute_target_names_host_port_and_path(
    target: str, host: str, port: int, path: str
) -> None:
    found = read_head(f"GET {target} HTTP/1.1".encode() + END)
    assert isinstance(found, Request)
    assert (found.host.name, found.port, found.path, found.plain) == (host, port, path, True)
    assert "?" not in found.target


def test_a_head_ends_at_its_first_empty_line_and_the_rest_is_the_tunnel_s() -> None:
    second = b"CONNECT evil.test:443 HTTP/1.1" + END
    head = b"CONNECT api.good.test:443 HTTP/1.1\r\nX: y" + END
    assert split_head(head + second) == (head, second)
    assert [n for n in range(len(head)) if split_head(head[:n]) is not None] == []


def test_a_head_has_at_most_64_kib() -> None:
    fits = b"CONNECT api.good.test:443 HTTP/1.1\r\nX: "
    fits += b"y" * (MAX_HEAD - len(fits) - len(END)) + END
    assert len(fits) == MAX_HEAD
    assert split_head(fits) == (fits, b"")
    found = split_head(fits.replace(END, b"yyyy"))
    assert isinstance(found, Refused)
    assert found.code is Code.HTTP_HEAD_TOO_LARGE


def test_an_empty_allow_list_allows_nothing() -> None:
    request = read_head(b"CONNECT api.good.test:443 HTTP/1.1" + END)
    assert isinstance(request, Request)
    found = choose(Policy(tier=Tier.STANDARD), request)
    assert isinstance(found, Refused)
    assert found.code is Code.HOST_NOT_ALLOWED


def test_an_exact_rule_is_taken_before_a_wildcard_and_the_smaller_cap_of_two() -> None:
    wide = Rule(pattern="*.good.test")
    loose, tight = (Rule(pattern="api.good.test", max_upload_bytes=n) for n in (900, 5))
    request = read_head(b"CONNECT api.good.test:443 HTTP/1.1" + END)
    assert isinstance(request, Request)
    for order in ((wide, loose, tight), (tight, loose, wide), (loose, wide, tight)):
        assert choose(Policy(tier=Tier.STANDARD, allow=order), request) is tight


@pytest.mark.parametrize(
    ("target", "pattern", "code"),
    [
        ("minio:443", "minio", Code.HOST_MALFORMED),
        ("10.0.0.7:443", "10.0.0.7", Code.HOST_IP_LITERAL),
        ("[fd00::7]:443", "fd00::7", Code.HOST_IP_LITERAL),
    ],
)
def test_only_a_rule_for_the_house_speaks_of_addresses_and_single_labels(
    target: str, pattern: str, code: Code
) -> None:
    request = read_head(f"CONNECT {target} HTTP/1.1".encode() + END)
    assert isinstance(request, Request)
    public, house = Rule(pattern=pattern), Rule(pattern=pattern, on_prem=True)
    refused = choose(Policy(tier=Tier.STANDARD, allow=(public,)), request)
    assert isinstance(refused, Refused)
    assert refused.code is code
    assert choose(Policy(tier=Tier.STANDARD, allow=(house,)), request) is house


def test_a_denial_of_one_port_leaves_the_others_and_one_without_ports_none() -> None:
    allow = (Rule(pattern="api.good.test", ports=(80, 443)),)
    for ports, open_at_443 in [((80,), True), ((80, 443), False), ((), False)]:
        deny = (Rule(pattern="api.good.test", ports=ports),)
        policy = Policy(tier=Tier.STANDARD, allow=allow, deny=deny)
        request = read_head(b"CONNECT api.good.test:443 HTTP/1.1" + END)
        assert isinstance(request, Request)
        assert isinstance(choose(policy, request), Rule) is open_at_443


def test_bytes_are_counted_before_they_are_sent() -> None:
    rule = Rule(pattern="api.good.test", max_upload_bytes=100)
    policy = Policy(tier=Tier.STANDARD, allow=(rule,), max_bytes=150)
    assert may_send(policy, rule, Spent(uploaded_bytes=60, moved_bytes=60), 40) is None
    over = may_send(policy, rule, Spent(uploaded_bytes=60, moved_bytes=60), 41)
    assert over is not None
    assert over.code is Code.BUDGET_UPLOAD
    total = may_send(policy, rule, Spent(uploaded_bytes=0, moved_bytes=149), 2)
    assert total is not None
    assert total.code is Code.BUDGET_BYTES
    assert may_move(policy, Spent(moved_bytes=149), 1) is None
    assert may_move(policy_for("api.good.test"), Spent(moved_bytes=10**15), 10**15) is None


def test_names_under_a_wildcard_are_counted_and_known_ones_are_free() -> None:
    rule = Rule(pattern="*.good.test", max_names=2)
    seen = Spent(names=frozenset({"a.good.test", "b.good.test"}))
    assert may_open(rule, Host("a.good.test"), seen) is None
    found = may_open(rule, Host("c.good.test"), seen)
    assert found is not None
    assert found.code is Code.BUDGET_NAMES
    exact = Rule(pattern="c.good.test", max_names=2)
    assert may_open(exact, Host("c.good.test"), seen) is None


def test_connections_and_their_time_have_an_end() -> None:
    rule = Rule(pattern="api.good.test")
    host = Host("api.good.test")
    assert may_open(rule, host, Spent(connections=MAX_CONNECTIONS - 1)) is None
    found = may_open(rule, host, Spent(connections=MAX_CONNECTIONS))
    assert found is not None
    assert found.code is Code.BUDGET_CONNECTIONS
    large = replace(rule, max_connections=MAX_CONNECTIONS * 4)  # where the work has many files
    assert may_open(large, host, Spent(connections=MAX_CONNECTIONS)) is None
    assert may_open(large, host, Spent(connections=MAX_CONNECTIONS * 4)) is not None
    assert may_stay(MAX_CONNECTION_S) is None
    late = may_stay(MAX_CONNECTION_S + 1)
    assert late is not None
    assert late.code is Code.BUDGET_DURATION
