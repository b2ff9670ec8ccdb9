"""A tunnel carries every byte both ways, and ends for one of four reasons."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import Rule
from batuta.model.tier import Tier
from batuta.runtime.egress.budget import Ledger, Limits, Meter, OverBudget
from batuta.runtime.egress.relay import relay

RULE = Rule(pattern="a.test")


def _meter(rule: Rule = RULE, max_bytes: int | None = None) -> Meter:
    policy = Policy(tier=Tier.STANDARD, allow=(rule,), max_bytes=max_bytes)
    return Meter(Ledger(policy), rule)


@dataclass
class _Tunnel:
    worker: socket.socket
    host: socket.socket
    meter: Meter
    ended: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None

    def end(self) -> str:
        assert self.thread is not None
        self.thread.join(10)
        return self.ended[0]


@contextmanager
def _tunnel(meter: Meter, limits: Limits | None = None) -> Iterator[_Tunnel]:
    worker, client = socket.socketpair()
    server, host = socket.socketpair()
    made = _Tunnel(worker, host, meter)

    def run() -> None:
        try:
            made.ended.append(relay(client, server, meter, limits or Limits(idle_s=5)))
        except OverBudget as over:
            made.ended.append(str(over.refused.code))
        client.close()
        server.close()

    made.thread = threading.Thread(target=run)
    made.thread.start()
    with worker, host:
        worker.settimeout(5)
        host.settimeout(5)
        yield made
    made.thread.join(10)


def _read_all(connection: socket.socket) -> bytes:
    content = bytearray()
    while more := connection.recv(65536):
        content += more
    return bytes(content)


def test_every_byte_arrives_in_order_both_ways_at_once() -> None:
    up, down = (hashlib.shake_256(name).digest(3_000_017) for name in (b"up", b"down"))
    with _tunnel(_meter()) as tunnel:

        def send(connection: socket.socket, content: bytes) -> None:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)

        for pair in ((tunnel.worker, up), (tunnel.host, down)):
            threading.Thread(target=send, args=pair).start()
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(_read_all(tunnel.host)))
        reader.start()
        assert _read_all(tunnel.worker) == down
        reader.join(10)
        assert got == [up]
        assert tunnel.end() == "closed"
        assert (tunnel.meter.sent, tunnel.meter.received) == (len(up), len(down))


def test_one_side_may_end_and_still_listen() -> None:
    with _tunnel(_meter()) as tunnel:
        tunnel.worker.sendall(b"ask")
        tunnel.worker.shutdown(socket.SHUT_WR)
        assert _read_all(tunnel.host) == b"ask"
        tunnel.host.sendall(b"answer")
        tunnel.host.close()
        assert _read_all(tunnel.worker) == b"answer"
        assert tunnel.end() == "closed"


def test_silence_ends_it() -> None:
    with _tunnel(_meter(), Limits(idle_s=0.2)) as tunnel:
        assert tunnel.end() == "idle"


def test_it_lasts_no_longer_than_it_may() -> None:
    with _tunnel(_meter(), Limits(idle_s=5, duration_s=0.3)) as tunnel:
        tunnel.worker.sendall(b"x")
        assert tunnel.end() == "duration"


def test_a_slow_reader_holds_the_sender_back() -> None:
    """Nothing is gathered: what the reader does not take, the sender cannot send."""
    with _tunnel(_meter()) as tunnel:
        tunnel.host.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100_000_000:
                sent += tunnel.host.send(bytes(65536))
        assert sent < 8_000_000


def test_a_byte_over_the_budget_takes_all_that_came_with_it() -> None:
    with _tunnel(_meter(Rule(pattern="a.test", max_upload_bytes=10))) as tunnel:
        tunnel.worker.sendall(b"1234567890")
        assert tunnel.host.recv(100) == b"1234567890"
        tunnel.worker.sendall(b"X")
        assert _read_all(tunnel.host) == b""
        assert tunnel.end() == "budget.upload"
        assert tunnel.meter.sent == 10


def test_both_directions_share_the_budget_of_the_policy() -> None:
    with _tunnel(_meter(max_bytes=10)) as tunnel:
        tunnel.worker.sendall(b"12345")
        tunnel.host.recv(5)
        tunnel.host.sendall(b"123456")
        assert tunnel.end() == "budget.bytes"
        assert _read_all(tunnel.worker) == b""
