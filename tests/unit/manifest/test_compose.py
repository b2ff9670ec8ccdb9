"""Composing: YAML 1.2 values, a place for each, and a clear refusal of everything hostile."""

import time
import tracemalloc

import pytest

from batuta.manifest.compose import MAX_DEPTH, compose
from batuta.manifest.document import Value
from batuta.model.diagnostic import Location


def value_of(text: str) -> Value:
    composed = compose("a.yaml", text.encode())
    assert composed.diagnostics == ()
    (document,) = composed.documents
    return document.value


def code_of(content: bytes) -> str:
    (diagnostic,) = compose("a.yaml", content).diagnostics
    assert diagnostic.locations
    return diagnostic.code


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("Null", None),
        ("~", None), ("", None), ("TRUE", True), ("False", False), ("tRUE", "tRUE"),
        ("0o17", 15), ("0x1F", 31), ("017x", "017x"), ("12:30:45", "12:30:45"), ("1_000", "1_000"),
        ("0b11", "0b11"), ("2027-01-31", "2027-01-31"), ("+12", 12), ("-0", 0), ("1.5", 1.5),
        ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("+", "+"), (".", "."), ("1.2.3", "1.2.3"),
        ("'1'", "1"), ('"true"', "true"), ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)), ("0", 0), ("nope", "nope"), ("-", "-x"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_read_by_the_core_schema_of_yaml_1_2(text: str, value: Value) -> None:
    if text == "-":
        text = "-x"
    assert value_of(f"key: {text}\n") == {"key": value}


@pytest.mark.parametrize(
    "text", ["007", "-01", "9223372036854775808", "9" * 100_000, "1e999", ".inf", ".nan", "0x" + "f" * 17]
)  # fmt: skip
def test_a_number_that_readers_disagree_about_is_refused(text: str) -> None:
    assert code_of(f"key: {text}\n".encode()) == "MAN109"


def test_a_key_is_text_whatever_it_looks_like() -> None:
    assert value_of("null: 1\ntrue: 2\n1: 3\n007: 4\n") == {"null": 1, "true": 2, "1": 3, "007": 4}


def test_every_key_and_value_has_its_place_through_bom_and_crlf() -> None:
    text = b"\xef\xbb\xbfkind: A\r\nspec:\r\n  list: [x, \xc3\xa4]\r\n"
    (document,) = compose("a.yaml", text).documents
    places = document.places()
    assert places == {
        "": Location("a.yaml", 1, 1),
        "kind": Location("a.yaml", 1, 7, 1),
        "spec": Location("a.yaml", 3, 3),
        "spec.list": Location("a.yaml", 3, 9),
        "spec.list[0]": Location("a.yaml", 3, 10, 1),
        "spec.list[1]": Location("a.yaml", 3, 13, 1),
    }
    assert document.spot(("spec", "list")).key == Location("a.yaml", 3, 3, 4)


def test_an_alias_has_the_value_and_the_places_of_its_anchor() -> None:
    (document,) = compose("a.yaml", b"a: &x {b: [1]}\nc: *x\nd: 2\n").documents
    assert document.value == {"a": {"b": [1]}, "c": {"b": [1]}, "d": 2}
    places = document.places()
    assert places["c.b[0]"] == places["a.b[0]"]
    assert places["d"].line == 3


def test_one_place_is_found_as_among_all_of_them() -> None:
    text = (
        b"a: &x {b: [1, [2, {c: 3}], {d: 4, e: {}}], f: []}\n"
        b"tags: {team.x: 1, team: {y: 2}, '0': 3}\nagain: *x\nlast: [[], 6]\n"
    )
    (document,) = compose("a.yaml", text).documents
    places = document.places()
    assert len(places) == 31
    assert {path: document.place(path) for path in places} == dict(places)
    for path in ("b", "a.", "a.b[3]", "a.b[1]x", "a.b.c", "tags.team.x.y", "las", "last[0][0]"):
        assert document.place(path) is None


def test_documents_of_comments_alone_are_no_documents() -> None:
    assert compose("a.yaml", b"# nothing\n---\n# nothing\n---\na: 1\n").documents[0].value == {
        "a": 1
    }
    assert compose("a.yaml", b"").documents == ()


def test_errors_after_the_first_are_found_in_the_same_run() -> None:
    found = compose("a.yaml", b"a: 1\na: 2\nb: 007\nc: !!int 3\n").diagnostics
    assert [d.code for d in found] == ["MAN107", "MAN109", "MAN108"]


def test_what_follows_a_dropped_key_keeps_its_place() -> None:
    composed = compose("a.yaml", b"a: {b: [1, 2]}\na: {c: [3, 4]}\nd: 5\n")
    (document,) = composed.documents
    assert document.value == {"a": {"b": [1, 2]}, "d": 5}
    assert document.places()["d"] == Location("a.yaml", 3, 4, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a: \xff\n", "MAN101"), ("a: 1\n".encode("utf-16"), "MAN101"), (b"a: \x00\n", "MAN102"),
        (b"a: \x1b[31m\n", "MAN102"), (b"\x00" * 1000, "MAN102"), (b'a: "\\0"\n', "MAN102"),
        ("a: x\u2028y\n".encode(), "MAN102"), ("a: x\x85y\n".encode(), "MAN102"),
        (b"a:\n\tb: 1\n", "MAN104"), (b"a: [1, 2\n", "MAN104"), (b"a: 'x\n", "MAN104"),
        (b"a: *nowhere\n", "MAN104"), (b"a: &x [*x]\n", "MAN104"), (b"a: b: c\n", "MAN104"),
        (b"@a: 1\n", "MAN104"), (b"%YAML 1.1\n---\na: 1\n", "MAN108"), (b"<<: {a: 1}\n", "MAN108"),
        (b"? [a]\n: 1\n", "MAN108"), (b"? {a: 1}\n: 1\n", "MAN108"), (b"&x a: 1\n*x : 2\n", "MAN108"),
        (b"a: !!python/object/apply:os.system [x]\n", "MAN108"), (b"!t {a: 1}\n", "MAN108"), (b"a: &x 1\nb: &x 2\n", "MAN108"), (b"a: 1\n...\n", "MAN108"), (b"a: b\tc\n", "MAN104"),
    ],
)  # fmt: skip
def test_what_is_not_a_manifest_is_refused_by_name(content: bytes, code: str) -> None:
    assert code_of(content) == code


