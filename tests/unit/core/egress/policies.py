"""Documents and actions for tests of egress, in few words."""

from batuta.core.egress.policy import Action, Composed, Policy, Reached, compose
from batuta.model.diagnostic import Location
from batuta.model.egress import HostNeed
from batuta.model.resource import EgressPolicy, EgressRule, Platform
from batuta.model.tier import Network, Tier

FULL, HYBRID, PRIVATE, STANDARD = Tier


def place(line: int) -> Location:
    return Location("batuta.yaml", line, 7)


def document(
    name: str,
    *allow: str | EgressRule,
    deny: tuple[str, ...] = (),
    tiers: tuple[Tier, ...] = (),
    datasets: tuple[str, ...] = (),
    require_tls: bool = True,
    max_bytes: int | None = None,
) -> EgressPolicy:
    """Return a policy whose allowed hosts stand in lines 10, 11, … and denied ones in 20, 21, …"""
    places = {f"spec.allow[{i}].host": place(10 + i) for i in range(len(allow))}
    places |= {f"spec.deny[{i}].host": place(20 + i) for i in range(len(deny))}
    places |= {"": place(1), "spec": place(2), "spec.allow": place(9)}
    return EgressPolicy(
        name=name,
        tiers=tiers,
        datasets=datasets,
        allow=tuple(a if isinstance(a, EgressRule) else EgressRule(host=a) for a in allow),
        deny=tuple(EgressRule(host=host, ports=()) for host in deny),
        require_tls=require_tls,
        max_bytes=max_bytes,
        places=places,
    )


def reached(
    *hosts: str | HostNeed,
    network: Network = Network.PUBLIC,
    cidrs: tuple[str, ...] = (),
    name: str = "lake",
) -> Reached:
    needs = tuple(
        h if isinstance(h, HostNeed) else HostNeed(host=h, why="serves the objects") for h in hosts
    )
    platform = Platform(
        name=name,
        type="aws",
        network=network,
        cidrs=cidrs,
        places={"": place(30), "spec.endpoints": place(33), "spec.network": place(32)},
    )
    return Reached(platform=platform, needs=needs)


def action(*ends: Reached, tier: Tier = STANDARD, named: str | None = None) -> Action:
    return Action(tier=tier, dataset="sales", ends=ends, named=named)


def composed(*documents: EgressPolicy, action: Action) -> Composed:
    return compose(documents, action)


def policy_for(*hosts: str, tier: Tier = STANDARD) -> Policy:
    found = compose((), action(reached(*hosts), tier=tier))
    assert found.diagnostics == ()
    return found.policy
