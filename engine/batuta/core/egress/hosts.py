"""One spelling of a host, used wherever two hosts are compared: rules, requests, TLS, manifests.

Two names that differ here differ everywhere, and what has no spelling here is never looked up.
Names are taken in their A-label form only. The standard library knows the IDNA of 2003 and no
newer one, so it checks that an A-label is whole and spelled the one right way, and turns no
name of another script into one.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

from batuta.core.egress.codes import Code, Refused

MAX_NAME = 253
MAX_LABEL = 63
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
# What URL parsers take for a number, so that `0x7f.1`, `010.0.0.1` and `2130706433` are addresses.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_WILDCARD = "*."


class Kind(StrEnum):
    """What a host is: a name with a dot, one label alone, or an address."""

    NAME = "name"
    LABEL = "label"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A host in its one spelling: lower case, no last dot, addresses as `ipaddress` writes them."""

    name: str
    kind: Kind = Kind.NAME

    def __str__(self) -> str:
        return self.name


def parse_host(text: str) -> Host | Refused:
    """Return the host that `text` spells; an IPv6 address stands in brackets.

    Returns:
        A Host of any kind, for the caller to say which kinds it takes; or `host.malformed`,
        `host.non_ascii`, and `host.ip_literal` for an address in any other form than the
        usual one (octal, hexadecimal, short, mapped).

    Source: RFC 1034 3.1, RFC 5890 2.3.1, RFC 6943 3.1 (as facts; A-labels by RFC 3492).
    """
    if not text.isascii():
        return Refused(Code.HOST_NON_ASCII, f"{_shown(text)} holds letters beyond ASCII.")
    if text.startswith("[") and text.endswith("]"):
        return _address6(text)
    name = text.lower().removesuffix(".")
    if not name or len(name) > MAX_NAME:
        return Refused(Code.HOST_MALFORMED, f"{_shown(text)} has no length that a name can have.")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _address4(text)
    if bad := next((label for label in labels if not _is_label(label)), None):
        return Refused(
            Code.HOST_MALFORMED, f"{_shown(text)} has the part {_shown(bad)}, which no name has."
        )
    if "" in labels:
        return Refused(Code.HOST_MALFORMED, f"{_shown(text)} has an empty part.")
    return Host(name, Kind.NAME if len(labels) > 1 else Kind.LABEL)


def parse_name(text: str) -> Host | Refused:
    """Return the host of a public request: a name with at least one dot, and nothing else."""
    host = parse_host(text)
    match host:
        case Refused():
            return host
        case Host(kind=Kind.ADDRESS):
            return Refused(Code.HOST_IP_LITERAL, f"{host} is an address, not a name.")
        case Host(kind=Kind.LABEL):
            return Refused(Code.HOST_MALFORMED, f"{host} is one label; a full name is needed.")
        case _:
            return host


def parse_pattern(text: str) -> str | Refused:
    """Return the one spelling of a rule's pattern: a host, or `*.` and a name.

    Idempotent. `*` stands alone as the first label, and what follows is a name with a dot.
    """
    if text.startswith(_WILDCARD):
        rest = parse_name(text.removeprefix(_WILDCARD))
        return rest if isinstance(rest, Refused) else f"{_WILDCARD}{rest}"
    host = parse_host(in_url(text))
    return host if isinstance(host, Refused) else host.name


def is_wildcard(pattern: str) -> bool:
    """True for `*.` and a name."""
    return pattern.startswith(_WILDCARD)


def apex(pattern: str) -> str:
    """Return the name below which a wildcard lies; the pattern itself where it is none."""
    return pattern.removeprefix(_WILDCARD)


def covers(pattern: str, host: str) -> bool:
    """True where the pattern is the host, or `*` stands for exactly one label of it.

    Both are in their one spelling. Never the name below the wildcard itself, never deeper.
    """
    if not is_wildcard(pattern):
        return pattern == host
    first, dot, rest = host.partition(".")
    return bool(first and dot) and rest == apex(pattern)


def reaches(pattern: str, host: str) -> bool:
    """True as `covers`, but a wildcard stands for one label or more: how a denial is read."""
    if not is_wildcard(pattern):
        return pattern == host
    return host.endswith(f".{apex(pattern)}")


def intersect(one: str, other: str) -> str | None:
    """Return the pattern that covers what both cover; None where they share no host."""
    if one == other:
        return one
    if is_wildcard(one) and not is_wildcard(other) and covers(one, other):
        return other
    if is_wildcard(other) and not is_wildcard(one) and covers(other, one):
        return one
    return None


def in_url(name: str) -> str:
    """Return a name or pattern as it stands before a port: IPv6 addresses in brackets."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


def bracketed(host: Host) -> str:
    """Return the host as it stands before a port: IPv6 addresses in brackets."""
    return in_url(host.name)


def _address6(text: str) -> Host | Refused:
    try:
        address = ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        return Refused(Code.HOST_MALFORMED, f"{_shown(text)} is no address.")
    if address.scope_id is not None:
        return Refused(Code.HOST_MALFORMED, f"{_shown(text)} names a link of this machine.")
    if address.ipv4_mapped is not None:
        # A second spelling of an IPv4 address would pass rules that are written for the first.
        return Refused(Code.HOST_IP_LITERAL, f"{_shown(text)} is an IPv4 address in disguise.")
    return Host(str(address), Kind.ADDRESS)


def _address4(text: str) -> Host | Refused:
    try:
        return Host(str(ipaddress.IPv4Address(text)), Kind.ADDRESS)
    except ValueError:
        return Refused(Code.HOST_IP_LITERAL, f"{_shown(text)} is an address in an unusual form.")


def _is_label(label: str) -> bool:
    if not label:
        return True
    if len(label) > MAX_LABEL or not _LABEL.fullmatch(label):
        return False
    return not label.startswith("xn--") or _is_a_label(label)


def _is_a_label(label: str) -> bool:
    """True where the label is what its own Unicode form encodes to, and hides no ASCII name."""
    encoded = label.removeprefix("xn--")
    try:
        decoded = encoded.encode("ascii").decode("punycode")
        again = decoded.encode("punycode").decode("ascii")
    except (UnicodeError, OverflowError, ValueError):
        return False
    whole = not decoded.isascii() and decoded == decoded.lower()
    return whole and again == encoded and not any(0xD800 <= ord(c) <= 0xDFFF for c in decoded)


def _shown(text: str) -> str:
    cut = text if len(text) <= 80 else f"{text[:77]}..."
    return ascii(cut)
