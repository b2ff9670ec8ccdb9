"""ClientHellos that must not get out: the group gateway-tls."""

import ssl
import struct
from pathlib import Path

import pytest

from tests.attacks.gateway_lab import ALERT, IMPATIENT, attack, get, hello, inspected, lab

ECH = struct.pack(">HH", 0xFE0D, 4) + b"\0\0\0\0"
TWICE = struct.pack(">HH", 43, 3) + b"\x02\x03\x03"
BAD = {
    "nul-sni": hello(b"api.good.test\0.evil.test"),
    "encrypted-client-hello": hello(more=ECH),
    "old-tls": hello(versions=(0x0302, 0x0301)),
    "sni-mismatch": hello(b"evil.test"),
}
OTHERS = {
    "twice": (hello(more=TWICE), "tls.malformed"),
    "http": (b"GET / HTTP/1.1\r\nHost: api.good.test\r\n\r\n", "tls.not_tls"),
    "ssh": (b"SSH-2.0-x\r\n", "tls.not_tls"),
    "a record too long": (
        hello(more=struct.pack(">HH", 21, 65000) + bytes(65000)),
        "tls.malformed",
    ),
}


def test_control_this_hello_passes(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        connection, _ = here.knock("api.good.test:443")
        with connection:
            connection.sendall(hello())
            assert connection.recv(1) in {b"\x15", b"\x16"}  # it lacks a key: the sink answers
        assert here.rows()[0].event == "open"
        assert here.far.good.connections == 1


@pytest.mark.parametrize("name", BAD)
def test_a_bad_hello_is_answered_in_tls_and_not_sent_on(tmp_path: Path, name: str) -> None:
    with lab(tmp_path) as here:
        connection, _ = here.knock("api.good.test:443")
        with connection:
            connection.sendall(BAD[name])
            assert connection.recv(16) == ALERT

        assert here.last().verdict == "deny"
        assert here.last().code in attack(name)["code"].split("|")
        assert here.last().up == 0


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_hello_is_not_sent_on(tmp_path: Path, name: str) -> None:
    content, code = OTHERS[name]
    with lab(tmp_path) as here:
        connection, _ = here.knock("api.good.test:443")
        with connection:
            connection.sendall(content)
            assert connection.recv(16) == ALERT

        assert (here.last().verdict, here.last().code) == ("deny", code)


def test_a_hello_in_small_pieces_is_joined(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        connection, _ = here.knock("api.good.test:443")
        with connection:
            for byte in hello(b"evil.test"):
                connection.sendall(bytes([byte]))
            assert connection.recv(16) == ALERT
        assert here.last().code == "tls.sni_mismatch"


def test_silence_in_a_tunnel_ends_it(tmp_path: Path) -> None:
    with lab(tmp_path, limits=IMPATIENT) as here:
        connection, _ = here.knock("api.good.test:443")
        with connection:
            assert connection.recv(16) == ALERT
        assert here.last().code == "tls.timeout"


def test_the_client_names_the_refusal(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        with pytest.raises(ssl.SSLError, match="alert access denied"):
            here.tunnel("api.good.test:443", "evil.test")
        assert here.last().sni == "evil.test"


def test_fronting_is_seen_in_inspect_mode(tmp_path: Path) -> None:
    with lab(tmp_path, [inspected()]) as here:
        with here.tunnel("api.good.test:443", "api.good.test") as tls:
            assert b"http.host_mismatch" in get(tls, "/", "evil.test")

        assert "http.host_mismatch" in {row.code for row in here.rows()}
        assert here.far.dialed == []


def test_the_authority_of_a_run_is_good_for_its_workers_alone(tmp_path: Path) -> None:
    """A client that trusts the system, or an earlier run, refuses the inspected connection."""
    strangers = ssl.create_default_context()
    with lab(tmp_path, [inspected()]) as here:
        with pytest.raises(ssl.SSLCertVerificationError):
            here.tunnel("api.good.test:443", "api.good.test", strangers)
        assert here.last().code == "tls.untrusted"
        assert here.far.dialed == []


def test_the_other_side_is_not_trusted_on_its_word(tmp_path: Path) -> None:
    """Inspect mode checks the certificate that the worker can no longer see."""
    with lab(tmp_path, [inspected(pattern="bad.unknown.test")]) as here:
        here.far.names["bad.unknown.test"] = ("23.20.0.12",)
        with here.tunnel("bad.unknown.test:443", "bad.unknown.test") as tls:
            assert b"502 tls.upstream" in get(tls, "/", "bad.unknown.test")
        assert "tls.upstream" in {row.code for row in here.rows()}
        assert here.far.evil.requests == []
