"""A source that goes away or changes between two looks at it: refused, never spliced."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.faults.space import BATCH, Space, events, ids, write, write_days

ORDERS = "source: data/, destination: out/orders/, format: ald"


def nothing_published(space: Space) -> bool:
    return not list((space.root / "out" / "orders").glob("part-*"))


def test_a_source_that_vanishes_after_the_plan_makes_the_plan_stale(space: Space) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    assert space.run("plan", "--out", "plan.json")[0] == 0
    (space.root / "data").rename(space.root / "gone")
    code, text = space.run("apply", "plan.json")
    assert code not in {0, 70}, text
    assert "data" in text
    assert nothing_published(space)
    (space.root / "gone").rename(space.root / "data")
    space.apply()
    space.holds(rows)


def test_a_file_that_was_replaced_after_the_plan_makes_the_plan_stale(space: Space) -> None:
    write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    assert space.run("plan", "--out", "plan.json")[0] == 0
    rows = write_days(space.root / "data", edition=1)
    code, text = space.run("apply", "plan.json")
    assert code == 6, text
    assert nothing_published(space)
    space.apply()
    space.holds(rows)


def test_a_source_that_vanishes_from_a_dataset_never_empties_it(space: Space) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    space.apply()
    (space.root / "data").rename(space.root / "gone")
    code, text = space.run("apply", "--yes")
    assert code not in {0, 70}, text
    (space.root / "gone").rename(space.root / "data")
    space.apply()
    space.holds(rows)


def test_a_file_truncated_while_it_is_read_fails_and_never_gives_half_of_it(space: Space) -> None:
    """One file of many chunks is cut after the first of them was checkpointed."""
    whole = ids(0, 120 * BATCH)
    source = space.root / "data" / "one.parquet"
    write(source, whole)
    content = source.read_bytes()
    space.declare({"orders": ORDERS})
    log = space.root / "events"
    process = space.start("apply", "--yes", "--events", str(log))
    _wait(lambda: any(e.get("files_done") for e in events(log)))
    os.truncate(source, len(content) // 2)
    text, _ = process.communicate(timeout=60)
    assert process.returncode not in {0, 70}, text
    assert "one.parquet" in text
    assert nothing_published(space)
    assert space.run("plan")[0] != 70
    source.write_bytes(content)
    space.apply()
    space.holds(whole)


def test_a_file_rewritten_while_it_is_read_fails_and_the_next_run_has_the_new_rows(
    space: Space,
) -> None:
    """The same size, other rows, in place: what was read and what is left must not meet."""
    source = space.root / "data" / "one.parquet"
    write(source, ids(1_000_000_000, 120 * BATCH), compression="none")
    newer = source.read_bytes()
    write(source, ids(0, 120 * BATCH), compression="none")
    assert source.stat().st_size == len(newer)
    space.declare({"orders": ORDERS})
    log = space.root / "events"
    process = space.start("apply", "--yes", "--events", str(log))
    _wait(lambda: any(e.get("files_done") for e in events(log)))
    with source.open("r+b") as file:
        file.write(newer)
    text, _ = process.communicate(timeout=60)
    assert process.returncode not in {0, 70}, text
    assert nothing_published(space)
    space.apply()
    space.holds(ids(1_000_000_000, 120 * BATCH))


def _wait(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def test_a_copied_file_truncated_while_it_is_read_is_refused(space: Space, tmp_path: Path) -> None:
    """Byte for byte copies look at the file before and after."""
    source = space.root / "data" / "one.bin"
    source.parent.mkdir(parents=True)
    source.write_bytes(os.urandom(1024) * 1024 * 200)
    space.declare({"orders": "source: data/, destination: out/orders/, format: files"})
    process = space.start("apply", "--yes")
    staged = space.root / "out" / "orders" / "_staging"
    _wait(lambda: any(p.stat().st_size for p in staged.glob("*/*")))
    os.truncate(source, 1000)
    text, _ = process.communicate(timeout=60)
    assert process.returncode not in {0, 70}, text
    assert not (space.root / "out" / "orders" / "one.bin").exists()
    space.apply()
    assert (space.root / "out" / "orders" / "one.bin").stat().st_size == 1000
