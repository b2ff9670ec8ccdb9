"""Ctrl-C and SIGTERM in mid-transfer: a clean end long before the work is done, and the next run goes on."""

import signal
import time

import pytest

from tests.acceptance.faults.space import BATCH, Space, children_of, events, ids, write

CANCELLED = 9
FILES = 6
SLOW = "formatOptions: {parquet: {compression: zstd, level: 19}}"


@pytest.fixture
def long(space: Space) -> Space:
    """A transfer of many chunks, each of which takes its time."""
    for number in range(FILES):
        write(space.root / "data" / f"{number}.parquet", ids(number * 20 * BATCH, 20 * BATCH))
    space.declare({"orders": f"source: data/, destination: out/orders/, format: parquet, {SLOW}"})
    return space


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_transfer_cleanly_and_soon_and_nothing_is_read_twice(
    long: Space, number: signal.Signals
) -> None:
    log = long.root / "events"
    process = long.start("apply", "--yes", "--events", str(log))
    deadline = time.monotonic() + 60
    while not any(e.get("files_done", 0) >= 3 for e in events(log)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    workers = children_of(process)
    assert workers
    began = time.monotonic()
    process.send_signal(number)
    text, _ = process.communicate(timeout=30)
    took = time.monotonic() - began
    assert process.returncode == CANCELLED, text
    assert took < 10, text
    assert not any(worker.is_running() for worker in workers)
    assert "Traceback" not in text
    kept = long.chunks()
    assert kept >= 3
    assert not list((long.root / "out" / "orders").glob("part-*"))
    engine = long.engine()
    assert engine.runs()[0].status == "cancelled"
    engine.close()
    again = long.root / "events-2"
    code, text = long.run("apply", "--yes", "--events", str(again))
    assert code == 0, text
    chunks = FILES * 20
    done = [e["files_done"] for e in events(again) if "files_done" in e]
    assert done[-1] == chunks
    read = max(e["rows_done"] for e in events(again) if "rows_done" in e)
    assert read == (chunks - kept) * BATCH
    long.holds(ids(0, chunks * BATCH))


def test_a_second_signal_ends_it_at_once_and_the_next_run_recovers(long: Space) -> None:
    log = long.root / "events"
    process = long.start("apply", "--yes", "--events", str(log))
    while not any(e.get("files_done") for e in events(log)):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == CANCELLED, text
    assert "Traceback" not in text
    long.apply()
    long.holds(ids(0, FILES * 20 * BATCH))
