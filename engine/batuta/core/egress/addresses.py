"""Whether the addresses that a name resolved to may be connected to.

An address can hold another one (mapped, 6to4, Teredo, NAT64, …). Every address inside is judged
like the outer one, since a translator on the way may deliver to it. The tables are our own:
those of `ipaddress` change between patch releases of Python, and a verdict must not.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from batuta.core.egress.codes import MEANING, Code, Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Range = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ADDRESSES = 64
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""Where the hosts of a private network have their addresses."""

_METADATA = (
    "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
    "fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128",
)  # fmt: skip
# IANA's special-purpose registries, as ranges that the public internet does not carry.
_SPECIAL_4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
    "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
_SPECIAL_6 = ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
_PUBLIC_6 = "2000::/3"

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_LOOPBACK_6 = ipaddress.IPv6Address("::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a rule asks of addresses.

    With `cidrs` every address lies in one of them; without, it is public. `loopback` lets
    `cidrs` open this machine itself, for endpoints in the house. `private` refuses public
    addresses even where `cidrs` hold them.
    """

    cidrs: tuple[str, ...] = ()
    loopback: bool = False
    private: bool = False


PUBLIC = Demand()
"""Any address of the public internet."""


def judge(answers: Sequence[str], demand: Demand) -> Refused | None:
    """Return why the answers may not be used, None where each of them may: one bad refuses all.

    Metadata, link-local, multicast and unspecified addresses are refused whatever is declared.
    """
    if not answers:
        return Refused(Code.DNS_NXDOMAIN, "The name has no address.")
    if len(answers) > MAX_ADDRESSES:
        detail = f"The answer holds {len(answers)} addresses; {MAX_ADDRESSES} are the most."
        return Refused(Code.DNS_TOO_MANY, detail)
    return next((found for a in answers if (found := _judge(a, demand)) is not None), None)


def embedded(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses that an address holds, in the order they stand in it.

    Empty for IPv4 and for IPv6 of no translating form. Teredo holds two, server and client.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    number = int(address)
    if address in _TEREDO:
        return (_v4(number >> 64), _v4(~number))
    if address in _SIX_TO_FOUR:
        return (_v4(number >> 80),)
    if address in _NAT64_LOCAL:
        # A prefix of 48 bits leaves out the ninth byte, which is zero (RFC 6052 2.2); the
        # operator may also use a /96 in it, so both places are looked at where they are filled.
        split = (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF
        return tuple(_v4(n) for n in (split, number) if n & 0xFFFFFFFF)
    last_32 = any(address in n for n in (_MAPPED, _TRANSLATED, _NAT64, _COMPATIBLE))
    return (_v4(number),) if last_32 and number > 1 else ()


def is_public(address: Address) -> bool:
    """True where the public internet carries the address, whatever stands inside it."""
    if isinstance(address, ipaddress.IPv4Address):
        return not _in(address, _SPECIAL_4)
    return _in(address, (_PUBLIC_6,)) and not _in(address, _SPECIAL_6)


def parse(text: str) -> Address | None:
    """Return the address, without the link that it may name; None where it is none."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _judge(text: str, demand: Demand) -> Refused | None:
    address = parse(text)
    if address is None:
        return Refused(Code.DNS_MALFORMED, f"{text[:80]!a} is no address.")
    inner = embedded(address)
    for each in (*inner, address):
        if (code := _never(each)) is not None:
            return Refused(code, f"{_shown(text, each, address)} is refused. {MEANING[code]}")
    # A mapped address is the IPv4 one to the kernel; any other form is a place of its own.
    judged = inner if isinstance(address, ipaddress.IPv6Address) and address in _MAPPED else (
        address, *inner)  # fmt: skip
    for each in judged:
        if is_loopback(each) and not (demand.loopback and _in(each, demand.cidrs)):
            detail = f"{_shown(text, each, address)} is this machine."
            return Refused(Code.IP_LOOPBACK, detail)
    return _placed(text, judged, demand)


def _placed(text: str, judged: tuple[Address, ...], demand: Demand) -> Refused | None:
    outer, *inner = judged
    if demand.cidrs:
        if not _in(outer, demand.cidrs):
            ranges = ", ".join(demand.cidrs)
            return Refused(Code.IP_OUTSIDE_PINNED, f"{text} is not in {ranges}.")
        if demand.private and is_public(outer):
            return Refused(Code.IP_GLOBAL, f"{text} is a public address.")
        return None
    if demand.private:
        return Refused(Code.IP_OUTSIDE_PINNED, f"{text} is in no range, since none is declared.")
    # The well-known NAT64 prefix is how a network with IPv6 alone reaches public IPv4.
    carried = is_public(outer) or outer in _NAT64
    if carried and all(is_public(each) for each in inner):
        return None
    return Refused(Code.IP_PRIVATE, f"{text} is not a public address.")


def _never(address: Address) -> Code | None:
    if _in(address, _METADATA):
        return Code.IP_METADATA
    if address.is_link_local:
        return Code.IP_LINK_LOCAL
    if address.is_multicast:
        return Code.IP_MULTICAST
    if address.is_unspecified or _in(address, ("0.0.0.0/8", "255.255.255.255/32")):
        return Code.IP_UNSPECIFIED
    return None


def is_loopback(address: Address) -> bool:
    """True for this machine's own addresses."""
    return _in(address, ("127.0.0.0/8",)) or address == _LOOPBACK_6


def _in(address: Address, ranges: Sequence[str]) -> bool:
    return any(address in network for network in map(_network, ranges))


@cache
def _network(text: str) -> Range:
    return ipaddress.ip_network(text)


def _v4(number: int) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(number & 0xFFFFFFFF)


def _shown(text: str, each: Address, whole: Address) -> str:
    return text if each == whole else f"{each}, which {text} holds,"
