"""One end of an inspected connection: bytes as they are, or through TLS that starts in the middle.

The ClientHello is read before it is known what becomes of it, so the TLS side must be able to
begin with bytes that were taken from the socket already; `ssl.SSLSocket` cannot.
"""

import socket
import ssl
from contextlib import suppress
from typing import Protocol

RECORD_BYTES = 64 * 1024


class Channel(Protocol):
    """Bytes in order, both ways, for one thread."""

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, none at the end."""

    def recv_into(self, view: memoryview) -> int:
        """Put the next bytes into `view` and return how many; 0 at the end."""

    def sendall(self, content: bytes | memoryview) -> None:
        """Send all of `content`."""

    def settimeout(self, seconds: float) -> None:
        """Set how long one call may wait."""

    def close(self) -> None:
        """End the connection; twice is fine."""


class _Socket:
    """A socket as a channel."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, none at the end."""
        return self._socket.recv(count)

    def recv_into(self, view: memoryview) -> int:
        """Put the next bytes into `view` and return how many; 0 at the end."""
        return self._socket.recv_into(view)

    def sendall(self, content: bytes | memoryview) -> None:
        """Send all of `content`."""
        self._socket.sendall(content)

    def settimeout(self, seconds: float) -> None:
        """Set how long one call may wait."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """End the connection; twice is fine."""
        self._socket.close()


class Plain(_Socket):
    """Bytes as they are."""


class Secure(_Socket):
    """The client side of TLS towards a host, over a connected socket.

    A connection that ends without TLS saying so raises: its last bytes may be missing.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(context.wrap_socket(connection, server_hostname=host))


class Served:
    """The server side of TLS towards a worker whose first bytes are already here."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, before: bytes) -> None:
        self._socket = connection
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._in.write(before)
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def shake_hands(self) -> None:
        """Agree on keys with the worker.

        Raises:
            OSError: The worker does not trust the certificate, or went away.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    raise ConnectionResetError("the worker left during the handshake") from None
            else:
                self._flush()
                return

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, none at the end."""
        view = memoryview(bytearray(min(count, RECORD_BYTES)))
        return bytes(view[: self.recv_into(view)])

    def recv_into(self, view: memoryview) -> int:
        """Put the next bytes into `view` and return how many; 0 at the end."""
        while True:
            try:
                return self._tls.read(len(view), view)  # type: ignore[return-value] # with a buffer it answers how many bytes it put there
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    return 0
            except ssl.SSLZeroReturnError:
                return 0

    def sendall(self, content: bytes | memoryview) -> None:
        """Send all of `content`."""
        view = memoryview(content)
        for start in range(0, len(view), RECORD_BYTES):
            self._tls.write(view[start : start + RECORD_BYTES])
            self._flush()

    def settimeout(self, seconds: float) -> None:
        """Set how long one call may wait."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Say that this was all, and end the connection; twice is fine."""
        with suppress(OSError, ValueError):  # an unfinished handshake cannot be ended in words
            self._tls.unwrap()
        with suppress(OSError):
            self._flush()
        self._socket.close()

    def _flush(self) -> None:
        if self._out.pending:
            self._socket.sendall(self._out.read())

    def _feed(self) -> bool:
        content = self._socket.recv(RECORD_BYTES)
        if content:
            self._in.write(content)
        else:
            self._in.write_eof()
        return bool(content)
