"""What views need of the engine's answers, as types: no view imports the engine."""

from collections.abc import Sequence
from typing import Protocol

from batuta.model.change import Change
from batuta.model.diagnostic import Diagnostic


class Finding(Protocol):
    """Drift of one resource."""

    @property
    def address(self) -> str:
        """The resource, `Dataset/<name>`."""
        ...

    @property
    def kind(self) -> str:
        """Which side moved: `source`, `destination` or `log`."""
        ...

    @property
    def changes(self) -> tuple[Change, ...]:
        """The differences; empty where only the diagnostics can say it."""
        ...

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What was found, with the way out."""
        ...


class Surgery(Protocol):
    """A change of the state, as the lines that describe it."""

    @property
    def before(self) -> Sequence[str]:
        """The state as it is."""
        ...

    @property
    def after(self) -> Sequence[str]:
        """The state as it would be."""
        ...

    @property
    def problems(self) -> Sequence[Diagnostic]:
        """What was left out, and why."""
        ...
