"""Finds connectors and formats: the sub-packages of the two rooms, and entry points from outside.

Importing a room's package imports no vendor library; those come when a port is opened.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TypeVar

from batuta.manifest.declarations import Declarations
from batuta.model.connector import Connector
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.format import Format

_T = TypeVar("_T", Connector, Format)


@cache
def connectors() -> MappingProxyType[str, Connector]:
    """All connectors by name, built-in ones first, in sorted order."""
    return MappingProxyType(_find("batuta.connectors", "CONNECTOR", Connector))


@cache
def formats() -> MappingProxyType[str, Format]:
    """All formats by name, built-in ones first, in sorted order."""
    return MappingProxyType(_find("batuta.formats", "FORMAT", Format))


def declarations() -> dict[str, Declarations]:
    """What each type of Platform may say, from the connectors' own declarations."""
    return {
        connector.platform_type: Declarations(
            schemes=connector.schemes,
            options=connector.options,
            credentials=connector.credentials,
            needs_platform=connector.platform_type != "local",
        )
        for connector in connectors().values()
        if connector.schemes and connector.platform_type not in ("delta", "alimentar")
    }


def _find(room: str, constant: str, kind: type[_T]) -> dict[str, _T]:
    found: dict[str, _T] = {}
    package = importlib.import_module(room)
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg):
        record = getattr(importlib.import_module(f"{room}.{module}"), constant, None)
        if isinstance(record, kind):
            found[record.name] = record
    for point in sorted(entry_points(group=room), key=lambda p: p.name):
        record = point.load()
        if isinstance(record, kind):
            found.setdefault(record.name, record)
    return found


def connector_for(scheme: str) -> Connector:
    """Return the connector that opens `scheme`, with its vendor library in place.

    Raises:
        BatutaError: EXT101, the scheme is nobody's; EXT102, a package is missing (the fix is
            the line that installs it). No retry helps.
    """
    for connector in connectors().values():
        if scheme in connector.schemes:
            require(connector)
            return connector
    known = ", ".join(sorted(s for c in connectors().values() for s in c.schemes))
    raise BatutaError(
        Diagnostic(
            code="EXT101",
            summary="Unknown address scheme",
            detail=f"No connector opens addresses of the scheme `{scheme}`.",
            fix=f"Use one of: {known}.",
        )
    )


def require(connector: Connector) -> None:
    """Check that the connector's vendor library can be imported, without importing it.

    Raises:
        BatutaError: EXT102 with the line that installs what is missing.
    """
    if (package := connector.missing()) is not None:
        raise BatutaError(
            Diagnostic(
                code="EXT102",
                summary="A package is missing",
                detail=f"Addresses of `{connector.name}` need the package {package}.",
                fix=f"Install it: pip install 'batuta[{connector.extra}]'",
            )
        )
