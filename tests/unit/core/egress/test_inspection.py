"""Requests inside a decrypted connection: method, target, Host, framing, path."""

import pytest

from batuta.core.egress.codes import Code
from batuta.core.egress.hosts import Host
from batuta.core.egress.inspection import READING, Inside, judge_request
from batuta.core.egress.rules import Rule

HOST = Host("api.good.test")
RULE = Rule(pattern="api.good.test", methods=READING, paths=("/sales", "/open/"), inspect=True)


def _code(
    target: str = "/sales/x",
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    host: bytes = b"api.good.test",
    rule: Rule = RULE,
    port: int = 443,
) -> Code | None:
    request = Inside(method=method, target=target, headers=((b"host", host), *headers))
    found = judge_request(rule, HOST, port, request)
    return found.code if found else None


@pytest.mark.parametrize(
    "target",
    ["/sales", "/sales/", "/sales/x?list-type=2", "/sales?x=/../y", "/open/a%20b", "/sales/%2541"],
)
def test_a_path_of_the_rule_passes(target: str) -> None:
    assert _code(target) is None


@pytest.mark.parametrize(
    "target",
    [
        "/", "/salesx", "/Sales/x", "/open", "/other", "/sales/../other", "/sales/%2e%2e/other",
        "/sales/%252e%252e/other", "/sales/..%2fother", "/sales/..%5cother", "/sales\\..\\other",
        "/%2fsales", "//sales/x", "/sales/%00", "/sales/./x", "/sales/x%0d%0ay", "/sales%2f..",
    ],
)  # fmt: skip
def test_a_path_that_a_server_may_read_otherwise_is_refused(target: str) -> None:
    assert _code(target) is Code.HTTP_PATH


def test_a_rule_without_paths_takes_any() -> None:
    assert _code("/a/../b", rule=Rule(pattern="api.good.test")) is None


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "get", "CONNECT", "TRACE"])
def test_a_method_that_the_rule_does_not_list_is_refused(method: str) -> None:
    assert _code(method=method) is Code.HTTP_METHOD


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_no_rule_allows_methods_that_open_or_echo(method: str) -> None:
    assert _code(method=method, rule=Rule(pattern="api.good.test")) is Code.HTTP_METHOD


@pytest.mark.parametrize("target", ["https://evil.test/", "*", "", "evil.test:443", "/\u00e9"])
def test_the_target_is_a_path(target: str) -> None:
    assert _code(target) is Code.HTTP_TARGET


@pytest.mark.parametrize("host", [b"api.good.test", b"API.good.test.", b"api.good.test:443"])
def test_the_host_header_names_the_connection_s_host(host: bytes) -> None:
    assert _code(host=host) is None


@pytest.mark.parametrize(
    "host",
    [b"evil.test", b"api.good.test:80", b"", b"api.good.test, evil.test", b"xapi.good.test",
     b"api.good.test:", b"api.good.test:0443"],
)  # fmt: skip
def test_another_host_header_is_refused(host: bytes) -> None:
    assert _code(host=host) is Code.HTTP_HOST


def test_one_host_header_there_has_to_be() -> None:
    assert _code("/sales/x", (b"host", b"api.good.test")) is Code.HTTP_HOST
    bare = Inside(method="GET", target="/sales/x", headers=())
    found = judge_request(RULE, HOST, 443, bare)
    assert found is not None
    assert found.code is Code.HTTP_HOST


def test_a_port_that_is_not_the_usual_one_has_to_be_named() -> None:
    plain = Rule(pattern="api.good.test", ports=(8333,), plain=True, on_prem=True)
    assert _code(rule=plain, port=8333, host=b"api.good.test:8333") is None
    assert _code(rule=plain, port=8333, host=b"api.good.test") is Code.HTTP_HOST
    assert _code(rule=plain, port=80, host=b"api.good.test") is None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (((b"transfer-encoding", b"chunked"),), None),
        (((b"content-length", b"5"),), None),
        (((b"content-length", b"5"), (b"content-length", b"5")), Code.HTTP_FRAMING),
        (((b"content-length", b"5"), (b"transfer-encoding", b"chunked")), Code.HTTP_FRAMING),
        (((b"transfer-encoding", b"gzip, chunked"),), Code.HTTP_FRAMING),
        (((b"transfer-encoding", b"chunked"),) * 2, Code.HTTP_FRAMING),
        (((b"upgrade", b"h2c"),), Code.HTTP_UPGRADE),
        (((b"connection", b"keep-alive, Upgrade"),), Code.HTTP_UPGRADE),
        (((b"connection", b"keep-alive"),), None),
    ],
)
def test_a_request_ends_in_one_way_and_stays_http(
    headers: tuple[tuple[bytes, bytes], ...], code: Code | None
) -> None:
    assert _code("/sales/x", *headers) is code
