"""A re-sync of a damaged dataset that is killed: done again, it mends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.crash.points import AFTER, DRIVER, Kill, Point, Spec
from tests.acceptance.laws.bench import Bench, multiset
from tests.acceptance.repair.test_resync import (
    NEXT,
    ROWS,
    damage_one,
    spec,
    write_source,
)

ROOT = Path(__file__).resolve().parents[3]
RESYNC = ["apply", "--yes", "--resync", "t"]
CODE = """
import sys
from tests.acceptance.crash import points
points.arm_driver(points.Spec.parse(sys.argv.pop(1)))
from batuta.cli.main import main
main()
"""
# The damaged file out of the way, a part published, the entry there.
MOMENTS = [("rename", 1), ("rename", 2), ("link", 1)]


def killed(bench: Bench, kind: str, number: int) -> bool:
    """Re-sync and die there; return whether it came to that."""
    said = Spec(
        f"{bench.folder}", f"{bench.folder}.trace", Kill(Point(DRIVER, kind, number), AFTER)
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE, said.text(), *RESYNC], cwd=bench.folder, capture_output=True,
        text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode == -9


@pytest.mark.parametrize(("format_", "changed"), [("parquet", False), ("files", True)])
def test_a_killed_resync_is_done_again_and_mends(
    tmp_path: Path, format_: str, changed: bool
) -> None:
    """The unit tests die at every moment; this is the whole program, at some."""
    hits = 0
    for kind, number in MOMENTS:
        bench = Bench(tmp_path / f"{kind}-{number}")
        write_source(bench.folder)
        bench.write({"t": spec(format_)})
        bench.settle()
        damage_one(bench.folder / "out", lambda content: bytes(len(content)))
        if changed:
            write_source(bench.folder, NEXT)

        hits += killed(bench, kind, number)

        again = bench.run(*RESYNC)
        assert again.returncode == 0, again.stdout + again.stderr
        with bench.open() as engine:
            found = engine.verify_dataset("t")
        assert found.ok, (kind, number, found.problems)
        if format_ != "files":
            assert multiset(bench.rows("t")) == multiset(NEXT if changed else ROWS)
        assert not (list((bench.folder / "out/_staging").rglob("*.*")))
    assert hits >= 2
