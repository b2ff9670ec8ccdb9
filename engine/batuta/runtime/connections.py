"""From an address and the Platforms of a workspace to what a connector needs to open it."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batuta.model.address import Address
from batuta.model.connector import Connection, Connector, Files, KeysOut, WayOut
from batuta.model.diagnostic import BatutaError, Diagnostic, Location
from batuta.model.resource import Platform
from batuta.model.tier import Network
from batuta.model.transfer import Input
from batuta.runtime.broker import Broker
from batuta.runtime.discreet import discreet
from batuta.runtime.mover import open_input
from batuta.runtime.mover_request import Proxy
from batuta.runtime.registry import connector_for, formats
from batuta.runtime.worker.main import connection
from batuta.runtime.worker.wire import Access

if TYPE_CHECKING:
    import pyarrow as pa

_LOOPBACK_4, _LOOPBACK_6 = "127.0.0.0/8", "::1/128"


KeysOutOf = Callable[[Address, str | None, str | None], KeysOut | None]
"""How keys for an address, of a Platform, are asked for on behalf of a dataset (None: of none)."""


@dataclass(slots=True, eq=False)
class Connections:
    """Opens addresses with the Platforms of one workspace.

    `environment` is what secrets and vendors' own defaults are resolved from. `keys_out` is set by
    who knows the run that is on.
    """

    platforms: Mapping[str, Platform]
    environment: Mapping[str, str]
    root: Path
    keys_out: KeysOutOf = field(default=lambda _address, _platform, _dataset: None, repr=False)
    broker: Broker = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.broker = Broker(self.environment, self.root)

    def platform_of(self, address: Address, name: str | None) -> Platform:
        """Return the Platform behind an address: the named one, the only one, or an implicit one.

        Raises:
            BatutaError: EXT101 unknown scheme; EXT102 package missing; EXT103 ambiguous.
        """
        connector = connector_for(address.inner.scheme)
        if name is not None and name in self.platforms:
            return self.platforms[name]
        fitting = [p for p in self.platforms.values() if p.type == connector.platform_type]
        if len(fitting) == 1:
            return fitting[0]
        if len(fitting) > 1:
            raise BatutaError(_ambiguous(address, [p.name for p in fitting]))
        return implicit_platform(connector, self.environment)

    def access(
        self, address: Address, name: str | None, dataset: str | None = None
    ) -> tuple[Access, Access | None]:
        """Return what a worker needs for `address`, and for the store under it if it is a table.

        Keys that the Platform does not state are asked for, on behalf of `dataset`.
        """
        asked = partial(self.keys_out, address, name, dataset)
        inner_connector = connector_for(address.inner.scheme)
        platform = self.platform_of(address, name)
        inner = self._with_chain(inner_connector, self._access(inner_connector, platform), asked)
        if address.scheme == address.inner.scheme:
            return inner, None
        table = connector_for(address.scheme)
        bare = Platform(name=table.name, type=table.platform_type, network=platform.network)
        return self._access(table, bare), inner

    def _access(self, connector: Connector, platform: Platform) -> Access:
        options = dict(platform.options)
        if platform.region is not None:
            options.setdefault("region", platform.region)
        credentials = platform.credentials
        if (profile := _profile(connector, platform)) is not None:
            # The vendor's own tools read it, with its temporary keys, and renew what ends.
            options["profile"], credentials = profile, ()
        return Access(
            connector=connector.name,
            platform=platform.name,
            type=platform.type,
            network=platform.network,
            region=platform.region,
            endpoints=platform.endpoints,
            options=options,
            secrets={
                key: self.broker.secret(reference, _written(platform, key)).use()
                for key, reference in credentials
            },
            root=str(self.root),
        )

    def _with_chain(
        self, connector: Connector, access: Access, way: Callable[[], KeysOut | None]
    ) -> Access:
        """Add what the platform's own tools know where nothing was stated, for a worker."""
        if access.secrets or connector.chain is None:
            return access
        opened = replace(self.connection(access, None), keys_out=way())
        found, options = connector.chain(opened)
        return replace(access, secrets=dict(found), options={**options, **access.options})

    def has_files(self, address: Address) -> bool:
        """True where an address is a folder or prefix, which a dataset could live in."""
        return connector_for(address.scheme).files is not None

    def files(
        self,
        address: Address,
        name: str | None,
        way_out: Callable[[], WayOut] | None = None,
        dataset: str | None = None,
    ) -> Files:
        """Open the folder or prefix at `address` as a place that a dataset can live in.

        Args:
            way_out: Asked before each request; None where no host is needed.

        Raises:
            BatutaError: EXT104, nothing can be written to this kind of address.
        """
        connector = connector_for(address.scheme)
        if connector.files is None:
            raise BatutaError(
                Diagnostic(
                    code="EXT104",
                    summary="Not a place that can be written to",
                    detail=f"`{address}` cannot hold a dataset.",
                    fix="Use a folder or an object store's prefix as the destination.",
                )
            )
        opened = self.own(address, name, dataset)
        if way_out is not None:
            opened = replace(opened, way_out=way_out, open_input=partial(_open_by, way_out))
        files = connector.files(opened, address)
        return discreet(files, tuple(opened.secrets.values()))

    def own(self, address: Address, name: str | None, dataset: str | None = None) -> Connection:
        """Return what this process itself opens an address with.

        Here the chain is asked by the library itself, which also renews what it gave.
        """
        access = self._access(connector_for(address.scheme), self.platform_of(address, name))
        way = None if access.secrets else self.keys_out(address, name, dataset)
        return replace(self.connection(access, None), keys_out=way)

    def connection(self, access: Access, inner: Access | None) -> Connection:
        """Open `access` in this process."""
        return connection(access, inner)


