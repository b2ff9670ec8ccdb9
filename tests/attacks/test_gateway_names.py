"""Names that must not get out: the groups control, gateway-name and platform-redirect.

Judged by what the worker sees, by the log, and by the far side: no name is looked up, no address
connected to, before a rule allows it.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.attacks.far_side import BIG
from tests.attacks.gateway_lab import RULES, attack, attacks, get, lab, policy, rule

# What these are about is tried where it can be seen: in tunnels, in requests, in artefacts.
ELSEWHERE = {
    "crlf-second-connect", "dns-tunnel-under-wildcard", "presigned-in-logs", "hf-upload",
    "databricks-link-authorization", "datasets-server-telemetry",
}  # fmt: skip
NAMED = [
    row
    for row in attacks("gateway-name", "platform-redirect")
    if row["name"] not in ELSEWHERE and "connect" in row.get("request", {})
]


@pytest.mark.parametrize("name", ["allowed-host", "allowed-uppercase", "allowed-trailing-dot"])
def test_control_what_is_allowed_gets_through(tmp_path: Path, name: str) -> None:
    request = attack(name)["request"]
    with lab(tmp_path) as here:
        with here.tunnel(request["connect"], request["sni"]) as tls:
            assert get(tls, "/hello", "api.good.test").endswith(b"sink")

        assert [seen.target for seen in here.far.good.requests] == ["/hello"]
        opened, ended = here.rows()
        assert (opened.event, opened.verdict, opened.code) == ("open", "allow", "allow")
        assert (ended.event, ended.verdict, ended.end) == ("end", "allow", "closed")
        assert ended.up > 100
        assert ended.down > 500
        assert ended.rule == "api.good.test:443"
        assert ended.line == "egress.yaml:7:5"
        assert ended.policy == policy(*RULES).digest


def test_control_a_big_download_needs_little_upload(tmp_path: Path) -> None:
    request = attack("big-download-small-upload")["request"]
    with lab(tmp_path) as here:
        with here.tunnel(request["connect"], request["sni"]) as tls:
            assert get(tls, "/big", "pull.good.test").endswith(BIG)

        assert here.last().down > len(BIG)
        assert here.last().up < 65536


def test_control_the_evil_sink_is_alive(tmp_path: Path) -> None:
    with lab(tmp_path, [rule("evil.test")]) as here:
        with here.tunnel("evil.test:443", "evil.test") as tls:
            assert get(tls, "/", "evil.test").endswith(b"sink")

        assert here.far.evil.requests


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row["name"])
def test_a_name_that_no_rule_allows_goes_nowhere(tmp_path: Path, row: dict[str, Any]) -> None:
    with lab(tmp_path) as here:
        connection, head = here.knock(row["request"]["connect"])
        connection.close()

        last = here.last()
        assert head.startswith(b"HTTP/1.1 403 "), head
        assert (last.event, last.verdict) == ("refused", "deny")
        assert last.code in row["code"].split("|")
        assert head.split(b"\r\n")[0].endswith(last.code.encode())
        assert here.far.looked_up == []
        assert here.far.dialed == []


def test_the_table_of_names_is_not_empty() -> None:
    assert len(NAMED) > 15


def test_a_second_request_behind_the_head_is_bytes_of_the_tunnel(tmp_path: Path) -> None:
    target = attack("crlf-second-connect")["request"]["connect"].replace("\\r\\n", "\r\n")
    with lab(tmp_path) as here:
        connection, head = here.knock(target)
        with connection:
            assert b" 200 " in head
            assert connection.recv(16) == b"\x15\x03\x03\x00\x02\x02\x31"

        assert here.last().code == "tls.not_tls"
        assert here.far.good.received == 0
        assert here.far.good.requests == []
        assert here.far.evil.connections == 0


def test_names_under_a_wildcard_are_counted(tmp_path: Path) -> None:
    """Each name carries data to whoever answers for it, so a run gets few of them."""
    with lab(tmp_path) as here:
        codes = []
        for number in range(6):
            connection, _ = here.knock(f"secret-{number}.prod.good.test:443")
            connection.close()
            codes.append(here.last().code)

        assert codes == ["dns.nxdomain"] * 4 + ["budget.names"] * 2
        assert len(here.far.looked_up) == 4


def test_an_empty_policy_allows_nothing(tmp_path: Path) -> None:
    with lab(tmp_path, ()) as here:
        connection, head = here.knock("api.good.test:443")
        connection.close()

        assert b" 403 " in head
        assert here.last().code == "host.not_allowed"
        assert here.far.looked_up == []


def test_what_the_worker_asked_for_is_logged_without_query_and_harmless(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        here.say(b"GET http://api.good.test/x?X-Amz-Signature=CANARY HTTP/1.1\r\n\r\n")
        here.say(b"CONNECT api.good.test:443?sig=CANARY HTTP/1.1\r\nAuthorization: CANARY\r\n\r\n")
        here.say(b"CONNECT \x1b[31m\xff:443 HTTP/1.1\r\n\r\n")

        assert len(here.rows()) == 3
        text = here.log.read_bytes()
        assert b"CANARY" not in text
        assert b"\x1b" not in text
        assert here.last().verdict == "deny"
