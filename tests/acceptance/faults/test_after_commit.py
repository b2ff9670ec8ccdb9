"""What fails when the entry is there already: the commit holds, and what is left is done later."""

from pathlib import Path

from tests.acceptance.faults.space import Space, write_days
from tests.acceptance.faults.test_permission import obeys_modes

ORDERS = "source: data/, destination: out/orders/, format: ald, history: {{keep: {keep}}}"
A_DAY, NOTHING = ORDERS.format(keep="1d"), ORDERS.format(keep="0s")


def recorded(space: Space) -> bool:
    """Whether the state remembers the newest entry, and no work is left in it."""
    engine = space.engine()
    try:
        (record,) = [r for r in engine.records() if r.address == "Dataset/orders"]
        snapshot = engine.datasets.find("orders").dataset.snapshot()
        assert snapshot is not None
        left = engine.store.rows("SELECT count(*) FROM transfers")[0][0]
        unfinished = engine.store.unfinished_runs()
        return record.head == snapshot.head and not left and not unfinished
    finally:
        engine.close()


def history_of(space: Space) -> Path:
    return space.root / "out" / "orders" / "_history"


def test_history_that_cannot_be_deleted_does_not_fail_the_commit_before_it(space: Space) -> None:
    write_days(space.root / "data")
    space.declare({"orders": A_DAY})
    space.apply()
    write_days(space.root / "data", edition=1)
    space.apply()
    kept = next(path for path in history_of(space).iterdir() if path.is_dir())
    kept.chmod(0o555)
    rows = write_days(space.root / "data", edition=2)
    space.declare({"orders": NOTHING})

    code, text = space.run("apply", "--yes", **obeys_modes())

    assert code == 0, text
    assert recorded(space)
    space.holds(rows)
    code, text = space.run("apply", "--yes", **obeys_modes())
    assert code not in {0, 70}, text  # the next apply tries again, and says what it is refused
    assert kept.name in text or "denied" in text
    kept.chmod(0o755)
    space.apply()
    assert not [path for path in history_of(space).rglob("*") if path.is_file()]


def test_a_commit_whose_last_steps_fail_is_finished_by_the_next_command(space: Space) -> None:
    write_days(space.root / "data")
    space.declare({"orders": A_DAY})
    space.apply()
    history_of(space).mkdir(exist_ok=True)
    history_of(space).chmod(0o555)
    rows = write_days(space.root / "data", edition=1)

    code, text = space.run("apply", "--yes", **obeys_modes())

    assert code not in {0, 70}, text
    assert "LOG114" in text
    assert not recorded(space)
    history_of(space).chmod(0o755)
    code, text = space.run("plan")
    assert code == 0, text
    assert recorded(space)
    space.holds(rows)


def test_a_deletion_that_is_refused_halfway_is_finished_by_the_next_command(space: Space) -> None:
    write_days(space.root / "data")
    space.declare({"orders": A_DAY})
    space.apply()
    write_days(space.root / "data", edition=1)
    space.apply()
    kept = next(path for path in history_of(space).iterdir() if path.is_dir())
    kept.chmod(0o555)

    code, text = space.run("destroy", "orders", "--yes", **obeys_modes())

    assert code not in {0, 70}, text
    assert "LOG114" in text
    kept.chmod(0o755)
    code, text = space.run("state", "list")
    assert code == 0, text
    assert "The state is empty" in text
    assert not [path for path in (space.root / "out").rglob("*") if path.is_file()]


def test_a_change_of_fields_whose_history_cannot_go_is_done(space: Space) -> None:
    write_days(space.root / "data")
    space.declare({"orders": A_DAY})
    space.apply()
    rows = write_days(space.root / "data", edition=1)
    space.apply()
    kept = next(path for path in history_of(space).iterdir() if path.is_dir())
    kept.chmod(0o555)
    space.declare({"orders": NOTHING})

    code, text = space.run("apply", "--yes", **obeys_modes())

    assert code == 0, text
    assert recorded(space)
    kept.chmod(0o755)
    space.holds(rows)
