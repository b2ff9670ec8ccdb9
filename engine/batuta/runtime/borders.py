"""What the workers of each dataset may reach, decided before anything is contacted.

A border is made from the documents, the Platforms and the hosts that connectors say they need;
nobody is asked. Datasets with the same ends and documents share one policy.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from batuta.core.egress import policy as egress
from batuta.core.egress.hosts import parse_pattern
from batuta.core.egress.policy import Composed, Layers, Policy, Reached
from batuta.core.tiers import fit
from batuta.model import canonical
from batuta.model.address import Address
from batuta.model.connector import Connection
from batuta.model.diagnostic import BatutaError, Diagnostic, Severity
from batuta.model.egress import HostNeed
from batuta.model.plan import Plan
from batuta.model.resource import (
    Desired,
    EgressPolicy,
    OnViolation,
    Platform,
    Site,
)
from batuta.model.state import ResourceRecord
from batuta.model.tier import Network
from batuta.runtime import border_subjects as subjects
from batuta.runtime.border_subjects import Place, Subject
from batuta.runtime.connections import Connections
from batuta.runtime.registry import connector_for
from batuta.runtime.sandbox.levels import Need

_NO_LAYERS = Layers(tier=(), dataset=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """What the workers of one dataset may reach, and how strongly that must be kept.

    `source` and `destination` are hosts and ports that the connectors of the two ends need; a
    host may be `*.name`. `stop`: the worker ends at the first connection that is refused. Where
    an error is among `diagnostics` nothing may be contacted. `policies` is a digest of the
    documents that apply and of the site, whatever hosts are needed. `reached` are the Platforms
    at the ends that hosts are needed at. `keys` is what this process itself may reach to ask for
    keys that the Platforms do not state, None where it has to ask nobody; no worker may reach it.
    """

    policy: Policy
    need: Need
    source: tuple[tuple[str, int], ...] = ()
    destination: tuple[tuple[str, int], ...] = ()
    stop: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()
    policies: str = ""
    reached: tuple[Reached, ...] = ()
    keys: Policy | None = None

    @property
    def refused(self) -> tuple[Diagnostic, ...]:
        """The errors among the diagnostics."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True)
class _End:
    """One end, looked up: its Platform and the hosts that are needed there."""

    platform: Platform
    needs: tuple[HostNeed, ...] = ()
    keys: tuple[HostNeed, ...] = ()


@dataclass(frozen=True, slots=True)
class _Opener:
    """What the ends of one scheme and Platform have in common; looked up once."""

    platform: Platform
    connection: Connection
    hosts: Callable[[Connection, Address], Sequence[HostNeed]] | None
    keys: tuple[HostNeed, ...] = ()


