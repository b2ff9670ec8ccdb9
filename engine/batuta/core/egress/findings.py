"""What a person has to know about the egress of an action, or of a policy, before it runs."""

from collections.abc import Mapping, Sequence

from batuta.core.egress.codes import Refused
from batuta.core.egress.hosts import Kind, apex, parse_host, parse_pattern, reaches
from batuta.core.egress.rules import Rule
from batuta.core.egress.suffixes import directly_shared, shared_by
from batuta.model.diagnostic import Diagnostic, Location, Severity
from batuta.model.egress import HostNeed
from batuta.model.resource import EgressPolicy, Platform
from batuta.model.tier import Network, Tier


def place(places: Mapping[str, Location], path: str) -> tuple[Location, ...]:
    """Return where `path` was written, or the nearest parent that was; empty where nothing was."""
    while path:
        if path in places:
            return (places[path],)
        path = max(path.rpartition(".")[0], path.rpartition("[")[0], key=len)
    return (places[""],) if "" in places else ()


def denied(rule: Rule, deny: Sequence[Rule]) -> Rule | None:
    """Return the denial that closes a whole rule; one of a few hosts below it closes only those."""
    return next((d for d in deny if _closes(d, rule)), None)


def _closes(denial: Rule, rule: Rule) -> bool:
    if denial.ports and not set(rule.ports) <= set(denial.ports):
        return False
    if not rule.wildcard:
        return reaches(denial.pattern, rule.pattern)
    below = apex(rule.pattern)
    return denial.wildcard and (
        below == apex(denial.pattern) or below.endswith(f".{apex(denial.pattern)}")
    )


def not_allowed(rule: Rule, layer: Sequence[EgressPolicy], dataset: str) -> Diagnostic:
    """The documents of one layer leave out a host that the action needs."""
    names = ", ".join(f"EgressPolicy/{p.name}" for p in layer)
    first, port = layer[0], rule.ports[0]
    line = f"- {{host: {in_yaml(rule)}, ports: [{port}]}}"
    return Diagnostic(
        code="EGR101",
        summary="The egress policy does not allow a host that is needed",
        detail=f"Dataset/{dataset} needs {rule.written}:{port}, which {_why(rule)};"
        f" {names} {'allows' if len(layer) == 1 else 'allow'} it not.",
        fix=f"Add `{line}` to `spec.allow` of EgressPolicy/{first.name} if that is meant.",
        locations=place(first.places, "spec.allow"),
        address=f"Dataset/{dataset}",
    )


def needs_denied(rule: Rule, denial: Rule, dataset: str) -> Diagnostic:
    """A denial, which beats whatever is allowed, closes a host that the action needs."""
    return Diagnostic(
        code="EGR102",
        summary="A host that is needed is denied",
        detail=f"Dataset/{dataset} needs {rule.written}, which {_why(rule)};"
        f" {denial.origin} denies {denial.written}.",
        fix="Use a platform that is not denied, or a tier or policy that does not deny it.",
        locations=denial.locations or rule.locations,
        address=f"Dataset/{dataset}",
    )


def plain_unsaid(
    rule: Rule, documents: Sequence[EgressPolicy], dataset: str, *, looks: bool = False
) -> Diagnostic:
    """An endpoint in the house is plain, and no policy says that it may be.

    What only `looks` names no policy: any one of the workspace that is there to be named is taken.
    """
    where = documents[0].places if documents else {}
    return Diagnostic(
        code="EGR103",
        summary="A plain endpoint needs a policy that says so",
        detail=f"Dataset/{dataset} reaches {rule.name} without TLS, and no EgressPolicy that"
        " applies has `requireTls: false`.",
        fix=_plain_policy(rule, looks=looks),
        locations=place(where, "spec.requireTls") or rule.locations,
        address=f"Dataset/{dataset}",
    )


def _plain_policy(rule: Rule, *, looks: bool) -> str:
    """Return the way out with the whole document, each line of it to be copied as it is."""
    name = f"{rule.origin.rpartition('/')[2]}-plain"
    way = (
        "have a policy in the workspace that lets it be plain"
        if looks
        else f"name a policy that lets it be plain: `egress: {name}` in the dataset,"
        f" `--egress {name}` on a one-line command"
    )
    return (
        f"Give the endpoint TLS, or {way}. It is this document:\n"
        "  apiVersion: batuta.dev/v1\n"
        "  kind: EgressPolicy\n"
        f"  metadata: {{name: {name}}}\n"
        f"  spec: {{requireTls: false, allow: [{{host: {in_yaml(rule)}, ports: [{rule.ports[0]}]}}]}}"
    )


def plain_outside(platform: Platform, need: HostNeed) -> Diagnostic:
    """A host beyond the house would be reached without TLS."""
    return Diagnostic(
        code="EGR104",
        summary="A host beyond the site must be reached over TLS",
        detail=f"Platform/{platform.name} ({platform.network}) has the plain endpoint"
        f" {need.host}:{need.port}; anybody on the way could read and change what is sent.",
        fix="Use the `https` endpoint, or, if it stands in your own network, declare"
        " `network: OnPrem` with its `cidrs`.",
        locations=place(platform.places, "spec.endpoints"),
        address=f"Platform/{platform.name}",
    )


def no_host(platform: Platform, need: HostNeed, why: Refused) -> Diagnostic:
    """What a Platform leads to is no host."""
    return Diagnostic(
        code="EGR105",
        summary="This is not a host that can be checked",
        detail=f"Platform/{platform.name} leads to {need.host!r}. {why.detail}",
        fix="Write a host name as DNS has it, names of other scripts in their `xn--` form.",
        locations=place(platform.places, "spec.endpoints"),
        address=f"Platform/{platform.name}",
    )


