"""Both directions of a tunnel in one thread.

Bytes are copied through a buffer that grows with the stream. Moving them inside the kernel
(`splice`) takes as much processor time for a stream and is slower in wall time: the pipe hands
on whole MiBs, and sender and receiver wait for each other. It also takes from the little pipe
memory that a user has.
"""

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from batuta.runtime.egress.budget import Limits, Meter

FIRST_BYTES = 32 * 1024
MOST_BYTES = 1024 * 1024
_BROKEN = select.POLLERR | select.POLLHUP


class Buffer:
    """Memory for reading into; it doubles after each read that filled it, up to 1 MiB."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(FIRST_BYTES))

    def read(self, receive: Callable[[memoryview], int], most: int = MOST_BYTES) -> memoryview:
        """Return what `receive` put in, at most `most` bytes, good until the next read."""
        count = receive(self._view[:most])
        filled = self._view[:count]
        if count == len(self._view) < MOST_BYTES:
            self._view = memoryview(bytearray(2 * count))
        return filled


class _Flow:
    """One direction. What waits has been counted and could not be sent on yet."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, take: Callable[[int], None]
    ) -> None:
        self.source = source
        self.sink = sink
        self.waiting = memoryview(b"")
        self.ended = False
        self._take = take
        self._buffer = Buffer()

    def step(self) -> bool:
        """Move what can be moved now; True where something was.

        Raises:
            OverBudget: a budget is used up; nothing of the new bytes was sent on.
        """
        moved = False
        if not self.waiting and not self.ended:
            moved = self._fill()
        if self.waiting:
            moved = self._drain() or moved
        return moved

    def _fill(self) -> bool:
        try:
            content = self._buffer.read(self.source.recv_into)
        except BlockingIOError:
            return False
        if not content:
            self.ended = True
            with suppress(OSError):  # the other side may be gone already
                self.sink.shutdown(socket.SHUT_WR)
            return True
        self._take(len(content))
        self.waiting = content
        return True

    def _drain(self) -> bool:
        try:
            count = self.sink.send(self.waiting)
        except BlockingIOError:
            return False
        self.waiting = self.waiting[count:]
        return True


def relay(client: socket.socket, server: socket.socket, meter: Meter, limits: Limits) -> str:
    """Carry bytes both ways until both sides have ended; return why it ended.

    Returns:
        `closed`, `idle`, `duration`, or `broken` where a side went away in the middle.

    Raises:
        OverBudget: a budget is used up.
    """
    client.setblocking(False)
    server.setblocking(False)
    try:
        return _run(_Flow(client, server, meter.up), _Flow(server, client, meter.down), limits)
    except OSError:
        return "broken"


def _run(up: _Flow, down: _Flow, limits: Limits) -> str:
    poller = select.poll()
    client, server = up.source.fileno(), down.source.fileno()
    asked = {client: 0, server: 0}
    deadline = time.monotonic() + limits.duration_s
    while not (up.ended and down.ended):
        wanted = {client: _events(up, down), server: _events(down, up)}
        for fd, events in wanted.items():
            _ask(poller, fd, events, asked)
        left_s = deadline - time.monotonic()
        ready = dict(poller.poll(max(0.0, min(limits.idle_s, left_s)) * 1000))
        if not ready:
            return "duration" if left_s <= limits.idle_s else "idle"
        moved = up.step() if up.waiting or client in ready else False
        moved = (down.step() if down.waiting or server in ready else False) or moved
        if not moved and all(events & _BROKEN for events in ready.values()):
            return "broken"
    return "closed"


def _events(reads: _Flow, writes: _Flow) -> int:
    """Return what to wait for at the socket that is the one's source and the other's sink."""
    wait = 0 if reads.waiting or reads.ended else select.POLLIN
    return wait | (select.POLLOUT if writes.waiting else 0)


def _ask(poller: "select.poll", fd: int, events: int, asked: dict[int, int]) -> None:
    """Wait for `events` at `fd`; a socket of which nothing is wanted is not looked at at all."""
    if events == asked[fd]:
        return
    asked[fd] = events
    if events:
        poller.register(fd, events)
    else:
        poller.unregister(fd)
