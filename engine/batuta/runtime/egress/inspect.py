"""Inspect mode: requests are read, judged one by one, and given the credential they go on with.

The worker speaks TLS to us under a certificate of the run, or plain HTTP to an endpoint in the
house; we speak to the other side with the trust of the system. What the worker gives for a
credential in a header never leaves: it is taken out, and the real one is put in by a hook.
"""

import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11

from batuta.core.egress import verdict
from batuta.core.egress.codes import Code, Refused
from batuta.core.egress.inspection import Inside, judge_request
from batuta.model.diagnostic import BatutaError
from batuta.model.request_signing import HttpRequest, Misused
from batuta.runtime.egress.budget import Ledger, Meter, OverBudget
from batuta.runtime.egress.channel import Channel, Plain, Served
from batuta.runtime.egress.connection import (
    ESTABLISHED,
    MAX_TARGET,
    Connection,
    Denied,
    Way,
    http_refusal,
    or_deny,
)
from batuta.runtime.egress.exchange import (
    FRAMING,
    HEAD_BYTES,
    Inbox,
    Malformed,
    body_of,
    closes,
    end_to_end,
    length_of,
    move,
    read_head,
)
from batuta.runtime.egress.origin import Answer, Origin
from batuta.runtime.egress.station import CredentialHook

CREDENTIALS = (b"authorization", b"proxy-authorization", b"x-amz-security-token")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DRAIN_S = 0.5


def inspect(connection: Connection, way: Way, ledger: Ledger, rest: bytes) -> None:
    """Serve the requests of one connection until either side ends it.

    Args:
        rest: What came behind the head of the request to the gateway.

    Raises:
        Denied: It was refused before the first request could be read.
        AuditFailed: The log cannot be written.
    """
    if way.request.plain:
        client: Channel = Plain(connection.client)
        inbox = Inbox(client, connection.head + rest)
    else:
        client = _serve_tls(connection, way, rest)
        inbox = Inbox(client)
    origin = Origin(connection, way)
    talk = Talk(connection, way, ledger, Meter(ledger, way.rule), inbox, origin)
    connection.open_row()
    end, refused = "broken", None
    try:
        end = talk.run()
    except TimeoutError:
        end = "idle"
    except (OSError, Malformed, h11.LocalProtocolError):
        pass  # one side went away, or said what cannot be passed on: `broken` says so
    except OverBudget as over:
        refused = over.refused
        talk.refuse(refused)
    except Denied as denied:
        refused = denied.refused
        talk.refuse(refused)
    finally:
        connection.end_row(end, talk.meter, refused)
        talk.close()


def _serve_tls(connection: Connection, way: Way, rest: bytes) -> Served:
    world = connection.station.world
    connection.client.sendall(ESTABLISHED)
    received, _ = connection.hello(way, rest)
    served = Served(connection.client, world.authority.context(way.request.host.name), received)
    served.settimeout(world.limits.hello_s)
    try:
        served.shake_hands()
    except (ssl.SSLError, ConnectionError) as error:
        detail = "The worker's client ended the handshake; does it trust the run's authority?"
        raise Denied(Refused(Code.TLS_UNTRUSTED, detail)) from error
    return served


