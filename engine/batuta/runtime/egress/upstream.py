"""Connecting to what was allowed: to a checked address, or through the house's own proxy."""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

HEAD_BYTES = 16 * 1024
MOST_ADDRESSES = 4

Dialer: TypeAlias = Callable[[str, int, float], socket.socket]
"""Connects to an address and port within some seconds. Raises OSError."""


class Unreachable(Exception):
    """No connection came about; the message is half a sentence."""


@dataclass(frozen=True, slots=True)
class UpstreamProxy:
    """A proxy of the house that takes CONNECT; `authorization` is a header's value, or empty."""

    host: str
    port: int
    authorization: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def dial(address: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to an address as it stands; nothing is resolved.

    Raises:
        OSError: It was refused, or took too long.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect((address, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        connection.close()
        raise
    return connection


def connect(
    addresses: Sequence[str], port: int, timeout_s: float, dialer: Dialer
) -> tuple[socket.socket, str]:
    """Return a connection to the first of `addresses` that answers, and which one it was.

    Four are tried at most, within `timeout_s` altogether.

    Raises:
        Unreachable: none answered.
    """
    deadline = time.monotonic() + timeout_s
    said = "there is no address"
    tried = addresses[:MOST_ADDRESSES]
    for at, address in enumerate(tried):
        share_s = (deadline - time.monotonic()) / (len(tried) - at)
        if share_s <= 0:
            break
        try:
            return dialer(address, port, share_s), address
        except OSError as error:
            said = f"{address} port {port}: {error.strerror or error}"
    raise Unreachable(said)


def connect_through(
    proxy: UpstreamProxy, target: str, timeout_s: float, dialer: Dialer
) -> socket.socket:
    """Return a tunnel to `target` (`host:port`) through the house's proxy.

    Raises:
        Unreachable: The proxy did not answer, or refused.
    """
    deadline = time.monotonic() + timeout_s
    connection = _reach(proxy, timeout_s, dialer)
    try:
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        status = _status(connection, deadline)
    except OSError as error:
        connection.close()
        raise Unreachable(f"the proxy {proxy} broke off ({error})") from error
    if not 200 <= status < 300:
        connection.close()
        raise Unreachable(f"the proxy {proxy} answered {status}")
    return connection


def _reach(proxy: UpstreamProxy, timeout_s: float, dialer: Dialer) -> socket.socket:
    try:
        found = socket.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"the proxy {proxy} has no address ({error})") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return connect(addresses, proxy.port, timeout_s, dialer)[0]


def _status(connection: socket.socket, deadline: float) -> int:
    """Read the proxy's answer byte for byte: what follows it belongs to the tunnel."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0 or len(head) > HEAD_BYTES:
            raise TimeoutError("its answer does not end")
        connection.settimeout(left_s)
        byte = connection.recv(1)
        if not byte:
            raise ConnectionResetError("it closed the connection")
        head += byte
    first = head.split(b" ", 2)
    if len(first) < 2 or not head.startswith(b"HTTP/1.") or not first[1][:3].isdigit():
        raise ConnectionError("it does not speak HTTP")
    return int(first[1][:3])
