"""Laws of egress: one spelling of hosts, addresses, greetings, rules, policies, requests."""

import ipaddress
from dataclasses import replace
from urllib.parse import urlsplit

from hypothesis import assume, given
from hypothesis import strategies as st

from batuta.core.egress.addresses import PUBLIC, Demand, embedded, is_public, judge
from batuta.core.egress.clienthello import Hello, parse_hello
from batuta.core.egress.codes import Refused
from batuta.core.egress.hosts import (
    Host,
    Kind,
    bracketed,
    covers,
    intersect,
    parse_host,
    parse_name,
    parse_pattern,
    reaches,
)
from batuta.core.egress.policy import compose, narrow
from batuta.core.egress.rules import Rule, allowing, normal
from batuta.core.egress.verdict import Request, choose, judge_hello, read_head, split_head
from batuta.model.egress import HostNeed
from batuta.model.resource import EgressPolicy, EgressRule
from batuta.model.tier import Tier
from tests.unit.core.egress.hellos import in_records, message_of, openssl
from tests.unit.core.egress.policies import action, reached

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")
)
TOP = st.sampled_from(["test", "com", "example"])
NAME = st.lists(LABEL, min_size=1, max_size=4).flatmap(
    lambda labels: TOP.map(lambda top: ".".join([*labels, top]))
)
ODD = st.sampled_from(
    [*".:@/\\?#%[]*- _\0\t\r\n0x", "\u3002", "\uff0e", "\u0430", "\u212a", "xn--"]
)
MESSY = st.lists(st.one_of(ODD, LABEL, st.text(max_size=3)), max_size=6).map("".join)
NUMBER = st.sampled_from(["0", "1", "010", "127", "256", "0x7f", "0x", "2130706433", "1e3"])
# Most of these are hosts or nearly so: a law that only ever sees refusals says nothing.
NEARLY = st.builds(
    lambda labels, odd, at: ".".join(labels)[:at] + odd + ".".join(labels)[at:],
    st.lists(st.one_of(LABEL, LABEL, NUMBER), min_size=1, max_size=4),
    st.one_of(st.just(""), st.just(""), st.just("."), ODD),
    st.integers(0, 12),
)
NEAR = st.lists(st.sampled_from(["a", "b", "test", "com"]), min_size=2, max_size=4).map(".".join)
PATTERN = st.one_of(NEAR, NEAR.map(lambda name: f"*.{name}"))
V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)


@given(NAME, st.booleans(), st.lists(st.booleans(), min_size=1, max_size=8))
def test_case_and_one_last_dot_do_not_matter(name: str, dot: bool, upper: list[bool]) -> None:
    written = "".join(c.upper() if upper[i % len(upper)] else c for i, c in enumerate(name))
    assert parse_host(written + ("." if dot else "")) == Host(name)


@given(st.one_of(MESSY, NEARLY, NAME))
def test_a_spelling_is_its_own_spelling(text: str) -> None:
    host = parse_host(text)
    if isinstance(host, Refused):
        return
    assert parse_host(bracketed(host)) == host
    assert host.name.isascii()
    assert host.name == host.name.lower()


@given(NEARLY)
def test_the_standard_library_reads_no_other_host_in_a_url(text: str) -> None:
    """Whatever is accepted means the same to urllib, in every place where a host can stand."""
    host = parse_host(text)
    if isinstance(host, Refused):
        return
    parts = urlsplit(f"https://{text}:443/path")
    assert parts.hostname is not None
    assert parts.hostname.removesuffix(".") == (text.lower().strip("[]").removesuffix("."))
    assert (parts.username, parts.port, parts.path) == (None, 443, "/path")


@given(NEARLY)
def test_a_name_is_never_what_the_standard_library_takes_for_an_address(text: str) -> None:
    host = parse_name(text)
    if isinstance(host, Refused):
        return
    try:
        ipaddress.ip_address(host.name)
    except ValueError:
        assert "." in host.name
        return
    raise AssertionError(host)


