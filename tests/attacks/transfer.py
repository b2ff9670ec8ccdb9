"""A FullySovereign transfer between local folders, by the real engine, with confined workers."""

import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from batuta.runtime.engine import Engine, WorkspaceOptions
from batuta.runtime.planning import PlanRequest
from batuta.runtime.sandbox.confinement import LAYERS_OF, Confinement, Level, launch
from batuta.runtime.worker import pool
from tests.attacks import scenes

ROWS = 50_000
_WORKSPACE = "apiVersion: batuta.dev/v1\nkind: Workspace\nmetadata: {name: home}\nspec: {}\n"
_DATASET = """apiVersion: batuta.dev/v1
kind: Dataset
metadata: {name: orders}
spec:
  source: {address: source/, origin: {tier: FullySovereign}}
  destination: kept/orders/
  format: FORMAT
  tier: FullySovereign
"""


class _Confined(pool.WorkerPool):
    """Starts every worker behind the walls of a level, with a workspace's two folders."""

    def __init__(self, folder: Path, level: Level) -> None:
        super().__init__(size=1)
        self.folder, self.level = folder, level

    def _start(self, *_: Any, **__: Any) -> Any:
        ours, theirs = socket.socketpair()
        limits = msgspec.json.encode(self.limits).decode()
        with theirs:
            argv = [
                sys.executable, "-I", "-c", pool.WORKER_CODE, pool._ROOT, str(theirs.fileno()),
                limits,
            ]  # fmt: skip
            worker: Any = launch(
                argv,
                theirs.fileno(),
                Confinement(
                    level=self.level,
                    read_paths=(str(self.folder / "source"),),
                    write_paths=(str(self.folder / "kept"),),
                    env={"LC_ALL": "C.UTF-8", "TZ": "UTC"},
                    layers=LAYERS_OF[self.level],
                ),
            )
        return pool._Worker(worker, ours)


def transfer(level: str, output: str) -> dict[str, Any]:
    """Plan and apply one dataset; return how it ended and how many rows were written."""
    with scenes.places() as folder:
        (folder / "source" / "rows.csv").unlink()
        (folder / "kept").mkdir()
        pq.write_table(pa.table({"id": range(ROWS)}), folder / "source" / "rows.parquet")
        (folder / "batuta.yaml").write_text(_WORKSPACE)
        (folder / "orders.yaml").write_text(_DATASET.replace("FORMAT", output))
        engine = Engine.open(WorkspaceOptions(folder=folder))
        engine.pool = _Confined(folder, Level(level))
        try:
            planned = engine.plan(PlanRequest(), lambda _: None)
            report = engine.apply(planned, lambda _: None, threading.Event())
        finally:
            engine.close()
        return {"status": report.status, "rows": report.outcomes[0].rows}


def overhead(level: str | None, rounds: int) -> list[float]:
    """Return how many seconds passed from asking for a worker to its first word, each round."""
    code = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).send(b'x')"
    took = []
    with scenes.places() as folder:
        for _ in range(rounds):
            ours, theirs = socket.socketpair()
            with ours:
                started = time.monotonic()
                with theirs:
                    argv = [sys.executable, "-I", "-c", code, str(theirs.fileno())]
                    worker: Any
                    if level is None:
                        import subprocess

                        worker = subprocess.Popen(argv, pass_fds=(theirs.fileno(),))
                    else:
                        worker = launch(argv, theirs.fileno(), scenes.confinement(folder, level))
                ours.recv(1)
                took.append(time.monotonic() - started)
                worker.wait()
    return took
