"""Files made to hurt who reads them, given to `data cat` and `import`: only a worker opens them."""

import contextlib
import subprocess
import time

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.connectors.alimentar import CONNECTOR as ALIMENTAR
from batuta.connectors.local import CONNECTOR as LOCAL
from batuta.model.address import Address
from batuta.model.arrow import schema_of
from batuta.model.connector import Connection
from batuta.model.table import TableSchema
from tests.acceptance.faults.space import Space, children_of, ids, write
from tests.acceptance.faults.test_hostile import bomb_of_dictionary, bomb_of_zeros
from tests.unit.connectors.alimentar_bench import draft

MIB = 1024 * 1024
EVIL = pa.table({"evil": [1]})
IN_SIX_SECONDS = (
    "from batuta.runtime.worker.pool import WorkerPool\nset_sizes(WorkerPool(stall_s=6))"
)
LISTS_MODULES = (
    "import atexit\n"
    "atexit.register(lambda: print('LOADED', *(m for m in sys.modules if 'pyarrow' in m)))"
)


def harmed(method: str, harm: str) -> str:
    """Return what makes workers do harm to themselves when they meet a column `evil`."""
    met = "b'evil' in file.read_at(file.size(), 0)"
    code = (
        "import ctypes, time; from batuta.formats.parquet import reader\n"
        f"real = reader.ParquetReader.{method}\n"
        "def evil(self, file, *more, **named):\n"
        f"    if {met}: {harm}\n"
        "    return real(self, file, *more, **named)\n"
        f"reader.ParquetReader.{method} = evil"
    )
    return f"prepare_workers({code!r})"


CRASH, HANG = "ctypes.string_at(0)", "time.sleep(1000)"


def planted(space: Space) -> None:
    """Write a log over the folder, as whoever sends hostile files with one would."""
    assert LOCAL.files is not None
    assert ALIMENTAR.dataset is not None
    files = LOCAL.files(Connection(), Address("file", str(space.root / "bad")))

    def describe(path: str) -> TableSchema:
        return schema_of(pq.read_schema(space.root / "bad" / path))

    entry = draft(schema=None, format_name="parquet")
    ALIMENTAR.dataset(files).adopt(describe, entry, write=True)


