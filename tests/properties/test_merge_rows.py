"""A merge has the rows that DuckDB's union by name, or its upsert, gives for the same inputs."""

import datetime
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batuta.model.event import RunReport
from batuta.runtime.engine import Engine, WorkspaceOptions
from batuta.runtime.planning import PlanRequest
from batuta.runtime.worker.pool import WorkerPool
from tests.acceptance.laws.bench import document, multiset
from tests.shown import rows_of

# Columns by name: the types that they may have in one source or another; all of them unite.
TYPES: dict[str, list[pa.DataType]] = {
    "i": [pa.int8(), pa.int32(), pa.int64()],
    "s": [pa.string()],
    "f": [pa.float32(), pa.float64()],
    "d": [pa.decimal128(10, 2), pa.decimal128(12, 4)],
    "day": [pa.date32()],
    "b": [pa.bool_()],
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(-128, 127),
    "s": st.text("aä\u2028'", max_size=3),
    "f": st.sampled_from([0.0, -1.5, 3.25, 1e10]),
    "d": st.integers(-9999, 9999).map(lambda n: Decimal(n) / 100),
    "day": st.dates(datetime.date(1970, 1, 1), datetime.date(2100, 1, 1)),
    "b": st.booleans(),
}
FORMATS = ["ald", "parquet", "arrow"]


@st.composite
def tables(draw: st.DrawFn, *, keyed: bool) -> pa.Table:
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), unique=True, min_size=1))
    keys = draw(st.lists(st.tuples(st.integers(0, 12), st.sampled_from("xyz")), max_size=9,
                         unique=keyed))  # fmt: skip
    columns: dict[str, pa.Array] = {
        "k1": pa.array([k for k, _ in keys], draw(st.sampled_from([pa.int32(), pa.int64()]))),
        "k2": pa.array([k for _, k in keys], pa.string()),
    }
    for name in names:
        values = draw(st.lists(st.none() | VALUES[name], min_size=len(keys), max_size=len(keys)))
        columns[name] = pa.array(values, draw(st.sampled_from(TYPES[name])))
    return pa.table(columns)


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    pool = WorkerPool(size=1)
    yield pool
    pool.close()


@contextmanager
def merged(
    inputs: Sequence[pa.Table], source: dict[str, Any], format_: str, workers: WorkerPool
) -> Iterator[tuple[Engine, RunReport]]:
    """A dataset whose source is a merge of the inputs, applied once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, table in enumerate(inputs):
            (folder / f"{number}").mkdir()
            pq.write_table(table, folder / f"{number}" / "rows.parquet", row_group_size=4)
        places = [f"{number}/" for number in range(len(inputs))]
        spec = {"source": {"merge": places, **source}, "destination": "out/", "format": format_}
        documents = [document("Workspace", "w", {}), document("Dataset", "all", spec)]
        text = "---\n".join(json.dumps(each) + "\n" for each in documents)
        (folder / "batuta.yaml").write_text(text)
        engine = Engine.open(WorkspaceOptions(folder=folder))
        engine.pool = workers
        try:
            envelope = engine.plan(PlanRequest(), lambda _event: None)
            report = engine.apply(envelope, lambda _event: None, threading.Event())
            yield engine, report
        finally:
            del engine.__dict__["pool"]  # it goes on to serve the next example
            engine.close()


def in_duckdb(inputs: Sequence[pa.Table], sql: Sequence[str]) -> pa.Table:
    with duckdb.connect() as database:
        for number, table in enumerate(inputs):
            database.register(f"t{number}", table)
        union = " UNION ALL BY NAME ".join(f"SELECT * FROM t{n}" for n in range(len(inputs)))
        database.execute(f"CREATE TABLE whole AS {union}")
        for statement in sql:
            database.execute(statement)
        return database.sql("SELECT * FROM whole").to_arrow_table()


def upsert(count: int, word: str) -> list[str]:
    """Insert the inputs one after the other into an empty table with their key."""
    steps = [
        "CREATE TABLE keyed AS SELECT * FROM whole WHERE false",
        "CREATE UNIQUE INDEX key ON keyed (k1, k2)",
    ]
    for number in range(count):
        aligned = f"SELECT * FROM keyed WHERE false UNION ALL BY NAME SELECT * FROM t{number}"
        steps.append(f"INSERT OR {word} INTO keyed {aligned}")
    return [*steps, "DROP TABLE whole", "CREATE TABLE whole AS SELECT * FROM keyed"]


def same_rows(engine: Engine, wanted: pa.Table) -> None:
    found = rows_of(engine, "all")
    if not found.num_rows:  # without a batch nobody knows the columns
        found = wanted.schema.empty_table()
    assert sorted(found.column_names) == sorted(wanted.column_names)
    schema = pa.schema([found.schema.field(name) for name in found.column_names])
    assert multiset(found) == multiset(wanted.select(found.column_names).cast(schema))
    assert not engine.plan(PlanRequest(), lambda _event: None).plan.has_changes


SLOW = settings(
    max_examples=8, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


@SLOW
@given(st.lists(tables(keyed=False), min_size=2, max_size=3), st.sampled_from(FORMATS))
def test_a_union_has_the_rows_of_duckdbs_union_by_name(
    workers: WorkerPool, inputs: list[pa.Table], format_: str
) -> None:
    with merged(inputs, {}, format_, workers) as (engine, report):
        assert report.status == "done", report.outcomes
        same_rows(engine, in_duckdb(inputs, []))


@SLOW
@given(
    st.lists(tables(keyed=True), min_size=2, max_size=3),
    st.sampled_from([("First", "IGNORE"), ("Last", "REPLACE")]),
    st.sampled_from(FORMATS),
)
def test_a_merge_by_key_has_the_rows_of_duckdbs_upsert(
    workers: WorkerPool, inputs: list[pa.Table], way: tuple[str, str], format_: str
) -> None:
    source = {"on": ["k1", "k2"], "conflict": way[0]}
    with merged(inputs, source, format_, workers) as (engine, report):
        assert report.status == "done", report.outcomes
        same_rows(engine, in_duckdb(inputs, upsert(len(inputs), way[1])))


@SLOW
@given(st.lists(tables(keyed=True), min_size=2, max_size=3))
def test_a_merge_that_fails_on_conflict_fails_exactly_where_a_key_comes_twice(
    workers: WorkerPool, inputs: list[pa.Table]
) -> None:
    keys = [tuple(row.values()) for t in inputs for row in t.select(["k1", "k2"]).to_pylist()]
    with merged(inputs, {"on": ["k1", "k2"]}, "ald", workers) as (engine, report):
        if len(set(keys)) == len(keys):
            assert report.status == "done", report.outcomes
            same_rows(engine, in_duckdb(inputs, []))
        else:
            assert [d.code for o in report.outcomes for d in o.diagnostics] == ["WRK215"]
