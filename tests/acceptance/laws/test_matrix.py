"""Every source, format, mode and destination: applied, whole, readable, and then at rest."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from tests.acceptance.laws import sources
from tests.acceptance.laws.bench import (
    Bench,
    codes,
    kinds,
    lake,
    lake_environment,
    multiset,
    unsettled,
)
from tests.conftest import Place
from tests.shown import rows_of

FORMATS: dict[str, dict[str, Any]] = {
    "ald": {"format": "ald"},
    "ald-b": {"format": "ald", "formatOptions": {"ald": {"layout": "B", "compression": "zstd"}}},
    "parquet": {"format": "parquet"},
    "parquet-set": {
        "format": "parquet",
        "formatOptions": {"parquet": {"compression": "zstd", "level": 3}},
    },
    "arrow": {"format": "arrow"},
}
MODES = ("Snapshot", "Incremental")


Wanted = dict[str, tuple[dict[str, Any], pa.Table | None]]


def table_datasets(made: dict[str, sources.Made], root: str) -> Wanted:
    """Every table in every format and mode, and others that read a dataset; with their rows."""
    wanted: Wanted = {}
    for source, format_, mode in (
        (s, f, m) for s in made if s in sources.TABLES for f in FORMATS for m in MODES
    ):
        name = f"{source}-{format_}-{mode.lower()}"
        ends = {"source": made[source].spec, "destination": f"{root}{name}/", "mode": mode}
        wanted[name] = ({**ends, **FORMATS[format_]}, made[source].rows)
    for upstream in ("parquet-ald-snapshot", "parquet-parquet-snapshot"):
        for format_, mode in ((f, m) for f in FORMATS for m in MODES):
            name = f"from-{upstream}-{format_}-{mode.lower()}"
            ends = {
                "source": {"dataset": upstream},
                "destination": f"{root}{name}/",
                "mode": mode,
            }
            wanted[name] = ({**ends, **FORMATS[format_]}, sources.ROWS)
    return wanted


def file_datasets(made: dict[str, sources.Made], root: str) -> dict[str, dict[str, Any]]:
    """Every source of files, tables of files included, byte for byte."""
    return {
        f"{name}-files": {
            "source": one.spec, "destination": f"{root}{name}-files/", "format": "files",
            "mode": "Mirror",
        }
        for name, one in made.items()
        if "delta" not in name
    }  # fmt: skip


@pytest.fixture
def world(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> tuple[Bench, dict[str, sources.Made]]:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    bench = Bench(tmp_path, workspace={"limits": {"files": 100000}}, others=lake(bucket))
    made = {name: make(tmp_path / name, bucket) for name, make in sources.LOCAL.items()}
    made |= {name: make(tmp_path / name, bucket) for name, make in sources.REMOTE.items()}
    return bench, made


@pytest.mark.server
@pytest.mark.parametrize("destination", ["local", "s3"])
def test_every_combination_applies_and_then_rests(
    world: tuple[Bench, dict[str, sources.Made]], bucket: Place, destination: str
) -> None:
    """Rows are the source's; a second plan is empty, and so is one without the state."""
    bench, made = world
    root = "out/" if destination == "local" else f"{bucket.url}/out/"
    tables = table_datasets(made, root)
    bench.write({name: spec for name, (spec, _) in tables.items()} | file_datasets(made, root))

    again = bench.settle()

    assert unsettled(again) == {}
    vectors = set()
    with bench.open() as engine:
        for name, (_, expected) in tables.items():
            found = multiset(rows_of(engine, name))
            if expected is not None:
                assert found == multiset(expected), name
            assert found, name
            if "short-vector" in name:
                vectors.add(str(sorted(found.items())))
    assert len(vectors) == 1

    for leftover in (bench.folder / ".batuta").glob("*"):
        if leftover.is_file():
            leftover.unlink()
        else:
            shutil.rmtree(leftover)
    assert unsettled(bench.plan()) == {}


