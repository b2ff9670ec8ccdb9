"""One spelling of a host: what has one, what has none, and what a wildcard covers."""

import pytest

from batuta.core.egress.codes import Code, Refused
from batuta.core.egress.hosts import (
    Host,
    Kind,
    bracketed,
    covers,
    intersect,
    parse_host,
    parse_name,
    parse_pattern,
    reaches,
)


@pytest.mark.parametrize(
    ("written", "name", "kind"),
    [
        ("api.good.test", "api.good.test", Kind.NAME),
        ("API.Good.TEST.", "api.good.test", Kind.NAME),
        ("org-my_account.example.test", "org-my_account.example.test", Kind.NAME),
        ("bucket--az1--x-s3.example.test", "bucket--az1--x-s3.example.test", Kind.NAME),
        ("xn--bcher-kva.test", "xn--bcher-kva.test", Kind.NAME),
        ("1.2.3.4.test", "1.2.3.4.test", Kind.NAME),
        ("minio", "minio", Kind.LABEL),
        ("127.0.0.1", "127.0.0.1", Kind.ADDRESS),
        ("[::1]", "::1", Kind.ADDRESS),
        ("[FD00:0:0::0001]", "fd00::1", Kind.ADDRESS),
    ],
)
def test_a_host_has_one_spelling(written: str, name: str, kind: Kind) -> None:
    host = parse_host(written)
    assert host == Host(name, kind)
    assert isinstance(host, Host)
    assert parse_host(bracketed(host)) == host


MALFORMED = [
    "", ".", "..", ".a.test", "a..test", "a.test..", "a b.test", "a@b.test", "a/b.test", "a\\b.test",
    "a?b.test", "a#b.test", "a%2eb.test", "a\0.test", "a\n.test", "a\t.test", "-a.test", "a-.test",
    "*.test", "*", "a:b.test", "fe80::1", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::g]", "[]",
    "[1.2.3.4]", "a.[::1]", "x" * 64 + ".test", ".".join(["abcdefgh"] * 32), "xn--.test",
    "xn--a-.test", "xn--99999999.test", "xn--abc-.test", "xn---a.test", "xn--bcher-2pa.test",
]  # fmt: skip


@pytest.mark.parametrize("written", MALFORMED)
def test_what_is_no_name_is_malformed(written: str) -> None:
    found = parse_host(written)
    assert isinstance(found, Refused)
    assert found.code is Code.HOST_MALFORMED


@pytest.mark.parametrize(
    "written",
    [
        "\u0430pi.good.test",
        "api\u3002good.test",
        "\uff41pi.good.test",
        "b\u00fccher.test",
        "1\uff127.0.0.1",
        "\u212a.test",
    ],
)
def test_letters_beyond_ascii_are_refused_before_anything_folds_them(written: str) -> None:
    found = parse_host(written)
    assert isinstance(found, Refused)
    assert found.code is Code.HOST_NON_ASCII


@pytest.mark.parametrize(
    "written",
    [
        "027.024.0.014", "0x17.0x14.0.0xc", "0x7f000001", "2130706433", "127.1", "127.0.1", "0",
        "1.2.3", "1.2.3.4.", "256.1.1.1", "1.2.3.4.5", "a.1", "a.0x1f", "0x", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "127.0.0.01",
    ],
)  # fmt: skip
def test_an_address_in_an_unusual_form_is_no_host(written: str) -> None:
    found = parse_host(written)
    assert isinstance(found, Refused)
    assert found.code is Code.HOST_IP_LITERAL


@pytest.mark.parametrize(
    ("written", "code"),
    [("127.0.0.1", Code.HOST_IP_LITERAL), ("[::1]", Code.HOST_IP_LITERAL),
     ("localhost", Code.HOST_MALFORMED)],
)  # fmt: skip
def test_a_public_host_is_a_full_name(written: str, code: Code) -> None:
    found = parse_name(written)
    assert isinstance(found, Refused)
    assert found.code is code


@pytest.mark.parametrize(
    ("pattern", "host", "allows", "denies"),
    [
        ("a.test", "a.test", True, True),
        ("a.test", "b.a.test", False, False),
        ("*.a.test", "b.a.test", True, True),
        ("*.a.test", "a.test", False, False),
        ("*.a.test", "c.b.a.test", False, True),
        ("*.a.test", "xa.test", False, False),
        ("*.a.test", "a.test.evil.test", False, False),
        ("*.a.test", ".a.test", False, True),
    ],
)
def test_a_wildcard_is_one_label_where_it_allows_and_any_depth_where_it_denies(
    pattern: str, host: str, allows: bool, denies: bool
) -> None:
    assert covers(pattern, host) is allows
    assert reaches(pattern, host) is denies


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("a.test", "a.test", "a.test"),
        ("*.a.test", "b.a.test", "b.a.test"),
        ("*.a.test", "*.a.test", "*.a.test"),
        ("*.a.test", "*.b.a.test", None),
        ("*.a.test", "a.test", None),
        ("a.test", "b.test", None),
    ],
)
def test_two_patterns_share_what_both_cover(one: str, other: str, both: str | None) -> None:
    assert intersect(one, other) == both
    assert intersect(other, one) == both


@pytest.mark.parametrize(
    "written", ["*", "*.test", "a.*.test", "**.a.test", "*a.test", "*.*.a.test", "*.1.2.3.4", "*."]
)
def test_a_wildcard_stands_alone_before_a_full_name(written: str) -> None:
    assert isinstance(parse_pattern(written), Refused)
