"""One request and its answer on an inspected connection: heads through h11, bodies as they come.

h11 decides what a head says and where a body ends. A body of known length is then moved without
it; a chunked one is taken apart and put together again, so that what goes on is framed by us
alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import h11

from batuta.runtime.egress.channel import Channel
from batuta.runtime.egress.relay import Buffer

HEAD_BYTES = 64 * 1024
BLOCK_BYTES = 256 * 1024
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
     b"upgrade")
)  # fmt: skip
FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class Malformed(Exception):
    """What came is not HTTP as its specification has it; the message is half a sentence."""


@dataclass(slots=True)
class Inbox:
    """What one side sent and nobody has looked at yet; `before` is taken first."""

    channel: Channel
    before: bytes = b""

    def more(self, count: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes, none at the end."""
        if self.before:
            start, self.before = self.before[:count], self.before[count:]
            return start
        return self.channel.recv(count)


@dataclass(slots=True)
class Body:
    """The body behind a head: of `length` bytes, or, where that is None, as h11 finds its end."""

    inbox: Inbox
    parser: h11.Connection
    length: int | None


def read_head(
    parser: h11.Connection, inbox: Inbox
) -> "h11.Request | h11.Response | h11.InformationalResponse | None":
    """Return the next head; None where the other side ended instead. The rest stays in `inbox`.

    Raises:
        Malformed: It is no head, or one longer than 64 KiB.
    """
    try:
        while (event := parser.next_event()) is h11.NEED_DATA:
            content = inbox.more()
            if not content and not parser.trailing_data[0]:
                return None
            parser.receive_data(content)
    except h11.RemoteProtocolError as error:
        raise Malformed(str(error)) from error
    if isinstance(event, h11.Request | h11.Response | h11.InformationalResponse):
        return event
    return None


def body_of(parser: h11.Connection, inbox: Inbox, length: int | None) -> Body:
    """Return the body behind a head that was just read.

    With a length the parser is done, and what it read too much goes back into the inbox.
    """
    if length is not None:
        inbox.before = parser.trailing_data[0] + inbox.before
    return Body(inbox, parser, length)


def move(body: Body, sink: Channel, wrap: Callable[[bytes], bytes], take: "Take") -> None:
    """Send the body on.

    Args:
        wrap: Frames a piece of a body of unknown length.
        take: Counts bytes before they are sent on; its OverBudget goes through.

    Raises:
        Malformed: The body ended early, or its framing is broken.
        OSError: One side went away.
    """
    if body.length is None:
        _move_pieces(body, sink, wrap, take)
        return
    left = body.length
    if left and body.inbox.before:
        left -= _pass_on(body.inbox.more(left), sink, take)
    buffer = Buffer()
    while left:
        content = buffer.read(body.inbox.channel.recv_into, left)
        if not content:
            raise Malformed("the body ended too early")
        left -= _pass_on(content, sink, take)


def _move_pieces(body: Body, sink: Channel, wrap: Callable[[bytes], bytes], take: "Take") -> None:
    try:
        while True:
            event = body.parser.next_event()
            if event is h11.NEED_DATA:
                body.parser.receive_data(body.inbox.more())
            elif isinstance(event, h11.Data):
                framed = wrap(bytes(event.data))
                take(len(framed))
                sink.sendall(framed)
            else:
                break
    except h11.RemoteProtocolError as error:
        raise Malformed(str(error)) from error
    body.inbox.before = body.parser.trailing_data[0] + body.inbox.before


def _pass_on(content: bytes | memoryview, sink: Channel, take: "Take") -> int:
    take(len(content))
    sink.sendall(content)
    return len(content)


def length_of(headers: Headers, *, absent: int | None) -> int | None:
    """Return what Content-Length says, or `absent`; None where Transfer-Encoding frames the body."""
    names = dict(headers)
    if b"transfer-encoding" in names:
        return None
    return int(names[b"content-length"]) if b"content-length" in names else absent


def end_to_end(headers: Headers, *more: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that are not meant for this hop alone and not among `more`.

    What frames the body stays whatever Connection names: without it the body would be a request.
    """
    gone = (HOP_BY_HOP | _words(headers) | set(more)) - FRAMING
    return [(name, value) for name, value in headers if name not in gone]


def closes(version: bytes, headers: Headers) -> bool:
    """True where the sender of this head ends the connection after its message."""
    return version != b"1.1" or b"close" in _words(headers)


def _words(headers: Headers) -> set[bytes]:
    listed = b",".join(value for name, value in headers if name == b"connection")
    return {word.strip().lower() for word in listed.split(b",") if word.strip()}


Take: TypeAlias = Callable[[int], None]
