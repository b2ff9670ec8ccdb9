"""Answers about egress: which hosts a dataset's workers may reach, and why. Nothing is contacted."""

from dataclasses import dataclass

from batuta.core.egress.explain import Explanation, explain
from batuta.core.egress.hosts import Host, parse_host
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.borders import Borders

HTTPS = 443


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


@dataclass(frozen=True, slots=True)
class EgressView:
    """What can be said of the datasets with these names."""

    borders: Borders
    names: frozenset[str]

    def explain(self, host: str, dataset: str, port: int | None = None) -> Answer:
        """Return why workers of a dataset may or may not connect to a host.

        Args:
            host: A host, or a host and a port with `:` between them.
            dataset: A name, or an address `Dataset/<name>`.
            port: Outranks the one in `host`; 443 where neither says one.

        Raises:
            BatutaError: DAT101, there is no such dataset.
        """
        name = self.named(dataset)
        bare, stated = _split(host)
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


def _split(text: str) -> tuple[str, int | None]:
    """Return the host and the port of `host:port`; a text without a port is a host."""
    before, colon, digits = text.rpartition(":")
    if colon and digits.isdigit() and isinstance(parse_host(before), Host):
        return before, int(digits)
    return text, None
