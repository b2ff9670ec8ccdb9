"""Sinks: TCP, TLS for any name, UDP and DNS on public addresses, and a record of every packet.

A line of the record has `kind` (`tcp`, `udp`, `dns`, `packet`), `to` (address:port, or for a
packet address and protocol number) and `head`, the first bytes as Latin-1; TLS lines have `sni`.
"""

import contextlib
import datetime
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

GOOD, EVIL, DNS, PRIVATE, METADATA = (
    "23.20.0.10",
    "23.20.0.12",
    "23.20.0.53",
    "10.9.9.9",
    "169.254.169.254",
)
GOOD_6, EVIL_6 = "2600:1f00::10", "2600:1f00::12"
PLAIN = (
    *((GOOD, 80), (GOOD, 22), (EVIL, 80), (EVIL, 853), (PRIVATE, 80), (METADATA, 80)),
    *((GOOD_6, 80), (EVIL_6, 80)),
)
TLS = (*((GOOD, 443), (EVIL, 443), (PRIVATE, 443), (METADATA, 443)), (GOOD_6, 443), (EVIL_6, 443))
MOST_PACKETS = 10_000
BIG = 5_000_000
_ICMP_6 = 58


class Record:
    """Appends lines to the file that the tests read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._guard = threading.Lock()

    def add(self, **fields: object) -> None:
        with self._guard:
            self._file.write(json.dumps(fields) + "\n")
            self._file.flush()


class Authority:
    """Makes a certificate for any name that a client asks for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sinks")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        built = self._builder(name, name, self._key).add_extension(basic, critical=True)
        self._certificate = built.sign(self._key, hashes.SHA256())
        self._name = name
        pem = self._certificate.public_bytes(serialization.Encoding.PEM)
        (folder / "authority.pem").write_bytes(pem)
        self._made: dict[str, ssl.SSLContext] = {}
        self._guard = threading.Lock()

    def context(self, name: str) -> ssl.SSLContext:
        with self._guard:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def _make(self, name: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:60])])
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        leaf = self._builder(subject, self._name, key).add_extension(names, critical=False)
        signed = leaf.sign(self._key, hashes.SHA256())
        place = self._folder / f"leaf-{len(self._made)}.pem"
        place.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place)
        return context

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        return x509.CertificateBuilder(
            subject_name=subject, issuer_name=issuer, public_key=key.public_key(),
            serial_number=x509.random_serial_number(), not_valid_before=now - day,
            not_valid_after=now + day,
        )  # fmt: skip


def serve(folder: Path, ready: Callable[[], object]) -> None:
    """Serve for ever in this network namespace; `ready` is called when everything listens."""
    record, authority = Record(folder / "records.jsonl"), Authority(folder)
    for address in (*PLAIN, *TLS):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        server = socket.create_server(address, family=family, backlog=64)
        way = authority if address in TLS else None
        _thread(_tcp, server, record, way)
    for address, answers in (((EVIL, 443), False), ((DNS, 53), True)):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind(address)
        _thread(_udp, opened, record, answers)
    everything = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    _thread(_packets, everything, record)
    ready()
    threading.Event().wait()


def _thread(target: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def _tcp(server: socket.socket, record: Record, authority: Authority | None) -> None:
    while True:
        connection, peer = server.accept()
        _thread(_answer, connection, peer[0], record, authority)


def _answer(
    connection: socket.socket, peer: str, record: Record, authority: Authority | None
) -> None:
    host, port = connection.getsockname()[:2]
    named: list[str] = []
    with contextlib.suppress(OSError), connection:
        connection.settimeout(10)
        speaking: socket.socket = connection
        if authority is not None:
            context = authority.context("sinks.test")

            def choose(used: ssl.SSLObject | ssl.SSLSocket, name: str | None, _c: object) -> None:
                named.append(name or "")
                used.context = authority.context(name or "sinks.test")

            context.sni_callback = choose
            record.add(kind="tcp", to=f"{host}:{port}", peer=peer, head="", sni=None)
            speaking = context.wrap_socket(connection, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head and (step := speaking.recv(65536)):
            head += step
            if len(head) > 65536:
                break
        record.add(
            kind="tcp", to=f"{host}:{port}", peer=peer, head=head[:512].decode("latin-1"),
            sni=named[0] if named else None, bytes=len(head),
        )  # fmt: skip
        body = b"x" * BIG if b" /big " in head else b"ok"
        speaking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        # What a body brings after the head is counted too: the bytes are what budgets limit.
        more = 0
        while step := speaking.recv(65536):
            more += len(step)
        if more:
            record.add(kind="body", to=f"{host}:{port}", peer=peer, head="", bytes=more)


def _udp(opened: socket.socket, record: Record, answers: bool) -> None:
    host, port = opened.getsockname()
    while True:
        body, peer = opened.recvfrom(65536)
        kind = "dns" if answers else "udp"
        record.add(kind=kind, to=f"{host}:{port}", peer=peer[0], head=body[:512].decode("latin-1"))
        if answers and (reply := _dns(body)):
            opened.sendto(reply, peer)


def _dns(query: bytes) -> bytes:
    """Answer a question for an address: names below good.test are good, others evil."""
    at, labels = 12, []
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    question = query[12 : at + 5]
    kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
    address = GOOD if ".".join(labels).lower().endswith("good.test") else EVIL
    count = 1 if kind == 1 else 0
    answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04" + socket.inet_aton(address)
    head = query[:2] + b"\x81\x80\x00\x01" + struct.pack(">H", count) + b"\0\0\0\0"
    return head + question + answer * count


def _packets(everything: socket.socket, record: Record) -> None:
    """Record every IP packet that comes in but for neighbour discovery."""
    for _ in range(MOST_PACKETS):
        body, about = everything.recvfrom(65536)
        if about[2] == socket.PACKET_OUTGOING:
            continue
        if about[1] == 0x0800:
            record.add(kind="packet", to=socket.inet_ntoa(body[16:20]), protocol=body[9], head="")
        elif about[1] == 0x86DD and body[6] not in (_ICMP_6, 0):
            to = socket.inet_ntop(socket.AF_INET6, body[24:40])
            record.add(kind="packet", to=to, protocol=body[6], head="")
