"""The policy of one action: what its tier, its dataset and its own needs allow together.

Default deny. A host is open where the action needs it, and each layer of EgressPolicy documents
that applies allows it: those for the tier, and those for the dataset. A layer without any
document asks for nothing; one whose documents list no host allows none. Denials of every
document count, and the tier's own; they beat whatever is allowed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property

from batuta.core.egress import findings
from batuta.core.egress.addresses import PRIVATE_RANGES, Demand
from batuta.core.egress.codes import Refused
from batuta.core.egress.hosts import intersect, parse_pattern
from batuta.core.egress.rules import MAX_CONNECTIONS, Rule, normal
from batuta.core.egress.suffixes import BLOCKED
from batuta.model import canonical
from batuta.model.canonical import Json
from batuta.model.diagnostic import Diagnostic
from batuta.model.egress import HostNeed
from batuta.model.resource import EgressPolicy, Platform
from batuta.model.tier import Network, Tier


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the gateway goes by; frozen when a run starts, named by its digest in every row.

    `max_bytes` is the most that one run moves in both directions, None for no cap. `documents`
    names the EgressPolicy documents that took part.
    """

    tier: Tier
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    max_bytes: int | None = None
    documents: tuple[str, ...] = ()

    @property
    def closed(self) -> bool:
        """True where nothing at all is allowed, so that a worker needs no way out."""
        return not self.allow

    def document(self) -> Json:
        """Return what the policy says, in one order, without places."""
        return {
            "tier": self.tier.value,
            "allow": [rule.document() for rule in normal(self.allow)],
            "deny": [rule.document() for rule in normal(self.deny)],
            "maxBytes": self.max_bytes,
        }

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the policy's canonical JSON, 64 hex digits."""
        return canonical.digest(self.document())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A Platform at one end of the action, and the hosts that its connector needs there."""

    platform: Platform
    needs: tuple[HostNeed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a policy is made for. `named` is the dataset's `egress`, None where it names none.

    `looks` says that nobody could name one, since no dataset is planned.
    """

    tier: Tier
    dataset: str
    ends: tuple[Reached, ...] = ()
    named: str | None = None
    looks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The policy of an action. Where an error is among `diagnostics` the action may not run."""

    policy: Policy
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The documents that apply to an action: `tier` and `dataset` each allow, all deny."""

    tier: tuple[EgressPolicy, ...]
    dataset: tuple[EgressPolicy, ...]

    @property
    def all(self) -> tuple[EgressPolicy, ...]:
        """Every document that applies, once, by name."""
        found = {p.name: p for p in (*self.tier, *self.dataset)}
        return tuple(found[name] for name in sorted(found))


def layers(documents: Iterable[EgressPolicy], action: Action) -> Layers:
    """Return the documents that apply to an action.

    One with `appliesTo.tiers` is of the tier's layer where both tier and dataset match. The
    dataset's layer is the document that it names, else those that match it by name alone. One
    without `appliesTo` counts only where it is named.
    """
    ordered = sorted(documents, key=lambda p: p.name)
    suits = [p for p in ordered if not p.datasets or _matches(p, action.dataset)]
    tier = tuple(p for p in suits if action.tier in p.tiers)
    if action.named is not None:
        dataset = tuple(p for p in ordered if p.name == action.named)
    else:
        dataset = tuple(p for p in suits if p.datasets and not p.tiers)
    return Layers(tier=tier, dataset=dataset)


def compose(documents: Iterable[EgressPolicy], action: Action) -> Composed:
    """Return the policy of an action, and every reason why it may not run under it.

    The result allows no host that the action does not need, so it is safe to use as it is.
    """
    applied = layers(documents, action)
    allow: list[Rule] = []
    found: list[Diagnostic] = [d for p in applied.all for d in findings.bad_patterns(p)]
    deny = normal((*tier_denials(action.tier), *_denials(applied.all)))
    for end in action.ends:
        for need in end.needs:
            rule = _needed(action.tier, end.platform, need)
            if isinstance(rule, Diagnostic):
                found.append(rule)
                continue
            opened, wrong = _through(rule, applied, deny, action)
            allow += opened
            found += wrong
        found += _placed(action, end)
    caps = [p.max_bytes for p in applied.all if p.max_bytes is not None]
    policy = Policy(
        tier=action.tier,
        allow=normal(allow),
        deny=deny,
        max_bytes=min(caps, default=None),
        documents=tuple(p.name for p in applied.all),
    )
    return Composed(policy=policy, diagnostics=tuple(dict.fromkeys(found)))


