"""A run's way out: its trust, its variables, its proxy, and how it fails closed."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography import x509

from batuta.core.egress.codes import MEANING, Code
from batuta.model.diagnostic import BatutaError
from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.egress.audit_read import rows, verify
from batuta.runtime.egress.refusal import diagnostic_of
from batuta.runtime.egress.session import GatewayRun, client_environment, proxy_of
from batuta.runtime.egress.station import WorkerIdentity
from batuta.runtime.egress.upstream import UpstreamProxy, dial
from tests.attacks.far_side import FarSide, far_side
from tests.attacks.gateway_lab import (
    IDENTITY,
    LIMITS,
    RULES,
    get,
    hello,
    inspected,
    lab,
    policy,
    read_all,
    read_head,
    rule,
)  # fmt: skip


def test_every_client_variable_points_at_the_gateway(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        found = client_environment(here.door.address, "/ca.pem", {"X": "{ca_file} {proxy}"})

        host, port = here.door.address
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            assert found[name] == found[name.lower()] == f"http://{host}:{port}"
        assert {found[n] for n in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")} == {
            "/ca.pem"
        }
        assert found["X"] == f"/ca.pem http://{host}:{port}"


def test_workers_trust_the_system_the_house_and_the_run(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        text = here.run.ca_file.read_bytes()
        trusted = ssl.create_default_context(cafile=str(here.run.ca_file)).get_ca_certs()
        names = {dict(part[0] for part in one["subject"]).get("commonName") for one in trusted}  # type: ignore[misc] # typed as if it could be text
        assert {"batuta run run-1", "sinks' authority"} <= names
        assert len(names) > 2 or not ssl.get_default_verify_paths().cafile
        assert b"PRIVATE" not in text
        folder = here.run.ca_file.parent
        assert {each.name for each in folder.iterdir()} == {"authorities.pem"}
    assert not folder.exists()


def test_the_authority_can_make_no_other(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        start = b"-----BEGIN"
        last = here.run.ca_file.read_bytes().rpartition(start)
        own = x509.load_pem_x509_certificate(start + last[2])
        basic = own.extensions.get_extension_for_class(x509.BasicConstraints)
        assert basic.critical
        assert (basic.value.ca, basic.value.path_length) == (True, 0)


def test_without_a_log_nothing_goes_out(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        other = here.run.serve(
            socket.create_server(("127.0.0.1", 0)), worker=IDENTITY, policy=policy(*RULES)
        )
        with here.tunnel("api.good.test:443", "api.good.test") as before:
            here.run.check()
            here.run._world.audit.close()
            with pytest.raises(OSError, match=r"(?i)eof|reset|closed|refused"):
                here.tunnel("api.good.test:443", "api.good.test")

            assert read_all(before) == b""
        with pytest.raises(BatutaError) as error:
            here.run.check()
        assert error.value.diagnostics[0].code == "EGR301"
        for door in (here.door, other):
            with pytest.raises(OSError, match=r"refused|reset"):
                socket.create_connection(door.address, 5).recv(1)
        assert here.far.good.requests == []
        # A disk that has room again does not bring back what was not recorded.
        here.run._world.audit = AuditLog(here.log)
        late = here.run.serve(
            socket.create_server(("127.0.0.1", 0)), worker=IDENTITY, policy=policy(*RULES)
        )
        with socket.create_connection(late.address, 5) as connection:
            connection.sendall(b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n")
            assert read_all(connection) == b""


def test_a_log_that_cannot_be_made_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BatutaError) as error:
        GatewayRun(run_id="r", audit_path=tmp_path / "file" / "egress.jsonl")
    assert error.value.diagnostics[0].code == "EGR301"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_stops_the_run(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "corp.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BatutaError) as error:
        GatewayRun(run_id="r", audit_path=tmp_path / "egress.jsonl", ca_files=[file])
    assert error.value.diagnostics[0].code == "EGR302"


def test_the_house_proxy_is_read_from_its_address() -> None:
    assert proxy_of("http://proxy.corp.test:3128") == UpstreamProxy("proxy.corp.test", 3128)
    assert proxy_of("http://u:p%40@proxy.corp.test:1").authorization == "Basic dTpwQA=="
    for wrong in ("https://p:1", "socks5://p:1", "p:1", "http://", "http://p:x", "http://p:1/x"):
        with pytest.raises(BatutaError) as error:
            proxy_of(wrong)
        assert error.value.diagnostics[0].code == "EGR305"


@dataclass
class _Corporate:
    """A proxy of the house: writes down each head and leads everything to one port."""

    listener: socket.socket
    answer: bytes
    leads_to: int = 0
    heads: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client:
                    self.heads.append(read_head(client))
                    client.sendall(self.answer)
                    if b" 200 " in self.answer:
                        self._lead(client)

    def _lead(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self.leads_to)) as server:
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join(5)


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while content := one.recv(65536):
            other.sendall(content)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@contextmanager
def _corporate(answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Iterator[_Corporate]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = _Corporate(listener, answer)
        thread = threading.Thread(target=made.serve)
        thread.start()
        yield made
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def _behind(tmp_path: Path, port: int) -> Iterator[tuple[GatewayRun, FarSide]]:
    with far_side(tmp_path) as far:

        def dialer(address: str, wanted: int, timeout_s: float) -> socket.socket:
            if wanted == port:
                return dial(address, wanted, timeout_s)
            return far.dialer(address, wanted, timeout_s)

        with GatewayRun(
            run_id="run-1", audit_path=tmp_path / "egress.jsonl", ca_files=[far.pem],
            limits=LIMITS, resolver=far.resolver, dialer=dialer,
            upstream_proxy=UpstreamProxy("127.0.0.1", port, "Basic dTpw"),
        ) as run:  # fmt: skip
            yield run, far


@pytest.mark.parametrize("mode", ["tunnel", "inspect"])
def test_public_hosts_are_reached_through_the_house_proxy(tmp_path: Path, mode: str) -> None:
    with _corporate() as house, _behind(tmp_path, house.port) as (run, far):
        house.leads_to = far.good.port
        listener = socket.create_server(("127.0.0.1", 0))
        allow = inspected() if mode == "inspect" else rule("api.good.test")
        door = run.serve(listener, worker=IDENTITY, policy=policy(allow))
        context = ssl.create_default_context(cafile=str(run.ca_file))
        with socket.create_connection(door.address, 5) as connection:
            connection.sendall(b"CONNECT api.good.test:443 HTTP/1.1\r\n\r\n")
            assert b" 200 " in read_head(connection)
            with context.wrap_socket(connection, server_hostname="api.good.test") as tls:
                assert get(tls, "/", "api.good.test").endswith(b"sink")

        assert house.heads[0].startswith(b"CONNECT api.good.test:443 HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic dTpw\r\n" in house.heads[0]
        assert far.looked_up == []


def test_a_proxy_that_refuses_is_named(tmp_path: Path) -> None:
    with (
        _corporate(b"HTTP/1.1 407 Who?\r\n\r\n") as house,
        _behind(tmp_path, house.port) as (run, _far),
    ):
        listener = socket.create_server(("127.0.0.1", 0))
        door = run.serve(listener, worker=IDENTITY, policy=policy(*RULES))
        with socket.create_connection(door.address, 5) as connection:
            connection.sendall(b"CONNECT api.good.test:443 HTTP/1.1\r\n\r\n")
            assert b"answered 407" in read_all(connection)


def test_addresses_in_the_house_are_reached_without_its_proxy(tmp_path: Path) -> None:
    with _corporate() as house, _behind(tmp_path, house.port) as (run, far):
        listener = socket.create_server(("127.0.0.1", 0))
        door = run.serve(listener, worker=IDENTITY, policy=policy(*RULES))
        with socket.create_connection(door.address, 5) as connection:
            connection.sendall(
                b"GET http://10.9.9.9:9000/ HTTP/1.1\r\nHost: 10.9.9.9:9000\r\n"
                b"Connection: close\r\n\r\n"
            )
            assert read_all(connection).endswith(b"sink")
        assert house.heads == []
        assert far.plain.requests


def test_when_batuta_dies_the_way_out_is_gone(tmp_path: Path) -> None:
    far = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-m", "tests.bench.gateway", str(far.getsockname()[1])]
    batuta = subprocess.Popen(
        [*command, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with far, batuta:
        assert batuta.stdout is not None
        place = ("127.0.0.1", int(batuta.stdout.readline()))
        with socket.create_connection(place, 5) as worker:
            target = f"far.bench.test:{far.getsockname()[1]}".encode()
            worker.sendall(b"CONNECT %b HTTP/1.1\r\n\r\n" % target)
            assert b" 200 " in read_head(worker)
            worker.sendall(hello(b"far.bench.test"))
            with far.accept()[0] as host:
                assert host.recv(1) == b"\x16"
                batuta.kill()
                assert read_all(worker) == b""
                read_all(host)  # its end comes, too
        batuta.wait(5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, 5)
    # It was killed in the middle: the log still says who was talking to whom, and is whole.
    found = list(rows(tmp_path / "egress.jsonl"))
    assert [row.event for row in found] == ["open"]
    assert verify(tmp_path / "egress.jsonl").findings == ()


def test_a_worker_that_went_leaves_nothing(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        for _ in range(5):
            listener = socket.create_server(("127.0.0.1", 0))
            here.run.serve(listener, worker=IDENTITY, policy=policy()).close()
        assert len(here.run._doors) <= 2


def test_a_private_way_out_serves_only_whom_the_supervisor_let_in(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        door = here.run.serve_private(worker=IDENTITY, policy=policy(*RULES))
        assert door.dial is not None
        with socket.create_connection(door.address, 5) as stranger:
            with suppress(OSError):
                stranger.sendall(b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n")
            assert read_all(stranger) == b""
        with door.dial() as known:
            known.sendall(b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n")
            assert b"host.not_allowed" in read_all(known)
        assert len(here.rows()) == 1


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ("", b"http.stranger"),
        ("Proxy-Authorization: Basic YmF0dXRhOndyb25n\r\n", b"http.stranger"),
        ("Proxy-Authorization: Basic ?\r\n", b"http.stranger"),
        ("Proxy-Authorization: Bearer bmFtZTpyaWdodA==\r\n", b"http.stranger"),
        ("proxy-authorization:  basic bmFtZTpyaWdodA==\r\n", b"host.not_allowed"),
    ],
)
def test_a_way_out_that_anybody_can_reach_asks_for_its_password(
    tmp_path: Path, given: str, verdict: bytes
) -> None:
    with lab(tmp_path) as here:
        door = here.run.serve(
            socket.create_server(("127.0.0.1", 0)),
            worker=IDENTITY, policy=policy(*RULES), password="right",
        )  # fmt: skip
        with socket.create_connection(door.address, 5) as asked:
            asked.sendall(f"CONNECT evil.test:443 HTTP/1.1\r\n{given}\r\n".encode())
            assert verdict in read_all(asked)
        assert "right" not in (tmp_path / "egress.jsonl").read_text()
        assert "cmlnaHQ" not in (tmp_path / "egress.jsonl").read_text()


def test_lines_name_whom_the_worker_works_for_now(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        here.knock("evil.test:443")[0].close()
        here.door.assign(WorkerIdentity(action="a2", dataset="Dataset/b", worker="w1"))
        here.knock("evil.test:443")[0].close()

        assert [(row.action, row.dataset) for row in here.rows()] == [
            ("transfer", "Dataset/orders"),
            ("a2", "Dataset/b"),
        ]


def test_actions_with_budgets_of_their_own_do_not_share_one(tmp_path: Path) -> None:
    small = rule("api.good.test", max_upload_bytes=4000)
    with lab(tmp_path, [small]) as here:
        for budget in ("one", "one", "two"):
            here.door.assign(replace(IDENTITY, budget=budget))
            with suppress(OSError), here.tunnel("api.good.test:443", "api.good.test") as tls:
                get(tls, "/", "api.good.test", "GET", f"X: {'x' * 2500}")

        ends = [row.code for row in here.rows() if row.event == "end"]
        assert ends == ["allow", "budget.upload", "allow"]


def test_each_line_is_told_as_it_is_written(tmp_path: Path) -> None:
    told: list[Row] = []
    with GatewayRun(run_id="r", audit_path=tmp_path / "e.jsonl", on_row=told.append) as run:
        listener = socket.create_server(("127.0.0.1", 0))
        door = run.serve(listener, worker=IDENTITY, policy=policy())
        with socket.create_connection(door.address, 5) as connection:
            connection.sendall(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n")
            read_all(connection)
        assert [row.code for row in told] == ["host.not_allowed"]
        assert run.audit_head.n == 1


def test_a_refusal_names_host_rule_and_who_sent_the_worker_there() -> None:
    row = Row(
        event="refused", verdict="deny", code="host.not_allowed", host="us.cdn.test", port=443,
        dataset="Dataset/m", detail="No rule allows us.cdn.test.", referrer="hub.test",
    )  # fmt: skip
    found = diagnostic_of(row)
    assert found is not None
    assert found.code == "EGR306"
    assert "us.cdn.test:443 for Dataset/m: hub.test redirected to it." in found.detail
    assert "egress explain us.cdn.test" in found.fix
    for verdict in ("fail", "deny"):  # the latter as older logs have it
        unreached = diagnostic_of(replace(row, verdict=verdict, code="connect.failed"))
        assert unreached is not None
        assert unreached.code == "EGR307"
    flooded = diagnostic_of(replace(row, code="dns.too_many"))
    assert flooded is not None
    assert flooded.code == "EGR306"
    assert diagnostic_of(replace(row, verdict="allow")) is None


def test_every_verdict_has_a_meaning() -> None:
    assert set(MEANING) == set(Code)
