"""Laws of the manifest room: what holds for any document, any bytes, any layout."""

import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from batuta.manifest.cache import pack_documents, unpack_documents
from batuta.manifest.compose import FORBIDDEN, compose
from batuta.manifest.document import Document, Value, spell
from batuta.manifest.format import comments, format_text
from batuta.manifest.load import load_documents
from batuta.manifest.overlay import merge
from batuta.manifest.resolve import Request, resolve
from batuta.manifest.scalars import AmbiguousNumber, plain
from batuta.manifest.write import document_text, scalar_text
from tests.unit.manifest.cases import DATA, DECLARATIONS, ROOT

_SAFE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(_SAFE, max_size=12) | st.sampled_from(
    ["no", "null", "true", "007", "0o7", "1e3", "2027-01-31", "a: b", "a #b", "- x", "[", "{}", "'",
     '"', "#", "&a", "*a", "!t", "%x", "@", "`", "|", ">", "?", "-", ":", ",", "~", ".", "..", "...",
     "---", " x ", "x\n", "\n", "\t", "\\", "=", "<<", "${var.x}", "1_0", "0x1", "+1", "12:30:00"]
)  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
keys = texts.filter(lambda key: key != "<<")
values: st.SearchStrategy[Value] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
maps = st.dictionaries(keys, values, min_size=1, max_size=4)


def documents_of(text: str) -> tuple[Document, ...]:
    composed = compose("a.yaml", text.encode())
    assert composed.diagnostics == ()
    return composed.documents


@given(maps)
def test_what_is_written_composes_to_the_same_values(value: dict[str, Value]) -> None:
    (document,) = documents_of(document_text(value))
    assert document.value == value
    assert repr(document.value) == repr(value)  # 1 is not True, nor 1.0


@given(maps)
def test_every_place_is_where_the_key_or_the_value_stands(value: dict[str, Value]) -> None:
    text = document_text(value)
    lines = re.split("\n", text)
    (document,) = documents_of(text)
    current: Value
    for path, spot in document.walk():
        if not path:
            continue
        if isinstance(path[-1], str):
            at = lines[spot.key.line - 1][spot.key.column - 1 :]
            assert at.startswith(scalar_text(path[-1]) + ":")
        current = document.value
        for part in path:
            current = current[part]  # type: ignore[index]
        if not isinstance(current, dict | list):
            start = spot.value.column - 1
            written = lines[spot.value.line - 1][start : start + spot.value.length]
            assert written == scalar_text(current)
    spelled = {spell(path): spot.value for path, spot in document.walk()}
    assert dict(document.places()) == spelled


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example(b"\xff\xfe")
@example(b"a: \x00")
def test_no_bytes_raise_anything(content: bytes) -> None:
    composed = compose("a.yaml", content)
    for diagnostic in composed.diagnostics:
        assert diagnostic.locations[0].line >= 1
    format_text("a.yaml", content)


# Texts that are nearly YAML find more than random bytes do.
pieces = st.sampled_from(
    ["a", "b: ", "- ", "\n", "  ", "    ", "[", "]", "{", "}", ", ", ": ", "# c", "'", '"', "|\n",
     ">\n", "&x ", "*x ", "1", "007", "no", "~", "---\n", "...\n", "? ", "!t ", "<<: ", "\t", "é"]
)  # fmt: skip
yamlish = st.lists(pieces, max_size=25).map("".join)


class CoreResolver:
    """Reads ruamel's nodes by the core schema; keys are text."""

    def value(self, node: Node) -> Value:
        if isinstance(node, MappingNode):
            return {key.value: self.value(child) for key, child in node.value}
        if isinstance(node, SequenceNode):
            return [self.value(child) for child in node.value]
        assert isinstance(node, ScalarNode)
        return plain(node.value) if node.style in (None, "") else node.value


def ruamel_values(text: str) -> list[Value] | None:
    """What ruamel composes, None where it refuses the text."""
    yaml = YAML(typ="safe", pure=True)
    try:
        nodes = list(yaml.compose_all(text))
    except (YAMLError, ValueError):
        return None
    read = [CoreResolver().value(node) for node in nodes if node is not None]
    return [value for value in read if value is not None]


@settings(max_examples=400)
@given(yamlish)
def test_ruamel_accepts_and_means_what_the_composer_does(text: str) -> None:
    composed = compose("a.yaml", text.encode())
    if composed.diagnostics or not all(
        isinstance(d.value, dict | list) for d in composed.documents
    ):
        return  # refused by name, here or as no batuta document; ruamel is never asked about it
    assert ruamel_values(text) == [d.value for d in composed.documents]


