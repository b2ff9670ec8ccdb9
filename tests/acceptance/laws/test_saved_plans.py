"""A saved plan is applied as it was read, or refused with what moved; and how a run reports."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.runtime.state.lease import LeaseKeeper
from tests.acceptance.laws.bench import Bench, document, kinds, multiset, tree, unsettled


def write(bench: Bench, *ids: int, name: str = "t") -> pa.Table:
    folder = bench.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": pa.array(ids, pa.int64()), "text": ["x" * 50] * len(ids)})
    pq.write_table(table, folder / "a.parquet", use_dictionary=False, compression="none")
    return table


def dataset(name: str = "t", **fields: Any) -> dict[str, Any]:
    return {"source": f"{name}/", "destination": f"out/{name}/", "format": "parquet", **fields}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    write(bench, 1)
    bench.write({"t": dataset()})
    return bench


def saved(bench: Bench) -> str:
    done = bench.run("plan", "--out", "plan.json")
    assert done.returncode == 0, done.stdout + done.stderr
    return str(json.loads((bench.folder / "plan.json").read_text())["digest"])


def test_a_saved_plan_is_applied_by_its_file_or_the_first_digits_of_its_digest(
    bench: Bench,
) -> None:
    with bench.open() as engine:
        envelope = bench.plan()
        engine.save(envelope)

    done = bench.run("apply", envelope.digest[:12])

    assert done.returncode == 0, done.stdout + done.stderr
    assert unsettled(bench.plan()) == {}
    assert bench.run("apply", "0123456789ab").returncode == 3


def test_a_saved_plan_is_self_contained(bench: Bench) -> None:
    """The manifests may be gone, as in a job that gets the plan alone."""
    expected = write(bench, 1, 2)
    bench.write({"t": dataset(), "u": {**dataset(), "destination": "out/u/"}})
    envelope = bench.plan()
    report = bench.apply_saved(envelope)

    assert report.status == "done"
    for name in ("t", "u"):
        assert multiset(bench.rows(name)) == multiset(expected)


def test_a_plan_that_was_edited_is_refused(bench: Bench) -> None:
    saved(bench)
    path = bench.folder / "plan.json"
    path.write_text(path.read_text().replace("out/t/", "out/x/"))

    done = bench.run("apply", "plan.json")

    assert done.returncode == 6
    assert "PLN192" in done.stderr
    assert not (bench.folder / "out").exists()


def _source(bench: Bench) -> None:
    write(bench, 1, 2, 3)


def _head(bench: Bench) -> None:
    other = Bench(bench.folder)
    with other.open() as engine:
        for path in (bench.folder / ".batuta").glob("state*"):
            path.rename(path.with_name(f"kept-{path.name}"))
        del engine
    other.settle(resync=("t",))
    for path in (bench.folder / ".batuta").glob("state*"):
        path.unlink()
    for path in (bench.folder / ".batuta").glob("kept-*"):
        path.rename(path.with_name(path.name.removeprefix("kept-")))


def _revision(bench: Bench) -> None:
    assert bench.run("state", "rm", "Dataset/t", "--yes").returncode == 0


def _manifest(bench: Bench) -> None:
    bench.write({"t": dataset(history={"keep": "1d"})})


@pytest.mark.parametrize(
    ("move", "code"),
    [(_source, "PLN121"), (_head, "PLN122"), (_revision, "PLN123"), (_manifest, "PLN124")],
)
def test_a_stale_plan_is_refused_saying_what_moved(bench: Bench, move: Any, code: str) -> None:
    bench.settle()
    write(bench, 1, 2)
    saved(bench)
    move(bench)
    before = tree(bench.folder / "out")

    done = bench.run("apply", "plan.json")

    assert done.returncode == 6, done.stdout + done.stderr
    assert code in done.stderr
    assert tree(bench.folder / "out") == before


def test_what_does_not_concern_a_plan_does_not_make_it_stale(bench: Bench) -> None:
    """Another dataset changes, another document is edited: this plan still holds."""
    write(bench, 5, name="u")
    bench.write({"t": dataset(), "u": dataset("u")})
    bench.settle()
    write(bench, 1, 2)
    saved(bench)
    write(bench, 5, 6, name="u")
    bench.write({"t": dataset(), "u": dataset("u", history={"keep": "1d"})})

    done = bench.run("apply", "plan.json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert bench.rows("t").num_rows == 2


def test_a_run_that_fails_in_part_says_so_and_goes_on_with_the_rest(bench: Bench) -> None:
    """One fails while it is read, what depends on it is skipped, the others are done: exit 8."""
    rows = write(bench, *range(2000), name="bad")
    pq.write_table(rows, bench.folder / "bad/a.parquet", use_dictionary=False, compression="gzip")
    for name in ("good", "later"):
        write(bench, 1, 2, name=name)
    path = bench.folder / "bad/a.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:60] + b"\xff" * 300 + content[360:])
    bench.write(
        {
            "bad": dataset("bad", format="ald"),
            "good": dataset("good"),
            "later": dataset("later", dependsOn=["bad"]),
            "last": dataset("good", destination="out/last/", dependsOn=["later"]),
        }
    )

    done = bench.run("apply", "--yes", "--events", "events.jsonl")

    events = [json.loads(line) for line in (bench.folder / "events.jsonl").read_text().splitlines()]
    (report,) = [event for event in events if event["kind"] == "run-finished"]
    outcomes = {o["address"]: (o["status"], o["because_of"]) for o in report["outcomes"]}
    assert done.returncode == 8, done.stdout + done.stderr
    assert outcomes == {
        "Dataset/bad": ("failed", None),
        "Dataset/good": ("done", None),
        "Dataset/later": ("skipped", "Dataset/bad"),
        "Dataset/last": ("skipped", "Dataset/later"),
    }
    assert kinds(bench.plan()) == {
        "bad": "create", "good": "no-op", "later": "create", "last": "create"
    }  # fmt: skip
    assert not list((bench.folder / "out/bad").glob("part-*"))

    write(bench, *range(2000), name="bad")
    again = bench.run("apply", "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert unsettled(bench.plan()) == {}


def test_a_lock_is_told_and_waited_for(bench: Bench) -> None:
    with bench.open() as engine, LeaseKeeper(engine.store, "a test"):
        done = bench.run("apply", "--yes", "--lock-timeout", "1")

    assert done.returncode == 7
    assert "LCK101" in done.stderr
    assert not (bench.folder / "out").exists()


def test_one_line_commands_are_the_same_plan_as_their_manifest(bench: Bench) -> None:
    """`data sync` prints the document it stands for, and that document gives the same action."""
    shown = bench.run(
        "data", "sync", "./t/", "./out/once/", "--format", "parquet", "--print-manifest"
    )

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "kind: Dataset" in shown.stdout
    (bench.folder / "batuta.yaml").write_text(
        json.dumps(document("Workspace", "laws", {})) + "\n---\n" + shown.stdout
    )
    done = bench.run("plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 to create" in done.stdout
