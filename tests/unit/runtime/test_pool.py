"""Which workers wait for more work, and which are ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batuta.model.address import parse_address
from batuta.model.resource import SourceSpec
from batuta.model.tier import Tier
from batuta.runtime.connections import Connections
from batuta.runtime.sandbox.levels import Need
from batuta.runtime.worker.pool import WorkerPool
from batuta.runtime.worker.posting import Errand, Posting, Role
from batuta.runtime.worker.wire import ObserveRequest, Reply, Request

NEED = Need(tier=Tier.STANDARD, local_ends=True, declared=False)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(size=1)
    yield made
    made.close()


def look(pool: WorkerPool, folder: Path, role: Role = Role.CONTROL) -> None:
    """Have a worker that sees one folder look at the file in it."""
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("a")
    address = parse_address(str(folder))
    access, inner = Connections({}, {}, folder.parent).access(address, None)
    spec = SourceSpec(address=address, opaque=True)
    posting = Posting(role=role, need=NEED, clearance="Standard", read=(str(folder),))
    answers: list[Reply] = []
    pool.ask(
        Request(observe=ObserveRequest(spec=spec, access=access, inner=inner)),
        folder.name, answers.append, Errand(posting=posting, dataset="t", uses=posting.read),
    )  # fmt: skip
    assert answers[-1].state is not None
    assert len(answers[-1].state.units) == 1


def waiting(pool: WorkerPool) -> list[tuple[Role, str]]:
    return [(w.posting.role, Path(w.posting.read[0]).name) for w in pool._idle]


def test_work_that_went_on_to_other_folders_leaves_no_worker_behind(
    pool: WorkerPool, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        look(pool, tmp_path / name)

        assert waiting(pool) == [(Role.CONTROL, name)]


def test_a_worker_of_another_kind_waits_on(pool: WorkerPool, tmp_path: Path) -> None:
    look(pool, tmp_path / "one")
    first = pool._idle[0]
    look(pool, tmp_path / "two", Role.DATA)
    look(pool, tmp_path / "one")

    assert waiting(pool) == [(Role.DATA, "two"), (Role.CONTROL, "one")]
    assert pool._idle[1] is first
