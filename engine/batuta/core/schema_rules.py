"""Which schema differences are safe: the table, and the walk over nested types that uses it.

Each rule names two families and a condition. The first rule that holds decides; where none
does, the change is breaking, because nothing says that the values survive. `keeps` tells
whether every value of the old type has an equal in the new one; a change may keep all values
and break its readers all the same (a number that becomes text).
"""

from collections.abc import Callable
from dataclasses import dataclass

from batuta.core.types import Kind, children, kind_of
from batuta.model.change import AddColumn, AlterColumn, ColumnChange, DropColumn, SchemaClass
from batuta.model.table import Column

ADDITIVE, WIDENING = SchemaClass.ADDITIVE, SchemaClass.WIDENING
BREAKING, SEMANTIC = SchemaClass.BREAKING, SchemaClass.SEMANTIC
_WORSE = (ADDITIVE, WIDENING, SEMANTIC, BREAKING)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The class of a difference, whether all values survive it, and why."""

    schema_class: SchemaClass
    keeps: bool
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """From family to family, under a named condition. `*` stands for any family."""

    before: str
    after: str
    when: str
    schema_class: SchemaClass
    keeps: bool
    why: str


CONDITIONS: dict[str, Callable[[Kind, Kind], bool]] = {
    "always": lambda _b, _a: True,
    "same width": lambda b, a: b.bits == a.bits,
    "wider": lambda b, a: a.bits > b.bits,
    "exact": lambda b, a: b.bits <= a.mantissa,
    "wider float": lambda b, a: a.mantissa >= b.mantissa,
    "digits fit": lambda b, a: a.precision - a.scale >= b.digits and a.scale >= 0,
    "decimal fits": lambda b, a: a.scale >= b.scale and a.precision - a.scale >= b.precision - b.scale,
    "nanoseconds": lambda b, a: a.unit == 3 > b.unit,
    "nanoseconds without a zone": lambda _b, a: a.unit == 3 and a.zone is None,
    "no zone": lambda _b, a: a.zone is None,
    "other zone, finer or equal": lambda b, a: b.zone != a.zone and a.unit >= b.unit,
    "finer or equal": lambda b, a: a.unit >= b.unit,
    "same size": lambda b, a: b.size == a.size,
}  # fmt: skip

RULES: tuple[Rule, ...] = (
    Rule("null", "*", "always", WIDENING, True, "a column of nulls takes any type"),
    Rule("int", "int", "same width", WIDENING, True, "the same values in another layout"),
    Rule("uint", "uint", "same width", WIDENING, True, "the same values in another layout"),
    Rule("int", "int", "wider", WIDENING, True, "every value fits the wider integer"),
    Rule("uint", "uint", "wider", WIDENING, True, "every value fits the wider integer"),
    Rule("uint", "int", "wider", WIDENING, True, "every value fits the wider signed integer"),
    Rule("int", "int", "always", BREAKING, False, "values may not fit the narrower integer"),
    Rule("uint", "uint", "always", BREAKING, False, "values may not fit the narrower integer"),
    Rule("uint", "int", "always", BREAKING, False, "large values do not fit the signed integer"),
    Rule("int", "uint", "always", BREAKING, False, "negative values have no unsigned equal"),
    Rule("int", "float", "exact", SEMANTIC, True,
         "every value is exact, but an integer becomes a floating-point number"),
    Rule("uint", "float", "exact", SEMANTIC, True,
         "every value is exact, but an integer becomes a floating-point number"),
    Rule("int", "float", "always", BREAKING, False,
         "integers with more bits than the significand are rounded"),
    Rule("uint", "float", "always", BREAKING, False,
         "integers with more bits than the significand are rounded"),
    Rule("int", "decimal", "digits fit", WIDENING, True, "all digits of the integer fit"),
    Rule("uint", "decimal", "digits fit", WIDENING, True, "all digits of the integer fit"),
    Rule("int", "decimal", "always", BREAKING, False, "the decimal has too few digits"),
    Rule("uint", "decimal", "always", BREAKING, False, "the decimal has too few digits"),
    Rule("float", "float", "wider float", WIDENING, True, "every value fits the wider float"),
    Rule("float", "float", "always", BREAKING, False, "the narrower float rounds"),
    Rule("decimal", "decimal", "decimal fits", WIDENING, True,
         "no digit is lost on either side of the point"),
    Rule("decimal", "decimal", "always", BREAKING, False,
         "digits may be lost before or behind the point"),
    Rule("decimal", "float", "always", BREAKING, False,
         "a floating-point number cannot hold every decimal; amounts are rounded"),
    Rule("int", "string", "always", BREAKING, True, "a number becomes text; readers break"),
    Rule("uint", "string", "always", BREAKING, True, "a number becomes text; readers break"),
    Rule("float", "string", "always", BREAKING, True, "a number becomes text; readers break"),
    Rule("decimal", "string", "always", BREAKING, True, "a number becomes text; readers break"),
    Rule("string", "string", "always", WIDENING, True, "the same text in another layout"),
    Rule("binary", "binary", "always", WIDENING, True, "the same bytes in another layout"),
    Rule("fixed_binary", "binary", "always", WIDENING, True, "the length is no longer fixed"),
    Rule("fixed_binary", "fixed_binary", "same size", WIDENING, True, "the same bytes"),
    Rule("string", "binary", "always", BREAKING, True, "text becomes bytes without an encoding"),
    Rule("binary", "string", "always", BREAKING, False, "bytes need not be valid text"),
    Rule("date", "date", "always", WIDENING, True, "the same days in another layout"),
    Rule("date", "timestamp", "nanoseconds without a zone", BREAKING, False,
         "nanoseconds only reach from 1677 to 2262"),
    Rule("date", "timestamp", "no zone", WIDENING, True,
         "a day becomes its midnight; the time of day says nothing"),
    Rule("date", "timestamp", "always", SEMANTIC, False,
         "a day becomes an instant in a zone; in other zones it is another day"),
    Rule("timestamp", "timestamp", "nanoseconds", BREAKING, False,
         "nanoseconds only reach from 1677 to 2262"),
    Rule("timestamp", "timestamp", "other zone, finer or equal", SEMANTIC, False,
         "the bytes stay and their meaning changes: with a zone it is an instant, without one"
         " a clock on a wall"),
    Rule("timestamp", "timestamp", "finer or equal", WIDENING, True, "the finer unit holds it"),
    Rule("timestamp", "timestamp", "always", BREAKING, False, "fractions of a second are cut"),
    Rule("time", "time", "finer or equal", WIDENING, True, "the finer unit holds it"),
    Rule("time", "time", "always", BREAKING, False, "fractions of a second are cut"),
    Rule("duration", "duration", "nanoseconds", BREAKING, False,
         "nanoseconds only reach 292 years"),
    Rule("duration", "duration", "finer or equal", WIDENING, True, "the finer unit holds it"),
    Rule("duration", "duration", "always", BREAKING, False, "fractions of a second are cut"),
    Rule("fixed_list", "list", "always", WIDENING, True, "the length is no longer fixed"),
    Rule("list", "list", "always", WIDENING, True, "the same lists in another layout"),
    Rule("fixed_list", "fixed_list", "same size", WIDENING, True, "the same lists"),
    Rule("map", "map", "always", WIDENING, True, "the same entries"),
    Rule("struct", "struct", "always", WIDENING, True, "the same fields"),
)  # fmt: skip

_BY_PAIR: dict[tuple[str, str], list[Rule]] = {}
for _rule in RULES:
    _BY_PAIR.setdefault((_rule.before, _rule.after), []).append(_rule)


def classify(change: ColumnChange) -> Verdict:
    """Return the class of one column difference, nested types included."""
    match change:
        case AddColumn(column):
            if column.nullable:
                return Verdict(ADDITIVE, True, "an optional column is new")
            return Verdict(BREAKING, True, "a required column is new and has no default")
        case DropColumn():
            return Verdict(BREAKING, False, "the column is gone; a rename looks the same")
        case AlterColumn(before, after):
            return _alter(before, after)


def classify_type(before: str, after: str) -> Verdict:
    """Return the class of a change between two type spellings.

    Spellings that mean the same type are widening and say so; equal ones should not be asked.
    """
    old, new = kind_of(before), kind_of(after)
    rule = _rule_for(old, new)
    if rule is None:
        return Verdict(BREAKING, False, f"nothing says that {before} survives as {after}")
    own = Verdict(rule.schema_class, rule.keeps, rule.why)
    if old.family not in {"list", "fixed_list", "struct", "map"}:
        return own
    nested = _nested(old, new)
    # The rule of the outer type says nothing of its own where only a child differs.
    return _worst(nested if nested and old.family == new.family else [own, *nested])


def _rule_for(old: Kind, new: Kind) -> Rule | None:
    for pair in ((old.family, new.family), (old.family, "*")):
        for rule in _BY_PAIR.get(pair, ()):
            if CONDITIONS[rule.when](old, new):
                return rule
    if old.type == new.type:
        return Rule(old.family, new.family, "always", WIDENING, True, "the same type")
    return None


def _alter(before: Column, after: Column) -> Verdict:
    found: list[Verdict] = []
    if before.type != after.type:
        found.append(classify_type(before.type, after.type))
    if before.nullable and not after.nullable:
        found.append(Verdict(BREAKING, False, "values that are null are no longer allowed"))
    elif after.nullable and not before.nullable:
        found.append(Verdict(WIDENING, True, "the column may be null now"))
    return _worst(found)


def _nested(old: Kind, new: Kind) -> list[Verdict]:
    if old.family == "struct":
        return _fields(children(old), children(new))
    if old.family == "map":
        return _entries(children(old), children(new))
    item_before, item_after = children(old)[0], children(new)[0]
    return [] if item_before == item_after else [_within("item", _alter(item_before, item_after))]


def _fields(before: tuple[Column, ...], after: tuple[Column, ...]) -> list[Verdict]:
    old = {column.name: column for column in before}
    names = {column.name for column in after}
    found = [_within(c.name, classify(DropColumn(c))) for c in before if c.name not in names]
    for column in after:
        current = old.get(column.name)
        if current is None:
            found.append(_within(column.name, classify(AddColumn(column))))
        elif current != column:
            found.append(_within(column.name, _alter(current, column)))
    return found


def _entries(before: tuple[Column, ...], after: tuple[Column, ...]) -> list[Verdict]:
    found: list[Verdict] = []
    if before[0].type != after[0].type:
        key = classify_type(before[0].type, after[0].type)
        found.append(Verdict(BREAKING, key.keeps, "keys of a map have another type"))
    if before[1] != after[1]:
        found.append(_within("value", _alter(before[1], after[1])))
    return found


def _within(name: str, verdict: Verdict) -> Verdict:
    return Verdict(verdict.schema_class, verdict.keeps, f"in {name}: {verdict.why}")


def _worst(found: list[Verdict]) -> Verdict:
    if not found:
        return Verdict(WIDENING, True, "the same type in another spelling")
    # A later finding of the same class is the nested one, which says more.
    worst = max(reversed(found), key=lambda verdict: _WORSE.index(verdict.schema_class))
    return Verdict(worst.schema_class, all(v.keeps for v in found), worst.why)


def worst_class(classes: list[SchemaClass]) -> SchemaClass | None:
    """Return the class that asks for most care; None for an empty list."""
    return max(classes, key=_WORSE.index, default=None)
