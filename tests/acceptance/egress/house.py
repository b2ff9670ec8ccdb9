"""A house with a proxy of its own, behind which alone a store is found, under TLS of its authority.

The proxy takes CONNECT, ends TLS with a certificate for whatever name was asked for, and brings
what comes to a server on loopback, by its name where it has one of its own. `asked` is what was
connected to, in order.
"""

import contextlib
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.attacks.sinks import Authority

_BLOCK = 1 << 16


class House:
    """A proxy on loopback before `server` (host and port); its authority's file is `ca_file`.

    `others` are the servers of names that are not the first one's.
    """

    def __init__(
        self,
        folder: Path,
        server: tuple[str, int],
        others: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.asked: list[str] = []
        self.ca_file = folder / "authority.pem"
        self._authority = Authority(folder)
        self._server = server
        self._others = others or {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    @property
    def url(self) -> str:
        """The proxy's address, as manifests name it."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (more := client.recv(_BLOCK)):
                head += more
            target = head.split(b" ")[1].decode()
            self.asked.append(target)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            name = target.rpartition(":")[0]
            context = self._authority.context(name)
            with (
                context.wrap_socket(client, server_side=True) as inner,
                socket.create_connection(self._others.get(name, self._server)) as server,
            ):
                back = threading.Thread(target=_move, args=(server, inner), daemon=True)
                back.start()
                _move(inner, server)
                back.join()


def _move(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := one.recv(_BLOCK):
            other.sendall(content)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
