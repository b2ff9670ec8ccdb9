"""Which type each column of text has, from all of its values.

Each block of a column adds the kinds that it shows; the type follows from the whole set, so
that no order of blocks and no first block decides. A type is given only where every value
survives the way into it and back: `007` is text, an integer beyond 64 bits is decimal, a
number with more digits than a double holds is text.
"""

from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

_MAX_EXACT_INTEGER = 2**53
_INTEGER = r"^(0|-?[1-9][0-9]{0,37})$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_TOO_MANY_DIGITS = r"^-?[0.]*[1-9](\.?[0-9]){17,}([eE].*)?$"
_LONG_INTEGER = r"^-?[0-9]{16,}$"
_NOT_FINITE = ["NaN", "nan", "inf", "-inf", "Infinity", "-Infinity"]
_BOOLEANS = ["true", "false", "True", "False", "TRUE", "FALSE"]
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_LOCAL = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}" + _TIME + "$"
_ZONED = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}" + _TIME + r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_NANOSECONDS = r"\.[0-9]{7,9}(Z|[+-][0-9:]+)?$"
_CLOCK = ("%H", "%I", "%M", "%S", "%T", "%R", "%p", "%s")


class Kind(StrEnum):
    """What values of one column look like."""

    TEXT = "text"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    WIDE_INTEGER = "wide integer"
    """Beyond what a double holds exactly, within 64 bits."""
    BIG_INTEGER = "big integer"
    FLOAT = "float"
    NOT_FINITE = "not finite"
    DATE = "date"
    LOCAL = "local time"
    ZONED = "zoned time"
    NANOSECONDS = "nanoseconds"
    FAR = "far"
    """Outside of the years that nanoseconds reach."""
    FORMATTED = "formatted"


_INTEGERS = {Kind.INTEGER, Kind.WIDE_INTEGER}
_TIMES = {Kind.NANOSECONDS, Kind.FAR}


def kinds_of(values: pa.Array, timestamp_format: str | None, decimal: str) -> set[Kind]:
    """Return the kinds that `values` show; nulls and empty texts show none."""
    values = values.filter(pc.greater(pc.binary_length(values), 0)).drop_null()
    if len(values) == 0:
        return set()
    if timestamp_format is not None and _parses(values, timestamp_format):
        return {Kind.FORMATTED}
    if decimal == ",":
        dotted = pc.match_substring(values, ".")
        values = values if pc.any(dotted).as_py() else pc.replace_substring(values, ",", ".")
    for probe in (_integers, _numbers, _booleans, _times):
        if found := probe(values):
            return found
    return {Kind.TEXT}


def type_of_kinds(kinds: set[Kind], timestamp_format: str | None) -> str:
    """Return the spelling of the one type that holds all of `kinds`; text where none does."""
    if kinds == {Kind.BOOLEAN}:
        return "bool"
    if kinds == {Kind.DATE}:
        return "date32[day]"
    if kinds == {Kind.FORMATTED}:
        return _formatted_type(timestamp_format or "")
    if kinds and kinds <= {*_INTEGERS, Kind.BIG_INTEGER, Kind.FLOAT, Kind.NOT_FINITE}:
        return _number_type(kinds)
    if Kind.NANOSECONDS in kinds and Kind.FAR in kinds:
        return "string"
    unit = "ns" if Kind.NANOSECONDS in kinds else "us"
    if Kind.LOCAL in kinds and kinds <= {Kind.DATE, Kind.LOCAL, *_TIMES}:
        return f"timestamp[{unit}]"
    if Kind.ZONED in kinds and kinds <= {Kind.ZONED, *_TIMES}:
        return f"timestamp[{unit}, tz=UTC]"
    return "string"


def _number_type(kinds: set[Kind]) -> str:
    if kinds <= _INTEGERS:
        return "int64"
    if kinds <= {*_INTEGERS, Kind.BIG_INTEGER}:
        return "decimal128(38, 0)"
    exact = kinds & {Kind.WIDE_INTEGER, Kind.BIG_INTEGER}
    return "string" if exact or kinds == {Kind.NOT_FINITE} else "double"


def _formatted_type(timestamp_format: str) -> str:
    if not any(directive in timestamp_format for directive in _CLOCK):
        return "date32[day]"
    return "timestamp[us, tz=UTC]" if "%z" in timestamp_format else "timestamp[us]"


def _parses(values: pa.Array, timestamp_format: str) -> bool:
    try:
        pc.strptime(values, format=timestamp_format, unit="us", error_is_null=False)
    except pa.ArrowInvalid:
        return False
    return True


def _all(values: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())


def _any(values: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())


def _integers(values: pa.Array) -> set[Kind]:
    try:
        numbers = values.cast(pa.int64())
    except pa.ArrowInvalid:
        return {Kind.BIG_INTEGER} if _all(values, _INTEGER) else set()
    if not numbers.cast(pa.string()).equals(values):
        return set()  # leading zeros, a plus sign: not the number's own spelling
    extremes = pc.min_max(numbers)
    wide = max(-extremes["min"].as_py(), extremes["max"].as_py()) > _MAX_EXACT_INTEGER
    return {Kind.WIDE_INTEGER} if wide else {Kind.INTEGER}


def _numbers(values: pa.Array) -> set[Kind]:
    special = pc.is_in(values, pa.array(_NOT_FINITE))
    finite = values.filter(pc.invert(special))
    if len(finite) == 0:
        return {Kind.NOT_FINITE}
    if not _all(finite, _NUMBER) or _any(finite, _TOO_MANY_DIGITS):
        return set()
    try:
        numbers = finite.cast(pa.float64())
    except pa.ArrowInvalid:
        return set()
    if not pc.all(pc.is_finite(numbers)).as_py():
        return set()
    found = {Kind.FLOAT}
    if _any(finite, _LONG_INTEGER):
        found.add(Kind.WIDE_INTEGER)
    return found


def _booleans(values: pa.Array) -> set[Kind]:
    known = pc.all(pc.is_in(values, pa.array(_BOOLEANS))).as_py()
    return {Kind.BOOLEAN} if known else set()


def _times(values: pa.Array) -> set[Kind]:
    if _all(values, _ZONED):
        found = {Kind.ZONED}
        type_ = pa.timestamp("us", "UTC")
    elif _all(values, _LOCAL):
        found, type_ = {Kind.LOCAL}, pa.timestamp("us")
    elif _all(values, f"{_DATE}|{_LOCAL}"):
        found = {Kind.DATE, Kind.LOCAL} if _any(values, _LOCAL) else {Kind.DATE}
        type_ = pa.timestamp("us")
    else:
        return set()
    if _any(values, _NANOSECONDS):
        found.add(Kind.NANOSECONDS)
    trimmed = pc.replace_substring_regex(values, r"(\.[0-9]{6})[0-9]+", r"\1")
    try:
        times = trimmed.cast(type_)
    except pa.ArrowInvalid:
        return set()
    years = pc.min_max(pc.year(times))
    if years["min"].as_py() < 1678 or years["max"].as_py() > 2261:
        found.add(Kind.FAR)
    return found if found != {Kind.DATE, Kind.FAR} else {Kind.DATE}
