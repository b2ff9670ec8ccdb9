"""Manifests whose rows would be silently wrong are refused by name, or read right."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from batuta.runtime.worker.cursor import highest_of
from tests.acceptance.laws.bench import Bench, codes, fresh, lake, lake_environment, multiset, tree
from tests.acceptance.laws.sources import upload
from tests.conftest import Place

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", "c"]})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "t").mkdir()
    pq.write_table(ROWS, tmp_path / "t/a.parquet")
    (tmp_path / "t.csv").write_text("id,name\n1,a\n2,b\n")
    return Bench(tmp_path)


def plain(source: Any, **fields: Any) -> dict[str, Any]:
    return {"source": source, "destination": "out/", "format": "parquet", **fields}


def why(bench: Bench, spec: dict[str, Any]) -> list[str]:
    bench.write({"t": spec})
    return codes(bench.plan()).get("t", [])


# Another format's table, read as plain files


def with_removed_rows(folder: Path) -> None:
    """A Delta table of one row, whose folder still holds the file of two others."""
    write_deltalake(folder, ROWS.slice(0, 2))
    write_deltalake(folder, ROWS.slice(2), mode="overwrite")


@pytest.mark.parametrize("inside", ["", "deep/er/"])
def test_the_folder_of_a_delta_table_is_not_read_as_plain_parquet(
    bench: Bench, inside: str
) -> None:
    with_removed_rows(bench.folder / "lake" / inside)

    assert why(bench, plain("lake/")) == ["LOC120"]
    (action,) = bench.plan().plan.actions
    assert f"`delta+lake/{inside}".rstrip("/") in action.diagnostics[0].detail  # type: ignore[union-attr]

    bench.write({"t": plain(f"delta+lake/{inside}")})
    bench.settle()
    assert multiset(bench.rows("t")) == multiset(ROWS.slice(2))


def test_the_folder_of_a_delta_table_can_still_be_copied_whole(bench: Bench) -> None:
    with_removed_rows(bench.folder / "lake")

    assert why(bench, plain("lake/", format="files")) == []


def test_the_prefix_of_a_delta_table_is_not_read_as_plain_parquet(
    bench: Bench, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    bench.others += lake(bucket)
    with_removed_rows(bench.folder / "lake")
    upload(bench.folder / "lake", bucket, "lake")

    assert why(bench, plain(f"{bucket.url}/lake/")) == ["AWS123"]


def test_a_file_with_two_columns_of_one_name_is_refused_by_name(bench: Bench) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    pq.write_table(twice, bench.folder / "t/a.parquet")

    assert why(bench, plain("t/")) == ["LOC113"]


def test_a_mirror_follows_a_file_that_became_a_folder_and_back(bench: Bench) -> None:
    source = bench.folder / "src"
    (source / "d").mkdir(parents=True)
    (source / "a").write_text("a file")
    (source / "d/e").write_text("in a folder")
    bench.write({"t": plain("src/", format="files")})
    bench.settle()
    shutil.rmtree(source / "d")
    (source / "a").unlink()
    (source / "a/b").parent.mkdir()
    (source / "a/b").write_text("in a folder now")
    (source / "d").write_text("a file now")

    bench.settle()

    assert tree(bench.folder / "out", ["_"]) == tree(source)
    with bench.open() as engine:
        assert engine.verify_dataset("t").ok


# Fields that nothing heeds


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"address": "delta+lake/", "where": "id > 1"}, "PLN127"),
        ({"dataset": "up", "where": "id > 1"}, "PLN127"),
        ({"dataset": "up", "options": {"delimiter": ";"}}, "PLN127"),
        ({"dataset": "up", "schema": {"id": "string"}}, "PLN127"),
        ({"address": "t/", "schema": {"id": "string"}}, "PLN127"),
        ({"address": "t/", "options": {"delimiter": ";"}}, "PLN127"),
        ({"address": "t/", "where": "id > 1"}, "LOC116"),
        ({"merge": [{"address": "t/"}, {"address": "t/", "schema": {"id": "string"}}]}, "PLN127"),
        ({"merge": [{"dataset": "up", "where": "id > 1"}, {"address": "t/"}]}, "PLN127"),
        ({"address": "t.csv", "schema": {"nmae": "string"}}, "FMT"),
    ],
)
def test_a_field_that_the_source_does_not_heed_is_refused(
    bench: Bench, source: dict[str, Any], code: str
) -> None:
    write_deltalake(bench.folder / "lake", ROWS)
    up = {"source": "t/", "destination": "up/", "format": "parquet"}
    bench.write({"up": up})
    bench.settle()
    bench.write({"up": up, "t": plain(source)})

    found = codes(bench.plan()).get("t", [])

    assert [each[: len(code)] for each in found] == [code]


# What decides a part's bytes is in its name


def test_another_choice_of_columns_gives_parts_of_other_names(bench: Bench) -> None:
    bench.write({"t": plain("t/", format="ald")})
    bench.settle()
    before = {p.name for p in (bench.folder / "out").glob("part-*")}
    bench.write(
        {"t": plain({"address": "t/", "columns": {"rename": {"name": "called"}}}, format="ald")}
    )
    bench.settle()
    after = {p.name for p in (bench.folder / "out").glob("part-*")}

    assert after.isdisjoint(before)


# Cursors


def moments() -> Iterator[pa.Array]:
    days = [date(1969, 12, 31), None, date(2024, 2, 29), date(2024, 10, 1)]
    times = [datetime(2024, 2, 9, 23, 59, 59, 999999, UTC), None, datetime(2024, 10, 1, tzinfo=UTC)]
    yield pa.array(days, pa.date32())
    yield pa.array(days, pa.date64())
    for unit in ("s", "ms", "us", "ns"):
        whole = pa.array(times, pa.timestamp("us", "UTC"))
        yield whole.cast(pa.timestamp(unit, "UTC"), safe=False)
        yield whole.cast(pa.timestamp(unit, "UTC"), safe=False).cast(pa.timestamp(unit))
        yield whole.cast(pa.timestamp(unit, "Europe/Berlin"), safe=False)


NUMBERS = [
    *(
        pa.array([9, None, 10, 2], type_)
        for type_ in (pa.int8(), pa.uint64(), pa.float32(), pa.float64())
    ),
    pa.array([-5, -40], pa.int64()),
    pa.array([0.1, 1e300, -2.5]),
    pa.array([Decimal("9.50"), Decimal("10.25"), Decimal("-100.00")], pa.decimal128(12, 2)),
    pa.array([Decimal("9.5"), Decimal("10.2")], pa.decimal256(50, 1)),
    pa.array([Decimal("0.00000001"), Decimal("0.00000009")], pa.decimal128(38, 8)),
    pa.array(["b", "a", "ä", "Z"]),
]


@pytest.mark.parametrize("column", [*NUMBERS, *moments()], ids=lambda column: str(column.type))
def test_a_cursor_goes_on_from_the_highest_value_of_its_type(column: pa.Array) -> None:
    """Spelled as text and read again it is the same value; a lower one never takes its place."""
    highest = highest_of(column)

    assert highest is not None
    again = pa.scalar(highest).cast(column.type)
    assert again == pc.max(column)
    for value in column:
        assert highest_of(pa.array([value.as_py()], column.type), highest) == highest


def test_a_cursor_of_another_column_is_not_compared_with_the_old_ones_value(bench: Bench) -> None:
    """`small` is far below what `big` had come to: everything is read, and nothing is missed."""
    rows = pa.table({"id": [1, 2], "big": [1000, 2000], "small": [1, 2], "v": ["a", "b"]})
    pq.write_table(rows, bench.folder / "t/a.parquet")
    fresh(bench.folder / "t")
    rule = {"mode": "Incremental", "incremental": {"cursor": "big", "key": ["id"]}}
    bench.write({"t": plain("t/", **rule)})
    bench.settle()
    after = pa.table({"id": [1, 3], "big": [1000, 5], "small": [1, 3], "v": ["A", "c"]})
    pq.write_table(after, bench.folder / "t/a.parquet")
    rule["incremental"] = {"cursor": "small", "key": ["id"]}
    bench.write({"t": plain("t/", **rule)})

    bench.settle()

    wanted = {"A", "b", "c"}
    assert set(bench.rows("t").column("v").to_pylist()) == wanted


def test_time_travel_of_a_delta_table_gives_the_rows_of_that_version(bench: Bench) -> None:
    with_removed_rows(bench.folder / "lake")
    wanted = DeltaTable(bench.folder / "lake", version=0).to_pyarrow_table()
    bench.write({"t": plain({"address": "delta+lake/", "version": "0"})})
    bench.settle()

    assert multiset(bench.rows("t")) == multiset(wanted)


ODD = [
    "a b.parquet",
    "a+b.parquet",
    "a%20b.parquet",
    "ü/é.parquet",
    "x#y?z&w=1.parquet",
    "'q'.parquet",
]


def test_objects_with_odd_keys_are_each_read_once(
    bench: Bench, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    bench.others += lake(bucket)
    odd = bench.folder / "odd"
    for number, name in enumerate(ODD):
        (odd / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"n": [number]}), odd / name)
    upload(odd, bucket, "odd")
    place = f"{bucket.url}/odd/"
    bench.write(
        {
            "rows": {"source": place, "destination": "rows/", "format": "ald"},
            "bytes": {"source": place, "destination": "bytes/", "format": "files"},
            "there": {"source": "odd/", "destination": f"{bucket.url}/there/", "format": "files"},
            "back": {"source": {"dataset": "there"}, "destination": "back/"},
        }
    )

    bench.settle(most=4)

    assert sorted(bench.rows("rows").column("n").to_pylist()) == list(range(len(ODD)))
    assert tree(bench.folder / "bytes", ["_"]) == tree(odd)
    assert tree(bench.folder / "back", ["_"]) == tree(odd)
