"""Canonical JSON and its digest: the one spelling of a stored document.

Keys are sorted, there is no white space, text is UTF-8 as is, numbers are integers or
strings (a float has no canonical spelling and is refused). Two equal documents have equal
bytes, so a plan, a log entry and a settings record can be named by their SHA-256.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]
else:  # a recursive alias cannot be resolved by what decodes stored documents
    Json = Any

_LEAVES = frozenset({str, int, bool, type(None)})


def canonical_bytes(document: Json) -> bytes:
    """Return the canonical UTF-8 spelling of `document`.

    Raises:
        TypeError: `document` holds a float or a type that JSON has not: a bug in the caller.
    """
    _refuse_floats(document)
    return json.dumps(
        document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def digest(document: Json) -> str:
    """Return the SHA-256 of the canonical spelling as 64 lower-case hex digits."""
    return hashlib.sha256(canonical_bytes(document)).hexdigest()


def _refuse_floats(document: Json) -> None:
    stack: list[object] = [document]
    while stack:
        value = stack.pop()
        if type(value) in _LEAVES:  # nearly all there is, and cheap to tell
            continue
        if isinstance(value, float):
            raise TypeError("a canonical document holds no floats; store a decimal string")
        if isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, list | tuple):
            stack.extend(value)