@pytest.mark.parametrize("source", ["parquet", "csv", "delta-parted"])
def test_parts_are_read_by_a_plain_glob(tmp_path: Path, source: str) -> None:
    """DuckDB and polars see the rows of the newest snapshot without knowing of the log."""
    made = sources.LOCAL[source](tmp_path / source, None)
    assert made.rows is not None
    bench = Bench(tmp_path)
    bench.write(
        {f: {"source": made.spec, "destination": f"out/{f}/", "format": f}
         for f in ("parquet", "arrow")}
    )  # fmt: skip
    bench.settle()

    with duckdb.connect() as database:
        found = database.execute(f"select id from '{tmp_path}/out/parquet/*.parquet'")
        by_duckdb = sorted(row[0] for row in found.fetchall())
    by_polars = pl.read_ipc(f"{tmp_path}/out/arrow/*.arrow").to_arrow()

    assert by_duckdb == sorted(made.rows["id"].to_pylist())
    assert multiset(by_polars, ["id", "name"]) == multiset(made.rows, ["id", "name"])


@pytest.mark.parametrize("source", ["opaque", "parquet"])
def test_a_mirror_holds_the_same_bytes_under_the_same_names(tmp_path: Path, source: str) -> None:
    made = sources.LOCAL[source](tmp_path / source, None)
    bench = Bench(tmp_path)
    bench.write({"m": {"source": made.spec, "destination": "out/m/", "format": "files"}})
    bench.settle()

    for path in (tmp_path / source).rglob("*"):
        if path.is_file():
            copy = tmp_path / "out/m" / path.relative_to(tmp_path / source)
            assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"source": "delta+t/", "format": "files"}, "MAN120"),
        ({"source": "t/", "format": "files", "mode": "Snapshot"}, "MAN"),
        ({"source": "t/", "format": "parquet", "mode": "Mirror"}, "MAN"),
        ({"source": "t/", "format": "ald", "incremental": {"cursor": "id"}}, "MAN"),
        ({"source": "t/", "format": "files", "incremental": {"cursor": "id"}}, "MAN"),
        (
            {"source": "t/", "format": "parquet", "mode": "Incremental",
             "incremental": {"cursor": "nope", "key": ["id"]}},
            "PLN104",
        ),
        ({"source": {"address": "t/", "where": "id > 1"}, "format": "ald"}, "LOC116"),
        ({"source": {"address": "t/", "version": "7"}, "format": "ald"}, "LOC115"),
        ({"source": {"address": "t/", "columns": {"include": ["x"]}}, "format": "ald"}, "PLN114"),
        ({"source": "nowhere/", "format": "ald"}, "LOC101"),
        ({"source": "t/", "format": "ald", "formatOptions": {"parquet": {}}}, "MAN"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_a_code(
    tmp_path: Path, spec: dict[str, Any], code: str
) -> None:
    """Nothing is written, and what is said is a diagnostic, never a traceback."""
    address = spec["source"] if isinstance(spec["source"], str) else ""
    (sources.delta if address.startswith("delta") else sources.parquet)(tmp_path / "t", None)
    bench = Bench(tmp_path)
    bench.write({"bad": {**spec, "destination": "out/"}})

    done = bench.run("apply", "--yes")

    assert code in done.stdout + done.stderr, done.stdout + done.stderr
    assert done.returncode not in (0, 70)
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_a_source_that_only_lists_is_a_no_op_when_applied_again(tmp_path: Path) -> None:
    """A re-run with nothing new moves no data and says so."""
    made = sources.parquet(tmp_path / "t", None)
    bench = Bench(tmp_path)
    bench.write({"t": {"source": made.spec, "destination": "out/"}})
    bench.settle()

    envelope, report = bench.apply()
    said = bench.run("apply", "--yes")

    assert kinds(envelope) == {"t": "no-op"}
    assert report.bytes_read == 0
    assert codes(envelope) == {}
    assert said.returncode == 0
    assert "no changes" in said.stdout.lower() or "nothing to" in said.stdout.lower(), said.stdout
