"""The signatures of a run: control workers sign with stand-ins, and we with the real keys.

The gateway signs anew what such a worker asks, and this process what it signed for data workers.

There is one stand-in for each Platform and container (a bucket): it names neither, and is worth
nothing outside of this process. Real keys are asked for here, when a request goes out, so that
those of a long run may change while it streams.
"""

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import urlsplit

from batuta.model.address import Address
from batuta.model.diagnostic import BatutaError, Diagnostic, Failure
from batuta.model.request_signing import HttpRequest, Misused, StandIns
from batuta.model.transfer import Input, Partition
from batuta.runtime.clock import monotonic_s
from batuta.runtime.connections import Connections
from batuta.runtime.registry import connector_for
from batuta.runtime.worker.wire import Access

KEPT_S = 10.0
"""How long keys are used before their reference is asked again; the references say how long they
last, and this is only so that not every request reads a file."""

Sign = Callable[[HttpRequest], HttpRequest]
_PORTS = {"http": 80, "https": 443}


class _Place(NamedTuple):
    address: Address
    platform: str | None
    dataset: str | None


@dataclass
class RequestSigner:
    """The stand-ins of one engine; any thread may use it."""

    connections: Connections
    _salt: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    _places: dict[str, _Place] = field(default_factory=dict)
    _kinds: list[StandIns] = field(default_factory=list)
    _signers: dict[str, tuple[float, Sign | BatutaError]] = field(default_factory=dict)
    _turns: dict[str, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def stand_in(
        self, address: Address, platform: str | None, dataset: str | None = None
    ) -> str | None:
        """Return the name of the stand-in for what lies at an address, None where there is none.

        Its keys are asked for on behalf of the first `dataset`.
        """
        if (kind := self._kind(address)) is None:
            return None
        container = address.inner.path.partition("/")[0]
        named = self.connections.platform_of(address, platform).name
        text = f"{address.inner.scheme} {named} {container}".encode()
        name = hashlib.blake2b(text, key=self._salt, digest_size=10).hexdigest().upper()
        with self._guard:
            self._places.setdefault(name, _Place(address.inner, platform, dataset))
            if kind not in self._kinds:
                self._kinds.append(kind)
        return name

    def disguised(self, address: Address, access: Access, name: str) -> Access:
        """Return an access that holds a stand-in where it held keys."""
        kind = self._kind(address)
        if kind is None or not access.secrets:
            return access
        return replace(access, secrets=dict(kind.secrets(name)))

    def hook(self, name: str) -> Sign:
        """Return what the gateway asks for a worker that has this stand-in.

        It raises Misused where the request is not what the stand-in is for, or bears another
        signature, and BatutaError where the keys cannot be had. One that is not signed goes on.
        """
        kind = self._kind(self._places[name].address)
        assert kind is not None, "only what can be signed for has a stand-in"

        def sign(request: HttpRequest) -> HttpRequest:
            if (given := kind.name(request)) is None:
                return request
            if given != name:
                raise Misused(_foreign(request), kind=Failure.PERMANENT)
            return self._signer(name, kind)(request)

        return sign

    def inputs(self, found: Iterable[Input]) -> tuple[Input, ...]:
        """Return inputs whose addresses are good for whoever reads them.

        Raises:
            BatutaError: as the hook's, but for addresses that no stand-in signed: they stay.
        """
        return tuple(map(self._input, found))

    def partitions(self, found: Iterable[Partition]) -> tuple[Partition, ...]:
        """Return partitions with such inputs.

        Raises:
            BatutaError: as the hook's.
        """
        return tuple(
            replace(
                partition,
                segments=tuple(
                    replace(segment, input=self._input(segment.input))
                    for segment in partition.segments
                ),
            )
            for partition in found
        )

    def _input(self, found: Input) -> Input:
        try:
            parts = urlsplit(found.url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            return found  # a worker's word; whoever is to read it refuses it
        request = HttpRequest(
            scheme=parts.scheme, method="GET", host=parts.hostname or "", port=port,
            target=f"{parts.path}?{parts.query}",
            headers=(("host", parts.netloc), *((k.lower(), v) for k, v in found.headers)),
        )  # fmt: skip
        if not port:
            return found
        for kind in self._kinds:
            if (name := kind.name(request)) in self._places:
                target = self._signer(name, kind)(request).target
                return replace(found, url=f"{parts.scheme}://{parts.netloc}{target}")
        return found

    def _kind(self, address: Address) -> StandIns | None:
        offered = connector_for(address.inner.scheme).stand_ins
        return None if offered is None else offered()

    def _signer(self, name: str, kind: StandIns) -> Sign:
        with self._guard:
            place, turn = self._places[name], self._turns.setdefault(name, threading.Lock())
        with turn:  # whoever else needs these keys waits for them, and nobody that needs others
            since, known = self._signers.get(name, (0.0, None))
            if known is None or monotonic_s() - since > KEPT_S:
                try:
                    connection = self.connections.own(*place)
                    known = kind.sign(connection, place.address)
                except BatutaError as error:
                    known = error
                self._signers[name] = monotonic_s(), known
        if isinstance(known, BatutaError):
            raise known
        return known


def _foreign(request: HttpRequest) -> Diagnostic:
    return Diagnostic(
        code="EGR310",
        summary="A worker signed a request with keys that nobody gave it",
        detail=f"It asked {request.host} with a signature that is not its stand-in's.",
        fix="Nothing was sent. Look at what the source holds: what a worker reads may have taken "
        "over its reader.",
    )
