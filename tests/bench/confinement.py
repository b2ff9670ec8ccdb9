"""What the walls around a worker cost: its launch, and a whole apply of one small dataset."""

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from batuta.model.address import parse_address
from batuta.model.resource import SourceSpec
from batuta.model.tier import Tier
from batuta.runtime.connections import Connections
from batuta.runtime.sandbox import levels
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Choice, Need
from batuta.runtime.worker.pool import WorkerPool
from batuta.runtime.worker.posting import Errand, Posting, Role
from batuta.runtime.worker.wire import ObserveRequest, Reply, Request
from tests.bench.measure import Row, take_turns
from tests.bench.workspaces import apply_anew, workspace

SECTION = "Confinement"
NEED = Need(tier=Tier.FULLY_SOVEREIGN, local_ends=True)


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return what walls add to a launch, and to an apply of one dataset."""
    rounds = 3 if quick else 15
    place = folder / "confinement"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    source = place / "one.csv"
    source.write_text("id,name\n1,one\n")
    behind, bare = [], []
    for _ in range(rounds):
        behind.append(_first_answer_s(source))
        with _without_walls():
            bare.append(_first_answer_s(source))
    added = statistics.median(behind) - statistics.median(bare)
    one = workspace(folder, 1)
    turns = take_turns(
        {"ours": lambda: apply_anew(one), "bare": lambda: apply_anew(one, confined=False)},
        1 if quick else 5,
    )
    level = f"level: {levels.choose(NEED).level}"
    return [
        Row(section=SECTION, work="a worker, from its launch to its first answer", note=level,
            figure="what walls add to it", unit=" ms", reached=1000 * added, bar=100),
        Row(section=SECTION, work="`batuta apply`, one dataset of one row", note=level,
            figure="wall to the same without walls", reached=turns.ratio("ours", "bare")),
    ]  # fmt: skip


@contextmanager
def _without_walls() -> Iterator[None]:
    kept = levels.choose
    levels.choose = lambda *_need: Choice(level=Level.ADVISORY)
    try:
        yield
    finally:
        levels.choose = kept


def _first_answer_s(source: Path) -> float:
    """Return the seconds from asking for a worker that does not run yet to its last word."""
    address = parse_address(str(source))
    access, inner = Connections({}, {}, source.parent).access(address, None)
    look = ObserveRequest(spec=SourceSpec(address=address), access=access, inner=inner)
    posting = Posting(
        role=Role.CONTROL, need=NEED, clearance=NEED.tier.value, read=(str(source),)
    )  # fmt: skip
    errand = Errand(posting=posting, dataset="bench", uses=posting.read)
    answers: list[Reply] = []
    pool = WorkerPool(size=1)
    start = time.perf_counter()
    pool.ask(Request(observe=look), "bench", answers.append, errand)
    took = time.perf_counter() - start
    pool.close()
    assert any(reply.state is not None for reply in answers), answers
    return took
