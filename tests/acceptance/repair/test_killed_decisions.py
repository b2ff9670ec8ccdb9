"""`label approve` and `import` with a key, killed wherever something becomes durable.

No run tells of them: the same command, typed again, finishes what the dead one began.
"""

import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance import nursery
from tests.acceptance.crash.points import AFTER, BEFORE, DRIVER, Kill, Point, Spec
from tests.acceptance.laws.bench import Bench

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
APPROVE = ["label", "approve", "t", "--to", "Standard", "--reason", "published"]
IMPORT = ["import", "there/", "--yes"]
SIGN = ["label", "verify", "t", "--sign-head"]
KINDS = {"journal", "fsync", "link", "unlink"}


@pytest.fixture
def asked(_nursery: socket.socket) -> socket.socket:
    """A way to what forks programs."""
    return _nursery


def run(
    asked: socket.socket, bench: Bench, arguments: list[str], kill: Kill | None = None
) -> tuple[int, str, list[str]]:
    """Run a command that counts its points and may die at one; return them with how it ended."""
    trace = bench.folder.parent / f"{bench.folder.name}.trace"
    trace.unlink(missing_ok=True)
    before = (
        "from tests.acceptance.crash import points\n"
        f"points.arm_driver(points.Spec.parse({Spec('decided', str(trace), kill).text()!r}))"
    )
    env = {"HOME": str(bench.folder.parent / "home"), "PATH": "/usr/bin:/bin"}
    done = nursery.run(asked, arguments, bench.folder, env, 60, before)
    return done.returncode, done.stdout, trace.read_text().splitlines()


def applied(asked: socket.socket, folder: Path) -> Bench:
    """A workspace with a key and one dataset, in which a decision can be made."""
    bench = prepared(folder)
    bench.write({"t": {"source": "src/", "destination": "out/", "format": "parquet"}})
    for arguments in (["keys", "generate"], ["apply", "--yes"]):
        code, text, _ = run(asked, bench, arguments)
        assert code == 0, text
    return bench


def unimported(asked: socket.socket, folder: Path) -> Bench:
    """A workspace with a key, and files that nobody knows."""
    bench = prepared(folder)
    bench.write({})
    code, text, _ = run(asked, bench, ["keys", "generate"])
    assert code == 0, text
    return bench


def prepared(folder: Path) -> Bench:
    bench = Bench(folder)
    for name in ("src", "there"):
        (folder / name).mkdir(parents=True)
        pq.write_table(ROWS, folder / name / "rows.parquet")
    return bench


def in_order(asked: socket.socket, bench: Bench, where: str, entries: int) -> list[str]:
    """Return what is wrong: every entry is there once, signed, recorded, and nothing else is."""
    problems = []
    code, text, _ = run(asked, bench, ["label", "verify", where])
    if code != 0:
        problems.append(f"label verify: {text}")
    with bench.open() as engine:
        place = engine.datasets.find(where)
        snapshot = place.dataset.snapshot()
        assert snapshot is not None
        if snapshot.head.version != entries - 1:
            problems.append(f"version {snapshot.head.version}")
        if place.record is None or place.record.head != snapshot.head:
            problems.append("the state does not remember the head")
        listed = [info.path for info in place.dataset.files.list()]
    signed = [path for path in listed if path.startswith("_log/") and path.endswith(".sig")]
    if len(signed) != entries:
        problems.append(f"{len(signed)} of {entries} entries are signed")
    if left := [path for path in listed if path.startswith("_staging/") and ".sig" in path]:
        problems.append(f"left in staging: {left}")
    return problems


@pytest.mark.parametrize(
    ("make", "command", "where", "entries"),
    [(applied, APPROVE, "t", 2), (unimported, IMPORT, "there/", 1)],
    ids=["approve", "import"],
)
def test_the_same_command_again_finishes_what_a_killed_one_began(
    tmp_path: Path,
    asked: socket.socket,
    make: Callable[[socket.socket, Path], Bench],
    command: list[str],
    where: str,
    entries: int,
) -> None:
    bench = make(asked, tmp_path / "counted" / "w")
    code, text, lines = run(asked, bench, command)
    assert code == 0, text
    assert in_order(asked, bench, where, entries) == []
    reached = [line.split() for line in lines]
    points = [Point(process, kind, int(number)) for _, process, kind, number in reached]
    points = [p for p in points if p.process == DRIVER and p.kind in KINDS]
    assert {p.kind for p in points} == KINDS
    wrong = []
    for number, point in enumerate(points):
        kill = Kill(point, AFTER if point.kind == "link" else BEFORE)
        bench = make(asked, tmp_path / f"{number}" / "w")
        code, text, _ = run(asked, bench, command, kill)
        assert code == -9, f"{kill}: {text}"
        code, text, _ = run(asked, bench, command)
        found = in_order(asked, bench, where, entries) if code == 0 else [f"again: {text}"]
        wrong += [f"killed {kill}: {problem}" for problem in found]
    assert not wrong, "\n".join(wrong)


def test_a_signature_that_a_death_kept_from_its_entry_is_put_there_by_sign_head(
    tmp_path: Path, asked: socket.socket
) -> None:
    """The state does not know the entry, so it is not signed anew: it has its signature."""
    bench = applied(asked, tmp_path / "w")
    _, _, lines = run(asked, applied(asked, tmp_path / "counted" / "w"), APPROVE)
    links = [line for line in lines if line.startswith(f"reached {DRIVER} link")]
    code, text, _ = run(asked, bench, APPROVE, Kill(Point(DRIVER, "link", len(links) - 1), AFTER))
    assert code == -9, text
    code, text, _ = run(asked, bench, ["label", "verify", "t"])
    assert "LOG133" in text

    code, text, _ = run(asked, bench, SIGN)

    assert code == 0, text
    code, text, _ = run(asked, bench, ["label", "verify", "t"])
    assert code == 0, text
