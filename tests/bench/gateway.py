"""The gateway against a connection without it: plain bytes over loopback through a tunnel.

`python -m tests.bench --only gateway`. Sender, gateway and receiver are processes of their own,
so that the gateway's processor time is its own. The receiver begins with a ClientHello, since
nothing else gets through; what follows is plain, so that TLS of either end is not measured.
"""

import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.attacks.gateway_lab import hello
from tests.bench.measure import MIB, Row

SECTION = "The gateway"
ROOT = Path(__file__).resolve().parents[2]
HOST = "far.bench.test"
BLOCK = MIB
SENDER = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
block = memoryview(bytes(1 << 20))
def send(connection):
    with connection:
        asked = b""
        while b"SIZE" not in asked:
            asked += connection.recv(65536)
        left = int(asked.partition(b"SIZE")[2])
        while left:
            left -= connection.send(block[:min(left, len(block))])
while True:
    connection, _ = listener.accept()
    threading.Thread(target=send, args=(connection,), daemon=True).start()
"""


def serve(port: int, folder: str) -> None:
    """Run a gateway whose one rule leads to `port` on loopback; prints its own port."""
    from batuta.core.egress.addresses import Demand
    from batuta.core.egress.policy import Policy
    from batuta.core.egress.rules import Rule
    from batuta.model.tier import Tier
    from batuta.runtime.egress.session import GatewayRun
    from batuta.runtime.egress.station import WorkerIdentity

    demand = Demand(cidrs=("127.0.0.0/8",), loopback=True)
    rule = Rule(pattern=HOST, ports=(port,), demand=demand, on_prem=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    with GatewayRun(
        run_id="bench",
        audit_path=Path(folder) / "egress.jsonl",
        resolver=lambda _host, _timeout_s: ("127.0.0.1",),
    ) as run:
        identity = WorkerIdentity(action="bench", dataset="bench", worker="bench")
        run.serve(listener, worker=identity, policy=Policy(tier=Tier.STANDARD, allow=(rule,)))
        print(listener.getsockname()[1], flush=True)
        sys.stdin.read()


@contextmanager
def _process(*command: str) -> Iterator[tuple[int, psutil.Process]]:
    started = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert started.stdout is not None
        yield int(started.stdout.readline()), psutil.Process(started.pid)
    finally:
        # The gateway ends with its input, and tidies up; the sender has to be ended.
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.communicate(timeout=2)
        started.kill()
        started.communicate()


def _open(port: int, through: int | None) -> socket.socket:
    if through is None:
        return socket.create_connection(("127.0.0.1", port), 10)
    connection = socket.create_connection(("127.0.0.1", through), 10)
    connection.sendall(f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert b" 200 " in head, head
    return connection


def _fetch(port: int, through: int | None, size: int) -> float:
    """Return the seconds that `size` bytes took."""
    buffer = memoryview(bytearray(BLOCK))
    start = time.perf_counter()
    with _open(port, through) as connection:
        connection.sendall(hello(HOST.encode()) + f"SIZE{size}".encode())
        left = size
        while left:
            count = connection.recv_into(buffer[: min(left, BLOCK)])
            assert count, "the connection ended too early"
            left -= count
    return time.perf_counter() - start


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return wall time to a direct connection, the gateway's processor time, and its growth."""
    place = folder / "gateway"
    place.mkdir(parents=True, exist_ok=True)
    size = (128 if quick else 1024) * MIB
    rounds = 1 if quick else 5
    many = 200 if quick else 2000
    ratios, costs, rates = [], [], []
    with (
        _process("-c", SENDER) as (port, _),
        _process("-m", "tests.bench.gateway", str(port), str(place)) as (through, gateway),
    ):
        for _ in range(rounds):
            direct = _fetch(port, None, size)
            before = _cpu_s(gateway)
            ours = _fetch(port, through, size)
            ratios.append(ours / direct)
            costs.append((_cpu_s(gateway) - before) * 1024 * MIB / size)
            rates.append(size / MIB / ours)
        growth, memory = _growth(port, through, gateway, many)
    note = f"{statistics.median(rates):.0f} MiB/s; a rate of 0.45 is a time of 2.22"
    work = f"{size // MIB} MiB through a tunnel"
    return [
        Row(section=SECTION, work=work, figure="wall to direct", note=note,
            reached=statistics.median(ratios), bar=2.22),
        Row(section=SECTION, work=work, figure="its processor time", unit=" s/GiB",
            reached=statistics.median(costs), bar=0.35),
        Row(section=SECTION, work=f"{many} connections", figure="the last to the first 100",
            reached=growth, bar=1.5),
        Row(section=SECTION, work=f"{many} connections", figure="memory they left behind",
            unit=" MiB", reached=memory, bar=8.0),
    ]  # fmt: skip


def _growth(port: int, through: int, gateway: psutil.Process, many: int) -> tuple[float, float]:
    """Return how much slower the last connections are, and the MiB that stay."""

    def batch() -> float:
        return statistics.median(_fetch(port, through, 1000) for _ in range(100))

    batch()
    first, resident = batch(), gateway.memory_info().rss
    for _ in range(many - 300):
        _fetch(port, through, 1000)
    last = batch()
    return last / first, (gateway.memory_info().rss - resident) / MIB


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