def narrow(
    policy: Policy,
    hosts: Iterable[tuple[str, int]],
    *,
    methods: Sequence[str] = (),
    upload_bytes: int | None = None,
    connections: int = MAX_CONNECTIONS,
) -> Policy:
    """Return the policy of one worker: only `hosts` (name and port), further capped.

    For a worker that reads: the hosts that the plan names, GET and HEAD, and a few KiB for the
    heads of its requests. For one that uploads: the destination's host, and the bytes staged.
    Nothing is ever opened that `policy` does not allow.
    """
    wanted = set(hosts)
    kept: list[Rule] = []
    for name, port in sorted(wanted):
        for rule in policy.allow:
            pattern = intersect(rule.pattern, name)
            if pattern is None or port not in rule.ports:
                continue
            allowed = _both(rule.methods, tuple(methods))
            if allowed is None:
                continue
            kept.append(
                replace(
                    rule,
                    pattern=pattern,
                    ports=(port,),
                    methods=allowed,
                    max_upload_bytes=_least(rule.max_upload_bytes, upload_bytes),
                    max_connections=connections,
                )
            )
    return replace(policy, allow=normal(kept))


def inspected(policy: Policy) -> Policy:
    """Return the policy of a worker whose requests are all read one by one."""
    return replace(policy, allow=normal(replace(rule, inspect=True) for rule in policy.allow))


def united(policies: Sequence[Policy]) -> Policy:
    """Return one policy that allows what any of them allows, and denies what all of them deny.

    For rules that cannot tell workers apart; its tier is the least sovereign of theirs.
    """
    if not policies:
        return Policy(tier=Tier.FULLY_SOVEREIGN)
    deny = [r for r in policies[0].deny if all(r in p.deny for p in policies)]
    caps = [p.max_bytes for p in policies]
    return Policy(
        tier=max((p.tier for p in policies), key=lambda tier: tier.rank),
        allow=normal(rule for p in policies for rule in p.allow),
        deny=normal(deny),
        max_bytes=max((c for c in caps if c is not None), default=None)
        if None not in caps
        else None,
        documents=tuple(sorted({name for p in policies for name in p.documents})),
    )


def tier_denials(tier: Tier) -> tuple[Rule, ...]:
    """Return the specification's blocked endpoints of a tier, each name and all below it."""
    return tuple(
        Rule(pattern=pattern, ports=(), why="the specification blocks it", origin=f"tier {tier}")
        for name in BLOCKED[tier]
        for pattern in (name, f"*.{name}")
    )


def rules_of(document: EgressPolicy, *, deny: bool = False) -> tuple[Rule, ...]:
    """Return the rules that a document allows, or denies, in order; malformed hosts left out."""
    field, written = ("deny", document.deny) if deny else ("allow", document.allow)
    rules: list[Rule] = []
    for i, each in enumerate(written):
        pattern = parse_pattern(each.host)
        if isinstance(pattern, Refused):
            continue
        rules.append(
            Rule(
                pattern=pattern,
                ports=tuple(sorted(set(each.ports))),
                max_upload_bytes=each.max_upload_bytes,
                plain=not document.require_tls,
                origin=f"EgressPolicy/{document.name}",
                locations=findings.place(document.places, f"spec.{field}[{i}].host"),
            )
        )
    return tuple(rules)


def _needed(tier: Tier, platform: Platform, need: HostNeed) -> Rule | Diagnostic:
    """Return the rule that a need asks for, as the Platform and the tier let it be."""
    on_prem = platform.network is Network.ON_PREM
    pattern = parse_pattern(need.host)
    if isinstance(pattern, Refused):
        return findings.no_host(platform, need, pattern)
    rule = Rule(
        pattern=pattern,
        ports=(need.port,),
        demand=demand_of(tier, platform),
        on_prem=on_prem,
        plain=need.scheme == "http",
        paths=need.paths,
        inspect=_inspected(tier, need, on_prem=on_prem),
        why=need.why,
        origin=f"Platform/{platform.name}",
        locations=findings.place(platform.places, "spec.endpoints"),
    )
    if rule.plain and not on_prem:
        return findings.plain_outside(platform, need)
    if rule.wildcard and tier is not Tier.STANDARD:
        return findings.inexact(tier, platform, need)
    if not on_prem and (public := findings.not_a_name(platform, need)) is not None:
        return public
    return rule


