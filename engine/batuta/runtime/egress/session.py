"""The gateway of one run: made before its workers, closed after them.

with GatewayRun(run_id=run, audit_path=path) as gateway:
    environment |= client_environment(INSIDE, gateway.ca_file)
    worker = launch(argv, channel, confinement)     # reads gateway.ca_file
    door = gateway.serve(worker.listener, worker=identity, policy=policy)
"""

import base64
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from batuta.core.egress.codes import Code
from batuta.core.egress.policy import Policy
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.egress import LogHead
from batuta.runtime.egress import upstream
from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.egress.authority import RunAuthority, trust_bundle
from batuta.runtime.egress.budget import Caps, Ledger, Limits
from batuta.runtime.egress.gateway import LOOPBACK, Doorkeeper, PrivateListener
from batuta.runtime.egress.resolve import Resolver, SystemResolver
from batuta.runtime.egress.station import (
    AuditFailed,
    CredentialHook,
    Station,
    WorkerIdentity,
    World,
)
from batuta.runtime.egress.upstream import Dialer, UpstreamProxy

SETTLE_S = 5.0
BESIDE = "metadata of this machine"
"""The rule, in the log, of what no policy is about: it never leaves the machine or its host."""
INSIDE = (LOOPBACK, 3128)
"""Where a worker with a namespace of its own finds the gateway."""


@dataclass(frozen=True, slots=True)
class Door:
    """One worker's way out. `address` is what its clients call their proxy.

    `dial` is set for a worker without a namespace: the supervisor hands out such connections.
    """

    address: tuple[str, int]
    station: Station
    keeper: Doorkeeper
    dial: Callable[[], socket.socket] | None = None

    def assign(self, worker: WorkerIdentity) -> None:
        """Say for whom the worker works from now on; its policy stays."""
        self.station.worker = worker

    def settle(self, *, drain: bool = False) -> bool:
        """Wait until all that the worker tried has its verdict; False where that took too long."""
        return self.keeper.settle(SETTLE_S, drain=drain)

    def close(self) -> None:
        """End the way out and every connection on it; twice is fine."""
        self.keeper.close()


class GatewayRun:
    """All ways out of one run, their budgets, their log and their authority.

    Args:
        audit_path: The egress log; it and its folder are made where they are missing.
        ca_files: PEM files of private authorities to trust beside the system's.
        upstream_proxy: The house's proxy, for everything but declared private addresses.
        on_row: Told of each line as it is written, from any thread.
        limits, resolver, dialer: For tests, and for machines with a resolver of their own.

    Raises:
        BatutaError: EGR301, the log cannot be written; EGR302, an authority cannot be read.
    """

    def __init__(
        self,
        *,
        run_id: str,
        audit_path: Path,
        ca_files: Sequence[Path] = (),
        upstream_proxy: UpstreamProxy | None = None,
        on_row: Callable[[Row], None] | None = None,
        limits: Limits | None = None,
        resolver: Resolver | None = None,
        dialer: Dialer = upstream.dial,
    ) -> None:
        self._guard = threading.Lock()
        self._doors: list[Door] = []
        self._audit_path = audit_path
        self._ledgers: dict[tuple[str, str], Ledger] = {}
        self._caps = Caps()
        authority = RunAuthority(run_id)
        private = [_authority_text(file) for file in ca_files]
        with ExitStack() as undo:
            audit = _audit(audit_path)
            undo.callback(audit.close)
            self._folder = Path(tempfile.mkdtemp(prefix="batuta-egress-"))
            undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder.chmod(0o755)  # what is trusted is no secret, and workers are other users
            self.ca_file = self._folder / "authorities.pem"
            self.ca_file.write_text(trust_bundle(*private, authority.pem), encoding="utf-8")
            self._world = World(
                run=run_id, audit=audit, resolver=resolver or SystemResolver(), dialer=dialer,
                limits=limits or Limits(), authority=authority, trust=cache(partial(_trust, private)),
                proxy=upstream_proxy, on_row=on_row, on_failure=self._cut,
            )  # fmt: skip
            self._undo = undo.pop_all()

    @property
    def audit_head(self) -> LogHead:
        """The log's last line so far, on disk; keep it elsewhere, so that a cut-off end is found."""
        return self._world.audit.settled()

    def check(self) -> None:
        """Ask whether everything that was tried is in the log; for when a worker has failed.

        Raises:
            BatutaError: EGR301, it could not be written, and since then nothing goes out.
        """
        if self._world.failed:
            raise unwritable(self._audit_path, self._world.failed)

    def serve(
        self,
        listener: socket.socket,
        *,
        worker: WorkerIdentity,
        policy: Policy,
        whole: Policy | None = None,
        credentials: CredentialHook | None = None,
        keeps: bool = False,
        password: str = "",
    ) -> Door:
        """Serve a listener that was made inside a worker's namespace; the socket is taken over.

        Args:
            whole: The policy that this one was narrowed from: its caps are those of the run.
            credentials: Asked in inspect mode how a request goes on.
            keeps: In inspect mode the worker's own credentials go on.
            password: Clients have to give it, with any name, as they would to a proxy.
        """
        host, port = listener.getsockname()[:2]
        station = self._station(worker, (policy, whole), (credentials, keeps))
        station.password = password
        return self._open(listener, (host, port), station)

    def serve_private(
        self,
        *,
        worker: WorkerIdentity,
        policy: Policy,
        whole: Policy | None = None,
        credentials: CredentialHook | None = None,
        keeps: bool = False,
    ) -> Door:
        """Serve connections that only `Door.dial` makes, for a worker without a namespace."""
        private = PrivateListener()
        station = self._station(worker, (policy, whole), (credentials, keeps))
        return self._open(private.socket, (LOOPBACK, private.port), station, private)

    @contextmanager
    def beside(self, worker: str, host: str, port: int) -> Iterator[None]:
        """Write a connection that goes past the gateway: when it begins, and when it ended.

        Raises:
            BatutaError: EGR301, the log cannot be written.
        """
        started = time.monotonic()
        row = Row(
            event="open", run=self._world.run, connection=self._world.number(), worker=worker,
            host=host, port=port, peer=host, rule=BESIDE, verdict="allow", code=str(Code.ALLOW),
        )  # fmt: skip
        try:
            self._world.record(row)
            try:
                yield
            finally:
                ms = int((time.monotonic() - started) * 1000)
                self._world.record(replace(row, event="end", end="closed", ms=ms))
        except AuditFailed as error:
            raise unwritable(self._audit_path, str(error)) from error

    def close(self) -> None:
        """End every way out, then the log; twice is fine."""
        with self._guard:
            doors, self._doors = self._doors, []
        for door in doors:
            door.close()
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _cut(self) -> None:
        with self._guard:
            doors = list(self._doors)
        for door in doors:
            door.keeper.cut()

    def _station(
        self,
        worker: WorkerIdentity,
        policies: tuple[Policy, Policy | None],
        credentials: tuple[CredentialHook | None, bool],
    ) -> Station:
        policy, whole = policies
        shared = None if whole is None else (self._caps, whole)

        def ledger_of(identity: WorkerIdentity) -> Ledger:
            key = (policy.digest, identity.budget)
            with self._guard:
                return self._ledgers.setdefault(key, Ledger(policy, shared))

        return Station(self._world, policy, worker, ledger_of, *credentials)

    def _open(
        self,
        listener: socket.socket,
        address: tuple[str, int],
        station: Station,
        private: PrivateListener | None = None,
    ) -> Door:
        keeper = Doorkeeper(listener, station, private)
        dial = private.dial if private is not None else None
        door = Door(address, station, keeper, dial)
        with self._guard:
            # Workers come and go in a long run; of those that went nothing stays.
            self._doors = [*(each for each in self._doors if not each.keeper.closed), door]
        return door


