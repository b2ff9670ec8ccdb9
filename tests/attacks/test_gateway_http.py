"""HTTP that must not get out: the group gateway-http, and credentials where none belong."""

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from batuta.core.egress.rules import Rule
from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.request_signing import HttpRequest, Misused
from batuta.runtime.egress.budget import Limits
from batuta.runtime.egress.refusal import diagnostic_of
from tests.attacks.far_side import BIG
from tests.attacks.gateway_lab import (
    IMPATIENT,
    LIMITS,
    RULES,
    Lab,
    get,
    inspected,
    lab,
    read_all,
    rule,
)

READS = inspected(methods=("GET", "HEAD"), paths=("/lake/orders/",))
PLAIN = "http://10.9.9.9:9000"


def inside(here: Lab, content: bytes) -> bytes:
    """Send bytes inside an inspected connection and return what comes back."""
    with here.tunnel("api.good.test:443", "api.good.test") as tls:
        tls.sendall(content)
        return read_all(tls)


def ask(method: str, path: str, *more: str, body: bytes = b"") -> bytes:
    """Return a request to api.good.test."""
    lines = [f"{method} {path} HTTP/1.1", "Host: api.good.test", *more, "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def test_control_an_allowed_request_gets_through(tmp_path: Path) -> None:
    with lab(tmp_path, [READS]) as here:
        said = inside(here, ask("GET", "/lake/orders/part%201?X-Amz-Signature=CANARY"))

        assert said.endswith(b"sink")
        seen = here.far.good.requests
        assert [each.target for each in seen] == ["/lake/orders/part%201?X-Amz-Signature=CANARY"]
        row = next(row for row in here.rows() if row.event == "request")
        assert (row.verdict, row.status, row.path) == ("allow", 200, "/lake/orders/part%201")
        assert b"CANARY" not in here.log.read_bytes()


def test_plain_http_is_not_proxied(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        said = here.say(b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")

        assert said.startswith(b"HTTP/1.1 403 http.plaintext_proxying")
        assert here.last().code == "http.plaintext_proxying"
        assert here.far.looked_up == []


def test_half_a_head_does_not_hold_a_place(tmp_path: Path) -> None:
    with lab(tmp_path, limits=IMPATIENT) as here:
        started = time.monotonic()
        said = here.say(b"CONNECT api.good.test:443 HTT")

        assert time.monotonic() - started < LIMITS.head_s
        assert b"http.head_timeout" in said
        assert here.last().code == "http.head_timeout"


def test_an_upload_stops_at_its_budget(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        with here.tunnel("pull.good.test:443", "pull.good.test") as tls, suppress(OSError):
            head = b"PUT /x HTTP/1.1\r\nHost: pull.good.test\r\nContent-Length: 3000000\r\n\r\n"
            tls.sendall(head + bytes(3_000_000))
            read_all(tls)

        last = here.last()
        assert (last.verdict, last.code, last.end) == ("deny", "budget.upload", "budget.upload")
        assert last.up <= 65536
        assert here.far.good.received <= 65536


def test_the_budget_is_of_the_run_not_of_a_connection(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        for _ in range(4):
            with suppress(OSError), here.tunnel("pull.good.test:443", "pull.good.test") as tls:
                head = b"PUT /x HTTP/1.1\r\nHost: pull.good.test\r\nContent-Length: 30000\r\n"
                tls.sendall(head + b"Connection: close\r\n\r\n" + bytes(30_000))
                read_all(tls)

        ends = [row for row in here.rows() if row.event == "end"]
        assert sum(row.up for row in ends) <= 65536
        assert here.far.good.received <= 65536
        assert ends[-1].code == "budget.upload"


def test_all_bytes_of_a_run_have_a_budget(tmp_path: Path) -> None:
    with lab(tmp_path, max_bytes=1_000_000) as here:
        with here.tunnel("api.good.test:443", "api.good.test") as tls, suppress(OSError):
            assert len(get(tls, "/big", "api.good.test")) < 1_000_000

        assert here.last().code == "budget.bytes"
        assert here.last().down <= 1_000_000


REFUSED = {
    "inspect-method": (ask("PUT", "/lake/orders/x"), "http.method"),
    "delete": (ask("DELETE", "/lake/orders/x"), "http.method"),
    "absolute-target-inside": (ask("GET", "https://evil.test/"), "http.target"),
    "connect inside": (ask("CONNECT", "evil.test:443"), "http.method"),
    "other path": (ask("GET", "/lake/customers/x"), "http.path"),
    "dots": (ask("GET", "/lake/orders/../customers/x"), "http.path"),
    "encoded dots": (ask("GET", "/lake/orders/%2e%2e/customers/x"), "http.path"),
    "twice encoded dots": (ask("GET", "/lake/orders/%252e%252e%252fcustomers/x"), "http.path"),
    "upgrade": (ask("GET", "/lake/orders/x", "Upgrade: websocket"), "http.upgrade"),
    "te and cl": (
        ask("GET", "/lake/orders/x", "Content-Length: 5", "Transfer-Encoding: chunked"),
        "http.framing",
    ),
    "two hosts": (ask("GET", "/lake/orders/x", "Host: evil.test"), "http.malformed"),
    "no host": (b"GET /lake/orders/x HTTP/1.1\r\n\r\n", "http.malformed"),
    "not http": (b"\x00\x01\x02\r\n\r\n", "http.malformed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_rule_does_not_allow_inside_is_not_sent_on(tmp_path: Path, name: str) -> None:
    content, code = REFUSED[name]
    with lab(tmp_path, [READS]) as here:
        said = inside(here, content)

        assert said.startswith(b"HTTP/1.1 403 " + code.encode()), said
        assert code in {row.code for row in here.rows() if row.verdict == "deny"}
        assert here.far.good.requests == []


def test_a_later_request_is_judged_like_the_first(tmp_path: Path) -> None:
    with lab(tmp_path, [READS]) as here:
        good = b"GET /lake/orders/x HTTP/1.1\r\nHost: api.good.test\r\n\r\n"
        said = inside(here, good + good + ask("GET", "/lake/customers/x"))

        assert said.count(b"200 said") == 2
        assert said.count(b"403 http.path") == 1
        assert len(here.far.good.requests) == 2
        assert here.far.good.connections == 1


def test_connection_cannot_name_what_frames_the_body(tmp_path: Path) -> None:
    """Taking Content-Length out would turn the body into a second request."""
    smuggled = b"GET /lake/customers/x HTTP/1.1\r\nHost: api.good.test\r\n\r\n"
    with lab(tmp_path, [inspected(paths=("/lake/orders/",))]) as here:
        lines = [
            "PUT /lake/orders/x HTTP/1.1", "Host: api.good.test",
            f"Content-Length: {len(smuggled)}", "Connection: close, content-length", "", "",
        ]  # fmt: skip
        inside(here, "\r\n".join(lines).encode() + smuggled)
        here.rows()

        (seen,) = here.far.good.requests
        assert (seen.method, seen.body_bytes) == ("PUT", len(smuggled))


def test_a_credential_of_the_worker_does_not_leave(tmp_path: Path) -> None:
    """A bearer token sent to a storage host is a token given away."""
    with lab(tmp_path, [inspected()]) as here:
        given = ("Authorization: Bearer CANARY", "X-Amz-Security-Token: CANARY")
        assert inside(here, ask("GET", "/x", *given)).endswith(b"sink")

        (seen,) = here.far.good.requests
        assert "CANARY" not in str(seen.headers)
        row = next(row for row in here.rows() if row.event == "request")
        assert row.notes == ("http.credential_scope",)
        assert b"CANARY" not in here.log.read_bytes()


def test_the_real_credential_is_put_in(tmp_path: Path) -> None:
    told: list[HttpRequest] = []

    def sign(request: HttpRequest) -> HttpRequest:
        told.append(request)
        kept = tuple(each for each in request.headers if each[0] != "x-amz-date")
        real = (("Authorization", "Bearer REAL"), ("X-Amz-Date", "20260101T000000Z"))
        return replace(request, target="/x?list=1&signed=1", headers=(*kept, *real))

    with lab(tmp_path, [inspected()], credentials=sign) as here:
        given = ("Authorization: Bearer PLACEHOLDER", "X-Amz-Date: 20200101T000000Z")
        assert inside(here, ask("GET", "/x?list=1", *given)).endswith(b"sink")
        here.rows()

        (seen,) = here.far.good.requests
        assert seen.headers["authorization"] == "Bearer REAL"
        assert seen.headers["x-amz-date"] == "20260101T000000Z"
        assert (told[0].scheme, told[0].method, told[0].host) == ("https", "GET", "api.good.test")
        assert told[0].target == "/x?list=1"
        assert seen.target == "/x?list=1&signed=1"
        assert b"REAL" not in here.log.read_bytes()


@pytest.mark.parametrize(
    ("kind", "status", "verdict", "code"),
    [
        (Misused, b"403", "deny", "http.credential_scope"),
        (ConnectorError, b"502", "fail", "http.no_credential"),
    ],
)
def test_without_the_real_credential_nothing_goes_out_and_the_log_says_why(
    tmp_path: Path, kind: type[ConnectorError], status: bytes, verdict: str, code: str
) -> None:
    """Keys that cannot be had are trouble, a stand-in that is used elsewhere is an attack."""

    def sign(_request: HttpRequest) -> HttpRequest:
        said = Diagnostic(code="AWS108", summary="x", detail="The session ended.", fix="x")
        raise kind(said, kind=Failure.AUTH)

    with lab(tmp_path, [inspected()], credentials=sign) as here:
        assert status in inside(here, ask("GET", "/x", "Authorization: Bearer STANDIN"))
        assert here.far.good.requests == []
        row = next(row for row in here.rows() if row.event == "request")
        assert (row.verdict, row.code) == (verdict, code)
        assert "The session ended." in row.detail


def test_bodies_of_every_framing_arrive_whole(tmp_path: Path) -> None:
    with lab(tmp_path, [inspected()]) as here:
        here.far.good.answers["/chunked"] = (200, {"Transfer-Encoding": "chunked"}, BIG)
        chunked = b"7\r\nabcdefg\r\n0\r\n\r\n"
        more = ("Transfer-Encoding: chunked", "Expect: 100-continue")
        answer = inside(here, ask("PUT", "/x", *more, body=chunked))
        assert answer.startswith(b"HTTP/1.1 100 Continue")
        assert inside(here, ask("PUT", "/x", "Content-Length: 5000000", body=BIG)).endswith(b"sink")
        assert len(inside(here, ask("GET", "/chunked"))) > len(BIG)
        assert inside(here, ask("GET", "/big")).endswith(b"\r\n\r\n" + BIG)
        head = inside(here, ask("HEAD", "/big"))
        assert head.endswith(b"\r\n\r\n")
        assert b"content-length: 5000000" in head.lower()
        here.rows()

        assert [seen.body_bytes for seen in here.far.good.requests] == [7, len(BIG), 0, 0, 0]


def test_the_refusal_of_a_head_request_has_no_body(tmp_path: Path) -> None:
    """A client takes bytes after an answer to HEAD for the next answer, and tries again."""
    with lab(tmp_path, [READS]) as here:
        refused = inside(here, ask("HEAD", "/elsewhere/"))
        assert refused.startswith(b"HTTP/1.1 403 ")
        assert refused.endswith(b"\r\n\r\n")
        assert not inside(here, ask("GET", "/elsewhere/")).endswith(b"\r\n\r\n")

        plain = here.say(b"HEAD http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        assert plain.startswith(b"HTTP/1.1 403 http.plaintext_proxying")
        assert plain.endswith(b"\r\n\r\n")


def test_a_redirect_is_remembered_for_the_refusal_it_leads_to(tmp_path: Path) -> None:
    with lab(tmp_path, [inspected()]) as here:
        where = {"Location": "https://us.cdn.test/x?sig=CANARY"}
        here.far.good.answers["/x"] = (302, where, b"")
        inside(here, ask("GET", "/x"))
        connection, _ = here.knock("us.cdn.test:443")
        connection.close()

        assert here.last().code == "host.not_allowed"
        assert here.last().referrer == "api.good.test"
        assert b"CANARY" not in here.log.read_bytes()


def test_an_endpoint_in_the_house_is_reached_in_plain(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        said = here.say(_plain("GET", "/big?x=1"))

        assert said.endswith(BIG)
        assert [seen.target for seen in here.far.plain.requests] == ["/big?x=1"]
        assert here.far.dialed == [("10.9.9.9", 9000)]


def test_a_plain_connection_leads_to_no_other_place(tmp_path: Path) -> None:
    first = _plain("GET", "/x", close=False)
    for second, code in {
        b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n": "http.plaintext_proxying",
        b"GET http://10.9.9.9:9001/ HTTP/1.1\r\nHost: x\r\n\r\n": "http.plaintext_proxying",
        b"CONNECT api.good.test:443 HTTP/1.1\r\nHost: x\r\n\r\n": "http.upgrade",
        b"GET http://10.9.9.9:9000/ HTTP/1.1\r\nHost: evil.test\r\n\r\n": "http.host_mismatch",
        b"GET /x HTTP/1.1\r\nHost: 10.9.9.9:9000\r\n\r\n": "http.plaintext_proxying",
    }.items():
        with lab(tmp_path) as here:
            said = here.say(first + second)

            assert said.count(b"200 said") == 1
            assert b"403 " + code.encode() in said, said
            assert here.far.dialed == [("10.9.9.9", 9000)]


def test_a_tunnel_to_a_plain_endpoint_is_refused(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        connection, head = here.knock("10.9.9.9:9000")
        connection.close()

        assert b"403 http.method" in head


def test_a_client_that_ignores_its_proxy_is_told_in_tls(tmp_path: Path) -> None:
    """Where every connect leads to the gateway, TLS comes without CONNECT."""
    with lab(tmp_path) as here:
        with here.call() as connection, pytest.raises(ssl.SSLError, match="access denied"):
            ssl.create_default_context().wrap_socket(connection, server_hostname="api.good.test")

        assert here.last().code == "http.malformed"
        assert here.far.looked_up == []


def test_a_connection_on_which_nothing_was_asked_is_no_attempt(tmp_path: Path) -> None:
    """Clients open one more than they need, and let go of it."""
    with lab(tmp_path) as here:
        here.call().close()

        row = here.last()
        assert (row.verdict, row.code) == ("fail", "gone")
        assert diagnostic_of(row) is None


@pytest.mark.parametrize("content", [b"C", b"\r\n\r\n", b"\x00" * 70_000, b"A" * 70_000])
def test_noise_is_refused(tmp_path: Path, content: bytes) -> None:
    with lab(tmp_path) as here:
        with here.call() as connection:
            with suppress(OSError):
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
            said = read_all(connection)

        assert here.last().verdict == "deny"
        assert b" 200 " not in said


def test_a_worker_holds_a_bounded_number_of_connections(tmp_path: Path) -> None:
    """Further ones wait; they are served when a place is free, and nobody is lost."""
    few = Limits(head_s=5.0, hello_s=5.0, connections=2)
    with lab(tmp_path, RULES, limits=few) as here:
        held = [here.call() for _ in range(2)]
        third = here.call()
        third.sendall(b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n")
        third.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.recv(1)
        held[0].close()
        third.settimeout(5)
        assert third.recv(12) == b"HTTP/1.1 403"
        for each in (third, held[1]):
            each.close()


def test_the_way_out_closes_with_the_run(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        tls = here.tunnel("api.good.test:443", "api.good.test")
        idle = here.call()
        here.run.close()

        with tls, idle:
            assert read_all(idle) == b""
            with suppress(OSError):
                assert tls.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            here.call()
        assert here.rows()[-1].event in {"end", "refused"}


def test_a_rule_without_inspection_sees_no_content(tmp_path: Path) -> None:
    """The certificate that the worker sees in a tunnel is the other side's own."""
    only: Rule = rule("api.good.test")
    trust = ssl.create_default_context()
    with lab(tmp_path, [only]) as here:
        trust.load_verify_locations(str(here.far.pem))
        with here.tunnel("api.good.test:443", "api.good.test", trust) as tls:
            assert get(tls, "/", "api.good.test").endswith(b"sink")


def _plain(method: str, path: str, *, close: bool = True) -> bytes:
    more = "Connection: close\r\n" if close else ""
    return f"{method} {PLAIN}{path} HTTP/1.1\r\nHost: 10.9.9.9:9000\r\n{more}\r\n".encode()
