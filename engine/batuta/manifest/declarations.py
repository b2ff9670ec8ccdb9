"""What a connector declares of its Platforms, as data: schemes, options, credentials.

The rooms are strangers: whoever knows the connectors hands these records over.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from batuta.model.format import OptionSpec

PLATFORM_FIELDS = (
    "type", "network", "region", "endpoints", "cidrs", "credentials", "pacing", "budget",
    "residency",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarations:
    """One platform type: the schemes of its addresses, its options, its credentials' names.

    A type whose addresses need no Platform (local folders) has `needs_platform` False.
    """

    schemes: tuple[str, ...] = ()
    options: tuple[OptionSpec, ...] = ()
    credentials: tuple[OptionSpec, ...] = ()
    needs_platform: bool = True


DeclarationsByType = Mapping[str, Declarations]


def type_of_scheme(declarations: DeclarationsByType, scheme: str) -> str | None:
    """Return the platform type that serves addresses of `scheme`, None where none does."""
    for name, declared in sorted(declarations.items()):
        if scheme in (declared.schemes or (name,)):
            return name
    return None


def credentials_written(declarations: DeclarationsByType, kind: str | None = None) -> str:
    """Return how credentials are written for each type that has any, or for `kind` alone.

    Each line is one that validates; empty where no type has credentials.
    """
    lines = []
    for name, declared in sorted(declarations.items()):
        if declared.credentials and kind in (None, name):
            fields = ", ".join(f'{key.name}: "env:NAME"' for key in declared.credentials)
            lines.append(f"  credentials: {{{fields}}}  # type: {name}")
    return "\n".join(lines)
