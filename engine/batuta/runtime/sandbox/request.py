"""What the helper is asked for, and the names of the layers: one JSON document on a socket.

Imported by the helper before anything else, so it imports little.
"""

import json
import socket
import struct
from typing import NamedTuple

_LENGTH = struct.Struct("<I")
_MOST_BYTES = 16 * 1024 * 1024

# In the order in which they are put up. The first five make the level *isolated*.
USER, NETWORK, MOUNT, IPC, PID = "user", "network", "mount", "ipc", "pid"
NO_MORE_NAMESPACES, NFTABLES, PROC, LANDLOCK, SECCOMP = (
    "no-more-namespaces",
    "nftables",
    "proc",
    "landlock",
    "seccomp",
)
LAYERS = (
    *(USER, NETWORK, MOUNT, IPC, PID),
    *(NO_MORE_NAMESPACES, NFTABLES, PROC, LANDLOCK, SECCOMP),
)


class Bind(NamedTuple):
    """A path of the host that the worker sees at the same place.

    `kind` is `run` (read and map as code), `read`, `write` or `device`.
    """

    path: str
    kind: str


class HelperRequest(NamedTuple):
    """All that the helper needs. Paths are absolute and free of symbolic links.

    `links` are the symbolic links through which the paths may be named; `files` are small
    files by path with their text; `port` is where the gateway listens, 0 for no way out.
    """

    level: str
    layers: tuple[str, ...]
    argv: tuple[str, ...]
    env: dict[str, str]
    channel: int
    binds: tuple[Bind, ...]
    links: tuple[tuple[str, str], ...]
    files: dict[str, str]
    port: int
    network: bool
    landlock: int
    nft: str


def decode(body: bytes) -> HelperRequest:
    """Return the request that `encode` wrote."""
    fields = json.loads(body)
    fields["binds"] = tuple(Bind(*each) for each in fields["binds"])
    fields["links"] = tuple((link, target) for link, target in fields["links"])
    fields["layers"], fields["argv"] = tuple(fields["layers"]), tuple(fields["argv"])
    return HelperRequest(**fields)


def encode(request: HelperRequest) -> bytes:
    """Return the request as it goes to the helper, with its length before it."""
    body = json.dumps(request._asdict()).encode()
    return _LENGTH.pack(len(body)) + body


def receive(control: socket.socket) -> HelperRequest:
    """Read one request; raises EOFError where the supervisor is gone."""
    (length,) = _LENGTH.unpack(_exactly(control, _LENGTH.size))
    if length > _MOST_BYTES:
        raise EOFError
    return decode(_exactly(control, length))


def _exactly(control: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        step = control.recv(count - len(parts))
        if not step:
            raise EOFError
        parts += step
    return parts
