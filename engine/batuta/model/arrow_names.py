"""The spelling of Arrow types, read and written without Arrow.

Whoever compares schemas needs the parts of a type (is this a wider decimal?) and must not pay
for loading Arrow. The spelling is the one that Arrow itself prints, with two additions that
make it complete: `not null` on children, and JSON quotes around a child's name that holds more
than letters, digits and `_ . $ -`. Children of lists are always called `item`, because Arrow
holds lists that differ in that name alone for equal.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache

from batuta.model.table import Column

MAX_DEPTH = 64
"""Types nested deeper than this are refused: no table has them, but a hostile file may."""

_ALIASES = {
    "boolean": "bool",
    "float16": "halffloat",
    "float32": "float",
    "float64": "double",
    "utf8": "string",
    "large_utf8": "large_string",
}
_INTEGERS = frozenset({f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)})
_PLAIN = _INTEGERS | {
    "null", "bool", "halffloat", "float", "double", "string", "large_string", "string_view",
    "binary", "large_binary", "binary_view", "month_day_nano_interval",
}  # fmt: skip
_UNITS = {
    "date32": ("day",),
    "date64": ("ms",),
    "time32": ("s", "ms"),
    "time64": ("us", "ns"),
    "timestamp": ("s", "ms", "us", "ns"),
    "duration": ("s", "ms", "us", "ns"),
}
_PRECISIONS = {"decimal32": 9, "decimal64": 18, "decimal128": 38, "decimal256": 76}
_LISTS = frozenset({"list", "large_list", "list_view", "large_list_view", "fixed_size_list"})
_UNIONS = frozenset({"dense_union", "sparse_union"})
_EXTENSIONS = frozenset({"arrow.uuid", "arrow.json", "arrow.bool8"})

_WORD = re.compile(r"[a-z][a-z0-9_]*")
_BARE = re.compile(r"[\w.$-]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(r"-?[0-9]{1,10}")
_UNTIL_BRACKET = re.compile(r"[^\]\[<>]+")
_UNTIL_ANGLE = re.compile(r"[\w.]+")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class ArrowType:
    """One type, taken apart by one level.

    `name` is Arrow's own (`double`, never `float64`). `params` are numbers and words in the
    order of the spelling: precision and scale; unit and zone; the size of a fixed list or
    binary; type codes of a union; `keys_sorted`; `ordered`; an extension's name. `fields` are
    the children: `item` of a list, `key` and `value` of a map, `index` and `value` of a
    dictionary, `run_ends` and `values` of run ends, and those of a struct or union by name.
    """

    name: str
    params: tuple[int | str, ...] = ()
    fields: tuple[Column, ...] = ()


@lru_cache(maxsize=4096)
def parse_type(text: str) -> ArrowType:
    """Take a spelling apart; the children's types come back in canonical spelling.

    Spaces are optional where Arrow prints them.

    Raises:
        ValueError: the text is no type; the message is a sentence that quotes it.
    """
    cursor = _Cursor(text)
    parsed = _type(cursor, 0)
    cursor.end()
    return parsed


def spell(type_: ArrowType) -> str:
    """Return the canonical spelling of `type_`; `parse_type` gives it back unchanged."""
    params = ", ".join(str(param) for param in type_.params)
    match type_.name:
        case "timestamp" if len(type_.params) == 2:
            return f"timestamp[{type_.params[0]}, tz={type_.params[1]}]"
        case "map":
            key, value = type_.fields
            return f"map<{key.type}, {_child(value)}{', ' if params else ''}{params}>"
        case "dictionary" | "run_end_encoded":
            return _spell_encoded(type_)
        case "fixed_size_list":
            return f"fixed_size_list<{_named(type_.fields[0])}>[{params}]"
        case name if name in _UNIONS:
            coded = zip(type_.fields, type_.params, strict=True)
            return f"{name}<{', '.join(f'{_named(f)}={code}' for f, code in coded)}>"
        case name if name in _LISTS or name == "struct":
            return f"{name}<{', '.join(_named(field) for field in type_.fields)}>"
        case name if name in _PRECISIONS or name == "extension":
            return f"{name}<{params}>" if name == "extension" else f"{name}({params})"
        case name:
            return f"{name}[{params}]" if params else name


def _spell_encoded(type_: ArrowType) -> str:
    keys, values = type_.fields
    if type_.name == "run_end_encoded":
        return f"run_end_encoded<run_ends: {keys.type}, values: {values.type}>"
    ordered = int(bool(type_.params))
    return f"dictionary<values={values.type}, indices={keys.type}, ordered={ordered}>"


def _named(field: Column) -> str:
    bare = _BARE.fullmatch(field.name) is not None
    name = field.name if bare else json.dumps(field.name, ensure_ascii=False)
    return f"{name}: {_child(field)}"


def _child(field: Column) -> str:
    return field.type if field.nullable else f"{field.type} not null"


class _Cursor:
    """The text and how far it was read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, wanted: str) -> ValueError:
        return ValueError(
            f"{self.text[:200]!r} is not an Arrow type: {wanted} expected at character"
            f" {self.at + 1}"
        )

    def peek(self, token: str) -> bool:
        self.skip()
        return self.text.startswith(token, self.at)

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def take(self, token: str) -> bool:
        if not self.peek(token):
            return False
        self.at += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.fail(repr(token))

    def match(self, pattern: re.Pattern[str], wanted: str) -> str:
        self.skip()
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.fail(wanted)
        self.at = found.end()
        return found.group()

    def number(self) -> int:
        return int(self.match(_NUMBER, "a number"))

    def name(self) -> str:
        if not self.peek('"'):
            return self.match(_BARE, "a name")
        quoted = self.match(_QUOTED, "the end of a quoted name")
        try:
            return str(json.loads(quoted, strict=False))
        except json.JSONDecodeError as error:
            raise self.fail("a JSON string") from error

    def end(self) -> None:
        self.skip()
        if self.at < len(self.text):
            raise self.fail("the end of the type")


