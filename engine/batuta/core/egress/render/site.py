"""What a rendering has to know of the place it is for, and the words that every one begins with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batuta.core.egress.findings import wildcard_unsaid
from batuta.core.egress.hosts import covers
from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import Rule
from batuta.model.diagnostic import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the rules are to be installed.

    `gateway` are the addresses that the gateway listens at, of either family; `uids` the first
    and last user that workers run as. `workers` and `gateway_pods` are the labels of pods.
    `written` is the time of writing as text. `names` gives, for a wildcard, the names to put
    in its place. `sources` are the ranges that workers connect from, for a proxy.
    """

    gateway: tuple[str, ...] = ("127.0.0.1",)
    port: int = 3128
    uids: tuple[int, int] = (64000, 64999)
    sources: tuple[str, ...] = ("127.0.0.1/32", "::1/128")
    namespace: str = "batuta"
    workers: tuple[tuple[str, str], ...] = (("app.kubernetes.io/component", "batuta-worker"),)
    gateway_pods: tuple[tuple[str, str], ...] = (("app.kubernetes.io/component", "batuta-gateway"),)
    written: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def preface(policy: Policy, site: Site, form: str, cannot: tuple[str, ...]) -> list[str]:
    """Return comment lines: what this is, which policy, when, and what the format cannot say."""
    lines = [
        f"# A second layer for batuta's egress, as {form}. The gateway is the first one.",
        f"# Policy {policy.digest}",
        f"# Tier {policy.tier}"
        + (f"; from {', '.join(policy.documents)}" if policy.documents else ""),
    ]
    if site.written:
        lines.append(f"# Written {site.written}; write it anew after every change of the policy.")
    lines.append("# It cannot say, so only the gateway checks:")
    return lines + [f"#   - {each}" for each in cannot]


def listed(policy: Policy) -> list[str]:
    """Return comment lines with the hosts that the gateway allows, for the reader."""
    if not policy.allow:
        return ["# The gateway allows no host."]
    rules = [f"#   {rule.name}" for rule in policy.allow]
    return ["# Hosts that the gateway allows (names are not in force here):", *rules]


def exact(policy: Policy, site: Site, form: str) -> tuple[list[tuple[Rule, str]], list[Diagnostic]]:
    """Return each rule with a name that it allows, wildcards replaced by the names given.

    A wildcard without names is a finding: the format would read it as more than one label.
    """
    found: list[tuple[Rule, str]] = []
    wrong: list[Diagnostic] = []
    for rule in policy.allow:
        if not rule.wildcard:
            found.append((rule, rule.pattern))
            continue
        names = [n for n in site.names.get(rule.pattern, ()) if covers(rule.pattern, n)]
        found += [(rule, name) for name in sorted(set(names))]
        if not names:
            wrong.append(wildcard_unsaid(rule, form))
    return found, wrong
