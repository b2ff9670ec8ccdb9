"""What is said of the network in several rooms: the hosts that an address needs, a place in the log."""

import ipaddress
from dataclasses import dataclass


def written_host(text: str) -> str:
    """Return a host, or a pattern, as documents spell it in the end; a bad one as it stands.

    Lower case, no last dot, IPv6 addresses compressed and in brackets. Idempotent.
    """
    bare = text.removeprefix("[").removesuffix("]")
    if ":" not in bare:
        return text.lower().removesuffix(".")
    try:
        return f"[{ipaddress.IPv6Address(bare)}]"
    except ValueError:
        return text


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class HostNeed:
    """One host that a transfer connects to.

    `host` is exact, or a pattern `*.name` where the platform tells the name only at run time.
    `why` ends a sentence that starts with the host: `serves the objects of the bucket x`.
    `bulk` is True where bytes come from or go to it, False for hosts of an API alone. `shared`
    is True where the same host serves every customer of the platform; `paths` are then the
    decoded paths that are this transfer's own (each with all below it; empty: not known).
    """

    host: str
    port: int = 443
    scheme: str = "https"
    why: str = ""
    bulk: bool = True
    shared: bool = False
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogHead:
    """The last line of the egress log: its number (0: there is none) and the SHA-256 of its bytes."""

    n: int
    digest: str


NO_LINES = LogHead(0, "0" * 64)
"""The head of an empty log; its digest is what the first line names as that of the line before."""
