"""One rule about hosts: what it covers, what it asks for, and the line it comes from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from batuta.core.egress.addresses import PUBLIC, Demand
from batuta.core.egress.hosts import Host, Kind, covers, in_url, is_wildcard, reaches
from batuta.model.canonical import Json
from batuta.model.diagnostic import Location

MAX_NAMES = 64
"""Distinct names under one wildcard in one run: a name can carry data to whoever answers for it."""
MAX_CONNECTIONS = 4096
"""Connections of one rule in one run, where the work at hand does not need more."""
MAX_CONNECTION_S = 24 * 3600
"""How long one connection may last, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Hosts that may be reached, or in a denial may not.

    `pattern` is in its one spelling. No `ports` means every port, in a denial only. `methods`
    and `paths` (decoded, each with all below it; empty: any) hold in inspect mode. `plain` lets
    HTTP in absolute form through, for one host and port in the house. `max_connections` follows
    from the work at hand, no document says it. `origin` and `locations` say where the rule was
    written, and are no part of what it says.
    """

    pattern: str
    ports: tuple[int, ...] = (443,)
    demand: Demand = PUBLIC
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    max_upload_bytes: int | None = None
    max_names: int = MAX_NAMES
    max_connections: int = MAX_CONNECTIONS
    on_prem: bool = False
    plain: bool = False
    inspect: bool = False
    why: str = field(default="", compare=False)
    origin: str = field(default="", compare=False)
    locations: tuple[Location, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The rule as an audit row names it: its pattern and ports."""
        return f"{self.written}:{','.join(map(str, self.ports)) or '*'}"

    @property
    def written(self) -> str:
        """The pattern as documents write it: IPv6 addresses in brackets."""
        return in_url(self.pattern)

    @property
    def wildcard(self) -> bool:
        """True where one label of the host is free."""
        return is_wildcard(self.pattern)

    def covers(self, host: Host) -> bool:
        """True where an allowing rule speaks of this host.

        Addresses and single labels are spoken of only by rules of endpoints in the house.
        """
        return (host.kind is Kind.NAME or self.on_prem) and covers(self.pattern, host.name)

    def document(self) -> Json:
        """Return what the rule says, without where it was written, for the policy's digest."""
        return {
            "pattern": self.pattern,
            "ports": list(self.ports),
            "cidrs": list(self.demand.cidrs),
            "loopback": self.demand.loopback,
            "private": self.demand.private,
            "methods": list(self.methods),
            "paths": list(self.paths),
            "maxUploadBytes": self.max_upload_bytes,
            "maxNames": self.max_names,
            "onPrem": self.on_prem,
            "plain": self.plain,
            "inspect": self.inspect,
        }


def normal(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules in one order, each said once. Idempotent; the first of equals stays."""
    told: dict[Rule, Rule] = {}
    for rule in rules:
        told.setdefault(rule, rule)
    return tuple(sorted(told, key=_order))


def allowing(rules: Sequence[Rule], host: Host, port: int) -> tuple[Rule | None, bool]:
    """Return the rule that allows the host at the port, and whether one allows the host at all.

    An exact rule is taken before a wildcard, and of several the one that allows the least upload.
    """
    speak = sorted((r for r in rules if r.covers(host)), key=_closest)
    return next((r for r in speak if port in r.ports), None), bool(speak)


def denying(rules: Sequence[Rule], host: Host, port: int) -> Rule | None:
    """Return the rule that denies the host; a wildcard in a denial goes to any depth."""
    return next(
        (r for r in rules if reaches(r.pattern, host.name) and (not r.ports or port in r.ports)),
        None,
    )


def _closest(rule: Rule) -> tuple[bool, bool, int]:
    cap = rule.max_upload_bytes
    return rule.wildcard, cap is None, cap or 0


def _order(rule: Rule) -> tuple[str, tuple[int, ...], str]:
    return rule.pattern, rule.ports, repr(rule)