def not_a_name(platform: Platform, need: HostNeed) -> Diagnostic | None:
    """An address or a single label, which only endpoints in the house may be; None for names."""
    host = parse_host(apex(need.host))
    if isinstance(host, Refused) or host.kind is Kind.NAME:
        return None
    what = "an address" if host.kind is Kind.ADDRESS else "a single label"
    return Diagnostic(
        code="EGR105",
        summary="This is not a host that can be checked",
        detail=f"Platform/{platform.name} ({platform.network}) leads to {need.host}, which is"
        f" {what}; a certificate and a rule need a full name.",
        fix="Write the full name, or, if it stands in your own network, declare"
        " `network: OnPrem` with its `cidrs`.",
        locations=place(platform.places, "spec.endpoints"),
        address=f"Platform/{platform.name}",
    )


def bad_patterns(document: EgressPolicy) -> list[Diagnostic]:
    """Hosts of a document that are none, each a finding; empty where all are well formed."""
    written = [("allow", i, rule) for i, rule in enumerate(document.allow)]
    written += [("deny", i, rule) for i, rule in enumerate(document.deny)]
    return [
        Diagnostic(
            code="EGR105",
            summary="This is not a host that can be checked",
            detail=f"EgressPolicy/{document.name}: {why.detail}",
            fix="Write a host name as DNS has it, or `*.` and such a name.",
            locations=place(document.places, f"spec.{field}[{i}].host"),
            address=f"EgressPolicy/{document.name}",
        )
        for field, i, rule in written
        if isinstance(why := parse_pattern(rule.host), Refused)
    ]


def inexact(tier: Tier, platform: Platform, need: HostNeed) -> Diagnostic:
    """A platform names its hosts only at run time, and the tier takes exact hosts alone."""
    return Diagnostic(
        code="EGR106",
        summary="The tier takes exact hosts, not wildcards",
        detail=f"Platform/{platform.name} reaches {need.host}, which {need.why or 'it needs'};"
        f" under {tier} each host has to be known before the run.",
        fix="Name the hosts in the Platform's `endpoints`, as the platform itself states them.",
        locations=place(platform.places, "spec.endpoints"),
        address=f"Platform/{platform.name}",
    )


def unproven(tier: Tier, platform: Platform) -> Diagnostic:
    """A private network without address ranges: the name alone proves nothing."""
    what = (
        "any private address is taken for the endpoint"
        if platform.network is Network.PRIVATE_LINK
        else "its public addresses are taken, which a gateway endpoint shares with everybody"
    )
    return Diagnostic(
        code="EGR107",
        summary="The address ranges of a private network are not declared",
        detail=f"Platform/{platform.name} has `network: {platform.network}` and no `cidrs`, so"
        f" {what}; that it fits {tier} is declared, not proven.",
        fix="Declare the ranges in `spec.cidrs` of the Platform.",
        severity=Severity.NOTE,
        locations=place(platform.places, "spec.network"),
        address=f"Platform/{platform.name}",
    )


def disproved(platform: Platform, host: str, why: Refused) -> Diagnostic:
    """The name of an endpoint in one's own network leads somewhere else."""
    return Diagnostic(
        code="EGR110",
        summary="The network disproves what the Platform declares",
        detail=f"Platform/{platform.name} has `network: {platform.network}`, and {host} does not"
        f" lead to a private endpoint from here: {why.detail}",
        fix="Run it where the name has the endpoint's private address (private name resolution of"
        " the endpoint), name the endpoint itself in `endpoints`, or declare the network that it is"
        " reached over.",
        locations=place(platform.places, "spec.network"),
        address=f"Platform/{platform.name}",
    )


def lint(document: EgressPolicy) -> list[Diagnostic]:
    """Return wildcards that any tenant of a platform can have a host under.

    An error where the one free label is the tenant's own name and the document is for
    HybridSovereign or PrivateCloud (or for FullySovereign); a warning elsewhere and deeper.
    """
    strict = any(tier is not Tier.STANDARD for tier in document.tiers)
    found: list[Diagnostic] = []
    for i, rule in enumerate(document.allow):
        pattern = parse_pattern(rule.host)
        if isinstance(pattern, Refused) or (shared := shared_by(pattern)) is None:
            continue
        error = strict and directly_shared(pattern)
        found.append(
            Diagnostic(
                code="EGR108",
                summary="This wildcard reaches every customer of a platform",
                detail=f"{pattern} lies in {shared}, where anybody can have a host, so data can"
                " leave to them, and each name looked up can carry a little of it.",
                fix="List the exact hosts; `batuta egress import FORM FILE` takes them as the platform"
                " itself states them. Give what stays a `maxUpload`.",
                severity=Severity.ERROR if error else Severity.WARNING,
                locations=place(document.places, f"spec.allow[{i}].host"),
                address=f"EgressPolicy/{document.name}",
            )
        )
    return found


def in_yaml(rule: Rule) -> str:
    """Return a rule's pattern as YAML has it: in quotes where it would mean something else."""
    return f'"{rule.written}"' if rule.written.startswith(("[", "*")) else rule.written


def wildcard_unsaid(rule: Rule, form: str) -> Diagnostic:
    """A rendering would widen a wildcard, and no list of names was given to put in its place."""
    return Diagnostic(
        code="EGR109",
        summary="This format has no wildcard of one label",
        detail=f"{rule.origin or 'A rule'} allows {rule.pattern}, where `*` is one label; {form}"
        " would read it as any depth.",
        fix="List the exact hosts in the policy, or give the names to put in its place.",
        locations=rule.locations,
        address=rule.origin or None,
    )


def _why(rule: Rule) -> str:
    return rule.why or "the action connects to"