def _open_by(way_out: Callable[[], WayOut], source: Input) -> "pa.NativeFile":
    """Open an object through the gateway of now."""
    way = way_out()
    return open_input(source, Proxy(way.host, way.port, way.ca_file, way.password))


def implicit_platform(connector: Connector, environment: Mapping[str, str]) -> Platform:
    """Return the Platform that the vendor's own defaults state; secrets stay references."""
    stated = dict(connector.implicit(environment)) if connector.implicit else {}
    references = stated.pop("credentials", None)
    local = connector.platform_type == "local"
    here = loopback_ranges(stated.get("endpoint"))
    return Platform(
        name=connector.platform_type,
        type=connector.platform_type,
        network=Network.LOCAL if local else Network.ON_PREM if here else Network.PUBLIC,
        endpoints=(str(stated["endpoint"]),) if here else (),
        cidrs=here,
        options=tuple(stated.items()),
        credentials=tuple(
            (str(name), str(reference))
            for name, reference in (references.items() if isinstance(references, Mapping) else ())
        ),
        implicit=True,
    )


def loopback_ranges(endpoint: object) -> tuple[str, ...]:
    """Return the address ranges of this machine where `endpoint` is a URL that stays on it.

    A store that listens on loopback is in the house, whoever runs it; any other place that only
    the environment names is taken for a public one.
    """
    if not isinstance(endpoint, str):
        return ()
    try:
        host = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}").hostname or ""
        address = None if host == "localhost" else ipaddress.ip_address(host)
    except ValueError:
        return ()
    if address is not None and not address.is_loopback:
        return ()
    both = (_LOOPBACK_4, _LOOPBACK_6)
    return both if address is None else (both[address.version == 6],)


def _profile(connector: Connector, platform: Platform) -> str | None:
    """The profile that all credentials of a Platform name, for a connector that knows profiles."""
    named = {reference for _, reference in platform.credentials}
    kind, _, name = next(iter(named)).partition(":") if len(named) == 1 else ("", "", "")
    known = any(option.name == "profile" for option in connector.options)
    return name if kind == "profile" and known else None


def _written(platform: Platform, key: str) -> tuple[Location, ...]:
    """Where a credential of a Platform is written, or the Platform itself."""
    places = platform.places
    found = places.get(f"spec.credentials.{key}") or next(iter(places.values()), None)
    return (found,) if found is not None else ()


def format_targets() -> dict[str, int]:
    """The Arrow size at which a part of each format ends."""
    return {name: record.target_bytes for name, record in formats().items()}


def _ambiguous(address: Address, names: list[str]) -> Diagnostic:
    return Diagnostic(
        code="EXT103",
        summary="More than one Platform fits",
        detail=f"`{address}` could be reached through {', '.join(sorted(names))}.",
        fix="Name one with `platform:` beside the address.",
    )