def watched(
    space: Space, *arguments: str, before: str = "set_sizes()"
) -> tuple[int, str, int, int]:
    """Run; return the exit code, what was said, and the most bytes of workers and of the rest."""
    workers = own = 0
    with (space.root / "said").open("w+b") as said:
        process = subprocess.Popen(
            space.command(arguments, before), cwd=space.root, stdin=subprocess.DEVNULL, stdout=said,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                own = max(own, psutil.Process(process.pid).memory_info().rss)
            for child in children_of(process):  # type: ignore[arg-type]  # bytes, not text
                with contextlib.suppress(psutil.NoSuchProcess):
                    workers = max(workers, child.memory_info().rss)
            time.sleep(0.01)
        said.seek(max(0, said.seek(0, 2) - 10_000))
        return process.returncode, said.read().decode(errors="replace"), workers, own


@pytest.fixture
def lone(space: Space) -> Space:
    """A workspace without datasets, with a folder whose files each test makes."""
    space.declare({})
    (space.root / "bad").mkdir()
    return space


def refused(code: int, text: str, *said: str) -> None:
    assert code not in {0, 70}, text
    assert "Traceback" not in text
    words = " ".join(text.split())
    assert all(each in words for each in said), text


def test_a_value_that_expands_without_end_costs_a_worker_and_no_more(lone: Space) -> None:
    bomb_of_zeros(lone.root / "bad" / "bomb.parquet")
    planted(lone)
    code, text, workers, own = watched(lone, "data", "cat", "bad/")
    refused(code, text, "bomb.parquet")
    assert workers < 900 * MIB
    assert own < 200 * MIB


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_rows_that_expand_are_refused_or_shown_in_bounded_memory(
    lone: Space, as_dictionary: bool
) -> None:
    bomb_of_dictionary(lone.root / "bad" / "bomb.parquet", as_dictionary=as_dictionary)
    planted(lone)
    code, text, workers, own = watched(lone, "data", "cat", "bad/", "--limit", "300")
    if not as_dictionary:
        refused(code, text, "bomb.parquet")
    else:
        assert code == 0, text
    assert workers < 900 * MIB
    assert own < 200 * MIB


def test_a_crash_of_the_reader_is_told_with_its_code(lone: Space) -> None:
    write(lone.root / "bad" / "one.parquet", EVIL)
    planted(lone)
    code, text = lone.run("data", "cat", "bad/", before=harmed("batches", CRASH))
    refused(code, text, "WRK201", "SIGSEGV", "one.parquet")


def test_a_hang_of_the_reader_ends_and_is_told(lone: Space) -> None:
    write(lone.root / "bad" / "one.parquet", EVIL)
    planted(lone)
    before = f"{harmed('batches', HANG)}\n{IN_SIX_SECONDS}"
    code, text = lone.run("data", "cat", "bad/", before=before, timeout_s=60)
    refused(code, text, "WRK201", "no progress", "one.parquet")


@pytest.mark.parametrize(("harm", "said"), [(CRASH, "SIGSEGV"), (HANG, "no progress")])
def test_an_import_whose_reader_is_lost_imports_nothing(lone: Space, harm: str, said: str) -> None:
    write(lone.root / "bad" / "one.parquet", EVIL)
    before = f"{harmed('inspect', harm)}\n{IN_SIX_SECONDS}"
    code, text = lone.run("import", "bad/", "--yes", before=before, timeout_s=60)
    refused(code, text, "WRK201", said)
    assert not (lone.root / "bad" / "_log").exists()


def test_a_worker_that_was_taken_over_promises_more_than_it_sends(lone: Space) -> None:
    """Nor does it hold up the command, or make it set aside the memory."""
    write(lone.root / "bad" / "one.parquet", ids(0, 10))
    planted(lone)
    code = (
        "import time; from batuta.runtime.worker import main as of\n"
        "of.send = lambda way, _: (way.sendall(b'\\xff' * 1000), time.sleep(1000))"
    )
    before = f"prepare_workers({code!r})\n{IN_SIX_SECONDS}"
    code_, text, _, own = watched(lone, "data", "cat", "bad/", before=before)
    refused(code_, text, "WRK201", "too long")
    assert own < 200 * MIB


def test_a_dataset_that_reads_another_one_has_its_large_parts_looked_into_by_a_worker(
    lone: Space,
) -> None:
    rows = pa.table({"evil": range(200_000)})
    pq.write_table(rows, lone.root / "bad" / "one.parquet", use_dictionary=False)
    assert (lone.root / "bad" / "one.parquet").stat().st_size > 2 * 256 * 1024
    lone.declare(
        {
            "above": "source: bad/, destination: above/, format: parquet",
            "below": "source: {dataset: above}, destination: below/, format: arrow",
        }
    )
    lone.apply(before="set_sizes(target_bytes=64 * 1024 * 1024)", timeout_s=60)
    lone.declare(
        {
            "above": "source: bad/, destination: above/, format: parquet",
            "below": "source: {dataset: above}, destination: below/, format: ald",
        }
    )
    before = f"{harmed('inspect', CRASH)}\nset_sizes()"
    code, text = lone.run(
        "apply", "--yes", "--allow-data-loss", "below", "--select", "below", before=before
    )
    refused(code, text, "SIGSEGV", "above")


def test_nothing_is_decoded_in_the_process_of_the_command(lone: Space) -> None:
    write(lone.root / "bad" / "one.parquet", ids(0, 10))
    code, text = lone.run("import", "bad/", "--yes", before=LISTS_MODULES)
    assert code == 0
    assert "pyarrow.parquet" not in text.partition("LOADED")[2]
    for style in ("csv", "jsonl", "table"):
        code, text = lone.run("data", "cat", "bad/", "--format", style, before=LISTS_MODULES)
        assert code == 0, text
        assert text.rstrip().endswith("LOADED"), text


def test_a_large_dataset_is_shown_at_once_in_bounded_memory_and_head_ends_it(lone: Space) -> None:
    path = lone.root / "bad" / "one.parquet"
    rows = pa.table({"id": range(4_000_000), "text": ["some words of a row"] * 4_000_000})
    pq.write_table(rows, path, row_group_size=250_000)
    planted(lone)
    process = subprocess.Popen(
        lone.command(["data", "cat", "bad/"]), cwd=lone.root, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        first = [process.stdout.readline() for _ in range(3)]
        assert process.poll() is None
        own = psutil.Process(process.pid).memory_info().rss
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(timeout=30) == 0, said
    assert first == [b"id,text\r\n", b"0,some words of a row\r\n", b"1,some words of a row\r\n"]
    assert said == b""
    assert own < 200 * MIB
