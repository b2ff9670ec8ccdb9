"""What a case's second child does: look as a reader, run some command, apply, check everything."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batuta.model.diagnostic import BatutaError
from batuta.model.plan import NoOp
from batuta.runtime.engine import Engine, WorkspaceOptions
from batuta.runtime.planning import PlanRequest
from tests.shown import rows_of

Run = Callable[..., int]
DATASET = "orders"


def look(case: dict[str, Any], run: Run) -> int:
    """Check a killed run's workspace and write what was found beside it; 0 where it could be."""
    folder = Path.cwd()
    problems: list[str] = []
    checkpointed = chunks_in_state(folder)
    entries = as_reader(case, problems)
    switch(case["then"])
    read = count_chunks()
    code = run(case["next"])
    if code != 0:
        problems.append(f"`{' '.join(case['next'])}` ended with {code}")
    code = run(["apply", "--yes"])
    if code != 0:
        problems.append(f"the second apply ended with {code}")
    answer = {
        "checkpointed": checkpointed,
        "committed": entries > len(case["before"]),
        "read": len(read),
        **finished(problems),
    }
    (folder.parent / f"{folder.name}.seen.json").write_text(
        json.dumps({**answer, "problems": problems})
    )
    return 0


def switch(names: list[list[str]]) -> None:
    """Bring another edition of the source to its place."""
    for old, new in names:
        os.replace(old, new)


def count_chunks() -> list[str]:
    """Return a list that grows by one for each chunk that workers write from now on."""
    from batuta.runtime.worker import pool

    found: list[str] = []
    real = pool.WorkerPool.ask

    def ask(self: Any, request: Any, name: str, told: Callable[[Any], None], errand: Any) -> None:
        def heard(reply: Any) -> None:
            if reply.receipt is not None and reply.receipt.files:
                found.append(reply.receipt.task)
            told(reply)

        real(self, request, name, heard, errand)

    pool.WorkerPool.ask = ask  # type: ignore[method-assign]  # the real one runs inside
    return found


def chunks_in_state(folder: Path) -> int:
    """Return how many chunks the dead run has checkpointed, by SQLite alone."""
    path = folder / ".batuta" / "state.db"
    if not path.exists():
        return 0
    database = sqlite3.connect(path)
    try:
        return int(database.execute("SELECT count(*) FROM chunks").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # killed before there were tables
    finally:
        database.close()


def content_of(folder: Path) -> Any:
    """Return what a source holds: rows in the order in which they are read, or files by name."""
    tables = sorted(folder.glob("*.parquet"))
    if tables:
        return pa.concat_tables(pq.read_table(path, partitioning=None) for path in tables)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def content_now(engine: Engine) -> Any:
    """Return what the dataset holds, as a reader of its log sees it."""
    snapshot = engine.datasets.find(DATASET).dataset.snapshot()
    if snapshot is None or snapshot.entry.facts.format != "files":
        return rows_of(engine, DATASET)
    checked = engine.verify_dataset(DATASET)  # all bytes are there, in one of the two places
    return {p.path: p.sha256 for p in snapshot.parts} if checked.ok else checked.problems


def as_reader(case: dict[str, Any], problems: list[str]) -> int:
    """A reader through the log sees a whole snapshot at any time; return how many entries it has."""
    engine = Engine.open(WorkspaceOptions(folder=Path.cwd()))
    try:
        content = content_now(engine)
        entries = len(engine.dataset_log(DATASET))
    except BatutaError as error:
        if error.diagnostics[0].code != "DAT101" or case["before"]:
            problems.append(f"a reader was refused: {error}")
        return 0
    finally:
        engine.close()
    if not same(content, content_of(Path([*case["before"], "data"][entries - 1]))):
        problems.append(f"a reader of version {entries - 1} saw something else")
    return entries


def same(one: Any, other: Any) -> bool:
    """Whether both are the same rows in the same order, or the same files."""
    if isinstance(one, pa.Table) and isinstance(other, pa.Table):
        return one.num_rows == other.num_rows and bool(one.cast(other.schema).equals(other))
    return bool(one == other)


def finished(problems: list[str]) -> dict[str, Any]:
    """Check a workspace in which everything is said to be done; return its parts and log."""
    folder = Path.cwd()
    engine = Engine.open(WorkspaceOptions(folder=folder))
    try:
        if not same(content_now(engine), content_of(folder / "data")):
            problems.append("the dataset does not hold what the source does")
        checked = engine.verify_dataset(DATASET)
        if not (checked.ok and checked.anchored):
            problems.append(f"verify: {[d.detail for d in checked.problems]}")
        problems += [f"state: {d.detail}" for d in engine.verify_state()]
        problems += left_in_state(engine)
        log = engine.dataset_log(DATASET)
        current = engine.datasets.find(DATASET).dataset.snapshot()
        assert current is not None
        problems += left_in_place(engine, {part.path for part in current.parts})
    finally:
        engine.close()
    problems += planned_again(folder)
    return {
        "parts": sorted([p.path, p.size_bytes, p.sha256, p.rows] for p in current.parts),
        "log": [points_of_entry(entry) for entry in log],
    }


def planned_again(folder: Path) -> list[str]:
    """A plan after an apply is empty; with the same sizes of parts, which are not in the facts."""
    engine = Engine.open(WorkspaceOptions(folder=folder))
    try:
        plan = engine.plan(PlanRequest(), lambda _event: None).plan
    finally:
        engine.close()
    return [
        f"the next plan has {action.kind} {[r.code for r in action.reasons]}"
        for action in plan.actions
        if not isinstance(action, NoOp) or action.adopt_state
    ]


def points_of_entry(entry: Any) -> dict[str, Any]:
    """What two runs of the same work must have in common: all but the time and what hangs on it."""
    return {
        "version": entry.version,
        "action": entry.action,
        "facts": repr(entry.facts),
        "source": entry.source.version,
        "added": [[p.path, p.sha256, p.rows, [u.key for u in p.units]] for p in entry.added],
        "removed": list(entry.removed),
        "rows": entry.rows,
        "label": repr(entry.label),
    }


def left_in_state(engine: Engine) -> list[str]:
    """The journal holds no work that nobody will do."""
    problems = []
    if unfinished := engine.store.unfinished_runs():
        problems.append(f"{len(unfinished)} runs are said to be running")
    for table in ("transfers", "chunks"):
        (count,) = engine.store.rows(f"SELECT count(*) FROM {table}")[0]
        if count:
            problems.append(f"{count} rows are left in {table}")
    if intents := engine.store.rows("SELECT action FROM steps WHERE status = 'intent'"):
        problems.append(f"{len(intents)} intents without an outcome")
    return problems


def left_in_place(engine: Engine, parts: set[str]) -> list[str]:
    """Staging is empty, and beside parts, log and history there is nothing."""
    place = engine.datasets.find(DATASET)
    listed = {info.path for info in place.dataset.files.list()}
    own = {path for path in listed if path.startswith(("_log/", "_history/"))}
    problems = [f"orphan {path}" for path in sorted(listed - parts - own)]
    scratch = [Path(".batuta/staging")]
    if place.dataset.files.moves:
        scratch.append(Path(place.dataset.files.location) / "_staging")
    for folder in scratch:
        if folder.is_dir() and (names := os.listdir(folder)):
            problems.append(f"{folder} holds {names}")
    return problems