def _type(cursor: _Cursor, depth: int) -> ArrowType:
    if depth > MAX_DEPTH:
        raise ValueError(f"a type nested more than {MAX_DEPTH} levels deep is not supported")
    word = cursor.match(_WORD, "a type name")
    name = _ALIASES.get(word, word)
    if name in _PLAIN and not (name == "binary" and cursor.peek("[")):
        return ArrowType(name)
    if name in _UNITS:
        return _unit(cursor, name)
    if name in _PRECISIONS:
        return _decimal(cursor, name)
    if name in {"fixed_size_binary", "binary"}:
        return ArrowType("fixed_size_binary", (_size(cursor),))
    return _nested(cursor, name, depth)


def _nested(cursor: _Cursor, name: str, depth: int) -> ArrowType:
    cursor.skip()
    match name:
        case "extension":
            return _extension(cursor)
        case "map":
            return _map(cursor, depth)
        case "dictionary":
            return _dictionary(cursor, depth)
        case "run_end_encoded":
            return _run_ends(cursor, depth)
        case "struct":
            return ArrowType(name, (), _children(cursor, depth))
        case _ if name in _LISTS:
            return _list(cursor, name, depth)
        case _ if name in _UNIONS:
            return _union(cursor, name, depth)
        case _:
            raise ValueError(f"{cursor.text[:200]!r} is not an Arrow type: {name!r} is unknown")


def _unit(cursor: _Cursor, name: str) -> ArrowType:
    units = _UNITS[name]
    if len(units) == 1 and not cursor.peek("["):
        return ArrowType(name, units)
    cursor.expect("[")
    unit = cursor.match(_WORD, "a unit")
    if unit not in units:
        raise ValueError(
            f"{cursor.text[:200]!r} is not an Arrow type: {name} has no unit {unit!r},"
            f" only {', '.join(units)}"
        )
    params: tuple[int | str, ...] = (unit,)
    if name == "timestamp" and cursor.take(","):
        cursor.expect("tz")
        cursor.expect("=")
        params = (unit, cursor.match(_UNTIL_BRACKET, "a time zone").strip())
    cursor.expect("]")
    return ArrowType(name, params)


def _decimal(cursor: _Cursor, name: str) -> ArrowType:
    cursor.expect("(")
    precision = cursor.number()
    scale = cursor.number() if cursor.take(",") else 0
    cursor.expect(")")
    if not 1 <= precision <= _PRECISIONS[name] or not -(2**31) <= scale < 2**31:
        raise ValueError(
            f"{cursor.text[:200]!r} is not an Arrow type: {name} holds 1 to"
            f" {_PRECISIONS[name]} digits"
        )
    return ArrowType(name, (precision, scale))