class Borders:
    """The borders of one run's datasets, each made at its first use. Safe for several threads."""

    def __init__(
        self,
        known: Callable[[str], Subject],
        documents: Iterable[EgressPolicy],
        connections: Connections,
        site: Site,
    ) -> None:
        self.site = site
        self.documents = tuple(sorted(documents, key=lambda document: document.name))
        self._known = known
        self._connections = connections
        self._made: dict[str, Border] = {}
        self._composed: dict[object, Composed] = {}
        self._openers: dict[tuple[str, str | None], _Opener] = {}
        self._digests: dict[tuple[str, ...], str] = {}

    @classmethod
    def of_desired(
        cls, desired: Desired, connections: Connections, records: Iterable[ResourceRecord] = ()
    ) -> "Borders":
        """Return the borders for a plan, or for a look at what manifests describe.

        Args:
            records: What the state remembers: datasets that no document describes any more, and
                labels of those that are read.
        """
        return cls(
            subjects.of_desired(desired, records),
            desired.egress_policies,
            connections,
            desired.workspace.site,
        )

    @classmethod
    def of_plan(cls, plan: Plan, connections: Connections) -> "Borders":
        """Return the borders of a plan's actions; no manifest is needed for them."""
        return cls(subjects.of_plan(plan), plan.egress, connections, plan.site)

    def of(self, name: str) -> Border:
        """Return the border of a dataset by name: of the manifests, the plan, or the state.

        Raises:
            KeyError: there is no such dataset: a mistake of the code.
        """
        border = self._made.get(name)
        if border is None:
            border = self._made[name] = self._around(self._known(name))
        return border

    def kept(self, name: str) -> Border:
        """Return the border for looking into what a dataset keeps: its source is not read."""
        subject = self._known(name)
        return self._around(replace(subject, sources=(), refused=(), guess=subject.egress is None))

    def used(self, plan: Plan) -> frozenset[str]:
        """Return the names of the documents that apply to at least one action of a plan."""
        names = {a.target.resource.partition("/")[2] for a in plan.actions}
        return frozenset(d for name in names for d in self.of(name).policy.documents)

    def at(self, address: Address, platform: str | None = None) -> Border:
        """Return the border of a place for which no dataset stands, such as one to be shown."""
        place = Place(address=address, platform=platform)
        found = self._end(place).platform
        return self._around(
            Subject(
                name=str(address),
                tier=fit(found.network, found.type),
                declared=False,
                destination=place,
                guess=True,
            )
        )

    def action(self, name: str) -> egress.Action:
        """Return what a dataset's policy is made for."""
        subject = self._known(name)
        ends = self._ends(subject)
        return _action(subject, (*_reached(ends), *_asked_for_keys(ends)), subject.egress)

    def _around(self, subject: Subject) -> Border:
        ends = self._ends(subject)
        reached, asked = _reached(ends), _asked_for_keys(ends)
        composed, applied = self._composed_for(subject, reached)
        keys = self._composed_for(subject, asked)[0] if asked else None
        local = all(end.platform.network is Network.LOCAL for end in ends)
        return Border(
            policy=composed.policy,
            need=Need(
                tier=subject.tier,
                local_ends=local,
                declared=subject.declared,
                filtered_allowed=any(document.filtered for document in applied.all),
                required=self.site.required,
            ),
            source=_hosts(ends[:-1]),
            destination=_hosts(ends[-1:]),
            stop=any(d.on_violation is OnViolation.STOP for d in applied.all),
            diagnostics=tuple(
                dict.fromkeys(
                    (*subject.refused, *composed.diagnostics, *(keys.diagnostics if keys else ()))
                )
            ),
            policies=self._digest(applied),
            reached=reached,
            keys=keys.policy if keys else None,
        )

    def _digest(self, applied: Layers) -> str:
        names = tuple(document.name for document in applied.all)
        found = self._digests.get(names)
        if found is None:
            said = [msgspec.to_builtins(bare(document)) for document in applied.all]
            found = self._digests[names] = canonical.digest([said, msgspec.to_builtins(self.site)])
        return found

    def _composed_for(
        self, subject: Subject, reached: tuple[Reached, ...]
    ) -> tuple[Composed, Layers]:
        action = _action(subject, reached, subject.egress)
        composed, applied = self._compose(action)
        if not subject.guess or not _refuses(composed):
            return composed, applied
        for document in self.documents:
            if document.tiers or document.datasets:
                continue
            other = self._compose(_action(subject, reached, document.name))
            if not _refuses(other[0]):
                return other
        return composed, applied

    def _compose(self, action: egress.Action) -> tuple[Composed, Layers]:
        """Compose a policy, once for all datasets that have the same ends and documents."""
        applied = egress.layers(self.documents, action) if self.documents else _NO_LAYERS
        key = (
            action.tier,
            tuple(document.name for document in applied.tier),
            tuple(document.name for document in applied.dataset),
            tuple((end.platform.name, end.needs) for end in action.ends),
        )
        found = self._composed.get(key)
        if found is None or _refuses(found):
            # A refusal names its dataset, so that each has its own.
            found = self._composed[key] = egress.compose(applied.all, action)
        return found, applied

    def _ends(self, subject: Subject) -> tuple[_End, ...]:
        return tuple(self._end(place) for place in (*subject.sources, subject.destination))

    def _end(self, place: Place) -> _End:
        """Look an end up; one that cannot be opened needs no host: opening it says why."""
        inner = place.address.inner
        try:
            opener = self._opener(inner, place.platform)
            if opener.hosts is None:
                return _End(opener.platform)
            needs = tuple(opener.hosts(opener.connection, inner))
            return _End(opener.platform, needs, opener.keys)
        except BatutaError:
            network = Network.LOCAL if inner.scheme == "file" else Network.PUBLIC
            return _End(Platform(name=inner.scheme, type=inner.scheme, network=network))

    def _opener(self, inner: Address, name: str | None) -> _Opener:
        key = (inner.scheme, name)
        opener = self._openers.get(key)
        if opener is None:
            platform = self._connections.platform_of(inner, name)
            connector, opened = connector_for(inner.scheme), _connection(platform)
            keys: tuple[HostNeed, ...] = ()
            if not platform.credentials and connector.chain_hosts is not None:
                keys = tuple(connector.chain_hosts(opened))
            opener = _Opener(platform, opened, connector.hosts, keys)
            self._openers[key] = opener
        return opener


def _action(subject: Subject, reached: tuple[Reached, ...], named: str | None) -> egress.Action:
    return egress.Action(
        tier=subject.tier, dataset=subject.name, ends=reached, named=named, looks=subject.guess
    )  # fmt: skip


def bare(document: EgressPolicy) -> EgressPolicy:
    """Return a document without where it was written: a plan says nothing of the folder."""
    return replace(document, places={})


def _reached(ends: Iterable[_End]) -> tuple[Reached, ...]:
    return tuple(Reached(platform=end.platform, needs=end.needs) for end in ends if end.needs)


def _asked_for_keys(ends: Iterable[_End]) -> tuple[Reached, ...]:
    return tuple(Reached(platform=end.platform, needs=end.keys) for end in ends if end.keys)


def _hosts(ends: Iterable[_End]) -> tuple[tuple[str, int], ...]:
    """Return the hosts of the ends as rules spell them; what is none stays as it is written."""
    found = [(parse_pattern(n.host), n) for end in ends for n in end.needs]
    return tuple(dict.fromkeys((h if isinstance(h, str) else n.host, n.port) for h, n in found))


def _refuses(composed: Composed) -> bool:
    return any(d.severity is Severity.ERROR for d in composed.diagnostics)


def _connection(platform: Platform) -> Connection:
    """Return the Platform as connectors see it, without any secret."""
    options = dict(platform.options)
    if platform.region is not None:
        options.setdefault("region", platform.region)
    return Connection(
        platform=platform.name,
        type=platform.type,
        network=platform.network,
        region=platform.region,
        endpoints=platform.endpoints,
        options=options,
    )
