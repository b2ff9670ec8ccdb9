"""One connection of a worker, from its first byte to its line in the log.

The steps and their order are those of `core.egress.verdict`; here they meet sockets. Nothing is
looked up before a rule allows the name, nothing is sent on before the ClientHello is checked.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from batuta.core.egress import verdict
from batuta.core.egress.clienthello import Hello, parse_hello
from batuta.core.egress.codes import UNREACHED, Code, Refused
from batuta.core.egress.hosts import Kind, bracketed
from batuta.core.egress.rules import Rule
from batuta.core.egress.verdict import Request
from batuta.runtime.egress.audit import Row
from batuta.runtime.egress.budget import Ledger, Meter, OverBudget
from batuta.runtime.egress.relay import relay
from batuta.runtime.egress.resolve import ResolveError
from batuta.runtime.egress.station import Station
from batuta.runtime.egress.upstream import Unreachable, connect, connect_through

_T = TypeVar("_T")

ALERT_ACCESS_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
MAX_TARGET = 300
MAX_ROW_ADDRESSES = 8
_HANDSHAKE = 0x16
_BLOCK = 16 * 1024
_DRAIN_S = 0.5


def alert(_refused: Refused, _method: str) -> bytes:
    """Return the TLS alert *access denied*, which clients show by name."""
    return ALERT_ACCESS_DENIED


def http_refusal(refused: Refused, method: str) -> bytes:
    """Return the answer to a request that goes nowhere; its reason names the verdict.

    An answer to HEAD has no body: one that came would be taken for the next answer.
    """
    status = 502 if refused.code in UNREACHED else 403
    body = f"batuta egress: {refused.code}: {refused.detail}\n".encode("ascii", "backslashreplace")
    lines = [
        f"HTTP/1.1 {status} {refused.code}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"X-Batuta-Verdict: {refused.code}",
        "Connection: close",
    ]
    head = "\r\n".join([*lines, "", ""]).encode("ascii", "replace")
    return head if method == "HEAD" else head + body


class Denied(Exception):
    """The connection ends here, and the worker is told why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


