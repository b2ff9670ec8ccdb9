"""Delta tables that grow by random commits: followed by files, and by their change feed."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance.laws.bench import EXAMPLES, Bench, Steps, kinds, multiset
from tests.properties.test_delta import commit, commits, rows_of

FEED = {"delta.enableChangeDataFeed": "true"}
HISTORIES = st.lists(st.lists(commits, min_size=1, max_size=3), min_size=1, max_size=4)
KEYED = {"mode": "Incremental", "incremental": {"key": ["id"]}}


def datasets() -> dict[str, dict[str, Any]]:
    source = {"source": "delta+t/"}
    return {
        "units": {**source, "destination": "out/u/", "mode": "Incremental", "format": "parquet"},
        "feed": {**source, "destination": "out/f/", **KEYED, "format": "parquet"},
        "feed-ald": {**source, "destination": "out/g/", **KEYED, "format": "ald"},
        "kept": {**source, "destination": "out/k/", **KEYED, "onSourceDelete": "Keep"},
        "kept-units": {**source, "destination": "out/l/", "onSourceDelete": "Keep"},
        "snapshot": {**source, "destination": "out/s/", "format": "arrow"},
        "renamed": {
            "source": {"address": "delta+t/", "columns": {"exclude": ["v"],
                                                          "rename": {"id": "key"}}},
            "destination": "out/r/", "mode": "Incremental", "incremental": {"key": ["key"]},
        },
    }  # fmt: skip


def library(folder: Path) -> pa.Table:
    return pa.table(DeltaTable(folder).to_pyarrow_table())


def by_id(table: pa.Table) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in table.to_pylist()}


@pytest.mark.parametrize("feed", [True, False], ids=["with-feed", "without-feed"])
@settings(EXAMPLES, max_examples=7)
@given(history=HISTORIES)
def test_after_any_commits_and_runs_the_rows_are_a_snapshots(feed: bool, history: Any) -> None:
    """By files, by feed and with Keep; where rows could not be kept it is refused."""
    folder = Path(tempfile.mkdtemp())
    table = folder / "t"
    write_deltalake(
        table, rows_of([0, 1, 2, 3], "a b"), partition_by=["p"], configuration=FEED if feed else {}
    )
    bench = Bench(folder)
    bench.write(datasets())
    may_block = {"kept", "kept-units"}
    with bench.open() as engine:
        steps = Steps(engine)
        steps.apply()
        kept = {name: by_id(library(table)) for name in may_block}
        for group in history:
            for kind, what, part in group:
                commit(table, kind, what, part)
            now = library(table)
            blocked = steps.apply(may_block=may_block)
            assert all(codes == ["DRF108"] for codes in blocked.values())
            assert not (feed and "kept" in blocked)
            for name in may_block - blocked.keys():
                kept[name] |= by_id(now)
            for name in ("units", "feed", "feed-ald", "snapshot"):
                assert steps.rows(name) == multiset(now), name
            plain = now.drop_columns(["v"]).rename_columns(["key", "p"])
            assert steps.rows("renamed") == multiset(plain)
            for name in may_block:
                expected = pa.Table.from_pylist(list(kept[name].values()), now.schema)
                assert steps.rows(name) == multiset(expected), name
            steps.rests(may_block=may_block)
        steps.whole()
    shutil.rmtree(folder)


def test_the_feed_reads_what_changed_and_not_the_table(tmp_path: Path) -> None:
    rows = rows_of(list(range(5000)), None)
    write_deltalake(tmp_path / "t", rows, configuration=FEED)
    bench = Bench(tmp_path)
    bench.write({"t": {"source": "delta+t/", "destination": "out/", **KEYED}})
    bench.settle()
    DeltaTable(tmp_path / "t").update(predicate="id = 7", updates={"v": "0.125"})

    envelope, report = bench.apply()

    (action,) = envelope.plan.actions
    assert (action.kind, action.transfer.scope) == ("replace", "changes")  # type: ignore[union-attr]
    assert action.volume.read_bytes < 5000
    assert report.outcomes[0].rows == 5000
    assert multiset(bench.rows("t")) == multiset(library(tmp_path / "t"))


def test_a_commit_that_changes_no_row_moves_no_data(tmp_path: Path) -> None:
    """OPTIMIZE over a table with a feed: the log remembers the version, and no part is written."""
    for ids in ([1], [2]):
        write_deltalake(tmp_path / "t", rows_of(ids, None), mode="append", configuration=FEED)
    bench = Bench(tmp_path)
    bench.write({"t": {"source": "delta+t/", "destination": "out/", **KEYED}})
    bench.settle()
    DeltaTable(tmp_path / "t").optimize.compact()

    envelope, report = bench.apply()

    assert kinds(envelope) == {"t": "relabel"}
    assert report.bytes_read == 0
    assert not bench.plan().plan.has_changes


def test_a_key_that_is_not_unique_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", rows_of([1, 1, 2], None), configuration=FEED)
    bench = Bench(tmp_path)
    bench.write({"t": {"source": "delta+t/", "destination": "out/", **KEYED}})
    bench.settle()
    before = multiset(bench.rows("t"))
    write_deltalake(tmp_path / "t", rows_of([1], "x"), mode="append")

    _, report = bench.apply()

    assert [d.code for d in report.outcomes[0].diagnostics] == ["WRK213"]
    assert multiset(bench.rows("t")) == before


def test_a_saved_plan_reads_the_version_that_it_was_made_for(tmp_path: Path) -> None:
    """Between plan and apply the table moves on: the plan is stale, whatever the feed says."""
    write_deltalake(tmp_path / "t", rows_of([1, 2], None), configuration=FEED)
    bench = Bench(tmp_path)
    bench.write({"t": {"source": "delta+t/", "destination": "out/", **KEYED}})
    bench.settle()
    write_deltalake(tmp_path / "t", rows_of([3], None), mode="append")
    envelope = bench.plan()
    write_deltalake(tmp_path / "t", rows_of([4], None), mode="append")

    done = bench.run("apply", str(_saved(bench, envelope)))

    assert done.returncode == 6
    assert "PLN121" in done.stdout + done.stderr


def _saved(bench: Bench, envelope: Any) -> Path:
    with bench.open() as engine:
        return engine.save(envelope)
