"""Any table by cursor and key: rows that are newer win, and what cannot be seen is said."""

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance.laws.bench import (
    EXAMPLES,
    Bench,
    Steps,
    codes,
    kinds,
    lake,
    lake_environment,
    multiset,
)
from tests.conftest import Place

START = datetime(2024, 1, 1, tzinfo=UTC)
CURSORS: dict[str, tuple[pa.DataType, Callable[[int], Any]]] = {
    "int64": (pa.int64(), lambda i: i),
    "double": (pa.float64(), lambda i: i / 3),
    "decimal": (pa.decimal128(20, 2), lambda i: Decimal(i) / 4),
    "string": (pa.string(), lambda i: f"{i:06}"),
    "date": (pa.date32(), lambda i: date(2024, 1, 1) + timedelta(days=i)),
    "instant": (pa.timestamp("us", "UTC"), lambda i: START + timedelta(hours=i)),
    "local-ns": (pa.timestamp("ns"), lambda i: (START + timedelta(hours=i)).replace(tzinfo=None)),
}
EDITS = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 3), st.integers(0, 20)),
    st.tuples(st.just("update"), st.integers(0, 30), st.integers(0, 20)),
    st.tuples(st.just("late"), st.integers(1, 2), st.integers(0, 20)),
    st.tuples(st.just("spread"), st.integers(1, 3), st.none()),
)
HISTORIES = st.lists(st.lists(EDITS, min_size=1, max_size=4), min_size=1, max_size=4)
Key = tuple[str, int]


