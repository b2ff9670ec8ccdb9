"""Which addresses may be connected to: a table per kind of rule."""

import ipaddress

import pytest

from batuta.core.egress.addresses import (
    MAX_ADDRESSES,
    PRIVATE_RANGES,
    PUBLIC,
    Demand,
    embedded,
    judge,
)
from batuta.core.egress.codes import Code

HOUSE = Demand(cidrs=("10.0.0.0/8", "127.0.0.0/8", "::1/128"), loopback=True, private=True)
LINK = Demand(cidrs=PRIVATE_RANGES)
EVERYTHING = Demand(cidrs=("0.0.0.0/0", "::/0"), loopback=True)

# address, and the verdict for: a public rule, endpoints in the house, PrivateLink, all ranges
TABLE = [
    ("23.20.0.10", None, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("2600:1f00::10", None, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("10.9.9.9", Code.IP_PRIVATE, None, None, None),
    ("::ffff:10.9.9.9", Code.IP_PRIVATE, None, None, None),
    ("::ffff:23.20.0.10", None, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("172.31.1.1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, None, None),
    ("fd12::1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, None, None),
    ("100.64.0.1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("127.0.0.1", Code.IP_LOOPBACK, None, Code.IP_LOOPBACK, None),
    ("127.9.9.9", Code.IP_LOOPBACK, None, Code.IP_LOOPBACK, None),
    ("::1", Code.IP_LOOPBACK, None, Code.IP_LOOPBACK, None),
    ("::ffff:127.0.0.1", Code.IP_LOOPBACK, None, Code.IP_LOOPBACK, None),
    ("64:ff9b::8.8.8.8", None, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("64:ff9b::10.0.0.1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("64:ff9b:1::10.0.0.1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("2002:808:808::1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("192.0.2.1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("198.18.0.1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("240.0.0.1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("2001:db8::1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("3fff::1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
    ("fec0::1", Code.IP_PRIVATE, Code.IP_OUTSIDE_PINNED, Code.IP_OUTSIDE_PINNED, None),
]

NEVER = [
    ("169.254.169.254", Code.IP_METADATA),
    ("169.254.170.2", Code.IP_METADATA),
    ("169.254.1.1", Code.IP_METADATA),
    ("168.63.129.16", Code.IP_METADATA),
    ("100.100.100.200", Code.IP_METADATA),
    ("192.0.0.192", Code.IP_METADATA),
    ("fd00:ec2::254", Code.IP_METADATA),
    ("fd20:ce::254", Code.IP_METADATA),
    ("::ffff:169.254.169.254", Code.IP_METADATA),
    ("::169.254.169.254", Code.IP_METADATA),
    ("::ffff:0:169.254.169.254", Code.IP_METADATA),
    ("64:ff9b::169.254.169.254", Code.IP_METADATA),
    ("64:ff9b:1:a9fe:a9:fe00::", Code.IP_METADATA),
    ("64:ff9b:1::a9fe:a9fe", Code.IP_METADATA),
    ("2002:a9fe:a9fe::1", Code.IP_METADATA),
    ("2001:0:a9fe:a9fe::1", Code.IP_METADATA),
    ("2001:0:4136:e378:8000:63bf:5601:5601", Code.IP_METADATA),
    ("fe80::1", Code.IP_LINK_LOCAL),
    ("fe80::1%eth0", Code.IP_LINK_LOCAL),
    ("224.0.0.1", Code.IP_MULTICAST),
    ("ff02::1", Code.IP_MULTICAST),
    ("0.0.0.0", Code.IP_UNSPECIFIED),
    ("0.1.2.3", Code.IP_UNSPECIFIED),
    ("255.255.255.255", Code.IP_UNSPECIFIED),
    ("::", Code.IP_UNSPECIFIED),
    ("::ffff:0.0.0.0", Code.IP_UNSPECIFIED),
]


def _code(answers: list[str], demand: Demand) -> Code | None:
    found = judge(answers, demand)
    return found.code if found else None


@pytest.mark.parametrize(("address", "public", "house", "link", "everything"), TABLE)
def test_an_address_is_judged_by_what_the_rule_asks(
    address: str, public: Code | None, house: Code | None, link: Code | None, everything: None
) -> None:
    found = [_code([address], d) for d in (PUBLIC, HOUSE, LINK, EVERYTHING)]
    assert found == [public, house, link, everything]


@pytest.mark.parametrize(("address", "code"), NEVER)
def test_some_addresses_are_refused_whatever_is_declared(address: str, code: Code) -> None:
    assert [_code([address], d) for d in (PUBLIC, HOUSE, LINK, EVERYTHING)] == [code] * 4


def test_loopback_outside_the_declared_ranges_stays_closed() -> None:
    only_private = Demand(cidrs=("10.0.0.0/8",), loopback=True, private=True)
    assert _code(["127.0.0.1"], only_private) is Code.IP_LOOPBACK


def test_loopback_is_no_private_network_even_where_a_platform_declares_it() -> None:
    assert _code(["127.0.0.1"], Demand(cidrs=("127.0.0.0/8",))) is Code.IP_LOOPBACK
    assert _code(["::1"], Demand(cidrs=("::/0",))) is Code.IP_LOOPBACK


def test_the_house_holds_no_public_address_even_where_its_ranges_do() -> None:
    assert _code(["23.20.0.10"], Demand(cidrs=("0.0.0.0/0",), private=True)) is Code.IP_GLOBAL


def test_the_house_without_ranges_is_closed() -> None:
    assert _code(["10.0.0.1"], Demand(private=True)) is Code.IP_OUTSIDE_PINNED


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_bad_answer_refuses_all(at: int) -> None:
    answers = ["23.20.0.10", "23.20.0.11"]
    answers.insert(at, "169.254.169.254")
    assert _code(answers, PUBLIC) is Code.IP_METADATA


def test_no_answer_and_too_many_are_refused() -> None:
    assert _code([], PUBLIC) is Code.DNS_NXDOMAIN
    assert _code(["23.20.0.10"] * MAX_ADDRESSES, PUBLIC) is None
    assert _code(["23.20.0.10"] * (MAX_ADDRESSES + 1), PUBLIC) is Code.DNS_TOO_MANY


@pytest.mark.parametrize("answer", ["", "api.good.test", "1.2.3", "0x7f.0.0.1", "1.2.3.4/32"])
def test_an_answer_that_is_no_address_is_refused(answer: str) -> None:
    assert _code(["23.20.0.10", answer], PUBLIC) is Code.DNS_MALFORMED


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("23.20.0.10", ()),
        ("2600:1f00::10", ()),
        ("::1", ()),
        ("::ffff:1.2.3.4", ("1.2.3.4",)),
        ("::1.2.3.4", ("1.2.3.4",)),
        ("64:ff9b::1.2.3.4", ("1.2.3.4",)),
        ("64:ff9b:1:102:3:400::", ("1.2.3.4",)),
        ("2002:102:304::5", ("1.2.3.4",)),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", ("65.54.227.120", "192.0.2.45")),
    ],
)
def test_the_addresses_inside_an_address_are_found(address: str, inside: tuple[str, ...]) -> None:
    assert tuple(map(str, embedded(ipaddress.ip_address(address)))) == inside
