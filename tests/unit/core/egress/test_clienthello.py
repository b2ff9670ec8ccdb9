"""The ClientHello parser against OpenSSL's own greetings, cut and joined, and against bad ones."""

import ssl

import pytest

from batuta.core.egress.clienthello import MAX_BYTES, Hello, parse_hello
from batuta.core.egress.codes import Code, Refused
from tests.unit.core.egress.hellos import (
    NAME,
    built,
    field,
    in_records,
    message_of,
    openssl,
    server_name,
    versions,
)

GOOD = server_name(b"api.good.test")


def _code(received: bytes) -> Code | None:
    found = parse_hello(received)
    return found.code if isinstance(found, Refused) else None


def _facts(received: bytes) -> Hello:
    found = parse_hello(received)
    assert isinstance(found, Hello), found
    return found


def test_openssl_s_greeting_is_read() -> None:
    hello = openssl(NAME, alpn=("h2", "http/1.1"))
    assert _facts(hello) == Hello(
        server_name=NAME,
        version=0x0304,
        encrypted=False,
        alpn=(b"h2", b"http/1.1"),
        length=len(hello),
    )


@pytest.mark.parametrize(
    ("newest", "version"),
    [
        (ssl.TLSVersion.TLSv1_3, 0x0304),
        (ssl.TLSVersion.TLSv1_2, 0x0303),
        (ssl.TLSVersion.TLSv1_1, 0x0302),
        (ssl.TLSVersion.TLSv1, 0x0301),
    ],
)
def test_the_newest_version_that_is_offered_is_told(newest: ssl.TLSVersion, version: int) -> None:
    hello = openssl(NAME, newest=newest, oldest=ssl.TLSVersion.TLSv1)
    assert _facts(hello).version == version


def test_a_greeting_without_a_name_has_none() -> None:
    assert _facts(openssl(None)).server_name is None


@pytest.mark.parametrize("name", [NAME, "a" * 63 + ".test"])
def test_every_cut_of_a_greeting_asks_for_more_and_only_the_whole_is_read(name: str) -> None:
    hello = openssl(name, alpn=("http/1.1",))
    assert [n for n in range(len(hello)) if parse_hello(hello[:n]) is not None] == []
    assert _facts(hello).server_name == name


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 64, 511])
def test_a_greeting_in_many_records_says_the_same(size: int) -> None:
    whole = openssl(NAME)
    cut = in_records(message_of(whole), size)
    found, expected = _facts(cut), _facts(whole)
    assert (found.server_name, found.version, found.alpn) == (
        expected.server_name, expected.version, expected.alpn,
    )  # fmt: skip
    assert found.length == len(cut)
    assert [n for n in range(len(cut)) if parse_hello(cut[:n]) is not None] == []


def test_a_greeting_cut_at_every_place_into_two_records_says_the_same() -> None:
    message = message_of(openssl(NAME))
    for at in range(1, len(message)):
        two = in_records(message[:at]) + in_records(message[at:])
        assert _facts(two).server_name == NAME


def test_what_follows_the_greeting_in_records_of_its_own_is_left_alone() -> None:
    hello = openssl(NAME)
    early = b"\x17\x03\x03\x00\x03abc"
    assert _facts(hello + early).length == len(hello)


@pytest.mark.parametrize(
    "received",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x",
        b"\x80\x2e\x01\x03\x01",  # a greeting of SSL 2
        b"\x16\x02",
        b"\x15\x03\x01\x00\x02\x02\x28",
        in_records(b"\x02" + field(3, b"a server's hello")),
    ],
)
def test_anything_else_than_a_greeting_is_not_tls(received: bytes) -> None:
    assert _code(received) is Code.TLS_NOT_TLS


