"""Laws of labels: the lattice, its order and what places admit."""

from dataclasses import replace
from functools import reduce
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from batuta.core.labels.flows import (
    Choice,
    Conflict,
    Denial,
    Input,
    Place,
    admits,
    conflict,
    ingested,
    merged,
    refusals,
    settled,
)
from batuta.core.labels.lattice import (
    ALL,
    BOTTOM,
    NONE,
    TOP,
    Label,
    Names,
    flows,
    join,
    joined,
    meet,
    of_record,
    to_record,
)
from batuta.model.tier import Tier

NAMES = st.one_of(
    st.just(ALL), st.just(NONE), st.frozensets(st.sampled_from("abc"), max_size=3).map(Names)
)
LABEL = st.builds(
    Label,
    confidentiality=st.sampled_from(Tier),
    integrity=st.sampled_from(Tier),
    regions=NAMES,
    owners=NAMES,
)
PLACE = st.builds(
    Place,
    tier=st.sampled_from(Tier),
    region=st.sampled_from([None, "a", "b"]),
    strict=st.booleans(),
)


@given(LABEL, LABEL, LABEL)
def test_flows_is_an_order(a: Label, b: Label, c: Label) -> None:
    assert flows(a, a)
    if flows(a, b) and flows(b, a):
        assert a == b
    if flows(a, b) and flows(b, c):
        assert flows(a, c)


@given(LABEL, LABEL, LABEL)
def test_join_and_meet_are_those_of_a_lattice(a: Label, b: Label, c: Label) -> None:
    for op in (join, meet):
        assert op(a, a) == a
        assert op(a, b) == op(b, a)
        assert op(a, op(b, c)) == op(op(a, b), c)
    assert join(a, meet(a, b)) == a
    assert meet(a, join(a, b)) == a
    assert flows(a, b) == (join(a, b) == b) == (meet(a, b) == a)


@given(LABEL, LABEL, LABEL)
def test_a_join_is_the_least_of_what_both_flow_to_and_a_meet_the_greatest_that_flows_to_both(
    a: Label, b: Label, c: Label
) -> None:
    assert flows(a, join(a, b))
    assert flows(meet(a, b), a)
    if flows(a, c) and flows(b, c):
        assert flows(join(a, b), c)
    if flows(c, a) and flows(c, b):
        assert flows(c, meet(a, b))


@given(LABEL)
def test_top_and_bottom_bound_every_label(a: Label) -> None:
    assert flows(BOTTOM, a)
    assert flows(a, TOP)
    assert join(a, BOTTOM) == a == meet(a, TOP)
    assert join(a, TOP) == TOP
    assert meet(a, BOTTOM) == BOTTOM


@given(PLACE)
def test_no_place_admits_the_top_and_every_place_the_bottom(place: Place) -> None:
    assert not admits(place, TOP)
    assert admits(place, BOTTOM)


@given(PLACE, LABEL, LABEL)
def test_a_place_that_refuses_data_refuses_all_that_it_flows_into(
    place: Place, a: Label, b: Label
) -> None:
    if flows(a, b):
        assert set(refusals(place, a)) <= set(refusals(place, b))


@given(PLACE, st.lists(LABEL, min_size=1, max_size=4))
def test_a_place_that_refuses_an_input_refuses_every_merge_that_holds_it(
    place: Place, labels: list[Label]
) -> None:
    whole = merged(Input(str(i), label) for i, label in enumerate(labels))
    for label in labels:
        if not admits(place, label):
            assert not admits(place, whole)


@given(st.lists(LABEL, max_size=4))
def test_the_order_of_a_merge_does_not_matter(labels: list[Label]) -> None:
    found = {joined(order) for order in permutations(labels)}
    assert found == {reduce(join, labels, BOTTOM)}
    assert joined([*labels, *labels]) == joined(labels)


@given(st.lists(LABEL, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_no_sequence_of_merges_lowers_secrecy_or_raises_trust(
    labels: list[Label], keep: list[bool]
) -> None:
    result = BOTTOM
    for label, taken in zip(labels, keep, strict=False):
        before = result
        result = join(result, label) if taken else join(label, result)
        assert flows(before, result)
        assert flows(label, result)


@given(st.lists(st.one_of(LABEL, st.just("broken")), max_size=4))
def test_what_is_believed_is_never_weaker_than_anything_found(found: list[Label]) -> None:
    believed = settled(found)
    for each in found:
        if isinstance(each, Label):
            assert flows(each, believed)
    assert set(found) == {believed} or believed == TOP


@given(st.sampled_from(Tier), st.sampled_from(Tier), st.booleans())
def test_a_place_of_the_data_s_own_tier_admits_it(tier: Tier, other: Tier, strict: bool) -> None:
    assert admits(Place(tier=tier, strict=strict), ingested(tier))
    if not admits(Place(tier=other), ingested(tier)):
        assert not admits(Place(tier=other, strict=True), ingested(tier))


@given(LABEL)
def test_a_record_says_all_of_a_label_but_its_owners(label: Label) -> None:
    record = to_record(label, declared=False)
    if record is None:
        assert label.regions == NONE
    else:
        assert of_record(record) == replace(label, owners=NONE)


def _after(
    target: Place, inputs: list[Input], found: Conflict, choice: Choice
) -> tuple[Place, Label]:
    """Return the place and the label once the choice was carried out in full."""
    way = next(w for w in found.ways if w.choice is choice)
    assert way.to is not None
    place, changed = target, []
    for each in inputs:
        label = each.label
        if each.name in way.inputs:
            match choice:
                case Choice.DECLASSIFY:
                    label = replace(label, confidentiality=way.to)
                case Choice.ENDORSE:
                    label = replace(label, integrity=way.to)
                case _:
                    label = ingested(way.to)
        changed.append(Input(each.name, label))
    if choice is Choice.DECLASSIFY and way.to.rank > target.tier.rank:
        place = replace(target, tier=way.to)
    return place, merged(changed)


@given(PLACE, st.lists(LABEL, min_size=1, max_size=3))
def test_every_way_out_of_a_conflict_leads_out(target: Place, labels: list[Label]) -> None:
    inputs = [Input(str(i), label) for i, label in enumerate(labels)]
    found = conflict(target, inputs)
    assert (found is None) == admits(target, merged(inputs))
    if found is None:
        return
    assert found.ways[-1].choice is Choice.QUIT
    outside = Denial.RESIDENCY in found.denials
    for way in found.ways[:-1]:
        place, label = _after(target, inputs, found, way.choice)
        left = set(refusals(place, label))
        # Inputs that are fine alone may still share no region; no choice about tiers mends that.
        assert left <= ({Denial.RESIDENCY} if outside else set())
