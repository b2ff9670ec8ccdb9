"""A FullySovereign transfer between local folders, by the real engine, with confined workers."""

import socket
import sys
import threading
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batuta.runtime.engine import Engine, WorkspaceOptions
from batuta.runtime.planning import PlanRequest
from batuta.runtime.sandbox import levels
from batuta.runtime.sandbox.confinement import LAYERS_OF, Level, launch
from batuta.runtime.sandbox.levels import Choice
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


def transfer(level: str, output: str) -> dict[str, Any]:
    """Plan and apply one dataset; return how it ended and how many rows were written."""
    with scenes.places() as folder:
        (folder / "source" / "rows.csv").unlink()
        (folder / "kept").mkdir()
        pq.write_table(pa.table({"id": range(ROWS)}), folder / "source" / "rows.parquet")
        (folder / "batuta.yaml").write_text(_WORKSPACE)
        (folder / "orders.yaml").write_text(_DATASET.replace("FORMAT", output))
        engine = Engine.open(WorkspaceOptions(folder=folder))
        wanted = Choice(level=Level(level), layers=LAYERS_OF[Level(level)])
        setattr(levels, "choose", lambda _need: wanted)  # noqa: B010 - all of this process
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
