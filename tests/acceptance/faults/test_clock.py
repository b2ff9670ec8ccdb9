"""A clock that is set back, or far ahead: nothing is deleted early, nobody waits for tomorrow."""

import signal
import time

from tests.acceptance.faults.space import Space, write_days

ORDERS = "source: data/, destination: out/orders/, format: ald, history: {keep: 7d}"
DAY_S = 24 * 3600


def shifted(seconds: int) -> str:
    """Return code that moves the wall clock of a program, before anything has read it."""
    return (
        "from datetime import UTC, datetime, timedelta\n"
        "from batuta.runtime import clock\n"
        "import time\n"
        f"clock.wall_s = lambda: time.time() + ({seconds})\n"
        "def now_utc():\n"
        f"    moved = datetime.now(UTC) + timedelta(seconds={seconds})\n"
        "    return moved.isoformat(timespec='milliseconds').replace('+00:00', 'Z')\n"
        "clock.now_utc = now_utc\n"
        "import sys\n"
        "late = [n for n in sys.modules if n.startswith('batuta.runtime') and n != clock.__name__]\n"
        "for name in [*late, 'tests.acceptance.engines']: del sys.modules[name]\n"
        "from tests.acceptance.engines import set_sizes\n"
        "set_sizes()\n"
    )


def history(space: Space) -> int:
    return len([p for p in (space.root / "out/orders/_history").rglob("*") if p.is_file()])


def test_a_clock_set_back_a_day_deletes_nothing_and_records_the_run_last(space: Space) -> None:
    write_days(space.root / "data", 0)
    space.declare({"orders": ORDERS})
    space.apply()
    write_days(space.root / "data", 1)
    space.apply()
    kept = history(space)
    assert kept > 0
    rows = write_days(space.root / "data", 2)
    text = space.apply(before=shifted(-DAY_S))
    assert "done: 1" in text
    assert history(space) == 2 * kept
    engine = space.engine()
    newest, *older = engine.runs()
    log = engine.dataset_log("orders")
    assert newest.status == "done"
    assert newest.started_at < older[0].started_at  # it really was another clock
    assert [entry.version for entry in log] == [0, 1, 2]
    assert log[2].written_at < log[1].written_at
    engine.close()
    space.holds(rows)
    write_days(space.root / "data", 3)
    space.apply()
    assert history(space) == 3 * kept


def test_a_run_that_died_with_a_clock_ahead_is_taken_over_at_once(space: Space) -> None:
    rows = write_days(space.root / "data", 0)
    space.declare({"orders": ORDERS})
    before = shifted(DAY_S) + (
        "from batuta.runtime.execute import Executor\n"
        "import os, signal\n"
        "Executor.run = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    code, text = space.run("apply", "--yes", before=before)
    assert code == -signal.SIGKILL, text
    began = time.monotonic()
    space.apply()
    assert time.monotonic() - began < 30
    space.holds(rows)


def test_a_holder_elsewhere_that_stopped_is_replaced_by_its_beats_not_by_the_clock(
    space: Space,
) -> None:
    """The lease names another machine and a time in the future; its heart does not beat."""
    rows = write_days(space.root / "data", 0)
    space.declare({"orders": ORDERS})
    before = shifted(DAY_S) + (
        "import socket, os, signal\n"
        "socket.gethostname = lambda: 'elsewhere'\n"
        "from batuta.runtime.execute import Executor\n"
        "Executor.run = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    code, text = space.run("apply", "--yes", before=before)
    assert code == -signal.SIGKILL, text
    code, text = space.run("apply", "--yes")
    assert code == 7, text
    assert "elsewhere" in text
    code, text = space.run("apply", "--yes", "--lock-timeout", "60")
    assert code == 0, text
    space.holds(rows)


def test_history_goes_when_its_time_is_over_by_a_clock_that_is_right(space: Space) -> None:
    """The counterpart: eight days later the first version's files may go, and do."""
    write_days(space.root / "data", 0)
    space.declare({"orders": ORDERS})
    space.apply()
    write_days(space.root / "data", 1)
    space.apply()
    kept = history(space)
    assert kept > 0
    rows = write_days(space.root / "data", 2)
    space.apply(before=shifted(8 * DAY_S))
    # Only what the first replacement superseded, eight days ago, is old enough.
    assert history(space) == kept
    space.holds(rows)
