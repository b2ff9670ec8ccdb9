"""The internet as the gateway's tests see it: sinks on loopback behind public addresses.

Names resolve by a table, addresses lead to sinks by another one; both write down what was asked
of them. The sinks speak real TLS and HTTP over real sockets and write down everything that
reaches them. No packet leaves the machine, and no privilege is needed.
"""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from batuta.runtime.egress.resolve import ResolveError

GOOD = "23.20.0.10"
EVIL = "23.20.0.12"
NAMES = ("*.good.test", "*.prod.good.test", "evil.test", "*.s3.eu-central-1.amazonaws.com")
BIG = bytes(5_000_000)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as a sink got it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body_bytes: int


@dataclass(slots=True)
class Sink:
    """A server that answers everything and remembers it."""

    port: int
    connections: int = 0
    received: int = 0
    requests: list[Seen] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while (first := stream.readline()).strip():
                method, target, _ = first.decode("latin-1").split(" ", 2)
                headers: dict[str, str] = {}
                while line := stream.readline().strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                self.requests.append(Seen(method, target, headers, 0))
                count = self._body(stream, headers)
                self.requests[-1] = Seen(method, target, headers, count)
                path = target.partition("?")[0]
                status, more, body = self.answers.get(path, (200, {}, b"sink"))
                if path == "/big":
                    body = BIG
                if headers.get("range", "").startswith("bytes="):
                    status, more, body = _partial(headers["range"], body)
                _answer(connection, method, status, more, body)
                if headers.get("connection") == "close":
                    return

    def _body(self, stream: object, headers: Mapping[str, str]) -> int:
        count, left = 0, int(headers.get("content-length", "0"))
        while left:
            piece = stream.read1(min(left, 65536))  # type: ignore[attr-defined] # BufferedReader
            if not piece:
                break
            left -= len(piece)
            count += len(piece)
            self.received += len(piece)
        if headers.get("transfer-encoding") == "chunked":
            while size := int(stream.readline().strip() or b"0", 16):  # type: ignore[attr-defined] # BufferedReader
                count += len(stream.read(size))  # type: ignore[attr-defined] # BufferedReader
                stream.readline()  # type: ignore[attr-defined] # BufferedReader
            stream.readline()  # type: ignore[attr-defined] # BufferedReader
            self.received += count
        return count


def _partial(span: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    first, _, last = span.removeprefix("bytes=").partition("-")
    if first:
        start, end = int(first), min(int(last or len(body) - 1), len(body) - 1)
    else:  # the last bytes, as readers of footers ask for them
        start, end = max(0, len(body) - int(last)), len(body) - 1
    return 206, {"Content-Range": f"bytes {start}-{end}/{len(body)}"}, body[start : end + 1]


def _answer(
    connection: socket.socket, method: str, status: int, more: Mapping[str, str], body: bytes
) -> None:
    lines = [f"HTTP/1.1 {status} said"]
    lines += [f"{name}: {value}" for name, value in more.items()]
    if "Transfer-Encoding" in more:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        lines.append(f"Content-Length: {len(body)}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body))


@contextmanager
def sink(tls: ssl.SSLContext | None = None) -> Iterator[Sink]:
    """Run a sink on a free port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    made = Sink(listener.getsockname()[1])
    held: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            held.append(connection)
            made.serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                made.connections += 1
                held.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield made
    finally:
        for each in (listener, *held):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@dataclass(slots=True)
class FarSide:
    """Names, addresses, sinks, and what was asked of each. `pem` is the sinks' authority."""

    good: Sink
    evil: Sink
    plain: Sink
    pem: Path
    names: dict[str, tuple[str, ...]]
    looked_up: list[str] = field(default_factory=list)
    dialed: list[tuple[str, int]] = field(default_factory=list)

    def resolver(self, host: str, timeout_s: float) -> tuple[str, ...]:
        """Answer from the table."""
        self.looked_up.append(host)
        if host not in self.names:
            raise ResolveError("dns.nxdomain")
        return self.names[host]

    def dialer(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """Connect to the sink behind an address."""
        self.dialed.append((address, port))
        sinks = {(GOOD, 443): self.good, (EVIL, 443): self.evil, ("10.9.9.9", 9000): self.plain}
        found = sinks.get((address, port))
        if found is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return socket.create_connection(("127.0.0.1", found.port), timeout_s)


@contextmanager
def far_side(folder: Path) -> Iterator[FarSide]:
    """Run the sinks; files are written below `folder`."""
    authority, certificate, key = _certificates()
    chain, pem = folder / "sink.pem", folder / "sink-authority.pem"
    chain.write_bytes(certificate + key)
    pem.write_bytes(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    hosts = ("api", "pull", "cname", "slow")
    names: dict[str, tuple[str, ...]] = {f"{name}.good.test": (GOOD,) for name in hosts}
    names |= {
        "a.prod.good.test": (GOOD,),
        "evil.test": (EVIL,),
        "good-bucket.s3.eu-central-1.amazonaws.com": (GOOD,),
    }
    with sink(context) as good, sink(context) as evil, sink() as plain:
        yield FarSide(good, evil, plain, pem, names)


def _certificates() -> tuple[bytes, bytes, bytes]:
    """Return the authority's certificate, the sinks' certificate, and its key."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES])
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder("sinks' authority", authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        _builder("sinks", key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    return authority.public_bytes(pem), leaf.public_bytes(pem), secret


def _builder(name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sinks' authority")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
