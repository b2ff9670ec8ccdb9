"""Connections that end with their last reference: no port has a moment at which to close them."""

import http.client
import os
import socket
import ssl
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

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


def _open(address: tuple[str, int], timeout_s: float, source: tuple[str, int] | None) -> _Plain:
    made = _Plain(fileno=socket.create_connection(address, timeout_s, source).detach())
    made.settimeout(timeout_s)
    return made


class _Link(http.client.HTTPConnection):
    place = ""

    def putrequest(self, method: str, url: str, *more: bool, **named: bool) -> None:
        # A proxy reads from the first line where a plain request goes.
        super().putrequest(method, self.place + url, *more, **named)


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _Secure
    return context


def connect(scheme: str, netloc: str, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection that opens itself with the first request; certificates are checked.

    It goes through the proxy that the environment names for `scheme`, which in a worker is the
    gateway.
    """
    stated = "" if proxy_bypass(netloc) else getproxies_environment().get(scheme, "")
    proxy = urlsplit(stated)
    first = netloc if proxy.hostname is None else proxy.netloc.rpartition("@")[2]
    if scheme == "https":
        link = http.client.HTTPSConnection(
            first, timeout=timeout_s, context=_tls(), blocksize=BLOCK_BYTES
        )
        # A tunnel that was refused has its socket until the error is forgotten.
        link._create_connection = _open  # type: ignore[attr-defined]
        if proxy.hostname is not None:
            link.set_tunnel(netloc)
        return link
    plain = _Link(first, timeout=timeout_s, blocksize=BLOCK_BYTES)
    plain._create_connection = _open  # type: ignore[attr-defined]
    if proxy.hostname is not None:
        plain.place = f"http://{netloc}"
    return plain
