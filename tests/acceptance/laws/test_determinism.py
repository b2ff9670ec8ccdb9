"""A plan is the same bytes whatever the machine, its clock, its language and its threads."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.laws import sources
from tests.acceptance.laws.bench import Bench

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
from batuta.core.plan_document import plan_bytes
from batuta.runtime.engine import Engine, WorkspaceOptions
from batuta.runtime.planning import PlanRequest
from batuta.runtime.worker.pool import WorkerPool
from batuta.runtime.worker.wire import Limits
engine = Engine.open(WorkspaceOptions(folder=Path(sys.argv[1])))
engine.pool = WorkerPool(size=int(sys.argv[2]), limits=Limits(threads=int(sys.argv[3])))
sys.stdout.buffer.write(plan_bytes(engine.plan(PlanRequest(), lambda event: None).plan))
engine.close()
"""
WORLDS = [
    {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    {"PYTHONHASHSEED": "1", "TZ": "Pacific/Chatham", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "random", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8"},
    {"PYTHONHASHSEED": "4711", "LANG": "de_DE.UTF-8", "PYTHONUTF8": "0", "COLUMNS": "20"},
]


def plan_of(folder: Path, world: dict[str, str], size: int, threads: int) -> bytes:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "TZ"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(size), str(threads)],
        env={**clean, **world}, capture_output=True, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Datasets of all kinds, applied once; then sources changed, broken and new ones."""
    folder = tmp_path / "one"
    datasets = {}
    for name, make in sources.LOCAL.items():
        made = make(folder / name, None)
        format_ = "files" if name == "opaque" else "parquet"
        datasets[name] = {
            "source": made.spec, "destination": f"out/{name}/", "format": format_,
        }  # fmt: skip
    datasets["reads"] = {"source": {"dataset": "parquet"}, "destination": "out/reads/"}
    bench = Bench(folder, workspace={"limits": {"deletes": 3}})
    bench.write(datasets)
    bench.settle()
    shutil.copy(folder / "parquet/part-0.parquet", folder / "parquet/part-9.parquet")
    (folder / "csv/0.csv").write_text("id,name,extra\n1,x,2.5\n")
    (folder / "jsonl/x.jsonl").write_text('{"id": "text now"}\n')
    (folder / "hive/year=2020/x.parquet").unlink()
    (folder / "arrow/x.arrow").write_bytes(b"ARROW1 no more")
    (folder / "opaque/new.bin").write_bytes(b"n")
    del datasets["ald"]
    datasets["fresh"] = {"source": "parquet/", "destination": "out/fresh/"}
    bench.write(datasets)
    return bench


def test_a_plan_is_byte_identical_in_every_world(bench: Bench, tmp_path: Path) -> None:
    """Hash seed, zone, language, workers, threads, folder, order and age of files."""
    first = plan_of(bench.folder, WORLDS[0], 2, 2)
    kinds = {action["kind"] for action in json.loads(first)["actions"]}
    assert {"create", "append", "replace", "blocked", "no-op"} <= kinds

    for number, world in enumerate(WORLDS):
        assert plan_of(bench.folder, world, number + 1, 1 + number % 2) == first, world

    # The same workspace elsewhere: files in another order, with other times, without a cache.
    other = tmp_path / "an other, longer påth"
    for path in sorted(bench.folder.rglob("*"), reverse=True):
        if path.is_file() and "cache.db" not in path.name:
            copy = other / path.relative_to(bench.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    assert plan_of(other, WORLDS[2], 3, 1) == first


def test_a_plan_holds_no_trace_of_the_machine(bench: Bench) -> None:
    """No absolute path, no host's name, no user, no time of day."""
    text = plan_of(bench.folder, WORLDS[0], 2, 2).decode()

    assert str(bench.folder) not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert os.uname().nodename not in text
