"""Arrow types sorted into families, with the measures that decide whether values survive.

A family is what the rules of `schema_rules` speak of: `int`, `uint`, `float`, `decimal`,
`string`, `binary`, `date`, `time`, `timestamp`, `duration`, `list`, `struct`, `map`, … Two
layouts of the same values (`string` and `large_string`, a dictionary and its values) are one
family, because drivers choose between them by themselves.
"""

from dataclasses import dataclass

from batuta.model.arrow_names import ArrowType, parse_type
from batuta.model.table import Column

_BITS = (8, 16, 32, 64)
_NAMES = {
    **{f"int{bits}": "int" for bits in _BITS},
    **{f"uint{bits}": "uint" for bits in _BITS},
    "halffloat": "float",
    "float": "float",
    "double": "float",
    **{f"decimal{bits}": "decimal" for bits in (32, 64, 128, 256)},
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "binary": "binary",
    "large_binary": "binary",
    "binary_view": "binary",
    "date32": "date",
    "date64": "date",
    "time32": "time",
    "time64": "time",
    "list": "list",
    "large_list": "list",
    "list_view": "list",
    "large_list_view": "list",
    "fixed_size_list": "fixed_list",
    "fixed_size_binary": "fixed_binary",
}
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
_MANTISSA = {"halffloat": 11, "float": 24, "double": 53}
_UNITS = ("s", "ms", "us", "ns")


@dataclass(frozen=True, slots=True)
class Kind:
    """One type as the rules see it; dictionaries and run ends are replaced by their values."""

    family: str
    type: ArrowType
    text: str

    @property
    def bits(self) -> int:
        """Width of an integer in bits; 0 for other families."""
        return int(self.type.name.removeprefix("u").removeprefix("int")) if self._is_int else 0

    @property
    def digits(self) -> int:
        """Decimal digits that an integer of this width may need; 20 for `uint64`."""
        return 20 if self.type.name == "uint64" else _DIGITS.get(self.bits, 0)

    @property
    def mantissa(self) -> int:
        """Bits of a float's significand: integers of up to that many bits are exact."""
        return _MANTISSA.get(self.type.name, 0)

    @property
    def precision(self) -> int:
        """All digits of a decimal."""
        return int(self.type.params[0]) if self.family == "decimal" else 0

    @property
    def scale(self) -> int:
        """Digits of a decimal behind the point."""
        return int(self.type.params[1]) if self.family == "decimal" else 0

    @property
    def unit(self) -> int:
        """How fine a time is: 0 for seconds, 3 for nanoseconds; -1 where there is no unit."""
        unit = self.type.params[0] if self.type.params else ""
        return _UNITS.index(str(unit)) if unit in _UNITS else -1

    @property
    def zone(self) -> str | None:
        """The time zone of a timestamp, None where it has none."""
        has = self.type.name == "timestamp" and len(self.type.params) > 1
        return str(self.type.params[1]) if has else None

    @property
    def size(self) -> int:
        """Length of a fixed list or a fixed binary; 0 for others."""
        fixed = self.family in {"fixed_list", "fixed_binary"}
        return int(self.type.params[0]) if fixed else 0

    @property
    def _is_int(self) -> bool:
        return self.family in {"int", "uint"}


def kind_of(text: str) -> Kind:
    """Return the kind of a type's spelling.

    A spelling that cannot be parsed (a type of a later version) is a family of its own, so
    that it equals itself and nothing else.
    """
    try:
        parsed = parse_type(text)
    except ValueError:
        return Kind(text, ArrowType(text), text)
    if parsed.name in {"dictionary", "run_end_encoded"}:
        return kind_of(parsed.fields[1].type)
    return Kind(_NAMES.get(parsed.name, parsed.name), parsed, text)


def children(kind: Kind) -> tuple[Column, ...]:
    """Return the nested columns of a list, struct or map; empty for flat types."""
    return kind.type.fields