BOMB = b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 40)
)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"[" * 1_000_000, "MAN105", id="a million brackets"),
        pytest.param(b"{a: " * 500_000, "MAN105", id="half a million braces"),
        pytest.param(b"- " * 1_000_000, "MAN105", id="a million dashes"),
        pytest.param(b"? " * 500_000, "MAN108", id="half a million question marks"),
        pytest.param(b"\n".join(b" " * i + b"a:" for i in range(2000)), "MAN105", id="stairs"),
        pytest.param(BOMB, "MAN106", id="billion laughs"),
        pytest.param(b"a: &a [x]\n" + b"b: [" + b"*a," * 600_000 + b"]\n", "MAN106", id="aliases"),
        pytest.param(b"- a\n" * 2_000_000, "MAN106", id="two million items"),
        pytest.param(b"x" * 100_000_000, "MAN103", id="100 MB"),
        pytest.param(b"a: " + b"9" * 8_000_000, "MAN109", id="a number of 8 MB"),
        pytest.param(b"a: '" + b"x" * 8_000_000, "MAN104", id="a quote that never ends"),
        pytest.param(b"#" * 8_000_000 + b"\n\tx", "MAN104", id="a comment of 8 MB"),
        pytest.param(b"a: \"" + b"\\x41" * 2_000_000, "MAN104", id="escapes"),
        pytest.param(b"&a" * 3_000_000, "MAN104", id="anchors"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_within_two_seconds_and_in_bounded_memory(
    content: bytes, code: str
) -> None:
    start = time.process_time()
    assert code_of(content) == code
    assert time.process_time() - start < 2


def test_refusing_a_bomb_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        compose("a.yaml", BOMB)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 32 * 1024 * 1024


def test_the_deepest_allowed_nesting_is_read_and_one_more_is_not() -> None:
    inside = MAX_DEPTH - 1  # the map around it is a level too
    assert compose("a.yaml", b"a: " + b"[" * inside + b"]" * inside).diagnostics == ()
    assert code_of(b"a: " + b"[" * (inside + 1) + b"]" * (inside + 1)) == "MAN105"


def test_an_alias_cannot_hide_depth() -> None:
    lines = ["a0: &a0 [x]\n", *(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 80))]
    assert code_of("".join(lines).encode()) == "MAN105"


def test_a_flood_of_errors_is_cut() -> None:
    assert len(compose("a.yaml", b"a: 007\n" * 1000).diagnostics) <= 100
