"""Values to YAML text that reads back as the same values, with a comment beside each line."""

import re
from collections.abc import Iterator, Mapping

from batuta.manifest.compose import FORBIDDEN
from batuta.manifest.document import Path, Value
from batuta.manifest.scalars import NOT_PLAIN_TEXT

# What is surely plain text in any YAML: no indicator at the front, no `: ` or ` #` inside.
_SURELY_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_./@+*-]*(:[A-Za-z0-9_./@+*-]+)*\Z")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def scalar_text(value: None | bool | int | float | str) -> str:
    """Return one scalar as it is written in YAML 1.2; text is quoted where it has to be."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            if _SURELY_PLAIN.match(value) and value[0] not in NOT_PLAIN_TEXT:
                return value
            if _SURELY_PLAIN.match(value) and re.match(r"[./]*[a-zA-Z]{2}", value):
                return value if value.lower() not in _WORDS else f'"{value}"'
            return '"' + "".join(map(_escaped, value)) + '"'
        case _:
            return repr(value)


_WORDS = frozenset({"null", "true", "false", ".inf", ".nan"})


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if FORBIDDEN.match(char):
        return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
    return char


def document_text(value: Value, comments: Mapping[Path, str] | None = None) -> str:
    """Return a document as block YAML without `---`, ending in a newline.

    `comments` are put behind the line where the value at their path begins.
    """
    return "".join(line + "\n" for line in _block(value, (), 0, comments or {}))


def _block(value: Value, path: Path, indent: int, comments: Mapping[Path, str]) -> Iterator[str]:
    pad = " " * indent
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _entry(f"{pad}{scalar_text(key)}:", child, (*path, key), indent, comments)
    elif isinstance(value, list) and value:
        for i, child in enumerate(value):
            yield from _entry(f"{pad}-", child, (*path, i), indent, comments)
    else:
        yield pad + _flat(value) + _comment(path, comments)


def _entry(
    head: str, child: Value, path: Path, indent: int, comments: Mapping[Path, str]
) -> Iterator[str]:
    if isinstance(child, dict | list) and child:
        yield head + _comment(path, comments)
        yield from _block(child, path, indent + 2, comments)
    else:
        yield f"{head} {_flat(child)}{_comment(path, comments)}"


def _flat(value: Value) -> str:
    if isinstance(value, dict):
        return "{}"
    return "[]" if isinstance(value, list) else scalar_text(value)


def _comment(path: Path, comments: Mapping[Path, str]) -> str:
    return f"  # {comments[path]}" if path in comments else ""
