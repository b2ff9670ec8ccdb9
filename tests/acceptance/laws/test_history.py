"""How long superseded files stay: as `history` says, whether or not anything else is to be done."""

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.laws.bench import Bench, kinds, multiset, unsettled

ROWS = pa.table({"id": [1, 2]})
OLD_S = 1_600_000_000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "t").mkdir()
    pq.write_table(ROWS, tmp_path / "t/a.parquet")
    return Bench(tmp_path)


def superseded(bench: Bench, keep: str) -> list[Path]:
    """Convert a dataset, so that it has history; return the files there."""
    bench.write({"t": plain(keep, format="ald")})
    bench.settle()
    bench.write({"t": plain(keep, format="parquet")})
    bench.settle()
    return history(bench)


def plain(keep: str, **fields: Any) -> dict[str, Any]:
    return {"source": "t/", "destination": "out/", "history": {"keep": keep}, **fields}


def history(bench: Bench) -> list[Path]:
    return [path for path in (bench.folder / "out/_history").rglob("*") if path.is_file()]


def test_history_that_is_too_old_goes_though_nothing_else_changed(bench: Bench) -> None:
    assert superseded(bench, "1s")
    time.sleep(1.1)  # the time that the manifest says

    applied = bench.run("apply", "--yes")

    assert applied.returncode == 0
    assert "1 superseded file older than `history` keeps deleted" in applied.stderr
    assert not history(bench)
    assert bench.run("data", "verify", "t").returncode == 0
    assert multiset(bench.rows("t")) == multiset(ROWS)
    assert "superseded" not in bench.run("apply", "--yes").stderr


def test_history_goes_of_what_a_run_leaves_as_it_is(bench: Bench) -> None:
    assert superseded(bench, "1s")
    time.sleep(1.1)
    bench.write({"t": plain("1s", format="parquet"), "u": plain("1s", destination="other/")})

    applied = bench.run("apply", "--yes")

    assert applied.returncode == 0
    assert not history(bench)


def test_an_old_file_that_was_superseded_just_now_stays(bench: Bench) -> None:
    kept = superseded(bench, "1d")
    for path in kept:
        os.utime(path, (OLD_S, OLD_S))

    applied = bench.run("apply", "--yes")

    assert applied.returncode == 0
    assert history(bench) == kept
    assert "superseded" not in applied.stderr


def test_a_shorter_time_holds_from_the_run_that_takes_it_over(bench: Bench) -> None:
    assert superseded(bench, "1d")
    bench.write({"t": plain("0s", format="parquet")})

    envelope, _ = bench.apply()

    assert kinds(envelope) == {"t": "relabel"}
    assert not history(bench)
    assert unsettled(bench.plan()) == {}
