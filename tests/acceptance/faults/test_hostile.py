"""Files made to hurt who reads them: they cost their own dataset a diagnostic, and nothing else."""

import contextlib
import os
import random
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.runtime.planning import PlanRequest
from tests.acceptance.faults.space import Space, children_of, ids, write, write_days

MIB = 1024 * 1024
GOOD = "source: good/, destination: out/good/, format: ald"
BAD = "source: bad/, destination: out/bad/, format: ald"


@pytest.fixture
def beside(space: Space) -> Space:
    """A workspace with a good dataset and a bad one, whose files each test makes."""
    write(space.root / "good" / "one.parquet", ids(0, 1000))
    (space.root / "bad").mkdir()
    space.declare({"good": GOOD, "bad": BAD})
    return space


def only_the_bad_one_fails(space: Space, **more: object) -> str:
    """Apply; the good dataset is done and the bad one is not there. Returns what was said."""
    code, text = space.run("apply", "--yes", "--select", "good", **more)  # type: ignore[arg-type]
    assert code == 0, text
    code, text = space.run("apply", "--yes", **more)  # type: ignore[arg-type]
    assert code not in {0, 70}, text
    assert "Traceback" not in text
    assert space.rows("good").num_rows == 1000
    assert not list((space.root / "out" / "bad").glob("part-*"))
    return text


def bomb_of_dictionary(path: Path, *, as_dictionary: bool) -> None:
    """One text of 1 MiB, and 2,048 references to it: 2 GiB of rows."""
    texts = pa.DictionaryArray.from_arrays(
        pa.array([0] * 2048, pa.int32()), pa.array(["x" * MIB])
    )  # fmt: skip
    pq.write_table(
        pa.table({"text": texts}), path, compression="zstd", store_schema=as_dictionary,
        dictionary_pagesize_limit=8 * MIB, write_statistics=False,
    )  # fmt: skip


def bomb_of_zeros(path: Path) -> None:
    """One value of 400 MiB, all zeros."""
    table = pa.table({"blob": pa.array([b"\0" * (400 * MIB), b"1"], pa.binary())})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)


@pytest.mark.parametrize("kind", ["text", "zeros"])
def test_an_expansion_bomb_is_refused_within_the_memory_limit(beside: Space, kind: str) -> None:
    path = beside.root / "bad" / "bomb.parquet"
    if kind == "zeros":
        bomb_of_zeros(path)
    else:
        bomb_of_dictionary(path, as_dictionary=False)
    code, text, highest = watched(beside)
    assert code not in {0, 70}, text
    assert "Traceback" not in text
    assert highest < 900 * MIB
    assert not list((beside.root / "out" / "bad").glob("part-*"))
    beside.run("apply", "--yes", "--select", "good")
    assert beside.rows("good").num_rows == 1000


def test_a_small_dictionary_of_long_texts_stays_a_dictionary_and_small(beside: Space) -> None:
    """The same bytes with Arrow's type beside them are 1 MiB and are synced as such."""
    bomb_of_dictionary(beside.root / "bad" / "bomb.parquet", as_dictionary=True)
    code, text, highest = watched(beside)
    assert code == 0, text
    assert highest < 300 * MIB
    assert sum(p.stat().st_size for p in (beside.root / "out" / "bad").glob("*")) < 4 * MIB


