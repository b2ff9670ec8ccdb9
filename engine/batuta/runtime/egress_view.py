"""Answers about egress: which hosts a dataset's workers may reach, and why. Nothing is contacted."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from batuta.core.egress.codes import Code, Refused
from batuta.core.egress.explain import Explanation, explain
from batuta.core.egress.hosts import Host, parse_host
from batuta.core.egress.policy import Policy, united
from batuta.core.egress.render import kubernetes, nftables, squid
from batuta.core.egress.render.site import Share, Site
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.borders import Border, Borders
from batuta.runtime.clock import now_utc
from batuta.runtime.egress.audit_read import rows
from batuta.runtime.egress.refusal import has_failed
from batuta.runtime.keeping import Keeping
from batuta.runtime.sandbox.levels import Choice

HTTPS = 443
_LAST_PORT, _PORT_DIGITS = 65535, 5
_OPEN, _REFUSED, _FAILED, _END = "open", "refused", "failed", "end"
_SAID_NO = frozenset({"deny", "fail"})
_FORMS: Mapping[str, Callable[[Policy, Site], str | tuple[Diagnostic, ...]]] = {
    "nftables": nftables.render,
    "kubernetes": kubernetes.render,
    "squid": squid.render,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why one host is open or closed; `refused` is why nothing at all may be contacted."""

    dataset: str
    explanation: Explanation
    refused: tuple[Diagnostic, ...]

    @property
    def allowed(self) -> bool:
        """True where a worker would be let through to the check of addresses."""
        return self.explanation.allowed and not self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One dataset: what its workers may reach, how this machine keeps them, what they tried.

    `level` is empty where the machine does not give what its tier needs. `allowed` and `refused`
    count connections in the egress log, one that was let through and then cut in both; `failed`
    are those that no rule forbade and that came to nothing (no such name, nobody answered).
    `closed` holds the codes that forbid any contact.
    """

    dataset: str
    tier: str
    derived: bool
    policy: str
    hosts: tuple[str, ...]
    level: str
    enforced: bool
    allowed: int
    refused: int
    failed: int = 0
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """Connections of batuta's own process, which serve all datasets of a place."""

    allowed: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """One policy with the datasets that have it, by name."""

    policy: Policy
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EgressView:
    """What can be said of the datasets with these names. `log` is the egress log."""

    borders: Borders
    names: frozenset[str]
    log: Path
    keeping: Keeping = field(default_factory=Keeping)

    def status(self) -> tuple[Status, ...]:
        """Return how each dataset stands, by name. Levels are tried on this machine."""
        counts = self._counts()
        return tuple(self._status(name, counts) for name in sorted(self.names))

    def own(self) -> Own:
        """Return what batuta's own process tried: it stands in the log without a dataset."""
        counts = self._counts()
        return Own(
            allowed=counts["", _OPEN], refused=counts["", _REFUSED], failed=counts["", _FAILED]
        )

    def _status(self, name: str, counts: Mapping[tuple[str, str], int]) -> Status:
        border = self.borders.of(name)
        kept = self.keeping.of(border.need)
        choice = kept if isinstance(kept, Choice) else None
        return Status(
            dataset=name,
            tier=border.need.tier.value,
            derived=not border.need.declared,
            policy=border.policy.digest,
            hosts=tuple(rule.name for rule in _in_force(border).allow),
            level=choice.level.value if choice is not None else "",
            enforced=choice is not None and choice.enforced,
            allowed=counts.get((name, _OPEN), 0),
            refused=counts.get((name, _REFUSED), 0),
            failed=counts.get((name, _FAILED), 0),
            closed=tuple(dict.fromkeys(d.code for d in border.refused)),
        )

    def _counts(self) -> Counter[tuple[str, str]]:
        """Connections by dataset and event; those refused after they were open count as both."""
        found: Counter[tuple[str, str]] = Counter()
        for row in rows(self.log):
            # One that was let through and is cut, at its budget for example, ends with that.
            refused = row.event == _END and row.verdict in _SAID_NO
            if row.event in (_OPEN, _REFUSED) or refused:
                event = _FAILED if has_failed(row) else _REFUSED if refused else row.event
                found[row.dataset.removeprefix("Dataset/"), event] += 1
        return found

    def policies(self, dataset: str | None = None) -> tuple[Shared, ...]:
        """Return each policy once, with its datasets; only that of one dataset where it is named."""
        names = sorted(self.names) if dataset is None else [self.named(dataset)]
        found: dict[str, tuple[Policy, list[str]]] = {}
        for name in names:
            policy = _in_force(self.borders.of(name))
            found.setdefault(policy.digest, (policy, []))[1].append(name)
        return tuple(Shared(policy=p, datasets=tuple(n)) for p, n in found.values())

    def rendered(self, form: str, dataset: str | None = None, site: Site | None = None) -> str:
        """Return rules in a form, `nftables`, `kubernetes` or `squid`, for a place.

        They open what workers may reach, and what batuta's own process asks for keys.

        Raises:
            BatutaError: EGR109, the form would widen a wildcard; DAT101, no such dataset.
        """
        found = self.policies(dataset)
        borders = [self.borders.of(name) for each in found for name in each.datasets]
        keys = {b.keys.digest: b.keys for b in borders if b.keys is not None and not b.refused}
        policy = united([*(shared.policy for shared in found), *keys.values()])
        shares = tuple(Share(policy=each.policy, datasets=each.datasets) for each in found)
        there = replace(site or Site(), written=now_utc(), shares=shares)
        made = _FORMS[form](policy, there)
        if isinstance(made, str):
            return made
        raise BatutaError(*made)

    def explain(self, host: str, dataset: str, port: int | None = None) -> Answer:
        """Return why workers of a dataset may or may not connect to a host.

        Args:
            host: A host, or a host and a port with `:` between them.
            dataset: A name, or an address `Dataset/<name>`.
            port: Outranks the one in `host`; 443 where neither says one.

        Raises:
            BatutaError: DAT101, there is no such dataset.
            ValueError: the port in `host` is none.
        """
        name = self.named(dataset)
        bare, stated = split_port(host)
        chosen = port or stated or HTTPS
        action = self.borders.action(name)
        return Answer(
            dataset=name,
            explanation=explain(self.borders.documents, action, bare, chosen),
            refused=self.borders.of(name).refused,
        )

    def named(self, dataset: str) -> str:
        """Return the name of a dataset that is known. Raises BatutaError: DAT101."""
        name = dataset.removeprefix("Dataset/")
        if name not in self.names:
            raise BatutaError(
                Diagnostic(
                    code="DAT101",
                    summary="No dataset there",
                    detail=f"`{name}` is none of the datasets of the manifests.",
                    fix="Name one of them: `batuta plan` lists all.",
                )
            )
        return name


def _in_force(border: Border) -> Policy:
    """Return the policy of workers: where nothing may be contacted none of its hosts is open."""
    return replace(border.policy, allow=()) if border.refused else border.policy


def split_port(text: str) -> tuple[str, int | None]:
    """Return the host and the port of `host:port`; a text without a port is a host.

    An address or a name that is only spelled in a way that is refused counts as a host.

    Raises:
        ValueError: it is no host, or what stands after it is no port from 1 to 65535.
    """
    before, colon, digits = text.rpartition(":")
    if not (colon and digits.isdecimal() and isinstance(parse_host(before), Host)):
        host = parse_host(text)
        if isinstance(host, Refused) and host.code is Code.HOST_MALFORMED:
            raise ValueError(f"{host.detail} Write the host alone, or HOST:PORT")
        return text, None
    port = int(digits) if len(digits) <= _PORT_DIGITS else 0
    if not 0 < port <= _LAST_PORT:
        raise ValueError(f"{digits} is no port from 1 to {_LAST_PORT}")
    return before, port
