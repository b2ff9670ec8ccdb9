"""What a rendering has to know of the place it is for, and the words that every one begins with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from batuta.core.egress.findings import wildcard_unsaid
from batuta.core.egress.hosts import covers
from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import Rule
from batuta.model.diagnostic import Diagnostic

Labels: TypeAlias = tuple[tuple[str, str], ...]
PLACEHOLDER_UIDS = (64000, 64999)
PLACEHOLDER_WORKERS: Labels = (("app.kubernetes.io/component", "batuta-worker"),)
PLACEHOLDER_GATEWAY: Labels = (("app.kubernetes.io/component", "batuta-gateway"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One policy of those that are rendered together, and the datasets that it is for."""

    policy: Policy
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the rules are to be installed.

    `gateway` are the addresses that the gateway listens at, of either family; `uids` the first
    and last user that workers run as. `workers` and `gateway_pods` are the labels of pods. Where
    these three are not said a placeholder stands that fits nobody, and a comment says so.
    `written` is the time of writing as text. `names` gives, for a wildcard, the names to put
    in its place. `sources` are the ranges that workers connect from, for a proxy. `shares` are
    the policies that the rendered one is united from; none where it is one by itself.
    """

    gateway: tuple[str, ...] = ("127.0.0.1",)
    port: int = 3128
    uids: tuple[int, int] | None = None
    sources: tuple[str, ...] = ("127.0.0.1/32", "::1/128")
    namespace: str = "batuta"
    workers: Labels = ()
    gateway_pods: Labels = ()
    written: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shares: tuple[Share, ...] = ()


def preface(
    policy: Policy, site: Site, form: str, cannot: tuple[str, ...], fitted: tuple[str, ...] = ()
) -> list[str]:
    """Return comment lines: what this is, which policies, when, and what the format cannot say.

    `fitted` says of the place what was told and what is still to be set.
    """
    lines = [
        f"# A second layer for batuta's egress, as {form}. The gateway is the first one.",
        *_policies(policy, site.shares),
    ]
    if site.written:
        lines.append(f"# Written {site.written}; write it anew after every change of a policy.")
    lines += [f"# {each}" for each in fitted]
    lines.append("# It cannot say, so only the gateway checks:")
    return lines + [f"#   - {each}" for each in cannot]


def _policies(policy: Policy, shares: tuple[Share, ...]) -> list[str]:
    if not shares:
        return _named(policy)
    if len(shares) == 1:
        return [*_named(shares[0].policy), f"# For {', '.join(shares[0].datasets)}"]
    lines = [
        f"# Here {len(shares)} policies are one, which opens what any of them opens: these rules"
        " cannot tell",
        "# their workers apart. Write them one by one with `--dataset` where they run apart.",
    ]
    for share in shares:
        lines += [*_named(share.policy), f"#   for {', '.join(share.datasets)}"]
    return lines


def _named(policy: Policy) -> list[str]:
    documents = f"; from {', '.join(policy.documents)}" if policy.documents else ""
    return [f"# Policy {policy.digest}", f"#   tier {policy.tier}{documents}"]


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
            found.append((rule, rule.written))
            continue
        names = [n for n in site.names.get(rule.pattern, ()) if covers(rule.pattern, n)]
        found += [(rule, name) for name in sorted(set(names))]
        if not names:
            wrong.append(wildcard_unsaid(rule, form))
    return found, wrong