def watched(space: Space) -> tuple[int, str, int]:
    """Apply; return the exit code, what was said, and the most bytes that a worker had."""
    highest = 0
    process = space.start("apply", "--yes")
    while process.poll() is None:
        for child in children_of(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                highest = max(highest, child.memory_info().rss)
        time.sleep(0.01)
    return process.returncode, process.communicate()[0], highest


def test_damaged_files_cost_their_own_dataset_a_diagnostic_and_nothing_more(space: Space) -> None:
    """Files cut at 20 places and with 20 bytes changed, footer included: done or refused."""
    whole = space.root / "whole.parquet"
    write(whole, pa.table({"id": range(2000), "text": [f"row {i}" for i in range(2000)]}))
    content = whole.read_bytes()
    whole.unlink()
    chance = random.Random(7)
    datasets = {"good": GOOD}
    write(space.root / "good" / "one.parquet", ids(0, 1000))
    for number in range(40):
        damaged = bytearray(content)
        if number < 20:
            del damaged[len(content) * number // 20 :]
        else:
            # Half of them in the footer, where the lengths are.
            low = 0 if number < 30 else len(content) - 900
            damaged[chance.randrange(low, len(content))] ^= 1 << chance.randrange(8)
        folder = space.root / f"bad-{number}"
        folder.mkdir()
        (folder / "one.parquet").write_bytes(damaged)
        datasets[f"bad-{number}"] = (
            f"source: {{address: bad-{number}/}}, destination: out/bad-{number}/, format: arrow"
        )
    space.declare(datasets)
    engine = space.engine()
    try:
        envelope = engine.plan(PlanRequest(), lambda _event: None)
        report = engine.apply(envelope, lambda _event: None, threading.Event())
    finally:
        engine.close()
    ends = {outcome.address.partition("/")[2]: outcome for outcome in report.outcomes}
    assert ends["good"].status == "done", ends["good"].diagnostics
    for number in range(40):
        outcome = ends[f"bad-{number}"]
        assert outcome.status == "failed" if number < 20 else outcome.status in {"done", "failed"}
        assert outcome.diagnostics or outcome.status == "done"
    assert space.rows("good").num_rows == 1000


def test_a_pipe_among_the_files_does_not_hang_anything(beside: Space) -> None:
    os.mkfifo(beside.root / "bad" / "one.parquet")
    text = only_the_bad_one_fails(beside, timeout_s=30)
    assert "one.parquet" in text


def test_a_reader_that_crashes_takes_its_worker_along_and_nothing_else(beside: Space) -> None:
    """A real segmentation fault in the process that decodes."""
    write(beside.root / "bad" / "one.parquet", pa.table({"evil": [1]}))
    crash = (
        "import ctypes; from batuta.formats.parquet import reader\n"
        "real = reader.ParquetReader.batches\n"
        "def batches(self, file, *, schema, **more):\n"
        "    if 'evil' in schema.names: ctypes.string_at(0)\n"
        "    return real(self, file, schema=schema, **more)\n"
        "reader.ParquetReader.batches = batches"
    )
    text = only_the_bad_one_fails(beside, before=f"prepare_workers({crash!r})")
    assert "SIGSEGV" in text
    assert "one.parquet" in text
    beside.apply()
    assert beside.rows("bad").num_rows == 1


def test_a_reader_that_hangs_is_ended_and_named(beside: Space) -> None:
    write(beside.root / "bad" / "one.parquet", pa.table({"evil": [1]}))
    hang = (
        "import time; from batuta.formats.parquet import reader\n"
        "real = reader.ParquetReader.batches\n"
        "def batches(self, file, *, schema, **more):\n"
        "    if 'evil' in schema.names: time.sleep(1000)\n"
        "    return real(self, file, schema=schema, **more)\n"
        "reader.ParquetReader.batches = batches"
    )
    before = (
        f"prepare_workers({hang!r})\n"
        "from batuta.runtime.worker.pool import WorkerPool\nset_sizes(WorkerPool(stall_s=6))"
    )
    began = time.monotonic()
    text = only_the_bad_one_fails(beside, before=before, timeout_s=60)
    assert time.monotonic() - began < 45
    assert "no progress" in " ".join(text.split())
    assert "one.parquet" in text


def test_a_bomb_of_row_groups_ends_in_bounded_time_and_memory(beside: Space) -> None:
    """A footer that promises more rows than the file has bytes for is not believed."""
    path = beside.root / "bad" / "one.parquet"
    write_days(beside.root / "days", days=1)
    content = (beside.root / "days" / "day-000.parquet").read_bytes()
    path.write_bytes(content[:-8] + (len(content) * 2).to_bytes(4, "little") + b"PAR1")
    text = only_the_bad_one_fails(beside, timeout_s=30)
    assert "one.parquet" in text
