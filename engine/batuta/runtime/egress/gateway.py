"""Accepting what comes from workers, and ending all of it when the run ends.

A listener comes from inside a worker's network namespace, so that whoever connects is that
worker. Where there is no namespace, `PrivateListener` takes connections of the supervisor alone.
Each connection has a thread; a worker holds a bounded number of them at once and further ones
wait in the listener's queue. Threads, sockets and the log are this process's: when it dies they
are gone, and with them the only way out.
"""

import contextlib
import os
import select
import socket
import threading
import time
from dataclasses import dataclass, field

from batuta.runtime.egress.connection import Connection
from batuta.runtime.egress.station import AuditFailed, Station

CLOSE_S = 2.0
_PAUSE_S = 0.05
_LOOK_S = 0.001
LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Doorkeeper:
    """Serves one listener until it is closed."""

    listener: socket.socket
    station: Station
    private: "PrivateListener | None" = None
    _open: set[socket.socket] = field(default_factory=set)
    _undecided: set[socket.socket] = field(default_factory=set)
    _threads: set[threading.Thread] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _places: threading.BoundedSemaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = threading.BoundedSemaphore(self.station.world.limits.connections)
        self.listener.setblocking(False)
        threading.Thread(target=self._accept, name="egress-accept", daemon=True).start()

    @property
    def closed(self) -> bool:
        """True once `close` has let go of the listener."""
        return self.listener.fileno() < 0

    def cut(self) -> None:
        """Accept no more and cut what is open, without waiting."""
        self._closed.set()
        _shut(self.listener)
        with self._guard:
            for connection in self._open:
                _shut(connection)

    def close(self) -> None:
        """Cut everything and wait two seconds for its last lines; twice is fine."""
        self.cut()
        with self._guard:
            threads = list(self._threads)
        deadline = time.monotonic() + CLOSE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.listener.close()

    def settle(self, wait_s: float, *, drain: bool = False) -> bool:
        """Wait until everything that was tried so far has a verdict in the log.

        With `drain` what is open is read to its end and ended, so that no request is left in it.
        False where it took too long; then the caller ends the worker.
        """
        if drain:
            with self._guard:
                for connection in self._open:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + wait_s
        while True:
            with self._guard:
                left = self._open if drain else self._undecided
                if not left and not self._waiting():
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)

    def _waiting(self) -> bool:
        """True where somebody is connected and nobody has looked yet."""
        if self._closed.is_set() or self.listener.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        return any(flags & select.POLLIN for _, flags in poll.poll(0))

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        while not self._closed.is_set():
            self._places.acquire()
            poll.poll()
            try:
                taken = self._take()
            except OSError:
                # Too many open files, or closed: in the first case it may be better soon.
                self._closed.wait(_PAUSE_S)
                taken = False
            if not taken:
                self._places.release()

    def _take(self) -> bool:
        """Take one connection; under the guard, so that none is ever between queue and record."""
        with self._guard:
            try:
                client, peer = self.listener.accept()
            except BlockingIOError:
                return False
            unknown = self.private is not None and not self.private.expects(peer)
            if self.station.password:
                # Nobody else's silence takes up the places of this process.
                unknown = not _is_own(peer[1], self.listener.getsockname()[1])
            if self._closed.is_set() or unknown:
                client.close()
                return False
            client.setblocking(True)
            # An answer's head and body are sent one after the other: without this the body waits
            # until the client has acknowledged the head, which clients put off by 40 ms.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = self.station.world.number()
            thread = threading.Thread(
                target=self._serve, args=(client, number), name=f"egress-{number}", daemon=True
            )
            self._open.add(client)
            self._undecided.add(client)
            self._threads.add(thread)
            thread.start()  # still under the guard: who closes waits for threads that run
        return True

    def _decide(self, client: socket.socket) -> None:
        with self._guard:
            self._undecided.discard(client)

    def _serve(self, client: socket.socket, number: int) -> None:
        connection = Connection(client, self.station, number, decided=lambda: self._decide(client))
        try:
            connection.serve()
        except AuditFailed:
            # What cannot be recorded must not happen: neither here nor at any other listener.
            self.station.world.on_failure()
        finally:
            client.close()
            with self._guard:
                self._open.discard(client)
                self._undecided.discard(client)
                self._threads.discard(threading.current_thread())
            self._places.release()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _is_own(peer_port: int, port: int) -> bool:
    """True where a connection on loopback comes from this user, or where nobody can tell."""
    ends = f" 0100007F:{peer_port:04X} 0100007F:{port:04X} "
    try:
        with open("/proc/net/tcp", encoding="ascii") as table:
            found = next((line for line in table if ends in line), None)
    except OSError:
        return True
    return found is None or int(found.split()[7]) == os.geteuid()


class PrivateListener:
    """A listener on loopback that takes only connections which were made through `dial`.

    Any process of the machine can reach a port on loopback; only those whose own port was
    announced here before they connected are served.
    """

    def __init__(self) -> None:
        self.socket = socket.create_server((LOOPBACK, 0), backlog=128)
        self._guard = threading.Lock()
        self._expected: set[int] = set()

    @property
    def port(self) -> int:
        """The port that workers are told to use as their proxy's."""
        return int(self.socket.getsockname()[1])

    def dial(self) -> socket.socket:
        """Return a connection to the gateway, to be handed to a worker in place of its own.

        Raises:
            OSError: The gateway is closed.
        """
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.bind((LOOPBACK, 0))
            with self._guard:
                self._expected.add(connection.getsockname()[1])
            connection.connect((LOOPBACK, self.port))
        except OSError:
            connection.close()
            raise
        return connection

    def expects(self, peer: tuple[str, int]) -> bool:
        """True, once, for a connection that `dial` made."""
        with self._guard:
            if peer[1] not in self._expected:
                return False
            self._expected.discard(peer[1])
            return True
