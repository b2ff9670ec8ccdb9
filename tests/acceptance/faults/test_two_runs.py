"""Two applies at once: one state lets one through, one destination has one winner."""

import subprocess
import time
from pathlib import Path

from tests.acceptance.faults.space import Space, write_days

WAITS = """
set_sizes()
import pathlib, time
from batuta.runtime.{module} import {owner}
real = {owner}.{name}
def first(self, *args, **named):
    pathlib.Path("waiting").touch()
    while not pathlib.Path("go").exists(): time.sleep(0.01)
    return real(self, *args, **named)
{owner}.{name} = first
"""
# Says so when it asks for the lock to apply (not to recover), and is not held up.
AT_LOCK = """
set_sizes()
import pathlib
from batuta.runtime.state.lease import LeaseKeeper
real = LeaseKeeper.__enter__
def asks(self):
    if self._wait_s: pathlib.Path("at-lock").touch()
    return real(self)
LeaseKeeper.__enter__ = asks
"""
AT_START = WAITS.format(module="execute", owner="Executor", name="run")


def waiting(space: Space, sign: str = "waiting") -> None:
    deadline = time.monotonic() + 30
    while not (space.root / sign).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    text, _ = process.communicate(timeout=60)
    return process.returncode, text


def test_the_second_of_two_applies_is_told_who_holds_the_state(space: Space) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": "source: data/, destination: out/orders/, format: ald"})
    first = space.start("apply", "--yes", before=AT_START)
    waiting(space)
    code, text = space.run("apply", "--yes")
    assert code == 7, text
    assert "LCK101" in text
    assert str(first.pid) in text
    assert space.run("plan")[0] == 0  # looking is allowed, and recovers nothing under a live run
    (space.root / "go").touch()
    assert ended(first)[0] == 0
    space.holds(rows)


def test_one_that_waits_for_the_lock_goes_on_when_it_is_free(space: Space) -> None:
    """Its plan is out of date by then, so it plans again, and finds nothing left to do."""
    rows = write_days(space.root / "data")
    space.declare({"orders": "source: data/, destination: out/orders/, format: ald"})
    first = space.start("apply", "--yes", before=AT_START)
    waiting(space)
    second = space.start("apply", "--yes", "--lock-timeout", "30", before=AT_LOCK)
    waiting(space, "at-lock")
    (space.root / "go").touch()
    assert ended(first)[0] == 0
    code, text = ended(second)
    assert code == 0, text
    assert "planning again" in text
    assert "PLN12" not in text
    space.apply()
    space.holds(rows)
    engine = space.engine()
    assert len(engine.dataset_log("orders")) == 1
    engine.close()


def test_many_applies_at_once_leave_one_commit(space: Space) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": "source: data/, destination: out/orders/, format: ald"})
    runs = [space.start("apply", "--yes", "--lock-timeout", "30") for _ in range(4)]
    ends = [ended(run) for run in runs]
    assert {code for code, _ in ends} == {0}, ends
    space.holds(rows)
    engine = space.engine()
    assert len(engine.dataset_log("orders")) == 1
    engine.close()


def test_two_states_on_one_destination_have_one_winner(tmp_path: Path) -> None:
    """The first is stopped right before its commit; the second commits; the first must lose."""
    one, two = Space(tmp_path / "one"), Space(tmp_path / "two")
    lost = write_days(one.root / "data")
    rows = write_days(two.root / "data", edition=1)
    shared = tmp_path / "shared"
    for each in (one, two):
        each.declare({"orders": f"source: data/, destination: {shared}/, format: ald"})
    late = one.start("apply", "--yes", before=AT_COMMIT)
    waiting(one)
    two.apply()
    (one.root / "go").touch()
    code, text = ended(late)
    assert code in {6, 1}, text
    assert "LOG10" in text
    two.holds(rows)
    code, text = one.run("plan")
    assert code != 70, text
    assert two.rows().num_rows == rows.num_rows == lost.num_rows
    two.apply()
    two.holds(rows)


AT_COMMIT = """
set_sizes()
import pathlib, time
from batuta.connectors.alimentar.store import AlimentarStore
real = AlimentarStore.commit
def late(self, *args, **named):
    pathlib.Path("waiting").touch()
    while not pathlib.Path("go").exists(): time.sleep(0.01)
    return real(self, *args, **named)
AlimentarStore.commit = late
"""


def test_a_lease_that_was_stolen_stops_the_run_that_had_it(space: Space) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": "source: data/, destination: out/orders/, format: ald"})
    first = space.start("apply", "--yes", before=AT_START)
    waiting(space)
    assert space.run("lock", "steal", "--yes")[0] in {0, 3}
    code, text = space.run("lock", "show")
    assert code == 0, text
    (space.root / "go").touch()
    code, text = ended(first)
    assert code == 7 or (code != 70 and "LCK102" in text), text
    space.apply()
    space.holds(rows)
