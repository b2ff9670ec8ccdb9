"""The fault proxy before a tiny real server: what passes, and what each rule does."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.servers.faultproxy import FaultProxy, Rule

BODY = bytes(range(256)) * 1024


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: that the other side hangs up is the point of these tests."""


class _Echo(BaseHTTPRequestHandler):
    """Answers GET with `BODY` and PUT with the length and Host that it saw."""

    protocol_version = "HTTP/1.1"
    received: list[str]

    def do_GET(self) -> None:
        self.received.append(self.path)
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 1000):
                piece = BODY[start : start + 1000]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(BODY)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.received.append(self.path)
        length = len(self.rfile.read(int(self.headers["Content-Length"])))
        answer = f"{length} {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    _Echo.received = []
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with FaultProxy.before(f"http://127.0.0.1:{server.server_port}") as proxy:
            yield proxy
        server.shutdown()
        thread.join()


def _connection(proxy: FaultProxy) -> "closing[http.client.HTTPConnection]":
    return closing(http.client.HTTPConnection(proxy.endpoint.removeprefix("http://"), timeout=10))


def test_bytes_pass_unchanged_over_one_kept_connection(proxy: FaultProxy) -> None:
    with _connection(proxy) as client:
        for path in ("/plain", "/chunked", "/plain?again"):
            client.request("GET", path)
            assert client.getresponse().read() == BODY
        client.request("HEAD", "/plain")
        assert client.getresponse().read() == b""

    assert [each.target for each in proxy.exchanges] == [
        "/plain",
        "/chunked",
        "/plain?again",
        "/plain",
    ]
    assert [each.body_bytes for each in proxy.exchanges] == [len(BODY)] * 3 + [0]


def test_uploads_keep_their_host_header(proxy: FaultProxy) -> None:
    with _connection(proxy) as client:
        client.request("PUT", "/key", body=BODY, headers={"Host": "bucket.s3.test"})
        assert client.getresponse().read() == f"{len(BODY)} bucket.s3.test".encode()


def test_expect_100_continue_passes(proxy: FaultProxy) -> None:
    with _connection(proxy) as client:
        client.putrequest("PUT", "/key")
        client.putheader("Content-Length", "4")
        client.putheader("Expect", "100-continue")
        client.endheaders()
        client.send(b"four")
        assert client.getresponse().read().startswith(b"4 ")


def test_a_status_is_answered_so_many_times_and_the_server_hears_nothing(proxy: FaultProxy) -> None:
    proxy.add(
        Rule("^PUT /slow", status=503, headers={"Retry-After": "7"}, body=b"SlowDown", times=2)
    )

    statuses = []
    for _ in range(3):
        with _connection(proxy) as client:
            client.request("PUT", "/slow", body=BODY)
            answer = client.getresponse()
            statuses.append((answer.status, answer.headers["Retry-After"]))
            answer.read()

    assert statuses == [(503, "7"), (503, "7"), (200, None)]
    assert _Echo.received == ["/slow"]
    assert [each.rule is not None for each in proxy.exchanges] == [True, True, False]


def test_a_rule_can_let_the_first_requests_pass(proxy: FaultProxy) -> None:
    proxy.add(Rule("GET", status=429, after=1, times=None))

    statuses = []
    for _ in range(3):
        with _connection(proxy) as client:
            client.request("GET", "/plain")
            statuses.append(client.getresponse().status)

    assert statuses == [200, 429, 429]


@pytest.mark.parametrize("path", ["/plain", "/chunked"])
def test_an_answer_is_cut_in_mid_body(proxy: FaultProxy, path: str) -> None:
    proxy.add(Rule(path, cut_after_bytes=70_000))

    with _connection(proxy) as client:
        client.request("GET", path)
        answer = client.getresponse()
        with pytest.raises(http.client.IncompleteRead) as cut:
            answer.read()

    assert cut.value.partial == BODY[:70_000]


def test_an_answer_is_lost_after_the_server_did_its_work(proxy: FaultProxy) -> None:
    proxy.add(Rule("^PUT /commit", lose_answer=True))

    with _connection(proxy) as client:
        client.request("PUT", "/commit", body=b"entry")
        with pytest.raises(http.client.RemoteDisconnected):
            client.getresponse()

    assert _Echo.received == ["/commit"]


def test_a_delay_comes_before_the_answer(proxy: FaultProxy) -> None:
    proxy.add(Rule("/plain", delay_s=0.2))

    start = time.monotonic()
    with _connection(proxy) as client:
        client.request("GET", "/plain")
        assert client.getresponse().read() == BODY

    assert time.monotonic() - start >= 0.2


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    with (
        FaultProxy.before("http://127.0.0.1:9") as proxy,
        _connection(proxy) as client,
        pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)),
    ):
        client.request("GET", "/")
        client.getresponse()


def test_clear_forgets_rules_and_exchanges(proxy: FaultProxy) -> None:
    proxy.add(Rule("GET", status=500))
    proxy.clear()

    with _connection(proxy) as client:
        client.request("GET", "/plain")
        assert client.getresponse().status == 200

    assert [each.status for each in proxy.exchanges] == [200]
