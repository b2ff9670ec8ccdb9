"""Whether the network disproves what Platforms declare: names are looked up, nothing is contacted."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from batuta.core.egress.addresses import judge
from batuta.core.egress.codes import Refused
from batuta.core.egress.findings import disproved
from batuta.core.egress.hosts import is_wildcard
from batuta.core.egress.policy import Reached, demand_of
from batuta.model.diagnostic import Diagnostic
from batuta.model.resource import Platform
from batuta.model.tier import Network, Tier
from batuta.runtime.egress.resolve import ResolveError, Resolver, SystemResolver

_WAIT_S = 2.0
_MOST_SILENT = 3


@dataclass
class Proofs:
    """Looks up the hosts of PrivateLink Platforms, each once.

    A name without an answer proves nothing; after three that nobody answered no more are asked.
    """

    resolver: Resolver = field(default_factory=SystemResolver)
    _found: dict[tuple[str, str], Diagnostic | None] = field(default_factory=dict)
    _silent: int = 0

    def against(self, tier: Tier, ends: Iterable[Reached]) -> tuple[Diagnostic, ...]:
        """Return for each end whose Platform the network disproves why."""
        found: list[Diagnostic] = []
        for end in ends:
            if end.platform.network is not Network.PRIVATE_LINK:
                continue
            for need in end.needs:
                key = (end.platform.name, need.host)
                if key not in self._found and not is_wildcard(need.host):
                    self._found[key] = self._looked_up(tier, end.platform, need.host)
                wrong = self._found.get(key)
                found += [wrong] if wrong is not None else []
        return tuple(found)

    def _looked_up(self, tier: Tier, platform: Platform, host: str) -> Diagnostic | None:
        if self._silent >= _MOST_SILENT:
            return None
        try:
            answers = self.resolver(host, _WAIT_S)
        except ResolveError as error:
            self._silent += error.code == "dns.timeout"
            return None
        refused = judge(answers, demand_of(tier, platform))
        return disproved(platform, host, refused) if isinstance(refused, Refused) else None
