"""A gateway between a worker that tries things and a far side that remembers them."""

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from batuta.core.egress.addresses import Demand
from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import Rule
from batuta.model.diagnostic import Location
from batuta.model.tier import Tier
from batuta.runtime.egress.anchors import Anchor
from batuta.runtime.egress.audit import Row
from batuta.runtime.egress.audit_read import rows, verify
from batuta.runtime.egress.budget import Limits
from batuta.runtime.egress.session import Door, GatewayRun
from batuta.runtime.egress.station import CredentialHook, WorkerIdentity
from tests.attacks.far_side import FarSide, far_side

ATTACKS = Path(__file__).resolve().parents[1] / "data" / "egress" / "attacks.yaml"
ALERT = b"\x15\x03\x03\x00\x02\x02\x31"
LIMITS = Limits(head_s=20.0, hello_s=20.0, resolve_s=20.0, connect_s=20.0, idle_s=20.0)
"""Longer than a busy machine takes, so that a verdict is about what was sent."""
IMPATIENT = Limits(head_s=0.5, hello_s=1.0, resolve_s=1.0, connect_s=2.0, idle_s=5.0)
"""For the tests of somebody who says nothing."""
IDENTITY = WorkerIdentity(action="transfer", dataset="Dataset/orders", worker="w1")
HOUSE = Rule(
    pattern="10.9.9.9", ports=(9000,), on_prem=True, plain=True, inspect=True,
    demand=Demand(cidrs=("10.0.0.0/8",), loopback=True, private=True),
)  # fmt: skip


@cache
def table() -> tuple[dict[str, Any], ...]:
    """Return every row of the table, in order."""
    return tuple(yaml.safe_load(ATTACKS.read_text(encoding="utf-8"))["attacks"])


def attacks(*groups: str) -> list[dict[str, Any]]:
    """Return the rows of some groups, in order."""
    return [row for row in table() if row["group"] in groups]


def attack(name: str) -> dict[str, Any]:
    """Return the row of a name."""
    return next(row for row in table() if row["name"] == name)


def rule(pattern: str, **more: Any) -> Rule:
    """Return a rule with a place of its own."""
    return Rule(pattern=pattern, locations=(Location("egress.yaml", 7, 5),), **more)


RULES = (
    rule("api.good.test"),
    rule("pull.good.test", max_upload_bytes=65536),
    rule("*.prod.good.test", max_names=4),
    rule("cname.good.test", demand=Demand(cidrs=("23.20.0.10/32",))),
    rule("good-bucket.s3.eu-central-1.amazonaws.com"),
    HOUSE,
)


def policy(*allow: Rule, **more: Any) -> Policy:
    """Return a policy of the Standard tier."""
    return Policy(tier=Tier.STANDARD, allow=allow, **more)


@dataclass(slots=True)
class Lab:
    """One run: a door, what lies behind it, and the log."""

    run: GatewayRun
    door: Door
    far: FarSide
    log: Path

    def call(self) -> socket.socket:
        """Return a connection to the gateway, as a worker makes it."""
        return socket.create_connection(self.door.address, 5)

    def say(self, content: bytes) -> bytes:
        """Send bytes to the gateway and return all that comes back until it ends."""
        with self.call() as connection:
            connection.sendall(content)
            return read_all(connection)

    def knock(self, target: str) -> tuple[socket.socket, bytes]:
        """Ask for a tunnel; return the connection and the head of the answer."""
        connection = self.call()
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return connection, read_head(connection)

    def tunnel(
        self, target: str, sni: str | None, context: ssl.SSLContext | None = None
    ) -> ssl.SSLSocket:
        """Return TLS through a tunnel.

        Raises:
            ConnectionError: The tunnel was refused.
            ssl.SSLError: TLS was.
        """
        connection, head = self.knock(target)
        if b" 200 " not in head:
            connection.close()
            raise ConnectionError(head.decode())
        if context is None:
            context = ssl.create_default_context(cafile=str(self.run.ca_file))
            context.check_hostname = False
        try:
            return context.wrap_socket(connection, server_hostname=sni)
        except (ssl.SSLError, OSError):
            connection.close()
            raise

    def rows(self) -> list[Row]:
        """Return the log once no connection is open any more."""
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            found = list(rows(self.log))
            opened = sum(row.event == "open" for row in found)
            if found and opened == sum(row.event == "end" for row in found):
                return found
            time.sleep(0.02)
        raise AssertionError(f"a connection did not end: {list(rows(self.log))}")

    def last(self) -> Row:
        """Return the last line that says how something ended."""
        return self.rows()[-1]


def read_head(connection: socket.socket) -> bytes:
    """Return bytes up to the empty line, or all that came."""
    head = b""
    with suppress(OSError):
        while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
            head += byte
    return head


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the other side ends."""
    content = b""
    with suppress(OSError):
        while more := connection.recv(65536):
            content += more
    return content


def get(tls: socket.socket, path: str, host: str, method: str = "GET", *more: str) -> bytes:
    """Send one request and return all that comes back; the server is asked to close."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *more, "Connection: close", "", ""]
    tls.sendall("\r\n".join(lines).encode())
    return read_all(tls)


@contextmanager
def lab(
    folder: Path,
    allow: Sequence[Rule] = RULES,
    *,
    credentials: CredentialHook | None = None,
    limits: Limits = LIMITS,
    **more: Any,
) -> Iterator[Lab]:
    """Run a gateway for one worker; the log is whole at the end, or the test fails."""
    log = folder / "egress.jsonl"
    with (
        far_side(folder) as far,
        GatewayRun(
            run_id="run-1", audit_path=log, ca_files=[far.pem], limits=limits,
            resolver=far.resolver, dialer=far.dialer,
        ) as run,
    ):  # fmt: skip
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        made = policy(*allow, **more)
        door = run.serve(listener, worker=IDENTITY, policy=made, credentials=credentials)
        yield Lab(run, door, far, log)
        head = run.audit_head
    found = verify(log, anchors=[Anchor(head, "the run")])
    assert not found.findings


def inspected(**more: Any) -> Rule:
    """Return a rule for inspect mode at api.good.test."""
    return replace(rule("api.good.test", inspect=True), **more)


def hello(
    name: bytes = b"api.good.test",
    versions: tuple[int, ...] = (0x0304, 0x0303),
    more: bytes = b"",
) -> bytes:
    """Return a small ClientHello, built by hand so that it can be wrong."""

    def extension(kind: int, body: bytes) -> bytes:
        return struct.pack(">HH", kind, len(body)) + body

    entry = b"\0" + struct.pack(">H", len(name)) + name
    offered = b"".join(struct.pack(">H", version) for version in versions)
    extensions = extension(0, struct.pack(">H", len(entry)) + entry)
    extensions += extension(43, bytes([len(offered)]) + offered) + more
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message
