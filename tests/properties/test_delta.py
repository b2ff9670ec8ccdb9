"""Laws of the Delta source, over tables that grew by random commits."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.connectors import delta_tables as tables
from tests.unit.connectors.delta_tables import observe, read
from tests.unit.connectors.test_delta_changes import keyed, merged

PARTS = [None, "a b", "50%", "ü/é", "x=y"]
keys = st.lists(st.integers(0, 12), min_size=1, max_size=4, unique=True)
commits = st.one_of(
    st.tuples(st.just("append"), keys, st.sampled_from(PARTS)),
    st.tuples(st.just("overwrite"), keys, st.sampled_from(PARTS)),
    st.tuples(st.just("delete"), st.integers(0, 12), st.none()),
    st.tuples(st.just("update"), st.integers(0, 12), st.none()),
    st.tuples(st.just("merge"), keys, st.sampled_from(PARTS)),
    st.tuples(st.just("optimize"), st.none(), st.none()),
    st.tuples(st.just("property"), st.integers(1, 9), st.none()),
    st.tuples(st.just("checkpoint"), st.none(), st.none()),
)
histories = st.lists(commits, min_size=1, max_size=5)


def rows_of(ids: list[int], part: str | None) -> pa.Table:
    return pa.table(
        {"id": ids, "p": pa.array([part] * len(ids), pa.string()), "v": [i * 0.5 for i in ids]}
    )


def commit(folder: Path, kind: str, what: Any, part: str | None) -> None:
    table = DeltaTable(folder)
    match kind:
        case "append" | "overwrite":
            # Appended keys are new ones, so that the key stays one.
            fresh = what if kind == "overwrite" else [i + 100 * (table.version() + 1) for i in what]
            write_deltalake(folder, rows_of(fresh, part), mode=kind)
        case "delete":
            table.delete(f"id % 13 = {what}")
        case "update":
            table.update(predicate=f"id % 13 = {what}", updates={"v": "v + 1"})
        case "merge":
            merge = table.merge(rows_of(what, part), "s.id = t.id", "s", "t")
            merge.when_matched_update_all().when_not_matched_insert_all().execute()
        case "optimize":
            table.optimize.compact()
        case "property":
            table.alter.set_table_properties(
                {"delta.logRetentionDuration": f"interval {what} days"}
            )
        case _:
            table.create_checkpoint()


@contextmanager
def grown(history: list[tuple[str, Any, str | None]]) -> Iterator[tuple[Path, int]]:
    """A table with a change feed after `history`, and its newest version."""
    folder = Path(tempfile.mkdtemp())
    try:
        write_deltalake(
            folder,
            rows_of([0, 1, 2, 3], "a b"),
            partition_by=["p"],
            configuration={"delta.enableChangeDataFeed": "true"},
        )
        for kind, what, part in history:
            commit(folder, kind, what, part)
        yield folder, DeltaTable(folder).version()
    finally:
        shutil.rmtree(folder)


@settings(max_examples=30)
@given(histories)
def test_every_version_reads_as_the_library_reads_it(history: list[Any]) -> None:
    with grown(history) as (folder, last):
        for version in range(last + 1):
            found = tables.multiset(read(folder, version).rows)
            assert found == tables.library_rows(folder, version)


@settings(max_examples=30)
@given(histories)
def test_units_that_come_and_go_are_the_rows_that_come_and_go(history: list[Any]) -> None:
    with grown(history) as (folder, last):
        for version in range(last):
            old, new = read(folder, version), read(folder, version + 1)
            gone = set(old.state.units) - set(new.state.units)
            came = [u for u in new.state.units if u not in set(old.state.units)]
            lost = read(folder, version, units=sorted(gone, key=lambda u: u.key)).rows
            won = read(folder, version + 1, units=came).rows
            patched = tables.multiset(old.rows)
            patched.subtract(tables.multiset(lost))
            assert min(patched.values(), default=0) >= 0
            patched.update(tables.multiset(won))
            assert +patched == tables.multiset(new.rows)


@settings(max_examples=30)
@given(histories)
def test_the_version_string_is_equal_where_the_content_is(history: list[Any]) -> None:
    with grown(history) as (folder, last):
        states = [observe(folder, version) for version in range(last + 1)]
        for one in states:
            for other in states:
                same_content = {u.ref for u in one.units} == {u.ref for u in other.units}
                digests = one.version.split(".")[1], other.version.split(".")[1]
                assert (digests[0] == digests[1]) == same_content
        for one, other in pairwise(states):
            assert (one.version == other.version) == (one.units == other.units)
            assert observe(folder, other.native_version, known=one) == other


@settings(max_examples=30)
@given(histories)
def test_the_change_feed_merges_to_the_newest_version(history: list[Any]) -> None:
    with grown(history) as (folder, last):
        for first in range(last):
            assert merged(folder, "id", first) == keyed(folder, "id", last)