def _size(cursor: _Cursor) -> int:
    cursor.expect("[")
    size = cursor.number()
    cursor.expect("]")
    if not 0 <= size < 2**31:
        raise cursor.fail("a size from 0 to 2147483647")
    return size


def _list(cursor: _Cursor, name: str, depth: int) -> ArrowType:
    cursor.expect("<")
    item = _field(cursor, depth)
    cursor.expect(">")
    params = (_size(cursor),) if name == "fixed_size_list" else ()
    return ArrowType(name, params, (Column("item", item.type, item.nullable),))


def _field(cursor: _Cursor, depth: int) -> Column:
    name = cursor.name()
    cursor.expect(":")
    return _value(cursor, name, depth)


def _value(cursor: _Cursor, name: str, depth: int) -> Column:
    type_ = spell(_type(cursor, depth + 1))
    if not cursor.take("not"):
        return Column(name, type_)
    cursor.expect("null")
    return Column(name, type_, nullable=False)


def _children(cursor: _Cursor, depth: int) -> tuple[Column, ...]:
    cursor.expect("<")
    children: list[Column] = []
    while not cursor.peek(">"):
        if children:
            cursor.expect(",")
        children.append(_field(cursor, depth))
    cursor.expect(">")
    return tuple(children)


def _union(cursor: _Cursor, name: str, depth: int) -> ArrowType:
    cursor.expect("<")
    children: list[Column] = []
    codes: list[int | str] = []
    while not cursor.peek(">"):
        if children:
            cursor.expect(",")
        children.append(_field(cursor, depth))
        cursor.expect("=")
        codes.append(cursor.number())
    cursor.expect(">")
    if len(set(codes)) < len(codes) or any(not 0 <= int(code) < 128 for code in codes):
        raise cursor.fail("a different code from 0 to 127 for each member")
    return ArrowType(name, tuple(codes), tuple(children))


def _map(cursor: _Cursor, depth: int) -> ArrowType:
    cursor.expect("<")
    key = Column("key", spell(_type(cursor, depth + 1)), nullable=False)
    cursor.expect(",")
    value = _value(cursor, "value", depth)
    params: tuple[int | str, ...] = ()
    if cursor.take(","):
        cursor.expect("keys_sorted")
        params = ("keys_sorted",)
    cursor.expect(">")
    return ArrowType("map", params, (key, value))


def _dictionary(cursor: _Cursor, depth: int) -> ArrowType:
    cursor.expect("<")
    cursor.expect("values")
    cursor.expect("=")
    value = Column("value", spell(_type(cursor, depth + 1)))
    cursor.expect(",")
    cursor.expect("indices")
    cursor.expect("=")
    index = Column("index", _integer(cursor, _INTEGERS))
    ordered = False
    if cursor.take(","):
        cursor.expect("ordered")
        cursor.expect("=")
        ordered = cursor.number() != 0
    cursor.expect(">")
    return ArrowType("dictionary", ("ordered",) if ordered else (), (index, value))


def _run_ends(cursor: _Cursor, depth: int) -> ArrowType:
    cursor.expect("<")
    cursor.expect("run_ends")
    cursor.expect(":")
    ends = Column("run_ends", _integer(cursor, {"int16", "int32", "int64"}), nullable=False)
    cursor.expect(",")
    cursor.expect("values")
    cursor.expect(":")
    values = Column("values", spell(_type(cursor, depth + 1)))
    cursor.expect(">")
    return ArrowType("run_end_encoded", (), (ends, values))


def _integer(cursor: _Cursor, allowed: frozenset[str] | set[str]) -> str:
    name = cursor.match(_WORD, "an integer type")
    if name not in allowed:
        raise cursor.fail(f"one of {', '.join(sorted(allowed))}")
    return name


def _extension(cursor: _Cursor) -> ArrowType:
    cursor.expect("<")
    name = cursor.match(_UNTIL_ANGLE, "an extension's name")
    cursor.expect(">")
    if name not in _EXTENSIONS:
        raise ValueError(f"the extension type {name!r} is unknown; its storage type is used")
    return ArrowType("extension", (name,))