def client_environment(
    address: tuple[str, int], ca_file: str | Path, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables by which client libraries find the gateway and trust its authority.

    They are a convenience of the worker and never the control: a client that ignores them
    reaches nothing.

    Args:
        address: `Door.address`; in a namespace that is known before its listener is there.
        ca_file: `GatewayRun.ca_file`, or where the worker sees it.
        more: Variables of a connector's own libraries; `{proxy}` and `{ca_file}` in their values
            are filled in.
    """
    proxy, trust = f"http://{address[0]}:{address[1]}", str(ca_file)
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    found = {name: proxy for each in names for name in (each, each.lower())}
    # Libraries on OpenSSL and rustls read the first; requests and curl the others.
    found |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), trust)
    found["DO_NOT_TRACK"] = "1"
    for name, value in (more or {}).items():
        found[name] = value.replace("{proxy}", proxy).replace("{ca_file}", trust)
    return found


def proxy_of(url: str) -> UpstreamProxy:
    """Return the house's proxy that `Workspace.network.proxy` names.

    Raises:
        BatutaError: EGR305, it is not `http://host:port`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.scheme != "http" or not host or parts.path not in {"", "/"} or parts.query:
        raise BatutaError(
            Diagnostic(
                code="EGR305",
                summary="The proxy cannot be used",
                detail="The gateway chains to proxies that take CONNECT over plain HTTP.",
                fix="Write `network.proxy` as `http://proxy.corp.test:3128`.",
            )
        )
    if parts.username is None:
        return UpstreamProxy(host, port)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return UpstreamProxy(host, port, f"Basic {base64.b64encode(pair).decode()}")


def _audit(path: Path) -> AuditLog:
    try:
        return AuditLog(path)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def unwritable(path: Path, why: str) -> BatutaError:
    """Return EGR301: the egress log at `path` cannot be read or written on."""
    return BatutaError(
        Diagnostic(
            code="EGR301",
            summary="The egress log cannot be written",
            detail=f"{path.name}: {why}. Without it nothing may go out.",
            fix="Make room, or give this user the right to write there, and run it again.",
        )
    )


def _authority_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise BatutaError(
            Diagnostic(
                code="EGR302",
                summary="An authority cannot be read",
                detail=f"{path.name} is not a file of PEM certificates that can be read ({error}).",
                fix="Name a PEM file of the house's authority in `Workspace.network.caFile`.",
            )
        ) from error
    return text


def _trust(private: Sequence[str]) -> ssl.SSLContext:
    """Read the authorities; that takes 20 ms, so it is done when somebody has to be believed."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    for text in private:
        context.load_verify_locations(cadata=text)
    return context
