"""Nothing happens on a head that another run moved, and a death between log and state is mended."""

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.runtime.planning import PlanRequest
from tests.acceptance.laws.bench import Bench, codes, kinds, tree, unsettled

KILLED = """
import os, signal, sys
from batuta.runtime.state.store import StateStore
real = StateStore.write
def write(self, writes):
    if any("steps" in sql and "done" in values for sql, values in writes):
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, writes)
StateStore.write = write
from batuta.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def table(bench: Bench, *ids: int) -> None:
    folder = bench.folder / "t"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": list(ids)}), folder / "a.parquet")


def dataset(**fields: Any) -> dict[str, Any]:
    return {"source": "t/", "destination": "out/", "format": "parquet", **fields}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "one")
    table(bench, 1)
    bench.write({"t": dataset()})
    bench.settle()
    return bench


def other_state(bench: Bench) -> Bench:
    """The same workspace on another machine: the destination is shared, the state is not."""
    twin = Bench(bench.folder.with_name("two"))
    shutil.copytree(bench.folder, twin.folder)
    shutil.rmtree(twin.folder / "out")
    (twin.folder / "out").symlink_to(bench.folder / "out")
    return twin


def killed(bench: Bench, *arguments: str) -> None:
    """Run the program until it has done an action and is about to write that down."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], cwd=bench.folder, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL


def test_a_deletion_is_not_done_on_what_another_run_committed_since_its_plan(bench: Bench) -> None:
    twin = other_state(bench)
    with bench.open() as engine:
        envelope = engine.plan(PlanRequest(destroy=("t",)), lambda _: None)
        table(twin, 1, 2)
        twin.settle()
        before = tree(bench.folder / "out")
        report = engine.apply(envelope, lambda _: None, threading.Event())

    assert report.status == "failed"
    assert [d.code for o in report.outcomes for d in o.diagnostics] == ["LOG106"]
    assert tree(bench.folder / "out") == before


def test_a_deletion_that_was_killed_is_finished_by_the_next_command(bench: Bench) -> None:
    killed(bench, "destroy", "t", "--yes", "--allow-data-loss", "t")

    assert bench.run("plan").returncode == 0
    assert tree(bench.folder / "out") == {}
    assert kinds(bench.plan()) == {"t": "create"}


RELABELS: dict[str, dict[str, Any]] = {
    "protect": {"protect": True},
    "tier": {"tier": "PrivateCloud"},
}


@pytest.mark.parametrize("field", list(RELABELS))
def test_a_saved_plan_that_only_changes_the_log_can_be_applied(bench: Bench, field: str) -> None:
    bench.write({"t": dataset(**RELABELS[field])})
    assert bench.run("plan", "--out", "plan.json").returncode == 0

    done = bench.run("apply", "plan.json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert unsettled(bench.plan()) == {}


def test_a_saved_deletion_and_a_saved_release_can_be_applied(bench: Bench) -> None:
    for deleted in (False, True):
        bench.write({"t": dataset(deletionPolicy="Delete")})
        bench.settle()
        if not deleted:
            bench.write({"t": dataset()})
            bench.settle()
        bench.workspace["limits"] = {"deletes": 1}
        bench.write({})
        assert bench.run("plan", "--out", "plan.json").returncode == 0

        done = bench.run("apply", "plan.json", "--allow-data-loss", "t")

        assert done.returncode == 0, done.stdout + done.stderr
        assert bool(tree(bench.folder / "out")) is not deleted


@pytest.mark.parametrize("kind", ["relabel", "move", "delete", "release"])
def test_a_saved_plan_of_any_kind_is_stale_once_the_head_moved(bench: Bench, kind: str) -> None:
    bench.write({"t": dataset(deletionPolicy="Delete" if kind == "delete" else "Retain")})
    bench.settle()
    twin = other_state(bench)
    bench.workspace["limits"] = {"deletes": 1}
    wanted = {"relabel": dataset(protect=True), "move": dataset(destination="new/")}
    bench.write({"t": wanted[kind]} if kind in wanted else {})
    assert kinds(bench.plan()) == {"t": kind}
    assert bench.run("plan", "--out", "plan.json").returncode == 0
    if kind == "move":
        (twin.folder / "new").symlink_to(bench.folder / "new")
        (bench.folder / "new").mkdir()
        twin.write({"t": dataset(destination="new/")})
    else:
        table(twin, 1, 2)
    twin.settle()
    before = tree(bench.folder / "out")

    done = bench.run("apply", "plan.json", "--allow-data-loss", "t")

    assert done.returncode == 6, done.stdout + done.stderr
    assert "PLN122" in done.stderr
    assert tree(bench.folder / "out") == before


CHANGES: dict[str, dict[str, Any]] = {
    "relabel": {"protect": True},
    "replace": {},
    "convert": {"format": "arrow"},
    "move": {"destination": "new/"},
}


@pytest.mark.parametrize("kind", list(CHANGES))
def test_an_action_that_was_killed_between_log_and_state_is_recorded(
    bench: Bench, kind: str
) -> None:
    if kind == "replace":
        table(bench, 1, 2, 3)
    bench.write({"t": dataset(**CHANGES[kind])})
    killed(bench, "apply", "--yes", "--allow-data-loss", "t")

    done = bench.run("plan")

    assert "its outcome is recorded now" in done.stderr
    assert unsettled(bench.plan()) == {}
    with bench.open() as engine:
        (record,) = engine.records()
        assert engine.verify_dataset("t").anchored
        assert [run.status for run in engine.runs()][:1] == ["dead"]
    assert record.revision == 2


def test_a_label_that_was_given_by_a_killed_run_is_remembered(bench: Bench) -> None:
    """The state knows the contents by their digest, wherever they are copied."""
    bench.write({"t": dataset(tier="PrivateCloud")})
    killed(bench, "apply", "--yes")
    assert bench.run("plan").returncode == 0

    with bench.open() as engine:
        rows = engine.store.rows("SELECT label FROM labels")
    assert rows


def test_a_killed_run_whose_commit_another_one_built_upon_is_recorded(bench: Bench) -> None:
    twin = other_state(bench)
    table(bench, 1, 2)
    killed(bench, "apply", "--yes")
    table(twin, 1, 2, 3)
    twin.settle()

    done = bench.run("plan")

    assert "its outcome is recorded now" in done.stderr


# What `state rebuild` may take


def test_rebuild_does_not_take_over_what_another_workspace_made(bench: Bench) -> None:
    other = Bench(bench.folder.with_name("other"))
    other.write({"mine": {**dataset(), "destination": str(bench.folder / "out")}})
    table(other, 1)
    expected = {"mine": ["PLN102"]}
    assert codes(other.plan()) == expected

    done = other.run("state", "rebuild", "--yes")

    assert "Dataset/t" in done.stdout + done.stderr
    with other.open() as engine:
        assert engine.records() == ()
    assert codes(other.plan()) == expected


def test_rebuild_does_not_accept_a_log_that_was_rolled_back(bench: Bench) -> None:
    shutil.copytree(bench.folder / "out", bench.folder / "kept")
    table(bench, 1, 2)
    bench.settle()
    shutil.rmtree(bench.folder / "out")
    shutil.copytree(bench.folder / "kept", bench.folder / "out")

    done = bench.run("state", "rebuild", "--yes")

    assert "--accept-head" in done.stdout + done.stderr
    assert codes(bench.plan()) == {"t": ["DRF107"]}
