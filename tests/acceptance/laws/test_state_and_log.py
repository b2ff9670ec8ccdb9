"""The log is the authority: the state comes back from it, and what happens to it is found out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.laws import sources
from tests.acceptance.laws.bench import (
    Bench,
    codes,
    kinds,
    lake,
    lake_environment,
    multiset,
    tree,
    unsettled,
)
from tests.conftest import Place


def write(bench: Bench, edition: int) -> pa.Table:
    """Two files, of which the second changes with each edition."""
    folder = bench.folder / "t"
    folder.mkdir(parents=True, exist_ok=True)
    tables = [pa.table({"id": [n, 10 + n * edition], "v": [f"{n}", "x" * 9]}) for n in (1, edition)]
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")
    return pa.concat_tables(tables)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A dataset with three versions."""
    bench = Bench(tmp_path)
    bench.write({"t": {"source": "t/", "destination": "out/", "format": "parquet"}})
    for edition in (2, 3, 4):
        write(bench, edition)
        bench.settle()
    return bench


def state_files(bench: Bench) -> list[Path]:
    return list((bench.folder / ".batuta").glob("state*"))


# The state


def test_a_rebuilt_state_is_the_state(bench: Bench) -> None:
    with bench.open() as engine:
        (before,) = engine.records()
    for path in state_files(bench):
        path.unlink()

    done = bench.run("state", "rebuild", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    with bench.open() as engine:
        (after,) = engine.records()
    same = ("address", "destination", "owner", "head", "facts", "label", "plan", "manifest")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert unsettled(bench.plan()) == {}


def test_without_the_state_nothing_is_made_that_is_there(bench: Bench) -> None:
    """The plan is empty; apply only writes the state anew, and moves no data."""
    for path in state_files(bench):
        path.unlink()

    envelope, report = bench.apply()

    assert kinds(envelope) == {"t": "no-op"}
    assert report.bytes_read == 0
    with bench.open() as engine:
        assert [record.address for record in engine.records()] == ["Dataset/t"]


def test_a_damaged_state_is_named_and_rebuilt(bench: Bench) -> None:
    (bench.folder / ".batuta/state.db").write_bytes(b"not a database, but long enough" * 40)
    for path in state_files(bench):
        if path.name != "state.db":
            path.unlink()

    done = bench.run("plan")

    assert done.returncode not in (0, 70), done.stdout + done.stderr
    assert "STA" in done.stdout + done.stderr


@pytest.mark.server
def test_a_state_is_rebuilt_from_logs_on_an_object_store(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    sources.parquet(tmp_path / "t", None)
    bench = Bench(tmp_path, others=lake(bucket))
    bench.write({"t": {"source": "t/", "destination": f"{bucket.url}/t/", "format": "ald"}})
    bench.settle()
    shutil.rmtree(tmp_path / ".batuta")

    assert bench.run("state", "rebuild", "--yes").returncode == 0
    assert unsettled(bench.plan()) == {}
    assert multiset(bench.rows("t")) == multiset(sources.ROWS)


def test_environments_have_states_of_their_own(tmp_path: Path) -> None:
    sources.parquet(tmp_path / "t", None)
    overlay = tmp_path / "environments/prod"
    overlay.mkdir(parents=True)
    document = {
        "apiVersion": "batuta.dev/v1", "kind": "Dataset", "metadata": {"name": "t"},
        "spec": {"destination": "out-prod/"},
    }  # fmt: skip
    (overlay / "t.yaml").write_text(json.dumps(document))
    environments = {"dev": {}, "prod": {"overlay": "environments/prod/"}}
    plain = Bench(tmp_path, workspace={"environments": environments}, environment="dev")
    plain.write({"t": {"source": "t/", "destination": "out/", "format": "ald"}})
    prod = Bench(tmp_path, workspace=plain.workspace, environment="prod")

    plain.settle()
    assert kinds(prod.plan()) == {"t": "create"}
    prod.settle()

    for bench, folder in ((plain, "out/"), (prod, "out-prod/")):
        assert unsettled(bench.plan()) == {}
        with bench.open() as engine:
            assert [record.destination for record in engine.records()] == [folder]


# The log


def test_a_log_rolled_back_behind_the_states_back_blocks_until_it_is_accepted(
    bench: Bench,
) -> None:
    shutil.copytree(bench.folder / "out", bench.folder / "kept")
    before = write(bench, 4)
    write(bench, 5)
    bench.settle()
    shutil.rmtree(bench.folder / "out")
    shutil.copytree(bench.folder / "kept", bench.folder / "out")

    stopped = bench.run("plan")
    assert codes(bench.plan()) == {"t": ["DRF107"]}
    assert stopped.returncode == 13
    assert bench.run("data", "verify", "t").returncode != 0
    accepted = bench.run("data", "verify", "t", "--accept-head", "restored from a copy")

    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert multiset(bench.rows("t")) == multiset(before)
    assert codes(bench.plan()) == {}
    bench.settle()
    assert unsettled(bench.plan()) == {}


def test_another_log_in_its_place_blocks(bench: Bench) -> None:
    """A dataset of the same name, made elsewhere, is no descendant of what was recorded."""
    other = Bench(bench.folder.with_name("other"))
    write(other, 7)
    other.write({"t": {"source": "t/", "destination": "out/", "format": "parquet"}})
    other.settle()
    shutil.rmtree(bench.folder / "out")
    shutil.copytree(other.folder / "out", bench.folder / "out")

    assert codes(bench.plan()) == {"t": ["DRF107"]}


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def _parts(out: Path) -> list[Path]:
    return sorted(out.glob("*.parquet"))


def _entries(out: Path) -> list[Path]:
    return sorted((out / "_log").glob("*.json"))


def _swap(out: Path) -> None:
    first, second = _entries(out)[:2]
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def _edit(out: Path) -> None:
    path = _entries(out)[1]
    path.write_text(path.read_text().replace("PrivateCloud", "Standard"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a part lost": lambda out: _parts(out)[0].unlink(),
    "a part cut": lambda out: _parts(out)[0].write_bytes(_parts(out)[0].read_bytes()[:-1]),
    "two parts exchanged": lambda out: _parts(out)[0].write_bytes(_parts(out)[1].read_bytes()),
    "the first entry lost": lambda out: _entries(out)[0].unlink(),
    "an entry in the middle lost": lambda out: _entries(out)[1].unlink(),
    "the newest entry lost": lambda out: _entries(out)[-1].unlink(),
    "an entry edited": _edit,
    "entries exchanged": _swap,
    "the newest entry edited": lambda out: _flip(_entries(out)[-1], 200),
    "a space added to an entry": lambda out: _entries(out)[0].write_bytes(
        _entries(out)[0].read_bytes() + b" "
    ),
    "an entry repeated": lambda out: shutil.copy(
        _entries(out)[-1], out / "_log" / f"{len(_entries(out)):020}.json"
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_verify_finds(bench: Bench, damage: str) -> None:
    DAMAGE[damage](bench.folder / "out")

    done = bench.run("data", "verify", "t")

    assert done.returncode not in (0, 70), done.stdout + done.stderr
    assert "LOG" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_verify_finds_one_flipped_byte_anywhere_in_any_part_or_entry(bench: Bench) -> None:
    """Every part at its start, its middle and its end; every entry at fifty places."""
    out = bench.folder / "out"
    places = [(p, at) for p in _parts(out) for at in (0, p.stat().st_size // 2, -1)]
    for entry in _entries(out):
        size = entry.stat().st_size
        places += [(entry, at) for at in range(0, size, max(1, size // 50))]
    missed = []
    with bench.open() as engine:
        assert engine.verify_dataset("t").ok
        for path, at in places:
            good = path.read_bytes()
            _flip(path, at)
            try:
                if engine.verify_dataset("t").ok:
                    missed.append((path.name, at))
            except Exception as error:  # noqa: BLE001 - only a diagnostic is an answer here
                assert hasattr(error, "diagnostics"), (path.name, at, error)  # noqa: PT017
            path.write_bytes(good)
    assert missed == []
    assert len(places) > 100


def test_files_that_the_log_does_not_name_are_left_alone(bench: Bench) -> None:
    """They are no rows of the dataset, and stay through syncs, conversions and deletion."""
    stranger = bench.folder / "out/part-stranger.parquet"
    pq.write_table(pa.table({"id": [666]}), stranger)
    write(bench, 9)
    bench.settle()
    bench.write({"t": {"source": "t/", "destination": "out/", "format": "ald"}})
    bench.settle()

    assert 666 not in bench.rows("t")["id"].to_pylist()
    assert bench.run("destroy", "t", "--yes").returncode == 0
    assert list(tree(bench.folder / "out")) == [stranger.name]
