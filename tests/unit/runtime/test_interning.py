"""Values share what they have in common, and stay what they are."""

from dataclasses import dataclass

import msgspec

from batuta.model.log import Label
from batuta.model.table import Column, TableSchema
from batuta.model.tier import Tier
from batuta.runtime.interning import Interner


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Of everything that is kept of a dataset, one."""

    name: str
    schema: TableSchema | None = None
    label: Label | None = None
    numbers: tuple[int | bool, ...] = ()
    options: tuple[tuple[str, object], ...] = ()


THING = Thing(
    name="a" * 40,
    schema=TableSchema((Column("id", "int64"), Column("name", "string", nullable=False))),
    label=Label(confidentiality="Standard", integrity="Standard"),
    numbers=(1, 2, 3),
    options=(("header", True), ("nested", {"a": [1]})),
)


def decoded(thing: Thing) -> Thing:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(thing), type=Thing)


def test_what_was_decoded_twice_is_there_once() -> None:
    interner = Interner()
    one, other = interner.of(decoded(THING)), interner.of(decoded(THING))

    assert one == other == THING
    assert one.name is other.name
    assert one.schema is other.schema
    assert one.label is other.label
    assert one.label is not None
    assert one.label.confidentiality is one.label.integrity


def test_values_that_are_equal_and_of_another_type_stay_apart() -> None:
    interner = Interner()
    interner.of(Thing(name="Standard", numbers=(1,), options=(("tier", Tier.STANDARD),)))
    other = interner.of(Thing(name="b", numbers=(True,), options=(("tier", "Standard"),)))

    assert repr(other.numbers) == "(True,)"
    assert repr(other.options) == "(('tier', 'Standard'),)"
    assert interner.of(Tier.STANDARD) is Tier.STANDARD


def test_what_is_remembered_is_bounded() -> None:
    interner = Interner()
    for number in range(20_000):
        interner.of(Thing(name=f"thing {number}"))

    assert len(interner._known) < 5_000
