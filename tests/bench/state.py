"""What it costs to remember: a step of the journal, beside SQLite's own durable commit."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from batuta.model.canonical import canonical_bytes
from batuta.model.log import Facts, Head, Label
from batuta.model.state import ResourceRecord, StepRecord
from batuta.model.tier import Tier
from batuta.runtime.state.lease import LeaseKeeper
from batuta.runtime.state.store import StateStore, Write, put_resource, put_step
from tests.bench.measure import Rounds, Row, Sample, take_turns

SECTION = "State"
STEPS = 10
Step = Callable[[int], None]


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return a step's cost as a ratio to a bare commit, and how it grows with the resources."""
    place = folder / "state"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    few, many = 100, 1000 if quick else 10_000
    bare = _Bare(place / "bare.db")
    small, large = StateStore(place / "small.db"), StateStore(place / "large.db")
    try:
        with LeaseKeeper(small, "bench"), LeaseKeeper(large, "bench"):
            small.write([put_resource(_record(number)) for number in range(few)])
            large.write([put_resource(_record(number)) for number in range(many)])
            turns = take_turns(
                {
                    "bare": lambda: _timed(bare.step),
                    "few": lambda: _timed(lambda number: small.write(_writes(number))),
                    "many": lambda: _timed(lambda number: large.write(_writes(number))),
                },
                10 if quick else 60,
            )
    finally:
        small.close()
        large.close()
        bare.close()
    return _rows(turns, many)


def _rows(turns: Rounds, many: int) -> list[Row]:
    work = "one journal write: the outcome of a step, its record, the next intent"
    return [
        Row(section=SECTION, work=work, figure="wall to a bare SQLite commit (WAL, FULL)",
            reached=turns.ratio("few", "bare"), bar=1.2),
        Row(section=SECTION, work=f"the same, {many:,} resources there",
            figure="wall to that with 100", reached=turns.ratio("many", "few"), bar=1.2),
        Row(section=SECTION, work=work, figure="wall of the bare commit", unit=" ms",
            reached=1000 * turns.middle("bare") / STEPS),
    ]  # fmt: skip


class _Bare:
    """One row as large as a step's, in a commit of its own."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, record TEXT)")

    def step(self, number: int) -> None:
        text = canonical_bytes([list(map(str, values)) for _, values in _writes(number)]).decode()
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("INSERT OR REPLACE INTO steps VALUES (?, ?)", (number, text))
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


def _timed(step: Step) -> Sample:
    used, start = time.process_time(), time.perf_counter()
    for number in range(STEPS):
        step(number)
    return Sample(wall_s=time.perf_counter() - start, cpu_s=time.process_time() - used)


def _writes(number: int) -> list[Write]:
    done = StepRecord(
        run="bench", action=f"Dataset/sales-{number:05d}", step="create", status="done",
        detail={"head": "0" * 64, "version": 0},
    )  # fmt: skip
    intent = StepRecord(
        run="bench", action=f"Dataset/sales-{number + 1:05d}", step="create", status="intent",
        detail={"destination": "out/", "platform": None, "origin": "Manifest", "manifest": "0"},
    )  # fmt: skip
    return [put_resource(_record(number)), put_step(done), put_step(intent)]


def _record(number: int) -> ResourceRecord:
    return ResourceRecord(
        address=f"Dataset/sales-{number:05d}", revision=1, destination=f"out/{number:05d}/",
        destination_platform=None, origin="Manifest", owner="Created",
        head=Head(0, f"{number:064x}"),
        facts=Facts(
            source=f"data/{number:05d}.csv", source_version="0" * 64, schema=None, format="ald",
            mode="Mirror", tier=Tier.STANDARD, tier_derived=False, protect=False,
        ),
        label=Label(confidentiality=Tier.STANDARD, integrity=Tier.STANDARD),
        run="bench", plan="0" * 64, manifest="0" * 64,
    )  # fmt: skip
