"""The other side of an inspected connection: one kept connection to where requests go."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import h11

from batuta.core.egress.codes import Code, Refused
from batuta.runtime.egress.channel import Channel, Plain, Secure
from batuta.runtime.egress.connection import Connection, Denied, Way
from batuta.runtime.egress.exchange import HEAD_BYTES, Inbox, Malformed, Take, read_head

LAST_WORD_S = 5.0


@dataclass(slots=True)
class Answer:
    """The head of an answer; `whole` is False where the request's body did not all go out.

    `parser` finds the end of a body whose length is not known.
    """

    head: h11.Response
    parser: h11.Connection
    whole: bool


SendBody = Callable[[Channel, h11.Connection], None]


@dataclass(slots=True)
class Origin:
    """Where the requests of one connection go, connected when the first of them may."""

    connection: Connection
    way: Way
    inbox: Inbox | None = field(default=None)

    def drop(self) -> None:
        """End the connection; the next request makes another."""
        if self.inbox is not None:
            self.inbox.channel.close()
            self.inbox = None

    def ask(self, outgoing: h11.Request, take: Take, send_body: SendBody | None) -> Answer:
        """Send a request and return the head of its answer; interim answers are stepped over.

        A kept connection that the other side had closed meanwhile is made anew, once, for a
        request without a body.

        Raises:
            Denied: connect.failed, tls.upstream, http.upgrade.
            OverBudget: The request was not sent whole.
        """
        while True:
            kept = self.inbox is not None
            inbox = self.inbox = self.inbox or Inbox(self._reach())
            parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
            head = parser.send(outgoing) or b""
            take(len(head))
            whole = self._send(inbox.channel, head, parser, send_body)
            answer = self._read(parser, inbox, whole=whole)
            if answer is not None:
                return answer
            self.drop()
            if not kept or send_body is not None:
                detail = "The other side closed the connection without an answer."
                raise Denied(Refused(Code.CONNECT_FAILED, detail))

    def _reach(self) -> Channel:
        world = self.connection.station.world
        plain = self.connection.connect(self.way)
        if self.way.rule.plain:
            channel: Channel = Plain(plain)
        else:
            plain.settimeout(world.limits.connect_s)
            try:
                channel = Secure(plain, world.trust(), self.way.request.host.name)
            except ssl.SSLCertVerificationError as error:
                detail = f"The certificate of {self.way.authority}: {error.verify_message}."
                raise Denied(Refused(Code.TLS_UPSTREAM, detail)) from error
            except OSError as error:
                detail = f"No TLS with {self.way.authority} ({error})."
                raise Denied(Refused(Code.TLS_UPSTREAM, detail)) from error
        channel.settimeout(world.limits.idle_s)
        return channel

    @staticmethod
    def _send(
        channel: Channel, head: bytes, parser: h11.Connection, send_body: SendBody | None
    ) -> bool:
        """Send the request; False where the other side stopped taking it."""
        try:
            channel.sendall(head)
            if send_body is not None:
                send_body(channel, parser)
        except OSError:
            # It may have answered already, and its answer says more than a broken connection.
            with suppress(OSError):
                channel.settimeout(LAST_WORD_S)
            return False
        return True

    def _read(self, parser: h11.Connection, inbox: Inbox, *, whole: bool) -> Answer | None:
        try:
            while True:
                head = read_head(parser, inbox)
                if isinstance(head, h11.Response):
                    return Answer(head, parser, whole)
                if not isinstance(head, h11.InformationalResponse):
                    return None
                if head.status_code == 101:
                    detail = "The other side answered in another protocol."
                    raise Denied(Refused(Code.HTTP_UPGRADE, detail))
        except TimeoutError as error:
            raise Denied(Refused(Code.CONNECT_FAILED, "No answer came in time.")) from error
        except OSError:
            return None
        except Malformed as error:
            detail = f"The other side's answer is not HTTP ({error})."
            raise Denied(Refused(Code.CONNECT_FAILED, detail)) from error
