"""A transfer of any size runs in a fixed amount of memory."""

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.runtime.planning import PlanRequest
from batuta.runtime.worker.pool import WorkerPool
from batuta.runtime.worker.wire import Limits
from tests.acceptance.laws.bench import Bench

GROUPS, ROWS = 24, 1 << 20
LIMIT_BYTES = 224 << 20
"""Over a worker's base; less than half of what it gets by default."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of 384 MiB in rows of two columns, which no worker could hold."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "t").mkdir()
    random = np.random.default_rng(7)
    schema = pa.schema([("id", pa.int64()), ("x", pa.float64())])
    with pq.ParquetWriter(
        folder / "t/a.parquet", schema, compression="none", use_dictionary=False
    ) as sink:
        for group in range(GROUPS):
            ids = np.arange(group * ROWS, (group + 1) * ROWS)
            sink.write_table(pa.table({"id": ids, "x": random.random(ROWS)}, schema=schema))
    return folder


@pytest.mark.parametrize("format_", ["ald", "parquet", "arrow"])
def test_a_table_larger_than_the_limit_is_converted(large: Path, format_: str) -> None:
    """The worker's own limit is the proof: an allocation beyond it fails."""
    bench = Bench(large)
    columns: dict[str, object] = {"exclude": []} if format_ != "parquet" else {"rename": {"x": "y"}}
    source = {"address": "t/", "columns": columns}
    bench.write({"t": {"source": source, "destination": f"out-{format_}/", "format": format_}})
    (large / ".batuta").mkdir(exist_ok=True)
    with bench.open() as engine:
        engine.pool = WorkerPool(limits=Limits(memory_bytes=LIMIT_BYTES))
        envelope = engine.plan(PlanRequest(select=("t",)), lambda event: None)
        report = engine.apply(envelope, lambda event: None, threading.Event())

    assert report.status == "done", report.outcomes[0].diagnostics
    assert report.outcomes[0].rows == GROUPS * ROWS
