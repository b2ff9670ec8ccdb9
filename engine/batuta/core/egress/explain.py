"""Why one host is open or closed to one action: each step, the rule that decided, its line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batuta.core.egress.addresses import PRIVATE_RANGES
from batuta.core.egress.codes import MEANING, Code, Refused
from batuta.core.egress.findings import in_yaml
from batuta.core.egress.hosts import Host, bracketed, covers, parse_host, parse_pattern
from batuta.core.egress.policy import Action, compose, layers, rules_of
from batuta.core.egress.rules import Rule, denying
from batuta.core.egress.verdict import Request, choose
from batuta.model.diagnostic import Location
from batuta.model.resource import EgressPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One sentence of an explanation, and the lines that it rests on; empty where none was read."""

    text: str
    locations: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The verdict before any name is looked up, the steps to it, and what would change it.

    `rule` is the one that decided, None where the absence of one did. `fix` is empty where the
    host is open, and where nothing that a person could write would open it.
    """

    code: Code
    host: str
    port: int
    steps: tuple[Step, ...]
    rule: Rule | None = None
    fix: str = ""

    @property
    def allowed(self) -> bool:
        """True where a connection would go on to the check of addresses."""
        return self.code is Code.ALLOW


def explain(
    documents: Iterable[EgressPolicy], action: Action, host: str, port: int = 443
) -> Explanation:
    """Return why a worker of `action` may or may not connect to `host`, without connecting."""
    parsed = parse_host(host)
    if isinstance(parsed, Refused):
        step = Step(text=f"{parsed.detail} {MEANING[parsed.code]}")
        return Explanation(code=parsed.code, host=host, port=port, steps=(step,))
    policies = tuple(documents)
    policy = compose(policies, action).policy
    plain = any(
        r.plain and port in r.ports and covers(r.pattern, parsed.name) for r in policy.allow
    )
    request = Request(
        method="GET" if plain else "CONNECT",
        host=parsed,
        port=port,
        target=f"{bracketed(parsed)}:{port}",
        plain=plain,
    )
    verdict = choose(policy, request)
    if isinstance(verdict, Rule):
        return Explanation(
            code=Code.ALLOW, host=bracketed(parsed), port=port, rule=verdict, steps=_open(verdict)
        )
    denial = denying(policy.deny, parsed, port)
    if denial is not None:
        return _denied(verdict, denial, parsed, port)
    steps, fix = _closed(policies, action, parsed, port)
    return Explanation(code=verdict.code, host=bracketed(parsed), port=port, steps=steps, fix=fix)


def _open(rule: Rule) -> tuple[Step, ...]:
    steps = [
        Step(
            text=f"The action needs {rule.name}, which {rule.why or 'it connects to'};"
            f" {rule.origin} allows it.",
            locations=rule.locations,
        ),
        Step(text=f"{_addresses(rule)} The TLS greeting has to name the same host.")
        if not rule.plain
        else Step(text=f"{_addresses(rule)} Plain HTTP is served, to this host and port alone."),
    ]
    if rule.max_upload_bytes is not None:
        steps.append(Step(text=f"{rule.max_upload_bytes} bytes may be sent to it in one run."))
    return tuple(steps)


def _addresses(rule: Rule) -> str:
    ranges = rule.demand.cidrs
    if not ranges:
        return "Every address that it resolves to has to be a public one."
    named = "private ranges" if ranges == PRIVATE_RANGES else ", ".join(ranges)
    return f"Every address that it resolves to has to lie in {named}."


def _denied(verdict: Refused, denial: Rule, host: Host, port: int) -> Explanation:
    why = f" ({denial.why})" if denial.why else ""
    step = Step(
        text=f"{denial.origin} denies {denial.written}{why}; a denial beats whatever is allowed.",
        locations=denial.locations,
    )
    fix = "Remove the denial if it is not meant." if denial.locations else ""
    return Explanation(
        code=verdict.code, host=bracketed(host), port=port, steps=(step,), rule=denial, fix=fix
    )


def _closed(
    documents: Sequence[EgressPolicy], action: Action, host: Host, port: int
) -> tuple[tuple[Step, ...], str]:
    """Return which of the three, need, tier and dataset, leaves the host out; and the way out."""
    steps: list[Step] = []
    fix = ""
    needs = [n for end in action.ends for n in end.needs]
    needed = [n for n in needs if covers(_pattern(n.host), host.name) and n.port == port]
    if needed:
        steps.append(Step(text=f"The action needs {bracketed(host)}:{port}."))
    else:
        other = ", ".join(f"{n.host}:{n.port}" for n in needs) or "no host at all"
        steps.append(
            Step(
                text=f"Dataset/{action.dataset} does not need {bracketed(host)}:{port};"
                f" it needs {other}."
            )
        )
    applied = layers(documents, action)
    for what, layer in (("tier", applied.tier), ("dataset", applied.dataset)):
        for document in layer:
            opens = _speaks(document, host, port)
            says = "allows it" if opens else "does not allow it"
            text = f"EgressPolicy/{document.name}, which applies by {what}, {says}."
            steps.append(Step(text=text, locations=opens.locations if opens else ()))
        if layer and not any(_speaks(d, host, port) for d in layer):
            rule = Rule(pattern=host.name, ports=(port,))
            line = f"- {{host: {in_yaml(rule)}, ports: [{port}]}}"
            fix = f"Add `{line}` to `spec.allow` of EgressPolicy/{layer[0].name} if that is meant."
    if not needed:
        fix = "Nothing opens a host that the action does not need."
    return tuple(steps), fix


def _pattern(host: str) -> str:
    pattern = parse_pattern(host)
    return host if isinstance(pattern, Refused) else pattern


def _speaks(document: EgressPolicy, host: Host, port: int) -> Rule | None:
    return next(
        (r for r in rules_of(document) if covers(r.pattern, host.name) and port in r.ports), None
    )
