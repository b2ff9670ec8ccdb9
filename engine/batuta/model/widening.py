"""Which Arrow types hold every value of which others, over their spellings."""

import re

_INTEGER = re.compile(r"(u?)int(8|16|32|64)")
_DECIMAL = re.compile(r"decimal128\((\d+), (-?\d+)\)")
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us)(, tz=[^\]]+)?\]")
_FLOATS = ("halffloat", "float", "double")
_EXACT_BITS = {"halffloat": 11, "float": 24, "double": 53}
_UNITS = ("s", "ms", "us")
_LARGER = (("string", "large_string"), ("binary", "large_binary"))
MAX_DIGITS = 38


def unite_types(one: str, other: str) -> str | None:
    """Return the narrowest type that holds every value of both; None where there is none.

    Nothing is ever rounded: int64 and double have no union, int32 and double have. Nested types
    unite only with themselves.
    """
    if other in {one, "null"}:
        return one
    if one == "null":
        return other
    for rule in (_integers, _floats, _decimals, _timestamps, _larger):
        if (found := rule(one, other) or rule(other, one)) is not None:
            return found
    return None


def _integers(one: str, other: str) -> str | None:
    left, right = _INTEGER.fullmatch(one), _INTEGER.fullmatch(other)
    if left is None or right is None:
        return None
    bits = (int(left[2]), int(right[2]))
    if left[1] == right[1]:
        return f"{left[1]}int{max(bits)}"
    unsigned = bits[0] if left[1] else bits[1]
    signed = bits[1] if left[1] else bits[0]
    wanted = max(signed, unsigned * 2)
    return f"int{wanted}" if wanted <= 64 else None


def _floats(one: str, other: str) -> str | None:
    if one not in _FLOATS:
        return None
    if other in _FLOATS:
        return max(one, other, key=_FLOATS.index)
    integer = _INTEGER.fullmatch(other)
    if integer is None:
        return None
    bits = int(integer[2]) - (0 if integer[1] else 1)
    wide = [name for name in _FLOATS if _EXACT_BITS[name] >= bits]
    return max(one, wide[0], key=_FLOATS.index) if wide else None


def _decimals(one: str, other: str) -> str | None:
    left, right = _DECIMAL.fullmatch(one), _DECIMAL.fullmatch(other)
    if left is None or right is None:
        return None
    scale = max(int(left[2]), int(right[2]))
    whole = max(int(left[1]) - int(left[2]), int(right[1]) - int(right[2]))
    return f"decimal128({whole + scale}, {scale})" if whole + scale <= MAX_DIGITS else None


def _timestamps(one: str, other: str) -> str | None:
    left, right = _TIMESTAMP.fullmatch(one), _TIMESTAMP.fullmatch(other)
    if left is None or right is None or left[2] != right[2]:
        return None
    return f"timestamp[{max(left[1], right[1], key=_UNITS.index)}{left[2] or ''}]"


def _larger(one: str, other: str) -> str | None:
    return other if (one, other) in _LARGER else None
