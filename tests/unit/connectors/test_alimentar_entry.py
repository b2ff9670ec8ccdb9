"""Log entries as bytes: one spelling, nothing unknown, nothing that leads out of the folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from batuta.connectors.alimentar.entry import (
    Intent,
    decode_entry,
    decode_intent,
    digest_of,
    encode,
)
from batuta.model.diagnostic import ConnectorError
from batuta.model.log import Part, UnitRef
from tests.unit.connectors.alimentar_bench import draft, part

NAME = "_log/00000000000000000000.json"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PARTS = st.builds(
    Part,
    path=st.from_regex(r"[a-z]{1,8}(/[a-zé ]{1,8})?", fullmatch=True).filter(str.strip),
    size_bytes=st.integers(min_value=0, max_value=2**62),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    rows=st.none() | st.integers(min_value=0, max_value=2**62),
    units=st.lists(st.builds(UnitRef, TEXT, TEXT), max_size=2).map(tuple),
)


def _code(content: bytes, version: int = 0) -> str:
    with pytest.raises(ConnectorError) as caught:
        decode_entry(content, name=NAME, version=version)
    return caught.value.diagnostics[0].code


def _edited(edit: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(encode(draft({"part-0123456789abcdef.ald": b"x"})))
    edit(document)
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@given(
    parts=st.lists(PARTS, max_size=4, unique_by=lambda p: p.path),
    removed=st.lists(TEXT, max_size=3, unique=True),
    decisions=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
)
def test_an_entry_comes_back_from_its_bytes(
    parts: list[Part], removed: list[str], decisions: tuple[tuple[str, str], ...]
) -> None:
    entry = replace(draft(parts, removed), decisions=decisions)

    assert decode_entry(encode(entry), name=NAME, version=0) == entry


def test_equal_entries_have_equal_digests_and_others_have_others() -> None:
    one = draft({"a": b"1"})

    assert digest_of(encode(one)) == digest_of(encode(draft({"a": b"1"})))
    assert digest_of(encode(one)) != digest_of(encode(replace(one, action="append")))


def test_an_unknown_field_is_refused() -> None:
    assert _code(_edited(lambda d: d.update(extra=1))) == "LOG101"


def test_an_unknown_field_deep_inside_is_refused() -> None:
    assert _code(_edited(lambda d: d["added"][0].update(extra=1))) == "LOG101"


def test_a_missing_field_is_refused() -> None:
    assert _code(_edited(lambda d: d.pop("rows"))) == "LOG101"


def test_a_newer_format_is_refused_as_newer_whatever_else_it_holds() -> None:
    assert _code(_edited(lambda d: d.update(format_version=2, novelty={"x": 1}))) == "LOG102"


def test_a_field_of_another_type_is_refused() -> None:
    assert _code(_edited(lambda d: d.update(version="0"))) == "LOG101"


def test_another_spelling_of_the_same_entry_is_refused() -> None:
    spaced = json.dumps(json.loads(encode(draft())), sort_keys=True).encode()

    assert _code(spaced) == "LOG101"


def test_a_doubled_key_is_refused() -> None:
    content = encode(draft())

    assert _code(content[:-1] + b',"version":0}') == "LOG101"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"format_version":1}', b'{"format_version":0.5}',
     b'{"format_version":1,"version":' + b"[" * 100_000, b"\0" * 4096],
)  # fmt: skip
def test_garbage_is_refused_without_a_traceback(content: bytes) -> None:
    assert _code(content) == "LOG101"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_refused(content: bytes) -> None:
    assert _code(content) in {"LOG101", "LOG102"}


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a\0", "_log/x", ""])
def test_an_entry_cannot_name_files_outside_the_dataset(path: str) -> None:
    assert _code(_edited(lambda d: d["added"][0].update(path=path))) == "LOG101"


@pytest.mark.parametrize("sha256", ["", "0" * 63, "G" * 64, "A" * 64])
def test_a_part_has_a_whole_digest(sha256: str) -> None:
    assert _code(_edited(lambda d: d["added"][0].update(sha256=sha256))) == "LOG101"


def test_a_path_is_added_once() -> None:
    assert _code(_edited(lambda d: d["added"].append(d["added"][0]))) == "LOG101"


def test_an_entry_is_the_version_that_its_name_says() -> None:
    assert _code(encode(draft()), version=1) == "LOG104"
    assert _code(encode(replace(draft(), version=3)), version=3) == "LOG104"


def test_an_intent_cannot_name_files_outside_the_dataset() -> None:
    intent = Intent(run="r", version=0, added=(part("../../x", b""),), removed=())

    with pytest.raises(ConnectorError):
        decode_intent(encode(intent), name="_staging/r.intent.json")
