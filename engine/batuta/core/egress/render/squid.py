"""Squid: CONNECT to exact names and ports, never to addresses that no worker may reach.

Only what has an exact meaning there is written: a leading dot in squid is a domain at any depth,
so a wildcard is replaced by names, or refused.
"""

from batuta.core.egress.policy import Policy
from batuta.core.egress.render.site import Site, exact, preface
from batuta.core.egress.rules import Rule
from batuta.model.diagnostic import Diagnostic

FORM = "squid"
_CANNOT = (
    "that the TLS greeting names the host of the tunnel (it would have to be decrypted)",
    "bytes sent to one host, distinct names, encrypted greetings, the version of TLS",
    "IPv4 addresses inside IPv6 ones, such as 6to4 and Teredo",
)
_NEVER = (
    "0.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
    "224.0.0.0/3", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128",
    "ff00::/8",
)  # fmt: skip
_INSIDE = (
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128",
    "fc00::/7",
)  # fmt: skip


def render(policy: Policy, site: Site) -> str | tuple[Diagnostic, ...]:
    """Return a whole squid.conf, or what keeps it from saying what the policy says (EGR109)."""
    named, wrong = exact(policy, site, FORM)
    if wrong:
        return tuple(wrong)
    lines = [
        *preface(policy, site, "squid's configuration", _CANNOT),
        *(f"http_port {_listen(address)}:{site.port}" for address in site.gateway),
        "acl batuta_workers src " + " ".join(site.sources),
        "acl batuta_connect method CONNECT",
        "acl batuta_never dst " + " ".join(_NEVER),
        "acl batuta_inside dst " + " ".join(_INSIDE),
        "cache deny all",
        "forwarded_for delete",
        *_denials(policy),
    ]
    for number, (rule, name) in enumerate(named):
        lines += _allowed(f"batuta_{number}", rule, name)
    return "\n".join([*lines, "http_access deny all", ""])


def _denials(policy: Policy) -> list[str]:
    """Denials go to any depth here as in squid, so they alone keep their wildcard."""
    lines: list[str] = []
    for number, rule in enumerate(policy.deny):
        domain = f".{rule.pattern[2:]}" if rule.wildcard else rule.written
        name = f"batuta_denied_{number}"
        lines += [f"acl {name} dstdomain -n {domain}", f"http_access deny {name}"]
    return lines


def _allowed(name: str, rule: Rule, host: str) -> list[str]:
    # Squid resolves a name only when it comes to a `dst` in a line, so names come first.
    lines = [
        f"# {rule.origin or 'policy'}: {rule.name}",
        f"acl {name}_host dstdomain -n {host}",
        f"acl {name}_port port {' '.join(map(str, rule.ports))}",
    ]
    form = "!batuta_connect" if rule.plain else "batuta_connect"
    parts = ["batuta_workers", form, f"{name}_host", f"{name}_port"]
    if rule.methods and rule.plain:
        lines.append(f"acl {name}_method method {' '.join(rule.methods)}")
        parts.append(f"{name}_method")
    parts.append("!batuta_never")
    if rule.demand.cidrs:
        lines.append(f"acl {name}_dst dst {' '.join(rule.demand.cidrs)}")
        parts.append(f"{name}_dst")
    else:
        parts.append("!batuta_inside")
    return [*lines, f"http_access allow {' '.join(parts)}"]


def _listen(address: str) -> str:
    return f"[{address}]" if ":" in address else address
