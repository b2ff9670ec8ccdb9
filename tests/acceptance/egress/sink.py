"""A listener on loopback that keeps what it is sent, and code that tries to send it something."""

import socket
import threading
from types import TracebackType
from typing import Self

# What a hostile library in a worker would do. It says nothing of how it went: the sink knows.
_HOSTILE = """
import ctypes, os, socket
def attempt(work):
    try:
        work()
    except (OSError, ValueError):
        pass
def tcp():
    with socket.create_connection(("127.0.0.1", PORT), 2) as made:
        made.sendall(b"by tcp;")
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"by udp;", ("127.0.0.1", PORT))
def unix():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.connect(PATH)
        made.sendall(b"by unix;")
for way in (tcp, udp, unix):
    attempt(way)
attempt(lambda: open(SECRET).close() or open(STOLEN, "w").close())
"""


class Sink:
    """Takes TCP, UDP and a unix socket below `folder`; `taken` says what came."""

    def __init__(self, folder: str) -> None:
        self.path = f"{folder}/sink"
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._tcp.getsockname()[1])
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._unix.bind(self.path)
        self._unix.listen()
        self._taken: list[bytes] = []
        for listener in (self._tcp, self._unix):
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        threading.Thread(target=self._receive, daemon=True).start()

    def hostile(self, secret: str, stolen: str) -> str:
        """Return the code; `secret` is a file of the machine, `stolen` one that it would make."""
        names = {"PORT": self.port, "PATH": self.path, "SECRET": secret, "STOLEN": stolen}
        head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        return head + _HOSTILE

    @property
    def taken(self) -> set[bytes]:
        """What came so far, each kind once."""
        return {part for whole in self._taken for part in whole.split(b";") if part}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for each in (self._tcp, self._udp, self._unix):
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                self._taken.append(client.recv(1000))

    def _receive(self) -> None:
        while True:
            try:
                self._taken.append(self._udp.recv(1000))
            except OSError:
                return
