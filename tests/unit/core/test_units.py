"""What stays, what is read and what goes when units of a source change."""

from batuta.core.units import is_tied, reconcile
from batuta.model.log import Part
from batuta.model.observed import Unit
from batuta.model.resource import OnSourceDelete
from tests.unit.core.build import part, ref, unit

REMOVE, KEEP = OnSourceDelete.REMOVE, OnSourceDelete.KEEP


def _names(found: tuple[Part, ...] | tuple[Unit, ...]) -> list[str]:
    return [each.path if isinstance(each, Part) else each.key for each in found]


def test_equal_sides_keep_everything_and_read_nothing() -> None:
    found = reconcile([part("1", ["a@1"])], [unit("a@1")], REMOVE)
    assert (len(found.keep), found.read, found.remove) == (1, (), ())


def test_a_unit_that_lies_in_several_parts_goes_and_comes_as_a_whole() -> None:
    parts = [part("1", ["a@1", "b@1"]), part("2", ["b@1"]), part("3", ["c@1"])]
    found = reconcile(parts, [unit("a@2"), unit("b@1"), unit("c@1")], REMOVE)
    assert _names(found.keep) == ["part-3.parquet"]
    assert _names(found.read) == ["a", "b"]


def test_what_must_be_read_again_pulls_along_a_whole_chain_of_parts() -> None:
    parts = [part("1", ["a@1", "b@1"]), part("2", ["b@1", "c@1"]), part("3", ["c@1", "d@1"])]
    found = reconcile(parts, [unit("a@2"), unit("b@1"), unit("c@1"), unit("d@1")], REMOVE)
    assert found.keep == ()
    assert _names(found.read) == ["a", "b", "c", "d"]


def test_a_part_without_units_is_replaced() -> None:
    found = reconcile([part("1", [])], [unit("a@1")], REMOVE)
    assert (len(found.keep), len(found.read), len(found.remove)) == (0, 1, 1)
    assert not is_tied([part("1", [])])


def test_a_part_whose_units_are_all_gone_vanishes() -> None:
    found = reconcile([part("1", ["a@1"]), part("2", ["b@1"])], [unit("b@2")], REMOVE)
    assert _names(found.vanished) == ["part-1.parquet"]
    assert len(found.remove) == 2


def test_kept_deletes_stay_in_their_own_parts() -> None:
    found = reconcile([part("1", ["a@1"]), part("2", ["b@1"])], [unit("b@2")], KEEP)
    assert _names(found.keep) == ["part-1.parquet"]
    assert found.lost == ()


def test_kept_deletes_beside_changed_rows_are_named_as_lost() -> None:
    found = reconcile([part("1", ["a@1", "b@1"])], [unit("b@2")], KEEP)
    assert found.lost == (ref("a@1"),)
    assert _names(found.read) == ["b"]


def test_a_unit_with_no_rows_is_no_trouble() -> None:
    found = reconcile([], [unit("a@1", rows=0)], REMOVE)
    assert _names(found.read) == ["a"]
