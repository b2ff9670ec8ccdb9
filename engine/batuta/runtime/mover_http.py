"""The least of HTTP/1.1 that moves bytes fast: keep-alive connections that one thread uses.

Bodies go from the socket straight into the caller's memory. No environment is read (proxies are
the gateway's), no redirect is followed, nothing is retried except a request on a kept connection
that the server had closed meanwhile.
"""

import re
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.transfer import Input
from batuta.runtime import mover_errors
from batuta.runtime.mover_request import Origin, Target

CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 60.0
REFUSAL_TIMEOUT_S = 5.0
HEAD_LIMIT = 64 * 1024
BODY_START = 16 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_RANGE = re.compile(rb"\r\ncontent-range:[ \t]*bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"
_ETAG = re.compile(rb"\r\netag:[ \t]*([^\r\n]*)", re.IGNORECASE)
_VERDICT = re.compile(
    rb"^HTTP/1.1 (403|502) .*\r\nx-batuta-verdict:[ \t]*([!-~]{1,60})", re.IGNORECASE | re.DOTALL
)
_NO_NAME = "dns.nxdomain"
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([^\r\n]*)", re.IGNORECASE)


class LinkBroken(Exception):
    """The connection cannot go on; the message is half a sentence. `fresh` says: no byte came."""

    def __init__(self, why: str, *, fresh: bool = False) -> None:
        super().__init__(why)
        self.fresh = fresh


@dataclass(frozen=True, slots=True)
class Head:
    """The start of an answer. `length` is None where the server does not tell it."""

    status: int
    length: int | None
    raw: bytes

    @property
    def closes(self) -> bool:
        """True where the server ends the connection after this answer."""
        return _CLOSES.search(self.raw) is not None or self.raw.startswith(b"HTTP/1.0")

    @property
    def range(self) -> tuple[int, int] | None:
        """First byte and whole size that a partial answer states; -1 for a size it hides."""
        if (found := _RANGE.search(self.raw)) is None:
            return None
        return int(found[1]), -1 if found[3] == b"*" else int(found[3])

    @property
    def etag(self) -> str | None:
        """The object's ETag, with its quotes."""
        found = _ETAG.search(self.raw)
        return found[1].strip().decode("latin-1") if found else None

    @property
    def retry_after(self) -> bytes | None:
        """The value of Retry-After."""
        found = _RETRY_AFTER.search(self.raw)
        return found[1] if found else None


@lru_cache(maxsize=4)  # of the latest runs: each has a file of its own
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The system's trusted authorities, or the gateway's in a file; host names are checked."""
    return ssl.create_default_context(cafile=ca_file)


class Link:
    """One connection to one origin, for one thread."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.answers = 0
        self._buffer = bytearray(HEAD_LIMIT)
        self._view = memoryview(self._buffer)
        self._low = self._high = 0
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        origin, way = self.origin, self.origin.way
        first = (origin.host, origin.port) if way is None else (way.host, way.port)
        try:
            plain = socket.create_connection(first, CONNECT_TIMEOUT_S)
        except OSError as error:
            raise LinkBroken(f"cannot connect ({error})") from error
        plain.settimeout(IDLE_TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not origin.secure:
            return plain
        if way is not None:
            _open_tunnel(plain, origin, way.authorization)
        try:
            trust = tls_context(None if way is None else way.ca_file)
            return trust.wrap_socket(plain, server_hostname=origin.host)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            detail = f"The certificate of {origin.netloc}: {error.verify_message}."
            raise mover_errors.failure("WRK112", detail, Failure.PERMANENT) from error
        except OSError as error:
            plain.close()
            raise LinkBroken(f"no TLS connection ({error})") from error

    def close(self) -> None:
        """End the connection; twice is fine."""
        self._socket.close()

    def send(self, content: bytes | memoryview) -> None:
        """Send all of `content`."""
        try:
            self._socket.sendall(content)
        except OSError as error:
            raise LinkBroken(f"sending failed ({error})", fresh=True) from error

    def read_head(self) -> Head:
        """Read the head of the next answer; interim answers are stepped over."""
        while True:
            end = self._buffer.find(b"\r\n\r\n", self._low, self._high)
            if end < 0:
                self._more()
                continue
            raw = bytes(self._view[self._low : end + 4])
            self._low = end + 4
            head = _parse_head(raw)
            if head.status >= 200:
                self.answers += 1
                return head

    def _more(self) -> None:
        if self._low:
            rest = bytes(self._view[self._low : self._high])
            self._view[: len(rest)] = rest
            self._low, self._high = 0, len(rest)
        if self._high == HEAD_LIMIT:
            raise LinkBroken("the head of its answer does not end")
        count = self._receive(self._view[self._high :])
        if count == 0:
            raise LinkBroken("it closed the connection", fresh=self._high == 0)
        self._high += count

    def _receive(self, view: memoryview) -> int:
        try:
            return self._socket.recv_into(view)
        except TimeoutError as error:
            raise LinkBroken(f"nothing came for {IDLE_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise LinkBroken(f"receiving failed ({error})", fresh=self._high == 0) from error

    def read_into(self, view: memoryview) -> None:
        """Fill `view` with the next bytes of the body."""
        at = min(self._high - self._low, len(view))
        if at:
            view[:at] = self._view[self._low : self._low + at]
            self._low += at
        while at < len(view):
            count = self._receive(view[at:])
            if count == 0:
                raise LinkBroken("the body ended too early")
            at += count

    def skip(self, head: Head) -> None:
        """Read past the body of `head`; a long one, or one without length, ends the connection."""
        if head.status == 204 or head.length == 0:
            return
        if head.length is None or head.length > BODY_START:
            raise LinkBroken("its answer is longer than anybody wants to know")
        self.read_into(memoryview(bytearray(head.length)))

    def read_start(self, length: int | None) -> bytes:
        """Return the start of a refusal's body, at most 16 KiB; closes the connection.

        `length` None: until the server's last chunk or a short silence; framing is kept.
        """
        wanted = BODY_START if length is None else min(length, BODY_START)
        with suppress(LinkBroken):
            self._socket.settimeout(REFUSAL_TIMEOUT_S)
            while self._high - self._low < wanted:
                if length is None and self._buffer.endswith(_LAST_CHUNK, self._low, self._high):
                    break
                self._more()
        start = bytes(self._view[self._low : min(self._high, self._low + wanted)])
        self.close()
        return start


def _open_tunnel(plain: socket.socket, origin: Origin, password: str) -> None:
    """Ask the gateway for a way to `origin`; its refusal is told in its own words.

    Raises:
        LinkBroken: It gave none; the socket is closed.
        ConnectorError: WRK114 or WRK115, it will give none.
    """
    name = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{name}:{origin.port}"
    head = bytearray()
    try:
        plain.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{password}\r\n".encode())
        # Byte for byte: what follows the answer belongs to TLS.
        while not head.endswith(b"\r\n\r\n") and len(head) < HEAD_LIMIT:
            byte = plain.recv(1)
            if not byte:
                break
            head += byte
    except OSError as error:
        plain.close()
        raise LinkBroken(f"the gateway broke off ({error})") from error
    if head[9:12] != b"200":
        plain.close()
        said = head.partition(b"\r\n")[0][9:100].decode("latin-1") or "nothing"
        if said.startswith("403"):
            raise mover_errors.not_let_out(target, said)
        if said.endswith(_NO_NAME):
            raise mover_errors.unknown_host(target)
        raise LinkBroken(f"the gateway answered {said}")


def _parse_head(raw: bytes) -> Head:
    if not raw.startswith(b"HTTP/1.") or not raw[9:12].isdigit():
        raise LinkBroken("it does not speak HTTP")
    length = _LENGTH.search(raw)
    unknown = length is None or _CHUNKED.search(raw) is not None
    return Head(int(raw[9:12]), None if unknown or length is None else int(length[1]), raw)


class IdleLinks:
    """Connections of this process that nobody uses now, for the next reader of their origin.

    Any thread may give and take. Where a decoder opens thousands of files, one after another, they
    would else each cost a connection, and a worker has a budget of those.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._links: list[Link] = []
        self._guard = threading.Lock()

    def take(self, origin: Origin) -> Link | None:
        """Return a connection to `origin`, None where there is none. It may have been closed."""
        with self._guard:
            for at in reversed(range(len(self._links))):
                if self._links[at].origin == origin:
                    return self._links.pop(at)
        return None

    def put(self, link: Link) -> None:
        """Keep a connection whose last answer was read whole; of too many the oldest goes."""
        with self._guard:
            self._links.append(link)
            oldest = self._links.pop(0) if len(self._links) > self._most else None
        if oldest is not None:
            oldest.close()

    def clear(self) -> None:
        """Close all connections."""
        with self._guard:
            links, self._links = self._links, []
        for link in links:
            link.close()


IDLE = IdleLinks()


class Links:
    """The kept connections of one thread, one for each origin."""

    def __init__(self) -> None:
        self._links: dict[Origin, Link] = {}

    def get(self, origin: Origin) -> Link:
        """Return the connection to `origin`, made now where there is none."""
        if (link := self._links.get(origin)) is None:
            link = self._links[origin] = IDLE.take(origin) or Link(origin)
        return link

    def drop(self, origin: Origin) -> None:
        """Close the connection to `origin`; the next `get` makes another."""
        if (link := self._links.pop(origin, None)) is not None:
            link.close()

    def close(self) -> None:
        """Close all connections."""
        for origin in list(self._links):
            self.drop(origin)

    def release(self) -> None:
        """Leave all connections to whoever reads next; their last answers were read whole."""
        while self._links:
            IDLE.put(self._links.popitem()[1])

    def start(self, target: Target, request: bytes, key: str) -> tuple[Link, Head]:
        """Send `request` and return the head of its answer.

        Raises:
            ConnectorError: WRK106 (a retry can help) or WRK112.
        """
        origin = target.origin
        kept = False
        try:
            link = self.get(origin)
            kept = link.answers > 0
            link.send(request)
            return link, link.read_head()
        except LinkBroken as error:
            self.drop(origin)
            if kept and error.fresh:
                # The server closed an idle connection: nothing was answered, so ask again.
                return self.start(target, request, key)
            raise mover_errors.broken(key, origin.netloc, str(error)) from error


def check_answer(
    link: Link, head: Head, source: Input, span: tuple[int, int] | None = None
) -> None:
    """Check that a body of exactly the bytes asked for follows.

    Raises:
        ConnectorError: what the server said instead.
    """
    host = link.origin.netloc
    if head.status not in {200, 206}:
        raise refused(link, head, source.key)
    if head.length is None:
        raise mover_errors.unusable(source.key, host, "does not say how long its answer is")
    if source.validator and head.etag not in {None, source.validator}:
        # Some stores ignore If-Match.
        raise mover_errors.changed(source.key, "was replaced since the plan was made")
    if span is None:
        _check_size(source, head.length if head.status == 200 else -1)
        return
    if head.status == 200 and span != (0, source.size_bytes):
        raise mover_errors.unusable(source.key, host, "does not answer ranges")
    if head.status == 206:
        start, size = head.range or (-1, -1)
        _check_size(source, source.size_bytes if size == -1 else size)
        if start != span[0]:
            raise mover_errors.unusable(source.key, host, "answered another range")
    if head.length != span[1] - span[0]:
        raise mover_errors.changed(source.key, "has another size than the plan says")


def _check_size(source: Input, size: int) -> None:
    if size != source.size_bytes:
        raise mover_errors.changed(source.key, "has another size than the plan says")


def refused(link: Link, head: Head, key: str) -> ConnectorError:
    """Return what a refusal means; its connection is closed."""
    body = link.read_start(head.length)
    if verdict := _VERDICT.search(head.raw):
        host, said = link.origin.netloc, verdict[2].decode("latin-1")
        if verdict[1] == b"403":
            return mover_errors.not_let_out(host, said)
        if said == _NO_NAME:
            return mover_errors.unknown_host(host)
        return mover_errors.broken(key, host, f"the gateway got no answer ({said})")
    return mover_errors.refusal(key, link.origin.netloc, head.status, body, head.retry_after)