def or_deny(value: _T | Refused) -> _T:
    """Return `value`, or end the connection with what it says.

    Raises:
        Denied: It is a refusal.
    """
    if isinstance(value, Refused):
        raise Denied(value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What was decided before anything was sent: where to, under which rule, to which addresses."""

    request: Request
    rule: Rule
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """Host and port, as CONNECT has them."""
        return f"{bracketed(self.request.host)}:{self.request.port}"


@dataclass(slots=True)
class Connection:
    """One accepted socket and what is known of it so far. `decided` hears of its first line."""

    client: socket.socket
    station: Station
    number: int
    row: Row = field(default_factory=lambda: Row(event="refused"))
    server: socket.socket | None = None
    answer: Callable[[Refused, str], bytes] = http_refusal
    head: bytes = b""
    started: float = field(default_factory=time.monotonic)
    decided: Callable[[], None] = lambda: None

    def serve(self) -> None:
        """See the connection through to its end.

        Raises:
            AuditFailed: The log cannot be written; the connection is closed, nothing was let out.
        """
        station = self.station
        worker = station.worker
        self.row = replace(
            self.row, run=station.world.run, connection=self.number, action=worker.action,
            dataset=worker.dataset, worker=worker.worker, policy=station.policy.digest,
        )  # fmt: skip
        try:
            station.world.check()
            self._serve(station.ledger_of(worker))
        except Denied as denied:
            self._refuse(denied.refused)
        except OSError as error:
            # The worker went away before a verdict: that it tried stays in the log.
            self.record(event="refused", verdict="fail", code="gone", detail=str(error))
        finally:
            self.client.close()
            if self.server is not None:
                self.server.close()

    def _serve(self, ledger: Ledger) -> None:
        request, rest = self._request()
        way = self.way(request, ledger)
        if way.request.plain or way.rule.inspect:
            from batuta.runtime.egress.inspect import inspect

            inspect(self, way, ledger, rest)
        else:
            self._tunnel(way, ledger, rest)

    def _request(self) -> tuple[Request, bytes]:
        """Read the head of the request to the gateway, and what came with it."""
        received = bytearray()
        deadline = self.started + self.station.world.limits.head_s
        while (split := verdict.split_head(bytes(received))) is None:
            content = self._more(deadline, Code.HTTP_HEAD_TIMEOUT)
            if not content and not received:
                # Clients keep connections ready and let go of those that they do not need.
                raise ConnectionAbortedError("It was closed before anything was asked.")
            if not content:
                raise Denied(Refused(Code.HTTP_MALFORMED, "The request ended within its head."))
            received += content
            if received[0] == _HANDSHAKE:
                self.answer = alert
                detail = "TLS came without CONNECT: the client does not use its proxy."
                raise Denied(Refused(Code.HTTP_MALFORMED, detail))
        if isinstance(split, Refused):
            raise Denied(split)
        self.head, rest = split
        self._note_target(self.head)
        if (stranger := verdict.judge_caller(self.head, self.station.password)) is not None:
            raise Denied(stranger)
        return or_deny(verdict.read_head(self.head)), rest

    def _note_target(self, head: bytes) -> None:
        """Keep what was asked for even where it is refused; never a query."""
        tokens = head.partition(b"\r\n")[0].split(b" ")
        method = tokens[0].decode("ascii", "backslashreplace")[:20]
        target = b" ".join(tokens[1:2]).partition(b"?")[0].partition(b"#")[0]
        shown = target.decode("utf-8", "backslashreplace")[:MAX_TARGET]
        self.row = replace(self.row, method=method, target=ascii(shown)[1:-1])

    def way(self, request: Request, ledger: Ledger) -> Way:
        """Decide where a request may go; no byte is sent there.

        Raises:
            Denied: nowhere.
        """
        station = self.station
        host = request.host
        referrer = station.world.referrers.get(host.name, "")
        self.row = replace(
            self.row, method=request.method, target=request.target[:MAX_TARGET], host=host.name,
            port=request.port, referrer=referrer, rule="", line="", addresses=(), peer="",
        )  # fmt: skip
        rule = or_deny(verdict.choose(station.policy, request))
        line = str(rule.locations[0]) if rule.locations else rule.origin
        self.row = replace(self.row, rule=rule.name, line=line)
        if (refused := ledger.open(rule, host)) is not None:
            raise Denied(refused)
        addresses = self._addresses(request, rule)
        return Way(request=request, rule=rule, addresses=addresses)

    def _addresses(self, request: Request, rule: Rule) -> tuple[str, ...]:
        """Return addresses that were checked; none where the house's proxy looks the name up."""
        world = self.station.world
        if self._proxied(rule):
            return ()
        if request.host.kind is Kind.ADDRESS:
            addresses: tuple[str, ...] = (request.host.name,)
        else:
            try:
                addresses = world.resolver(request.host.name, world.limits.resolve_s)
            except ResolveError as error:
                code = Code(error.code)
                raise Denied(Refused(code, f"{request.host} was not resolved.")) from error
        self.row = replace(self.row, addresses=addresses[:MAX_ROW_ADDRESSES])
        if (refused := verdict.judge_addresses(rule, addresses)) is not None:
            raise Denied(refused)
        return addresses

    def _proxied(self, rule: Rule) -> bool:
        # What has declared addresses is in the house, where its proxy does not lead.
        return self.station.world.proxy is not None and not (rule.on_prem or rule.demand.cidrs)

    def connect(self, way: Way) -> socket.socket:
        """Return a connection to a checked address, or through the house's proxy.

        Raises:
            Denied: connect.failed.
        """
        world = self.station.world
        try:
            if world.proxy is not None and self._proxied(way.rule):
                server = connect_through(
                    world.proxy, way.authority, world.limits.connect_s, world.dialer
                )
                peer = f"proxy {world.proxy}"
            else:
                port = way.request.port
                server, peer = connect(way.addresses, port, world.limits.connect_s, world.dialer)
        except Unreachable as error:
            raise Denied(Refused(Code.CONNECT_FAILED, f"No connection: {error}.")) from error
        if self.server is not None:
            self.server.close()
        self.server = server
        self.row = replace(self.row, peer=peer)
        return server

    def _tunnel(self, way: Way, ledger: Ledger, rest: bytes) -> None:
        limits = self.station.world.limits
        server = self.connect(way)
        self.client.sendall(ESTABLISHED)
        received, _ = self.hello(way, rest)
        meter = Meter(ledger, way.rule)
        self.open_row()
        end, refused = "broken", None
        try:
            meter.up(len(received))
            server.settimeout(limits.connect_s)
            server.sendall(received)
            end = relay(self.client, server, meter, limits)
        except OverBudget as over:
            refused = over.refused
        except OSError:
            pass
        finally:
            self.end_row(end, meter, refused)

    def hello(self, way: Way, received: bytes) -> tuple[bytes, Hello]:
        """Read the ClientHello behind the tunnel's 200 and check it.

        Returns:
            All bytes that came, the ClientHello first.

        Raises:
            Denied: tls.*; the worker is told in TLS.
        """
        self.answer = alert
        deadline = time.monotonic() + self.station.world.limits.hello_s
        while (found := parse_hello(received)) is None:
            content = self._more(deadline, Code.TLS_TIMEOUT)
            if not content:
                raise Denied(Refused(Code.TLS_NOT_TLS, "The tunnel ended before a ClientHello."))
            received += content
        hello = or_deny(found)
        self.row = replace(self.row, sni=ascii(hello.server_name or "")[1:-1][:MAX_TARGET])
        if (refused := verdict.judge_hello(way.request.host, hello)) is not None:
            raise Denied(refused)
        return received, hello

    def _more(self, deadline: float, late: Code) -> bytes:
        left_s = deadline - time.monotonic()
        try:
            if left_s <= 0:
                raise TimeoutError
            self.client.settimeout(left_s)
            return self.client.recv(_BLOCK)
        except TimeoutError:
            raise Denied(Refused(late, "What was to come did not come in time.")) from None

    def record(self, **facts: object) -> None:
        """Write a line with what is known and `facts`.

        Raises:
            AuditFailed: It cannot be written.
        """
        row = replace(self.row, **facts)  # type: ignore[arg-type] # fields of Row, by name
        self.station.world.record(replace(row, ms=int((time.monotonic() - self.started) * 1000)))
        self.decided()

    def open_row(self) -> None:
        """Write that the connection is allowed, before a byte of it goes out."""
        self.record(event="open", verdict="allow", code=str(Code.ALLOW))

    def end_row(self, end: str, meter: Meter, refused: Refused | None = None) -> None:
        """Write how it ended; where that was a refusal, `end` is its code."""
        self.record(
            event="end", verdict=refused.verdict if refused else "allow",
            code=str(refused.code if refused else Code.ALLOW),
            detail=refused.detail if refused else "",
            end=str(refused.code) if refused else end, up=meter.sent, down=meter.received,
        )  # fmt: skip

    def _refuse(self, refused: Refused) -> None:
        self.record(
            event="refused", verdict=refused.verdict, code=str(refused.code), detail=refused.detail
        )
        with suppress(OSError):
            self.client.settimeout(_DRAIN_S)
            self.client.sendall(self.answer(refused, self.row.method))
            self.client.shutdown(socket.SHUT_WR)
            # Closing with unread bytes would reset the connection and lose the answer.
            until = time.monotonic() + _DRAIN_S
            while time.monotonic() < until and self.client.recv(_BLOCK):
                pass