class Table:
    """Rows by key in a few Parquet files; `at` is the highest cursor there ever was."""

    def __init__(self, folder: Path, cursor: str) -> None:
        self.folder, self.files = folder, 1
        self.type, self.value = CURSORS[cursor]
        self.at, self.number = 10, 0
        self.rows: dict[Key, tuple[int, int]] = {}
        for _ in range(4):
            self.insert(0)

    def insert(self, value: int, back: int = 0) -> None:
        self.number += 1
        self.at += 0 if back else 1
        # The two parts of a key are only unique together.
        self.rows["ab"[self.number % 2], self.number // 2] = (self.at - back, value)

    def update(self, which: int, value: int) -> None:
        self.at += 1
        keys = sorted(self.rows)
        self.rows[keys[which % len(keys)]] = (self.at, value)

    def edit(self, kind: str, one: int, two: Any) -> None:
        match kind:
            case "insert":
                for _ in range(one):
                    self.insert(two)
            case "update":
                self.update(one, two)
            case "late":
                self.insert(two, back=one)
            case _:
                self.files = one

    def table(self, rows: dict[Key, tuple[int, int]] | None = None) -> pa.Table:
        chosen = self.rows if rows is None else rows
        changed = [self.value(at) for at, _ in chosen.values()]
        return pa.table(
            {
                "side": pa.array([side for side, _ in chosen], pa.string()),
                "n": pa.array([n for _, n in chosen], pa.int32()),
                "changed": pa.array(changed, self.type),
                "v": pa.array([v for _, v in chosen.values()], pa.int64()),
            }
        )

    def write(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for old in self.folder.iterdir():
            old.unlink()
        rows = self.table()
        for i in range(self.files):
            pq.write_table(rows.take(list(range(i, rows.num_rows, self.files))),
                           self.folder / f"{i}.parquet")  # fmt: skip


def datasets(root: str, lookback: str | None) -> dict[str, dict[str, Any]]:
    rule: dict[str, Any] = {"cursor": "changed", "key": ["side", "n"]}
    if lookback:
        rule["lookback"] = lookback
    common = {"source": "t/", "mode": "Incremental", "incremental": rule}
    return {
        f: {**common, "destination": f"{root}{f}/", "format": f}
        for f in ("parquet", "ald", "arrow")
    }


@pytest.mark.parametrize("cursor", list(CURSORS))
@settings(EXAMPLES, max_examples=3)
@given(history=HISTORIES)
def test_inserts_and_updates_with_a_rising_cursor(cursor: str, history: Any) -> None:
    """Whatever the cursor's type; rows that come late, but within `lookback`, are seen as well."""
    folder = Path(tempfile.mkdtemp())
    timed = cursor in {"instant", "local-ns", "date"}
    table = Table(folder / "t", cursor)
    table.write()
    bench = Bench(folder)
    bench.write(datasets("out/", "2d" if cursor == "date" else "2h" if timed else None))
    with bench.open() as engine:
        steps = Steps(engine)
        steps.apply()
        for group in history:
            for kind, one, two in group:
                if kind != "late" or timed:
                    table.edit(kind, one, two)
            table.write()
            steps.apply()
            for name in ("parquet", "ald", "arrow"):
                assert steps.rows(name) == multiset(table.table()), name
            steps.rests()
        steps.whole()
    shutil.rmtree(folder)


@pytest.mark.server
def test_rows_are_merged_into_parts_on_an_object_store(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    table = Table(tmp_path / "t", "instant")
    table.write()
    bench = Bench(tmp_path, others=lake(bucket))
    bench.write(datasets(f"{bucket.url}/", "1h"))
    with bench.open() as engine:
        steps = Steps(engine)
        steps.apply()
        for number in range(3):
            table.update(number, 99 + number)
            table.insert(number)
            table.write()
            steps.apply()
            for name in ("parquet", "ald", "arrow"):
                assert steps.rows(name) == multiset(table.table())
            steps.rests()
        steps.whole()


@pytest.fixture
def small(tmp_path: Path) -> tuple[Bench, Table]:
    table = Table(tmp_path / "t", "int64")
    table.write()
    bench = Bench(tmp_path)
    bench.write({"t": datasets("out/", None)["parquet"]})
    bench.settle()
    return bench, table


def test_only_rows_from_the_last_cursor_on_are_taken_and_untouched_parts_stay(
    small: tuple[Bench, Table],
) -> None:
    """The first run already remembers the highest cursor."""
    bench, table = small
    with bench.open() as engine:
        before = engine.dataset_log("t")[-1]
    table.insert(5)
    table.write()
    bench.settle()
    with bench.open() as engine:
        entry = engine.dataset_log("t")[-1]

    assert before.source is not None
    assert before.source.cursor == '["changed","14"]'
    assert entry.source is not None
    assert entry.source.cursor == '["changed","15"]'
    assert sum(part.rows or 0 for part in entry.added) < table.table().num_rows + 1
    assert multiset(bench.rows("t")) == multiset(table.table())


def test_what_a_cursor_cannot_show_is_said_in_the_plan(small: tuple[Bench, Table]) -> None:
    """A row deleted at the source stays, and the plan warns of it; --resync puts it right."""
    bench, table = small
    del table.rows[sorted(table.rows)[0]]
    table.insert(1)
    table.write()

    envelope = bench.plan()
    bench.settle()

    assert "PLN105" in [d.code for d in envelope.plan.diagnostics]
    assert bench.rows("t").num_rows == table.table().num_rows + 1
    bench.apply(resync=("t",))
    assert multiset(bench.rows("t")) == multiset(table.table())


@pytest.mark.parametrize("where", ["among-changes", "in-the-dataset"])
def test_a_key_that_is_not_unique_is_refused(
    small: tuple[Bench, Table], tmp_path: Path, where: str
) -> None:
    bench, table = small
    key = sorted(table.rows)[0]
    twice = pa.concat_tables([table.table(), table.table({key: (99, 1)})])
    if where == "in-the-dataset":
        pq.write_table(twice, tmp_path / "t/0.parquet")
        bench.apply(resync=("t",))
        twice = pa.concat_tables([table.table(), table.table({key: (100, 1)})])
    else:
        twice = pa.concat_tables([twice, table.table({key: (98, 2)})])
    before = multiset(bench.rows("t"))
    pq.write_table(twice, tmp_path / "t/0.parquet")

    _, report = bench.apply()

    assert [d.code for d in report.outcomes[0].diagnostics] == ["WRK213"]
    assert multiset(bench.rows("t")) == before


def test_a_null_key_is_refused(small: tuple[Bench, Table], tmp_path: Path) -> None:
    bench, table = small
    row = table.table({("a", 99): (99, 1)}).set_column(0, "side", pa.nulls(1, pa.string()))
    pq.write_table(pa.concat_tables([table.table(), row]), tmp_path / "t/0.parquet")

    _, report = bench.apply()

    assert [d.code for d in report.outcomes[0].diagnostics] == ["WRK211"]


def test_a_lookback_in_time_needs_a_cursor_in_time(tmp_path: Path) -> None:
    """A number has no hours: the plan refuses it before anything is read."""
    Table(tmp_path / "t", "int64").write()
    bench = Bench(tmp_path)
    bench.write({"t": datasets("out/", "2h")["parquet"]})

    assert codes(bench.plan()) == {"t": ["PLN106"]}


def test_a_key_without_a_cursor_follows_files_where_there_is_no_feed(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", "int64")
    table.write()
    bench = Bench(tmp_path)
    bench.write({"t": {**datasets("out/", None)["parquet"], "incremental": {"key": ["side", "n"]}}})
    bench.settle()
    del table.rows[sorted(table.rows)[0]]
    table.write()

    assert kinds(bench.plan()) == {"t": "replace"}
    bench.settle()
    assert multiset(bench.rows("t")) == multiset(table.table())


def test_columns_of_view_types_are_merged_like_others(tmp_path: Path) -> None:
    """Some engines store views, which Arrow can read and write, and neither filter nor compare."""

    def rows(*pairs: tuple[str, int]) -> pa.Table:
        names = pa.array([name for name, _ in pairs], pa.string_view())
        lists = pa.array([[name] for name, _ in pairs], pa.list_(pa.string_view()))
        return pa.table({"k": names, "l": lists, "c": [cursor for _, cursor in pairs]})

    (tmp_path / "t").mkdir()
    pq.write_table(rows(("a", 1), ("b" * 20, 2)), tmp_path / "t/0.parquet")
    bench = Bench(tmp_path)
    rule = {"mode": "Incremental", "incremental": {"cursor": "c", "key": ["k"]}}
    bench.write({"t": {"source": "t/", "destination": "out/", "format": "parquet", **rule}})
    bench.settle()
    expected = rows(("a", 1), ("b" * 20, 3), ("c" * 30, 4))
    pq.write_table(expected, tmp_path / "t/0.parquet")

    bench.settle()

    assert multiset(bench.rows("t")) == multiset(expected)