def _inspected(tier: Tier, need: HostNeed, *, on_prem: bool) -> bool:
    """True where requests are read one by one: plain ones, and where the host proves too little."""
    if need.scheme == "http" or on_prem:
        return need.scheme == "http"
    # One host for all customers is no border between them; only the path is.
    return tier is Tier.HYBRID_SOVEREIGN or (need.shared and tier is not Tier.STANDARD)


def demand_of(tier: Tier, platform: Platform) -> Demand:
    """Return what the addresses of a Platform's hosts have to be."""
    match platform.network:
        case Network.ON_PREM:
            return Demand(cidrs=platform.cidrs, loopback=True, private=True)
        case Network.PRIVATE_LINK:
            # An endpoint in one's own network has a private address; a public one disproves it.
            return Demand(cidrs=platform.cidrs or PRIVATE_RANGES)
        case Network.LOCAL | Network.VPC | Network.PUBLIC:
            return Demand(cidrs=platform.cidrs, private=tier is Tier.FULLY_SOVEREIGN)


def _through(
    rule: Rule, applied: Layers, deny: Sequence[Rule], action: Action
) -> tuple[list[Rule], list[Diagnostic]]:
    """Return the rule as all layers leave it, or what keeps it closed."""
    if (denial := findings.denied(rule, deny)) is not None:
        return [], [findings.needs_denied(rule, denial, action.dataset)]
    opened = [rule]
    for layer in (applied.tier, applied.dataset):
        if layer:
            allowed = [a for p in layer for a in rules_of(p)]
            opened = [m for r in opened for a in allowed if (m := _meet(r, a)) is not None]
            if not opened:
                secure = replace(rule, plain=False)
                if rule.plain and any(_meet(secure, a) is not None for a in allowed):
                    return [], [_plain_unsaid(rule, layer, action)]
                return [], [findings.not_allowed(rule, layer, action.dataset)]
    if rule.plain and not any(not p.require_tls for p in applied.all):
        return [], [_plain_unsaid(rule, applied.all, action)]
    return opened, []


def _plain_unsaid(rule: Rule, layer: Sequence[EgressPolicy], action: Action) -> Diagnostic:
    return findings.plain_unsaid(rule, layer, action.dataset, looks=action.looks)


def _meet(rule: Rule, allowed: Rule) -> Rule | None:
    """Return what a needed rule and an allowing one have in common; the document's line is kept."""
    pattern = intersect(rule.pattern, allowed.pattern)
    ports = tuple(p for p in rule.ports if p in allowed.ports)
    if pattern is None or not ports or (rule.plain and not allowed.plain):
        return None
    return replace(
        rule,
        pattern=pattern,
        ports=ports,
        max_upload_bytes=_least(rule.max_upload_bytes, allowed.max_upload_bytes),
        origin=allowed.origin,
        locations=allowed.locations,
    )


def _denials(documents: Iterable[EgressPolicy]) -> list[Rule]:
    return [rule for document in documents for rule in rules_of(document, deny=True)]


def _placed(action: Action, end: Reached) -> list[Diagnostic]:
    platform = end.platform
    unproven = platform.network in {Network.PRIVATE_LINK, Network.VPC} and not platform.cidrs
    if not unproven or not end.needs:
        return []
    return [findings.unproven(action.tier, platform)]


def _matches(document: EgressPolicy, dataset: str) -> bool:
    return any(fnmatchcase(dataset, pattern) for pattern in document.datasets)


def _least(one: int | None, other: int | None) -> int | None:
    return min((n for n in (one, other) if n is not None), default=None)


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the methods that both allow, where empty means any; None where there is none."""
    if not one or not other:
        return one or other
    return tuple(m for m in one if m in other) or None
