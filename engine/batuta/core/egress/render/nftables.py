"""nftables: workers reach the gateway's address and port, and nothing else, by either family.

Addresses are all that a packet filter sees, so no name is translated: a name turned into the
addresses of one moment closes a host that moved and opens its neighbours.
"""

import ipaddress

from batuta.core.egress.policy import Policy
from batuta.core.egress.render.site import PLACEHOLDER_UIDS, Site, listed, preface

TABLE = "batuta_egress"
# Where the kernel puts a listener that names no port (net.ipv4.ip_local_port_range).
_OWN_PORTS = "32768-60999"
_CANNOT = (
    "host names, and the name in a TLS greeting",
    "ports of one host, methods and paths, bytes sent to one host",
    "anything about processes of other users than the workers'",
    f"who listens at the ports {_OWN_PORTS} of this machine itself",
)


def render(policy: Policy, site: Site) -> str:
    """Return a table of its own for the host, to load with `nft -f`; loading it twice is safe.

    Holds for the users in `site.uids`; what it stops is counted, logged and refused.
    """
    first, last = site.uids or PLACEHOLDER_UIDS
    four = [a for a in site.gateway if ipaddress.ip_address(a).version == 4]
    six = [a for a in site.gateway if ipaddress.ip_address(a).version == 6]
    return _text(
        *preface(policy, site, "nftables rules for the host", _CANNOT, _fitted(site)),
        *listed(policy),
        # Made before it is removed, so that the first load does not fail on a missing table.
        f"table inet {TABLE} {{ }}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *_set("gateway4", "ipv4_addr", four, site.port),
        *_set("gateway6", "ipv6_addr", six, site.port),
        "  chain workers {",
        "    ip daddr . tcp dport @gateway4 accept",
        "    ip6 daddr . tcp dport @gateway6 accept",
        # The gateway of a run listens on loopback, and batuta itself goes out through it.
        f'    oif "lo" tcp dport {_OWN_PORTS} accept',
        '    limit rate 10/second burst 20 packets log prefix "batuta-egress "',
        "    counter reject with icmpx type admin-prohibited",
        "  }",
        "  chain output {",
        "    type filter hook output priority 0; policy accept;",
        # A packet of the kernel's own has no user; a rule with `!=` would not hold for it either.
        f"    meta skuid {first}-{last} jump workers",
        "  }",
        "}",
    )


def _fitted(site: Site) -> tuple[str, ...]:
    gateway = ", ".join(site.gateway)
    listens = (
        f"A proxy of the house has to listen at {gateway}, port {site.port}: it is the only way",
        "off this machine that is left. batuta has no listener there (the gateway of a run lives in",
        f"its own process, at one of the ports {_OWN_PORTS} of loopback): run squid there with the",
        "output of `--format squid`, as a user that these rules are not for, and name it in the",
        f'Workspace, `network: {{proxy: "http://{_host(site)}:{site.port}"}}`. Without a proxy do',
        "not load this: batuta, run as these users, would reach nothing. A form that opens the",
        "addresses of today's hosts instead is not offered: it would open their neighbours too.",
    )
    if site.uids is None:
        first, last = PLACEHOLDER_UIDS
        return (
            f"TO BE SET: the users {first} to {last} are nobody's. Write it with `--user UID` or",
            "`--user FIRST-LAST`, the users that batuta and its workers run as on this host (`id -u`).",
            *listens,
        )
    return (
        f"It holds for the users {site.uids[0]} to {site.uids[1]} of this host, which batuta and its"
        " workers run as.",
        *listens,
    )


def _host(site: Site) -> str:
    first = site.gateway[0]
    return f"[{first}]" if ":" in first else first


def render_worker(port: int = 3128) -> str:
    """Return the rules for a worker's own network namespace: loopback to one port, no more.

    `port` is the gateway's listener; 0 leaves no way out at all.
    """
    opened = (
        [
            f'    oif "lo" meta l4proto tcp th dport {port} accept',
            f'    oif "lo" meta l4proto tcp th sport {port} accept',
        ]
        if port
        else []
    )
    return _text(
        f"table inet {TABLE} {{",
        "  chain output {",
        "    type filter hook output priority 0; policy drop;",
        *opened,
        "    counter drop",
        "  }",
        "  chain input {",
        "    type filter hook input priority 0; policy drop;",
        *(line.replace("oif", "iif") for line in opened),
        "    counter drop",
        "  }",
        "  chain forward {",
        "    type filter hook forward priority 0; policy drop;",
        "  }",
        "}",
    )


def _set(name: str, kind: str, addresses: list[str], port: int) -> list[str]:
    elements = ", ".join(f"{address} . {port}" for address in addresses)
    lines = [f"  set {name} {{", f"    type {kind} . inet_service"]
    if elements:
        lines.append(f"    elements = {{ {elements} }}")
    return [*lines, "  }"]


def _text(*lines: str) -> str:
    return "\n".join(lines) + "\n"
