"""The certificate authority of one run: what lets inspect mode read what a worker sends.

Its key lives in this process's memory and is never written; its certificates are good for the
worker alone, since nobody else is told to trust them. A path length of 0 keeps it from making
further authorities.
"""

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=30)
_EARLY = timedelta(minutes=5)  # clocks of test machines and containers disagree a little


class RunAuthority:
    """Issues a server certificate for each host that is inspected, and remembers it."""

    def __init__(self, run: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _authority(run, self._key)
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._guard = threading.Lock()

    @property
    def pem(self) -> str:
        """The authority's certificate, for the worker to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def context(self, host: str) -> ssl.SSLContext:
        """Return the server side of TLS for `host`, a canonical name or address; http/1.1 only."""
        with self._guard:
            if (context := self._contexts.get(host)) is None:
                context = self._contexts[host] = self._make(host)
            return context

    def _make(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        chain = self._leaf(host).public_bytes(serialization.Encoding.PEM)
        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with _in_memory(chain + key) as path:
            context.load_cert_chain(path)
        return context

    def _leaf(self, host: str) -> x509.Certificate:
        builder = _builder(host, self._certificate.subject, self._leaf_key.public_key())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_san(host)]), critical=False)
            .add_extension(usage, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _authority(run: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"batuta run {run}"[:64])])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(f"batuta run {run}"[:64], name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    common_name: str, issuer: x509.Name, public: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + VALID)
    )


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Yield a path to `content` that no disk ever sees: OpenSSL takes keys from paths only."""
    fd = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def trust_bundle(*more: str) -> str:
    """Return the system's authorities and these, PEM texts, as one file's content.

    A system without a bundle gives only `more`.
    """
    paths = ssl.get_default_verify_paths()
    texts = list(more)
    if paths.cafile and Path(paths.cafile).is_file():
        texts.insert(0, Path(paths.cafile).read_text(encoding="utf-8", errors="replace"))
    return "\n".join(text.strip() for text in texts if text.strip()) + "\n"
