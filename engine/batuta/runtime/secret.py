"""A secret value in memory: shown, copied, stored and compared by nobody; used on purpose only.

Every live one is known here, so that a report about a crash can be cleared of all of them.
"""

import base64
import hmac
import weakref
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import quote, quote_plus

_LEAST = 6
"""Shorter values (`1`, `on`) are no secrets, and taking them out would garble a report."""

_live: "weakref.WeakSet[Secret]" = weakref.WeakSet()


class Secret:
    """One value. `use` is the only way to it; everything that could spill it refuses."""

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        _live.add(self)

    def use(self) -> str:
        """Return the value, for handing it to what authenticates and to nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = object.__hash__

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not to be stored or sent")

    def __copy__(self) -> NoReturn:
        raise TypeError("a secret is not to be copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("a secret is not to be copied")


def live_spellings() -> tuple[str, ...]:
    """Return every live secret in each spelling it may be printed in, longest first.

    As it is, in base64 (plain and for URLs, also within a longer text such as `user:secret`),
    percent-encoded, as `repr` escapes it, and each of its lines.
    """
    found: set[str] = set()
    for secret in list(_live):
        value = secret.use()
        if len(value) < _LEAST:
            continue
        raw = value.encode()
        found |= {value, repr(value)[1:-1], *value.splitlines()}
        found |= {quote(value, safe=""), quote(value), quote_plus(value), quote_plus(value, "/")}
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found |= {_within(encode, raw, before) for before in range(3)}
    long = (text for text in found if len(text) >= _LEAST)
    return tuple(sorted(long, key=lambda text: (-len(text), text)))


def _within(encode: Callable[[bytes], bytes], raw: bytes, before: int) -> str:
    """The digits that depend on the secret alone, with so many bytes (modulo 3) before it."""
    text = encode(b"\0" * before + raw).decode().rstrip("=")
    end = -1 if (before + len(raw)) % 3 else None
    return text[(0, 2, 3)[before] : end]