MALFORMED = {
    "no server name in the list": built((0, field(2, b""))),
    "two server names": built(server_name(b"api.good.test", b"evil.test")),
    "another kind of name": built(server_name(b"api.good.test", kind=1)),
    "an empty name": built(server_name(b"")),
    "NUL in the name": built(server_name(b"api.good.test\0.evil.test")),
    "a space in the name": built(server_name(b"api.good.test evil.test")),
    "a name beyond ASCII": built(server_name("\u0430pi.good.test".encode())),
    "a list of names that is cut": built((0, b"\x00\x20\x00\x00\x0dapi.good.test")),
    "something after the names": built((0, field(2, b"\x00" + field(2, b"a.test")) + b"x")),
    "the server name twice": built(GOOD, server_name(b"evil.test")),
    "an unknown extension twice": built(GOOD, (0x1234, b""), (0x1234, b"")),
    "no versions": built(GOOD, (43, b"\0")),
    "half a version": built(GOOD, (43, field(1, b"\x03"))),
    "no cipher suites": built(GOOD, suites=b""),
    "half a cipher suite": built(GOOD, suites=b"\x13"),
    "no null compression": built(GOOD, compressions=b"\x01"),
    "a session id of 33 bytes": built(GOOD, session=bytes(33)),
    "something after the extensions": built(GOOD, tail=b"x"),
    "an empty protocol": built(GOOD, (16, field(2, b"\0"))),
    "an empty record": b"\x16\x03\x01\x00\x00",
    "a record that is too long": b"\x16\x03\x01\x40\x01",
    "a message after it in the record": in_records(message_of(built(GOOD)) + b"\x01\0\0\0"),
    "a body that is cut": in_records(b"\x01" + field(3, message_of(built(GOOD))[4:40])),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_could_be_read_in_two_ways_is_malformed(case: str) -> None:
    assert _code(MALFORMED[case]) is Code.TLS_MALFORMED


@pytest.mark.parametrize("kind", [0xFE0D, 0xFD00, 0xFFCE])
def test_an_encrypted_greeting_is_told(kind: int) -> None:
    assert _facts(built(GOOD, (kind, b"x"))).encrypted
    assert not _facts(built(GOOD)).encrypted


def test_greased_versions_do_not_count() -> None:
    assert _facts(built(GOOD, versions(0x7A7A, 0x0303))).version == 0x0303
    assert _facts(built(GOOD, versions(0x7A7A))).version == 0


def test_a_client_cannot_mean_tls_1_3_without_its_extension() -> None:
    assert _facts(built(GOOD, legacy=0x0304)).version == 0x0303


def test_a_greeting_without_the_field_of_extensions_names_nobody() -> None:
    body = b"\x03\x03" + bytes(32) + b"\0" + field(2, b"\x13\x01") + b"\x01\0"
    assert _facts(in_records(b"\x01" + field(3, body))).server_name is None


def test_bytes_after_a_greeting_are_not_read_as_its_extensions() -> None:
    """The server, which goes by the message's length, would see no name at all."""
    kind, content = GOOD
    body = b"\x03\x03" + bytes(32) + b"\0" + field(2, b"\x13\x01") + b"\x01\0"
    after = field(2, kind.to_bytes(2) + field(2, content))
    assert _code(in_records(b"\x01" + field(3, body) + after)) is Code.TLS_MALFORMED


def test_a_greeting_is_read_up_to_the_limit_and_refused_as_soon_as_it_says_more() -> None:
    padding = 60_000
    long = built(GOOD, (21, bytes(padding)))
    assert padding < _facts(long).length < MAX_BYTES
    announced = b"\x16\x03\x01\x00\x04\x01" + (MAX_BYTES + 1).to_bytes(3)
    assert _code(announced) is Code.TLS_TOO_LARGE


def test_a_greeting_in_records_of_one_byte_cannot_grow_beyond_the_limit() -> None:
    drip = in_records(message_of(built(GOOD, (21, bytes(20_000)))), 1)
    assert len(drip) > MAX_BYTES
    assert _code(drip[: MAX_BYTES + 10]) is Code.TLS_TOO_LARGE
