"""The written forms of scalars: YAML's core schema, durations, sizes, money, times, names.

Each form is one pattern. The models, the JSON Schemas and the parsers here share it, so that
what validates can be parsed.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_INT = re.compile(r"[-+]?[0-9]+\Z")
_RADIX = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+\Z")
_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
NOT_PLAIN_TEXT = frozenset("~nNtTfF+-.0123456789")
_LONGEST_NUMBER = 400


class AmbiguousNumber(ValueError):
    """A plain scalar that is a number, but not one that a manifest can hold."""


def plain(text: str) -> None | bool | int | float | str:
    """Return the value of a plain (unquoted) scalar by the core schema of YAML 1.2.

    Raises:
        AmbiguousNumber: it is infinite, has a leading zero (octal in YAML 1.1), or does not
            fit 64 bits.
    """
    if text and text[0] not in NOT_PLAIN_TEXT:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "nNtTfF~":
        return text
    return _number(text)


def _number(text: str) -> int | float | str:
    if _LEADING_ZERO.match(text):
        raise AmbiguousNumber("it has a leading zero, which readers take as octal or as decimal")
    if _INT.match(text):
        return _bounded(text, 10)
    if text[0] == "0" and _RADIX.match(text):
        return _bounded(text[2:], 8 if text[1] == "o" else 16)
    if _NOT_FINITE.match(text):
        raise AmbiguousNumber("it is not a finite number")
    if _FLOAT.match(text):
        value = float(text) if len(text) <= _LONGEST_NUMBER else float("inf")
        if value in (float("inf"), float("-inf")):
            raise AmbiguousNumber("it is beyond the range of a number")
        return value
    return text


def _bounded(digits: str, base: int) -> int:
    # The length is checked first: turning digits into an integer takes quadratic time.
    value = int(digits, base) if len(digits) <= 24 else INT64_MAX + 1
    if not INT64_MIN <= value <= INT64_MAX:
        raise AmbiguousNumber("it does not fit a 64-bit integer")
    return value


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of text is written: an anchored pattern, its name, and examples."""

    name: str
    pattern: str
    examples: str


DURATION = Form("a duration", r"^[0-9]{1,9}[smhdw]$", "`15m`, `24h`, `30d`")
SIZE = Form("a size", r"^[0-9]{1,12}(Ki|Mi|Gi|Ti|Pi)$", "`512Mi`, `5Ti`, or a number of bytes")
MONEY = Form("an amount of money", r"^[0-9]{1,12}(\.[0-9]{1,9})? [A-Z]{3}$", '`"20.00 USD"`')
NAME = Form(
    "a name",
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    "`orders`, `sales-eu`: lower-case letters, digits and inner hyphens, at most 63",
)
FRESHNESS = Form(
    "a duration or a cron line",
    r"^([0-9]{1,9}[smhdw]|([0-9A-Za-z*/,\-]{1,40} ){4}[0-9A-Za-z*/,\-]{1,40})$",
    '`24h` or `"0 6 * * 1"`',
)
REFERENCE = Form(
    "a reference to a secret",
    r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:[^/]+/.+|profile:.+|command:.+)$",
    "`env:NAME`, `file:PATH`, `keyring:SERVICE/NAME`, `profile:NAME` or `command:…`",
)
HOST = Form(
    "a host name",
    r"^((\*\.)?[A-Za-z0-9]([A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?\.?"
    r"|\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,40})$",
    "`api.example.test` or `*.example.test`; of an endpoint in the house, its address as well, "
    '`"[fd00::5]"` for IPv6',
)
CIDR = Form("an address range", r"^[0-9a-fA-F.:]{2,45}/[0-9]{1,3}$", "`10.0.0.0/8`")
VARIABLE = Form("a variable's name", r"^[A-Za-z_][A-Za-z0-9_]{0,62}$", "`region`")
VERSIONS = Form(
    "a version requirement",
    r"^(==|!=|>=|<=|>|<)[0-9]{1,6}(\.[0-9]{1,6}){0,2}"
    r"(, ?(==|!=|>=|<=|>|<)[0-9]{1,6}(\.[0-9]{1,6}){0,2}){0,7}$",
    '`">=1.0"` or `">=1.0, <2"`',
)

FORMS = {
    form.pattern: form
    for form in (
        DURATION, SIZE, MONEY, NAME, FRESHNESS, REFERENCE, HOST, CIDR, VARIABLE, VERSIONS
    )
}  # fmt: skip

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


def duration_s(text: str) -> int:
    """Return the seconds of a duration that fits `DURATION`."""
    return int(text[:-1]) * _SECONDS[text[-1]]


def size_bytes(value: int | str) -> int:
    """Return the bytes of a size that fits `SIZE`, or of a bare number."""
    return value if isinstance(value, int) else int(value[:-2]) * _BYTES[value[-2:]]


def money(text: str) -> tuple[Decimal, str]:
    """Return amount and currency of a text that fits `MONEY`."""
    amount, _, currency = text.partition(" ")
    return Decimal(amount), currency


_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[-+]\d\d:\d\d)\Z", re.ASCII
)


def instant(text: str) -> datetime | None:
    """Return the UTC time that an RFC 3339 text spells, to the microsecond; None for others."""
    if not (match := _RFC3339.match(text)):
        return None
    seconds, fraction, zone = text[:19], (match[1] or ".0")[1:7].ljust(6, "0"), match[2]
    try:
        moment = datetime.fromisoformat(f"{seconds}.{fraction}{'+00:00' if zone in 'Zz' else zone}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def satisfies(version: str, requirement: str) -> bool:
    """Return whether a dotted version meets every part of a text that fits `VERSIONS`."""
    have = _numbers(version)
    for part in requirement.split(","):
        operator, wanted = re.split(r"(?<=[=<>])(?=[0-9])", part.strip(), maxsplit=1)
        want = _numbers(wanted)
        order = (have > want) - (have < want)
        if order not in _ORDERS[operator]:
            return False
    return True


_ORDERS: dict[str, tuple[int, ...]] = {
    "==": (0,),
    "!=": (-1, 1),
    ">=": (0, 1),
    "<=": (-1, 0),
    ">": (1,),
    "<": (-1,),
}


def _numbers(version: str) -> tuple[int, int, int]:
    found = [int(n) for n in re.findall(r"[0-9]+", version)[:3]] + [0, 0, 0]
    return found[0], found[1], found[2]
