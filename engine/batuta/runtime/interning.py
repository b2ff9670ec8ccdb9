"""One copy of what many values have in common.

What is decoded from a worker's answer, a log or the state is new in every part, down to the name
of the format: of ten thousand datasets most of it is the same text ten thousand times.
"""

from typing import Any, TypeVar

T = TypeVar("T")

_MOST = 4096


class Interner:
    """Interns the parts of values: equal ones are kept once. For frozen values that nobody has yet.

    It remembers so many parts and then begins anew: what all have in common is soon met again.
    """

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def of(self, value: T) -> T:
        """Return a value that equals `value`; texts, tuples and dataclasses in it are interned."""
        if len(self._known) > _MOST:
            self._known = {}
        return self._interned(value)  # type: ignore[no-any-return]  # of the type that came in

    def _interned(self, value: Any) -> Any:
        kind = type(value)
        if kind is str or kind is int:
            return self._known.setdefault((kind, value), value)
        # Named by the very parts that it has: by value, `(1,)` and `(True,)` would be one.
        parts: list[int] = []
        if kind is tuple:
            value = tuple([self._interned(each) for each in value])
            parts = [id(each) for each in value]
        elif (fields := getattr(kind, "__dataclass_fields__", None)) is not None:
            for name in fields:
                inner = getattr(value, name)
                kept = self._interned(inner)
                if kept is not inner:
                    object.__setattr__(value, name, kept)
                parts.append(id(kept))
        else:
            return value
        return self._known.setdefault((kind, *parts), value)
