"""The change feed: rows by key, net of all commits, are the table's; None where it cannot be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batuta.connectors.delta.reader import DeltaReader
from batuta.connectors.delta.source import DeltaSource
from batuta.model.transfer import Partition
from tests.unit.connectors import delta_tables as tables
from tests.unit.connectors.delta_tables import DATA, HandMade, column, observe, read

FEED = {"delta.enableChangeDataFeed": "true"}
Keyed = dict[Any, dict[str, Any]]


def changes(table: Path, since: str, version: int | None = None) -> Sequence[Partition] | None:
    spec = tables.spec_of(table, version)
    return DeltaSource(tables.CONNECTION).changes(spec, observe(table, version), since)


def merged(table: Path, key: str, first: int, last: int | None = None) -> Keyed | None:
    """The rows of version `first`, with the feed up to `last` applied to them."""
    before = read(table, first)
    rows: Keyed = {row[key]: row for row in before.rows.to_pylist()}
    parts = changes(table, before.state.version, last)
    if parts is None:
        return None
    for part in parts:
        for batch in DeltaReader(tables.CONNECTION).read(part, None):
            for row in batch.rows.to_pylist():
                word = row.pop("_change")
                assert word in {"upsert", "delete"}
                if word == "delete":
                    rows.pop(row[key], None)
                else:
                    rows[row[key]] = row
    return rows


def keyed(table: Path, key: str, version: int | None = None) -> Keyed:
    return {row[key]: row for row in read(table, version).rows.to_pylist()}


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A table with a feed and a partition column: insert, update, delete, merge, optimize."""
    folder = tmp_path / "orders"
    rows = pa.table({"id": range(10), "p": ["x y"] * 5 + [None] * 5, "v": [0.5] * 10})
    write_deltalake(folder, rows, partition_by=["p"], configuration=FEED)
    table = DeltaTable(folder)
    table.update(predicate="id = 3", updates={"v": "9.5"})
    table.delete("id = 4")
    new = pa.table({"id": [5, 99], "p": pa.array([None, "50%"], pa.string()), "v": [7.5, 8.5]})
    merge = table.merge(new, "s.id = t.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()
    table.optimize.compact()
    table.update(predicate="id = 99", updates={"id": "100"})
    return folder


def test_the_feed_brings_every_version_to_every_later_one(orders: Path) -> None:
    last = DeltaTable(orders).version()

    for first in range(last):
        for target in range(first, last + 1):
            assert merged(orders, "id", first, target) == keyed(orders, "id", target)


def test_a_feed_tells_only_what_changed(orders: Path) -> None:
    since = observe(orders, 1).version
    (part,) = changes(orders, since, 2) or ()
    batches = list(DeltaReader(tables.CONNECTION).read(part, None))

    assert [row["id"] for b in batches for row in b.rows.to_pylist()] == [4]
    assert dict(part.spec)["cdf"] == [2, 2]


def test_the_feed_is_the_same_on_every_run_and_goes_on_where_it_stopped(orders: Path) -> None:
    since = observe(orders, 0).version
    (part,) = changes(orders, since) or ()
    assert (part,) == changes(orders, since)
    batches = list(DeltaReader(tables.CONNECTION).read(part, None))

    for i, batch in enumerate(batches[:-1]):
        assert list(DeltaReader(tables.CONNECTION).read(part, batch.next)) == batches[i + 1 :]


def test_no_change_is_no_partition(orders: Path) -> None:
    assert changes(orders, observe(orders).version) == ()


def test_a_table_without_a_feed_has_none(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"id": [1]}))
    since = observe(tmp_path / "t").version
    write_deltalake(tmp_path / "t", pa.table({"id": [2]}), mode="append")

    assert changes(tmp_path / "t", since) is None


def test_a_feed_that_was_switched_on_too_late_is_none(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"id": [1]}))
    since = observe(tmp_path / "t").version
    write_deltalake(tmp_path / "t", pa.table({"id": [2]}), mode="append")
    DeltaTable(tmp_path / "t").alter.set_table_properties(FEED)
    write_deltalake(tmp_path / "t", pa.table({"id": [3]}), mode="append")

    assert changes(tmp_path / "t", since) is None
    assert merged(tmp_path / "t", "id", 2) == keyed(tmp_path / "t", "id")


def test_a_changed_schema_ends_the_feed(orders: Path) -> None:
    since = observe(orders).version
    more = pa.table({"id": [7], "p": ["a"], "v": [1.0], "new": [1]})
    write_deltalake(orders, more, mode="append", schema_mode="merge")

    assert changes(orders, since) is None


def test_a_feed_whose_files_were_vacuumed_is_none(orders: Path) -> None:
    since = observe(orders, 0).version
    for file in (orders / "_change_data").rglob("*.parquet"):
        file.unlink()

    assert changes(orders, since) is None


@pytest.mark.parametrize(
    "since", ["", "3", "12.0123456789abcdef", "0.0123456789abcdef", "x.0123456789abcdef"]
)
def test_a_version_of_no_such_table_has_no_feed(orders: Path, since: str) -> None:
    assert changes(orders, since) is None


@pytest.mark.parametrize("name", ["feed_mapped_by_id", "feed_with_deletions"])
def test_feeds_of_other_engines_bring_each_version_to_the_newest(name: str) -> None:
    folder = DATA / name
    last = DeltaTable(folder).version()
    key = read(folder).rows.column_names[0]

    told = [merged(folder, key, first) for first in range(last)]

    assert [t for t in told if t is not None] == [keyed(folder, key)] * sum(
        t is not None for t in told
    )
    assert told[-1] is not None


def test_deleted_and_restored_rows_are_told_from_the_vectors(tmp_path: Path) -> None:
    table = HandMade(tmp_path / "t").create(
        [column("id", "long")], features=["deletionVectors", "changeDataFeed"][:1],
        configuration=FEED,
    )  # fmt: skip
    size = table.store("f.parquet", pa.table({"id": range(5)}))
    whole, two, other = (table.action("f.parquet", size, 5, d) for d in (None, [1, 2], [2, 3]))
    table.commit(whole)
    table.commit(tables.removal(whole), two)
    table.commit(tables.removal(two), other)

    for first in (1, 2):
        for last in (2, 3):
            assert merged(tmp_path / "t", "id", first, max(first, last)) == keyed(
                tmp_path / "t", "id", max(first, last)
            )
    (part,) = changes(tmp_path / "t", observe(tmp_path / "t", 2).version) or ()
    told = [r for b in DeltaReader(tables.CONNECTION).read(part, None) for r in b.rows.to_pylist()]
    assert told == [{"id": 3, "_change": "delete"}, {"id": 1, "_change": "upsert"}]
