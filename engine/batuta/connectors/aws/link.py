"""Connections that end with their last reference: no port has a moment at which to close them."""

import http.client
import os
import socket
import ssl
from functools import cache

BLOCK_BYTES = 1024 * 1024


class _Plain(socket.socket):
    def __del__(self) -> None:
        _drop(self)


class _Secure(ssl.SSLSocket):
    def __del__(self) -> None:
        _drop(self)


def _drop(one: socket.socket) -> None:
    # `close` would wait for answers that nobody will read any more.
    if (number := one.detach()) >= 0:
        os.close(number)


class _Link(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _Plain(fileno=self.sock.detach())
        self.sock.settimeout(self.timeout)


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _Secure
    return context


def connect(scheme: str, netloc: str, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection that opens itself with the first request; certificates are checked."""
    if scheme == "https":
        return http.client.HTTPSConnection(
            netloc, timeout=timeout_s, context=_tls(), blocksize=BLOCK_BYTES
        )
    return _Link(netloc, timeout=timeout_s, blocksize=BLOCK_BYTES)
