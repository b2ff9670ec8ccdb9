"""The first message of a TLS client, read from bytes: which server it names, what it offers.

A client may cut the message into records as it likes, so records are joined before anything is
read. Nothing is skipped that could hold a second meaning: each length has to fit exactly, and
an extension that comes twice is refused, since the server may heed the one we did not.
"""

from dataclasses import dataclass
from enum import IntEnum

from batuta.core.egress.codes import Code, Refused

MAX_BYTES = 70 * 1024
"""The longest ClientHello that is read, with the heads of its records."""
VERSION_1_2 = 0x0303

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RECORD_HEAD = 5
_MAX_RECORD = 2**14
_HOST_NAME = 0
# Encrypted ClientHello, the extension inside one, and its ancestor ESNI.
_ENCRYPTED = frozenset({0xFE0D, 0xFD00, 0xFFCE})


class _Extension(IntEnum):
    SERVER_NAME = 0
    ALPN = 16
    SUPPORTED_VERSIONS = 43


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a ClientHello says.

    `server_name` is as the client wrote it, None where there is none. `version` is the newest
    one offered (0x0303 is TLS 1.2). `length` counts the bytes that were read, records' heads
    included; what follows belongs to the connection.
    """

    server_name: str | None
    version: int
    encrypted: bool
    alpn: tuple[bytes, ...]
    length: int


class _Broken(Exception):
    """Bytes that no ClientHello has."""


def parse_hello(received: bytes) -> Hello | Refused | None:
    """Return the facts of the ClientHello that `received` starts with; None: more must come.

    Returns:
        `tls.not_tls`, `tls.malformed` or `tls.too_large` as early as the bytes show it. The
        facts are not judged here.

    Source: RFC 8446 4.1.2, 4.2, 5.1; RFC 5246 7.4.1.2; RFC 6066 3 (as facts).
    """
    try:
        joined = _join(received)
    except _Broken as broken:
        return Refused(Code.TLS_MALFORMED, f"{broken}")
    if not isinstance(joined, tuple):
        return joined
    message, length = joined
    try:
        return _read(message, length)
    except _Broken as broken:
        return Refused(Code.TLS_MALFORMED, f"{broken}")


def _join(received: bytes) -> tuple[bytes, int] | Refused | None:
    """Return the handshake message without its head, and the bytes that its records take up."""
    message, at = bytearray(), 0
    while True:
        head = received[at : at + _RECORD_HEAD]
        if (wrong := _record_head(head)) is not None:
            return wrong
        if len(head) < _RECORD_HEAD:
            return None
        size = int.from_bytes(head[3:5])
        message += received[at + _RECORD_HEAD : at + _RECORD_HEAD + size]
        at += _RECORD_HEAD + size
        if message and message[0] != _CLIENT_HELLO:
            return Refused(Code.TLS_NOT_TLS, "The first message is not a ClientHello.")
        wanted = 4 + int.from_bytes(message[1:4]) if len(message) >= 4 else None
        if max(at, wanted or 0) > MAX_BYTES:
            return Refused(Code.TLS_TOO_LARGE, f"The ClientHello is over {MAX_BYTES} bytes long.")
        if len(received) < at:
            return None
        if wanted is not None and len(message) >= wanted:
            if len(message) > wanted:
                raise _Broken("Something follows the ClientHello in its record.")
            return bytes(message[4:]), at


def _record_head(head: bytes) -> Refused | None:
    """Return what is wrong with the head of a record, whole or cut short."""
    if head and head[0] != _HANDSHAKE:
        return Refused(Code.TLS_NOT_TLS, "The bytes are not a TLS handshake.")
    if len(head) > 1 and head[1] != 3:
        return Refused(Code.TLS_NOT_TLS, "The record names no version of TLS.")
    if len(head) == _RECORD_HEAD and not 0 < int.from_bytes(head[3:5]) <= _MAX_RECORD:
        return Refused(Code.TLS_MALFORMED, "The record has a length that none may have.")
    return None


class _Reader:
    """Takes fields off a run of bytes; a field that is not all there is a mistake."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    def take(self, size: int) -> bytes:
        taken, self._rest = self._rest[:size], self._rest[size:]
        if len(taken) < size:
            raise _Broken("A field is longer than what holds it.")
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def field(self, size: int) -> bytes:
        """Take a field that its length of `size` bytes precedes."""
        return self.take(self.number(size))

    @property
    def done(self) -> bool:
        return not self._rest


def _read(message: bytes, length: int) -> Hello:
    reader = _Reader(message)
    legacy = reader.number(2)
    reader.take(32)
    if len(reader.field(1)) > 32:
        raise _Broken("The session id is longer than 32 bytes.")
    suites = reader.field(2)
    if not suites or len(suites) % 2:
        raise _Broken("The list of cipher suites is empty or odd.")
    if 0 not in reader.field(1):
        raise _Broken("The list of compressions lacks the null one.")
    # TLS 1.2 lets a client leave out the whole field.
    found = {} if reader.done else _extensions(reader.field(2))
    if not reader.done:
        raise _Broken("Something follows the extensions.")
    return Hello(
        server_name=_server_name(found.get(_Extension.SERVER_NAME)),
        version=_newest(legacy, found.get(_Extension.SUPPORTED_VERSIONS)),
        encrypted=not _ENCRYPTED.isdisjoint(found),
        alpn=_protocols(found.get(_Extension.ALPN)),
        length=length,
    )


def _extensions(content: bytes) -> dict[int, bytes]:
    reader, found = _Reader(content), dict[int, bytes]()
    while not reader.done:
        kind = reader.number(2)
        if kind in found:
            raise _Broken(f"The extension {kind} comes twice.")
        found[kind] = reader.field(2)
    return found


def _server_name(content: bytes | None) -> str | None:
    if content is None:
        return None
    whole = _Reader(content)
    names = _Reader(whole.field(2))
    if names.number(1) != _HOST_NAME:
        raise _Broken("The server's name is not a host name.")
    name = names.field(2)
    if not names.done or not whole.done:
        raise _Broken("The ClientHello names more than one server.")
    if not name or not name.isascii() or any(c <= 0x20 or c == 0x7F for c in name):
        raise _Broken("The server's name holds characters that no host name has.")
    return name.decode("ascii")


def _newest(legacy: int, content: bytes | None) -> int:
    if content is None:
        # Without the extension a client means what it writes here; 1.3 cannot be meant so.
        return min(legacy, VERSION_1_2)
    whole = _Reader(content)
    versions = _Reader(whole.field(1))
    offered = []
    while not versions.done:
        offered.append(versions.number(2))
    if not offered or not whole.done:
        raise _Broken("The list of versions is empty or odd.")
    # Other numbers are drafts and greased values, which no server may take.
    return max((v for v in offered if 0x0300 <= v <= 0x0304), default=0)


def _protocols(content: bytes | None) -> tuple[bytes, ...]:
    if content is None:
        return ()
    whole = _Reader(content)
    names, found = _Reader(whole.field(2)), list[bytes]()
    while not names.done:
        found.append(names.field(1))
    if not whole.done or not found or b"" in found:
        raise _Broken("The list of protocols is not well formed.")
    return tuple(found)