@dataclass(slots=True)
class Asked:
    """A request that may go on, and its line in the log so far."""

    request: h11.Request
    path: str
    started: float
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Talk:
    """The requests of one connection, and the connection that their answers come from."""

    connection: Connection
    way: Way
    ledger: Ledger
    meter: Meter
    inbox: Inbox
    origin: Origin
    _asked: Asked | None = field(default=None)

    @property
    def client(self) -> Channel:
        """The worker's side."""
        return self.inbox.channel

    def run(self) -> str:
        """Serve requests; return `closed` when the worker is done, `duration` when time is up.

        Raises:
            Denied, OverBudget: A request was refused; no more is served.
            Malformed: An answer broke off.
            OSError: One side went away.
        """
        limits = self.connection.station.world.limits
        while time.monotonic() - self.connection.started < limits.duration_s:
            parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
            self._asked = None
            self.client.settimeout(limits.idle_s)
            try:
                head = read_head(parser, self.inbox)
            except Malformed as error:
                raise Denied(Refused(Code.HTTP_MALFORMED, f"{error}.")) from error
            if not isinstance(head, h11.Request) or not self._exchange(parser, head):
                return "closed"
        return "duration"

    def refuse(self, refused: Refused) -> None:
        """Tell the worker in HTTP, and write the line of the request that was refused."""
        self._request_row(refused=refused)
        with suppress(OSError, Malformed):
            self.client.settimeout(_DRAIN_S)
            self.client.sendall(http_refusal(refused, self._method))
            until = time.monotonic() + _DRAIN_S
            while time.monotonic() < until and self.client.recv(16 * 1024):
                pass

    @property
    def _method(self) -> str:
        return self._asked.request.method.decode("ascii", "replace") if self._asked else ""

    def close(self) -> None:
        """End both sides."""
        self.origin.drop()
        with suppress(OSError):
            self.client.settimeout(_DRAIN_S)
            self.client.close()

    def _exchange(self, parser: h11.Connection, request: h11.Request) -> bool:
        """Serve one request; True where another may follow."""
        asked = self._asked = Asked(request, request.target.decode("latin-1"), time.monotonic())
        self._judge(asked)
        answer = self._ask(parser, asked)
        answers = self.origin.inbox
        assert answers is not None
        headers = list(answer.head.headers)
        bodiless = request.method == b"HEAD" or answer.head.status_code in {204, 304}
        length = 0 if bodiless else length_of(headers, absent=None)
        self._request_row(answer.head)
        self._begin(parser, answer.head)
        move(body_of(answer.parser, answers, length), self.client,
             lambda piece: parser.send(h11.Data(data=piece)) or b"", self.meter.down)  # fmt: skip
        if length is None:
            self.client.sendall(parser.send(h11.EndOfMessage()) or b"")
        framed = length is not None or b"transfer-encoding" in dict(headers)
        if closes(answer.head.http_version, headers) or not framed or answers.before:
            self.origin.drop()
        return answer.whole and not closes(request.http_version, list(request.headers))

    def _begin(self, parser: h11.Connection, head: h11.Response) -> None:
        started = parser.send(
            h11.Response(
                status_code=head.status_code,
                headers=end_to_end(list(head.headers)),
                reason=head.reason,
            )
        )
        self.meter.down(len(started or b""))
        self.client.sendall(started or b"")

    def _judge(self, asked: Asked) -> None:
        """Decide whether a request may go on; one to another endpoint changes the way.

        Raises:
            Denied: It may not.
        """
        request = asked.request
        if self.way.request.plain:
            line = b"%b %b HTTP/1.1\r\n\r\n" % (request.method, request.target)
            wanted = or_deny(verdict.read_head(line))
            if not wanted.plain:
                raise Denied(Refused(Code.HTTP_UPGRADE, "It asks for a tunnel among requests."))
            asked.path = wanted.path
            if (wanted.host, wanted.port) != (self.way.request.host, self.way.request.port):
                self.origin.drop()
                self.way = self.connection.way(wanted, self.ledger)
                self.origin = Origin(self.connection, self.way)
                self.meter.rule = self.way.rule
        inside = Inside(
            method=request.method.decode("ascii"), target=asked.path, headers=list(request.headers)
        )
        way = self.way.request
        if (refused := judge_request(self.way.rule, way.host, way.port, inside)) is not None:
            raise Denied(refused)

    def _ask(self, parser: h11.Connection, asked: Asked) -> Answer:
        """Send a request on, with its body, and return the head of its answer."""
        headers = list(asked.request.headers)
        length = length_of(headers, absent=0)
        body = body_of(parser, self.inbox, length)

        def send_body(channel: Channel, writer: h11.Connection) -> None:
            if b"expect" in dict(headers):
                self.client.sendall(_CONTINUE)
            move(body, channel, lambda piece: writer.send(h11.Data(data=piece)) or b"",
                 self.meter.up)  # fmt: skip
            channel.sendall(writer.send(h11.EndOfMessage()) or b"" if length is None else b"")

        return self.origin.ask(
            self._outgoing(asked), self.meter.up, None if length == 0 else send_body
        )

    def _outgoing(self, asked: Asked) -> h11.Request:
        """Return the request as it goes on: no credential but the one that the hook gives.

        A worker that was given keys of its own, and no hook, sends its own.
        """
        request, target = asked.request, asked.path
        headers = end_to_end(list(request.headers), b"proxy-authorization", b"expect")
        own = [each for each in headers if each[0] in CREDENTIALS]
        station = self.connection.station
        if own and station.credentials is None and not station.keeps:
            asked.notes = (str(Code.HTTP_CREDENTIAL),)
        if station.credentials is not None:
            target, headers = self._signed(station.credentials, asked, headers)
        if station.credentials is not None or not station.keeps:
            headers = [each for each in headers if each not in own]
        return h11.Request(method=request.method, target=target.encode("latin-1"), headers=headers)

    def _signed(
        self, hook: CredentialHook, asked: Asked, headers: list[tuple[bytes, bytes]]
    ) -> tuple[str, list[tuple[bytes, bytes]]]:
        """Return target and headers as the hook has them; what frames the body stays."""
        way = self.way
        request = HttpRequest(
            scheme="http" if way.rule.plain else "https",
            method=asked.request.method.decode("ascii"),
            host=way.request.host.name,
            port=way.request.port,
            target=asked.path,
            headers=tuple((name.decode("ascii"), value.decode("latin-1"))
                          for name, value in headers),
        )  # fmt: skip
        try:
            signed = hook(request)
        except Misused as error:
            raise Denied(Refused(Code.HTTP_CREDENTIAL, error.diagnostics[0].detail)) from error
        except BatutaError as error:
            why = error.diagnostics[0]
            detail = f"For {way.request.host}: {why.detail} ({why.code})"
            raise Denied(Refused(Code.HTTP_NO_CREDENTIAL, detail)) from error
        put = [(name.lower().encode(), value.encode("latin-1")) for name, value in signed.headers]
        framing = [each for each in headers if each[0] in FRAMING]
        return signed.target, [*(each for each in put if each[0] not in FRAMING), *framing]

    def _request_row(
        self, answer: h11.Response | None = None, refused: Refused | None = None
    ) -> None:
        """Write the line of the request at hand; none where no request was read."""
        asked = self._asked
        host = _location(answer)
        if host:
            self.connection.station.world.refer(host, self.way.request.host.name)
        self.connection.record(
            event="request",
            method=asked.request.method.decode("ascii", "backslashreplace") if asked else "",
            path=ascii(asked.path.partition("?")[0])[1:-1][:MAX_TARGET] if asked else "",
            verdict=refused.verdict if refused else "allow",
            code=str(refused.code if refused else Code.ALLOW),
            detail=refused.detail if refused else "",
            status=answer.status_code if answer else 0,
            location=host,
            notes=asked.notes if asked else (),
        )


def _location(answer: h11.Response | None) -> str:
    """Return the host that an answer redirects to, empty where it does not."""
    if answer is None:
        return ""
    value = dict(answer.headers).get(b"location", b"").decode("latin-1")
    try:
        return (urlsplit(value).hostname or "").encode("ascii", "backslashreplace").decode()[:253]
    except ValueError:
        return ""
