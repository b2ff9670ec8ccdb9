"""ClientHellos for tests: OpenSSL's own, and ones built by hand that no library would send."""

import ssl
import warnings

NAME = "api.good.test"


def openssl(
    name: str | None,
    *,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    alpn: tuple[str, ...] = (),
) -> bytes:
    """Return what OpenSSL sends first to a server called `name`, through no socket."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        # Old versions are asked for on purpose.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = oldest, newest
    context.set_ciphers("ALL:@SECLEVEL=0")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("a client waits for the server's answer")


def field(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size) + content


def server_name(*names: bytes, kind: int = 0) -> tuple[int, bytes]:
    return 0, field(2, b"".join(bytes([kind]) + field(2, name) for name in names))


def versions(*numbers: int) -> tuple[int, bytes]:
    return 43, field(1, b"".join(n.to_bytes(2) for n in numbers))


def built(
    *extensions: tuple[int, bytes],
    legacy: int = 0x0303,
    suites: bytes = b"\x13\x01",
    compressions: bytes = b"\0",
    session: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """Return a ClientHello in one record, with these extensions in this order."""
    listed = b"".join(kind.to_bytes(2) + field(2, content) for kind, content in extensions)
    body = legacy.to_bytes(2) + bytes(32) + field(1, session) + field(2, suites)
    body += field(1, compressions) + field(2, listed) + tail
    return in_records(b"\x01" + field(3, body))


def in_records(message: bytes, size: int = 2**14) -> bytes:
    """Return a handshake message in records of at most `size` bytes each."""
    pieces = [message[i : i + size] for i in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + field(2, piece) for piece in pieces)


def message_of(hello: bytes) -> bytes:
    """Return the handshake message that the records of `hello` hold."""
    message, at = b"", 0
    while at < len(hello):
        size = int.from_bytes(hello[at + 3 : at + 5])
        message += hello[at + 5 : at + 5 + size]
        at += 5 + size
    return message