@given(st.one_of(V4, V6))
def test_an_address_in_its_usual_form_is_one_and_in_no_other(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    v4 = isinstance(address, ipaddress.IPv4Address)
    found = parse_host(str(address) if v4 else f"[{address}]")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        assert isinstance(found, Refused)
        return
    assert found == Host(str(address), Kind.ADDRESS)
    for other in (str(int(address)), hex(int(address))):
        assert isinstance(parse_host(other), Refused)


@given(V4)
def test_octal_hexadecimal_and_short_forms_are_no_hosts(address: ipaddress.IPv4Address) -> None:
    parts = address.packed
    forms = (
        ".".join(f"0{part:o}" for part in parts),
        ".".join(hex(part) for part in parts),
        f"{parts[0]}.{int.from_bytes(parts[1:])}",
        f"{address}.",
    )
    assert all(isinstance(parse_host(form), Refused) for form in forms)


@given(st.one_of(PATTERN, NEARLY, NEARLY.map(lambda t: f"*.{t}")))
def test_a_pattern_s_spelling_is_its_own(text: str) -> None:
    pattern = parse_pattern(text)
    if isinstance(pattern, str):
        assert parse_pattern(pattern) == pattern


@given(PATTERN, NEAR)
def test_what_is_allowed_by_a_pattern_is_denied_by_it_too(pattern: str, host: str) -> None:
    if covers(pattern, host):
        assert reaches(pattern, host)
        assert pattern.count(".") == host.count(".")


@given(PATTERN, PATTERN, NEAR)
def test_the_meeting_of_two_patterns_covers_what_both_cover(
    one: str, other: str, host: str
) -> None:
    both = intersect(one, other)
    assert both == intersect(other, one)
    assert intersect(one, one) == one
    covered = both is not None and covers(both, host)
    assert covered == (covers(one, host) and covers(other, host))


@given(V4, st.integers(0, 2**32 - 1))
def test_no_wrapping_of_an_address_opens_what_the_bare_one_does_not(
    address: ipaddress.IPv4Address, other: int
) -> None:
    number = int(address)
    wrapped = [
        ipaddress.IPv6Address(n)
        for n in (
            0xFFFF << 32 | number,
            number,
            0xFFFF << 48 | number,
            0x64FF9B << 96 | number,
            0x64FF9B0001 << 80 | number,
            0x2002 << 112 | number << 80 | other,
            0x20010000 << 96 | number << 64 | other,
            0x20010000 << 96 | other << 64 | number ^ 0xFFFFFFFF,
        )
    ]
    bare = judge([str(address)], PUBLIC)
    for each in wrapped:
        assume(number > 1)
        assert address in embedded(each)
        if bare is not None:
            assert judge([str(each)], PUBLIC) is not None


@given(st.one_of(V4, V6))
def test_a_public_address_is_public_to_the_standard_library_too(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        assert address.is_global
        assert not (address.is_private)
        assert not (address.is_loopback)
        assert not (address.is_multicast)


@given(st.lists(st.one_of(V4, V6).map(str), min_size=1, max_size=5), st.data())
def test_more_answers_open_nothing_and_order_does_not_matter(
    answers: list[str], data: st.DataObject
) -> None:
    demand = data.draw(st.sampled_from([PUBLIC, Demand(cidrs=("0.0.0.0/1", "::/1"))]))
    fine = judge(answers, demand) is None
    assert fine == all(judge([a], demand) is None for a in answers)
    assert fine == (judge(answers[::-1], demand) is None)


@given(NAME, st.lists(st.integers(1, 400), max_size=6), st.integers(0, 600))
def test_a_greeting_says_the_same_however_it_is_cut_and_nothing_before_it_is_whole(
    name: str, sizes: list[int], at: int
) -> None:
    message = message_of(openssl(name))
    pieces, rest = [], message
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    cut = b"".join(in_records(piece) for piece in [*pieces, rest] if piece)
    hello = parse_hello(cut)
    assert isinstance(hello, Hello)
    assert (hello.server_name, hello.length) == (name, len(cut))
    assert judge_hello(Host(name), hello) is None
    if at < len(cut):
        assert parse_hello(cut[:at]) is None


@given(st.binary(max_size=400))
def test_no_bytes_make_the_parser_of_greetings_fail(received: bytes) -> None:
    parse_hello(received)
    parse_hello(in_records(b"\x01" + len(received).to_bytes(3) + received))


@given(st.integers(0, 600), st.integers(0, 255))
def test_one_changed_byte_never_makes_a_greeting_pass_for_another_host(at: int, byte: int) -> None:
    hello = bytearray(openssl("api.good.test"))
    hello[at % len(hello)] = byte
    found = parse_hello(bytes(hello))
    if isinstance(found, Hello) and judge_hello(Host("api.good.test"), found) is None:
        assert found.server_name is not None
        assert found.server_name.lower().removesuffix(".") == "api.good.test"


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_of_heads_fail(received: bytes) -> None:
    for head in (received + b"\r\n\r\n", b"CONNECT " + received + b" HTTP/1.1\r\n\r\n"):
        cut = split_head(head)
        assert isinstance(cut, tuple)
        read_head(cut[0])


@given(NAME, st.integers(1, 65535))
def test_a_head_is_read_as_it_was_meant(name: str, port: int) -> None:
    found = read_head(f"CONNECT {name}:{port} HTTP/1.1\r\n\r\n".encode())
    assert found == Request(method="CONNECT", host=Host(name), port=port, target=f"{name}:{port}")


RULE = st.builds(
    Rule,
    pattern=PATTERN,
    ports=st.sampled_from([(443,), (80, 443), (8443,)]),
    max_upload_bytes=st.sampled_from([None, 10, 1000]),
)


@given(st.lists(RULE, max_size=8))
def test_rules_have_one_order_and_setting_it_twice_is_setting_it_once(rules: list[Rule]) -> None:
    once = normal(rules)
    assert normal(once) == once
    assert normal(reversed(rules)) == once
    assert set(once) == set(rules)
    for host in ("a.test", "b.a.test", "a.b.test"):
        first, spoken_of = allowing(once, Host(host), 443)
        again, _ = allowing(once[::-1], Host(host), 443)
        assert spoken_of == any(r.covers(Host(host)) for r in rules)
        assert (first is None) == (again is None)
        if first is not None and again is not None:
            assert (first.pattern, first.max_upload_bytes) == (
                again.pattern, again.max_upload_bytes,
            )  # fmt: skip


EGRESS = st.builds(
    EgressRule, host=PATTERN, ports=st.sampled_from([(443,), (443, 8443)]),
    max_upload_bytes=st.sampled_from([None, 5, 50]),
)  # fmt: skip
DOCUMENT = st.builds(
    EgressPolicy,
    name=st.sampled_from(["p", "q", "r"]),
    tiers=st.sampled_from([(), (Tier.STANDARD,), (Tier.PRIVATE_CLOUD,)]),
    datasets=st.sampled_from([(), ("sales",), ("hr*",)]),
    allow=st.lists(EGRESS, max_size=4).map(tuple),
    deny=st.lists(st.builds(EgressRule, host=PATTERN, ports=st.just(())), max_size=2).map(tuple),
    max_bytes=st.sampled_from([None, 100, 1000]),
)
DOCUMENTS = st.lists(DOCUMENT, max_size=3, unique_by=lambda p: p.name)
NEEDS = st.lists(st.builds(HostNeed, host=NEAR), max_size=3)


def _asks(host: str) -> Request:
    return Request(method="CONNECT", host=Host(host), port=443, target=host)


@given(DOCUMENTS, NEEDS, NEAR)
def test_nothing_is_open_that_is_not_needed_or_that_anything_denies(
    documents: list[EgressPolicy], needs: list[HostNeed], host: str
) -> None:
    asked = action(reached(*needs))
    policy = compose(documents, asked).policy
    if isinstance(choose(policy, _asks(host)), Rule):
        assert host in {need.host for need in needs}
        assert not any(reaches(d.pattern, host) for d in policy.deny)


@given(DOCUMENTS, DOCUMENT, NEEDS, NEAR)
def test_a_denial_more_opens_nothing(
    documents: list[EgressPolicy], more: EgressPolicy, needs: list[HostNeed], host: str
) -> None:
    asked = action(reached(*needs))
    denying = replace(more, name="z", allow=(), tiers=(Tier.STANDARD,), datasets=())
    before = compose(documents, asked).policy
    after = compose([*documents, denying], asked).policy
    if isinstance(choose(after, _asks(host)), Rule):
        assert isinstance(choose(before, _asks(host)), Rule)


@given(DOCUMENTS, NEEDS)
def test_the_order_of_documents_and_needs_does_not_matter(
    documents: list[EgressPolicy], needs: list[HostNeed]
) -> None:
    one = compose(documents, action(reached(*needs))).policy
    other = compose(documents[::-1], action(reached(*needs[::-1]))).policy
    assert one.digest == other.digest


@given(DOCUMENTS, NEEDS, st.lists(NEAR, max_size=3), NEAR)
def test_a_worker_s_policy_opens_no_more_than_the_action_s(
    documents: list[EgressPolicy], needs: list[HostNeed], hosts: list[str], host: str
) -> None:
    policy = compose(documents, action(reached(*needs))).policy
    worker = narrow(policy, [(h, 443) for h in hosts], methods=("GET",), upload_bytes=7)
    verdict = choose(worker, _asks(host))
    if isinstance(verdict, Rule):
        assert host in hosts
        assert isinstance(choose(policy, _asks(host)), Rule)
        assert verdict.methods == ("GET",)
        assert verdict.max_upload_bytes is not None
        assert verdict.max_upload_bytes <= 7
