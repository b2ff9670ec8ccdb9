"""A tiny HTTP server whose objects misbehave in the way their path says."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
ETAG = '"v1"'


@dataclass(slots=True)
class Ask:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    def span(self, size: int) -> tuple[int, int] | None:
        """The range asked for, as first byte and the byte after the last."""
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return (int(found[1]), min(int(found[2]) + 1, size)) if found else None


Behave = Callable[["Server", Ask, socket.socket], bool]
"""Answers one request; False ends the connection."""


@dataclass(slots=True)
class Server:
    """Objects by path, and paths with a behaviour of their own."""

    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    special: dict[str, Behave] = field(default_factory=dict)
    asked: list[Ask] = field(default_factory=list)
    connections: int = 0

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection, pipelined ones too."""
        pending = b""
        with suppress(OSError), connection:
            while True:
                while b"\r\n\r\n" not in pending:
                    more = connection.recv(65536)
                    if not more:
                        return
                    pending += more
                head, _, pending = pending.partition(b"\r\n\r\n")
                ask = _parse(head.decode("latin-1"))
                length = int(ask.headers.get("content-length", "0"))
                while len(pending) < length:
                    more = connection.recv(65536)
                    if not more:
                        return
                    pending += more
                ask.body, pending = pending[:length], pending[length:]
                self.asked.append(ask)
                if not self.special.get(ask.path, plain)(self, ask, connection):
                    return


def _parse(head: str) -> Ask:
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Ask(method, path, {name.lower(): value.strip() for name, _, value in pairs})


def answer(
    connection: socket.socket,
    status: int,
    body: bytes = b"",
    length: int | None = None,
    **more: str,
) -> None:
    """Send one answer; `length` is what it claims."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {size}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def plain(server: Server, ask: Ask, connection: socket.socket) -> bool:
    """What a well-behaved server does."""
    if ask.method == "PUT":
        server.objects[ask.path] = ask.body
        answer(connection, 200)
        return True
    content = server.objects.get(ask.path)
    if content is None:
        answer(connection, 404, b"<Error><Code>NoSuchKey</Code></Error>")
        return True
    if ask.headers.get("if-match", ETAG) != ETAG:
        answer(connection, 412)
        return True
    span = ask.span(len(content))
    if span is None:
        answer(connection, 200, content, ETag=ETAG)
        return True
    where = f"bytes {span[0]}-{span[1] - 1}/{len(content)}"
    answer(connection, 206, content[span[0] : span[1]], Content_Range=where, ETag=ETAG)
    return True


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server on a free port, with TLS where a context is given."""
    listener = socket.create_server((LOOPBACK, 0), backlog=64)
    server = Server(f"http://{LOOPBACK}:{listener.getsockname()[1]}")
    open_connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            with suppress(OSError):
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                open_connections.append(connection)
                threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        thread.join(5)