@given(maps)
def test_ruamel_reads_any_written_document_alike(value: dict[str, Value]) -> None:
    assert ruamel_values(document_text(value)) == [value]


CORPUS = sorted(
    [*(ROOT / "manifests").rglob("*.yaml"), DATA / "full.yaml", *(DATA / "bad").glob("*.yaml")]
)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_ruamel_and_the_composer_agree_on_the_corpus(path: Path) -> None:
    composed = compose(path.name, path.read_bytes())
    if not composed.diagnostics:
        assert ruamel_values(path.read_text()) == [d.value for d in composed.documents]


@settings(max_examples=200)
@given(yamlish)
def test_formatting_keeps_values_and_comments_and_is_stable(text: str) -> None:
    content, found = format_text("a.yaml", text.encode())
    if found:
        assert content == text.encode()
        return
    before, after = compose("a", text.encode()), compose("a", content)
    assert [d.value for d in after.documents] == [d.value for d in before.documents]
    assert comments(content.decode()) == comments(text)
    assert format_text("a.yaml", content) == (content, [])


@given(maps)
def test_documents_come_back_from_the_cache_as_they_were(value: dict[str, Value]) -> None:
    documents = documents_of(document_text(value))
    again = unpack_documents("a.yaml", pack_documents(documents))
    for one, other in zip(documents, again, strict=True):
        assert repr(one.value) == repr(other.value)
        assert one.places() == other.places()


def laid(base: Value, over: Value) -> Value:
    """The rule in words: maps merge, null removes, all else replaces."""
    if not isinstance(over, dict):
        return over
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = laid(result.get(key), value)
    return result


@given(maps, maps)
def test_an_overlay_merges_by_the_rule_and_every_value_keeps_a_place(
    base: dict[str, Value], over: dict[str, Value]
) -> None:
    (below,), (above,) = documents_of(document_text(base)), documents_of(document_text(over))
    merged = merge(below, above)
    assert merged.value == laid(base, over)
    paths = {path for path, _ in merged.walk()}
    assert paths == _paths(merged.value)
    for path, spot in merged.walk():
        assert spot in (dict(below.walk()).get(path), dict(above.walk()).get(path)), spell(path)


def _paths(value: Value, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    result = {path}
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else ())
    )
    for part, child in children:
        result |= _paths(child, (*path, part))
    return result


words = st.text(string.ascii_letters + string.digits + ".+-_:~oxXeE", max_size=12)


@given(words)
@example("0x")
@example("0o8")
@example("-.inf")
@example("+.5e-3")
def test_a_plain_scalar_is_what_the_patterns_of_the_core_schema_say(text: str) -> None:
    try:
        found = plain(text)
    except AmbiguousNumber:
        assert re.fullmatch(
            r"[-+]?0[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|[-+0-9a-fA-FxoeE.]+", text
        )
        return
    match found:
        case None:
            assert re.fullmatch(r"null|Null|NULL|~|", text)
        case bool():
            assert re.fullmatch(r"true|True|TRUE|false|False|FALSE", text)
        case int():
            assert re.fullmatch(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", text)
        case float():
            assert re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text)
        case _:
            assert found == text


@settings(max_examples=60)
@given(st.lists(values, max_size=3))
def test_any_documents_resolve_or_are_refused_each_at_a_place(many: list[Value]) -> None:
    head: dict[str, Value] = {"apiVersion": "batuta.dev/v1"}
    texts = []
    for i, value in enumerate(many):
        spec: Value = {"source": value, "destination": value}
        if isinstance(value, dict):
            spec = value
        kind = ("Dataset", "Platform", "EgressPolicy", "Workspace")[i % 4]
        document: Value = {**head, "kind": kind, "metadata": {"name": f"n{i}"}, "spec": spec}
        texts.append((f"{i}.yaml", document_text(document).encode()))
    documents, found = load_documents(texts)
    resolution = resolve(documents, Request(declarations=DECLARATIONS))
    everything = [*found, *resolution.diagnostics]
    assert all(d.locations for d in everything)
    assert (resolution.desired is None) == any(d.severity == "error" for d in everything)


def test_the_forbidden_characters_are_refused_and_no_others() -> None:
    for code in [*range(1, 0x300), 0x2027, 0x2028, 0x2029, 0x202A, 0xD7FF, 0xE000, 0xFEFF, 0xFFFF]:
        if chr(code) in "\r\n\t" or 0xD800 <= code < 0xE000:
            continue
        refused = bool(compose("a", f"a: 'x{chr(code)}'".encode()).diagnostics)
        wanted = bool(FORBIDDEN.match(chr(code))) or chr(code) == "'"
        assert refused is wanted, hex(code)
