"""The diff tells, three-way, what moved and who moved it, in a fixed order."""

from dataclasses import replace

import pytest

from batuta.core.diff import diff, diff_schema, patch
from batuta.model.change import FieldChange
from batuta.model.diagnostic import Location
from batuta.model.log import Facts
from tests.unit.core.build import schema

PLACE = (Location("orders.yaml", 7, 3),)
FACTS = Facts(
    source="data/orders",
    source_version="7",
    schema=schema({"id": "int64", "amount": "double"}),
    format="ald",
    mode="Snapshot",
    settings=(("layout", "A"),),
    tier="PrivateCloud",
    tier_derived=True,
)


def written(path: str) -> tuple[Location, ...]:
    return () if path == "source_version" else PLACE


def only(wanted: Facts, live: Facts, recorded: Facts | None) -> FieldChange:
    (found,) = diff(wanted, live, recorded, written)
    assert isinstance(found, FieldChange)
    return found


@pytest.mark.parametrize(
    ("recorded", "live", "wanted", "reason"),
    [
        ("a", "a", "b", "intent"),
        ("a", "b", "a", "drift"),
        ("a", "b", "c", "both"),
        (None, "a", "b", "intent"),
    ],
)
def test_a_field_names_who_moved_it(
    recorded: str | None, live: str, wanted: str, reason: str
) -> None:
    known = replace(FACTS, history=recorded) if recorded is not None else None
    found = only(replace(FACTS, history=wanted), replace(FACTS, history=live), known)
    assert (found.path, found.reason, found.locations) == ("history", reason, PLACE)
    assert (found.recorded, found.live, found.wanted) == (recorded or live, live, wanted)


def test_a_version_that_nobody_pinned_was_moved_by_the_source() -> None:
    assert only(replace(FACTS, source_version="8"), FACTS, FACTS).reason == "source"


def test_settings_are_compared_one_by_one() -> None:
    wanted = replace(FACTS, settings=(("compression", "zstd"),))
    added, gone = diff(wanted, FACTS, None, written)
    assert isinstance(added, FieldChange)
    assert isinstance(gone, FieldChange)
    assert (added.path, added.live, added.wanted) == ("settings.compression", None, "zstd")
    assert (gone.path, gone.live, gone.wanted) == ("settings.layout", "A", None)


def test_what_is_made_from_nothing_has_no_changes() -> None:
    assert diff(FACTS, None, None, written) == ()


def test_a_table_that_becomes_files_is_one_change() -> None:
    files = replace(FACTS, schema=None)
    assert only(files, FACTS, None).path == "schema"
    assert patch(files, diff(FACTS, files, None, written)) == FACTS


def test_columns_come_in_wanted_order_and_drops_last() -> None:
    live = schema({"gone": "int64", "id": "int32"})
    wanted = schema({"new": "string", "id": "int64"})
    found = [(c.change.kind, c.schema_class.value) for c in diff_schema(wanted, live)]
    assert found == [
        ("add-column", "additive"),
        ("alter-column", "widening"),
        ("drop-column", "breaking"),
    ]
    assert all(change.why for change in diff_schema(wanted, live))
