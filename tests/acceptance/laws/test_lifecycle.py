"""What a dataset goes through: drift, other formats and places, release, deletion, adoption."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.acceptance.laws import sources
from tests.acceptance.laws.bench import Bench, codes, kinds, multiset, tree, unsettled

BASE = pa.table({"id": pa.array([1, 2], pa.int32()), "v": ["a", "b"], "x": [0.5, 1.5]})
DRIFTS: dict[str, pa.Table] = {
    "additive": BASE.append_column("new", pa.array([True, None])),
    "widening": BASE.set_column(0, "id", pa.array([1, 2], pa.int64())),
    "breaking": BASE.set_column(2, "x", pa.array(["0.5", "1.5"])),
    "semantic": BASE.append_column("t", pa.array([1, 2], pa.timestamp("us"))),
}


def write(bench: Bench, rows: pa.Table, name: str = "t") -> None:
    folder = bench.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / "a.parquet")


def plain(**fields: Any) -> dict[str, Any]:
    return {"source": "t/", "destination": "out/", "format": "ald", **fields}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    write(bench, BASE)
    return bench


# Drift


@pytest.mark.parametrize("class_", ["additive", "widening", "breaking"])
@pytest.mark.parametrize("choice", ["Stop", "Apply", "Skip", "Force"])
def test_drift_of_each_class_is_handled_as_chosen(bench: Bench, class_: str, choice: str) -> None:
    """Stop blocks, Apply takes the new schema, Skip leaves all as it is, Force keeps the old one."""
    bench.write({"t": plain(onDrift={class_: choice})})
    bench.settle()
    write(bench, DRIFTS[class_])

    envelope, _ = bench.apply()
    after = bench.rows("t")

    match choice:
        case "Stop":
            assert codes(envelope) == {"t": ["DRF101"]}
            assert multiset(after) == multiset(BASE)
        case "Apply":
            assert kinds(envelope) == {"t": "evolve-schema"}
            assert multiset(after) == multiset(DRIFTS[class_])
            assert after.schema.field("id").type == DRIFTS[class_].schema.field("id").type
        case "Skip":
            assert kinds(envelope) == {"t": "no-op"}
            assert multiset(after) == multiset(BASE)
        case _:
            assert after.schema.equals(BASE.schema) or class_ == "breaking"
            assert after.column_names == BASE.column_names
    if choice != "Stop":
        assert unsettled(bench.plan()) == {}


def test_a_semantic_difference_has_a_class_of_its_own(bench: Bench) -> None:
    """A local time that becomes an instant means something else, though it fits."""
    local = pa.array([0, 1], pa.timestamp("us"))
    write(bench, BASE.append_column("at", local))
    bench.write({"t": plain(onDrift={"additive": "Apply", "widening": "Apply"})})
    bench.settle()
    write(bench, BASE.append_column("at", local.cast(pa.timestamp("us", "UTC"))))

    (action,) = bench.plan().plan.actions

    assert action.kind == "blocked"
    assert {c.schema_class for c in action.changes} & {"semantic", "breaking"}  # type: ignore[union-attr]


def test_the_command_line_outranks_the_manifest_on_drift(bench: Bench) -> None:
    bench.write({"t": plain()})
    bench.settle()
    write(bench, DRIFTS["additive"])

    assert bench.run("plan").returncode == 13
    assert bench.run("apply", "--yes", "--on-drift", "additive=Apply").returncode == 0
    assert multiset(bench.rows("t")) == multiset(DRIFTS["additive"])


LOSSES: dict[str, pa.Table] = {
    "first": BASE.drop_columns(["id"]),
    "middle": BASE.drop_columns(["v"]),
    "last": BASE.drop_columns(["x"]),
    "renamed": BASE.rename_columns(["id", "word", "x"]),
    "all-renamed": BASE.rename_columns(["one", "two", "three"]),
}
FORCED = {"breaking": "Force", "additive": "Force"}


@pytest.mark.parametrize("stored", ["csv", "parquet"])
def test_a_column_that_is_gone_is_written_as_nulls_by_force(bench: Bench, stored: str) -> None:
    """The others keep their values, by name, wherever in the row the lost one stood."""
    lost = {f"{loss}-{out}": rows for loss, rows in LOSSES.items() for out in ("ald", "parquet")}
    for name in lost:
        put(bench, BASE, name, f"a.{stored}")
    bench.write({
        name: {"source": f"{name}/", "destination": f"out/{name}/", "onDrift": FORCED,
               "format": name.rpartition("-")[2]} for name in lost
    })  # fmt: skip
    bench.settle()
    before = {name: bench.rows(name).schema for name in lost}
    for name, rows in lost.items():
        put(bench, rows, name, f"a.{stored}")

    settled = bench.settle(allow_data_loss=tuple(lost))

    assert {name: bench.rows(name).schema for name in lost} == before
    assert {name: bench.rows(name).to_pydict() for name in lost} == {
        name: filled(rows) for name, rows in lost.items()
    }
    assert unsettled(settled) == {}


def test_a_column_that_a_new_file_lacks_is_written_as_nulls_by_force(bench: Bench) -> None:
    """An Incremental source of which one file changed, and to which then another one comes."""
    bench.write({
        name: {"source": f"{name}/", "destination": f"out/{name}/", "format": "ald",
               "mode": "Incremental", "onDrift": FORCED} for name in LOSSES
    })  # fmt: skip
    for name in LOSSES:
        put(bench, BASE, name, "a.parquet")
    bench.settle()
    for file in ("a.parquet", "b.parquet"):
        for name, rows in LOSSES.items():
            put(bench, rows, name, file)
        settled = bench.settle(allow_data_loss=tuple(LOSSES))

    for name, rows in LOSSES.items():
        twice = {column: values * 2 for column, values in filled(rows).items()}
        assert bench.rows(name).to_pydict() == twice, name
    assert unsettled(settled) == {}


@pytest.mark.parametrize("gone", ["key", "cursor"])
def test_a_key_or_cursor_that_is_gone_cannot_be_forced(bench: Bench, gone: str) -> None:
    rows = pa.table({"key": [1, 2], "cursor": [1, 2], "v": [1, 2]})
    bench.write({
        "t": {"source": "t/", "destination": "out/t/", "format": "ald", "mode": "Incremental",
              "incremental": {"cursor": "cursor", "key": ["key"]}, "onDrift": FORCED}
    })  # fmt: skip
    put(bench, rows, "t", "a.parquet")
    bench.settle()
    put(bench, rows.drop_columns([gone]), "t", "a.parquet")

    envelope = bench.plan(allow_data_loss=("t",))

    assert "PLN104" in str(envelope.plan.actions)
    assert bench.rows("t").to_pydict() == rows.to_pydict()


def put(bench: Bench, rows: pa.Table, name: str, file: str) -> None:
    """Write one file of the source of `name`."""
    place = bench.folder / name / file
    place.parent.mkdir(exist_ok=True)
    (csv.write_csv if file.endswith(".csv") else pq.write_table)(rows, place)


def filled(rows: pa.Table) -> dict[str, list[Any]]:
    """The values of `rows` under the columns of BASE, with nulls for the ones it lacks."""
    have = rows.to_pydict()
    return {name: have.get(name, [None] * rows.num_rows) for name in BASE.column_names}


# Other formats, places, facts


def test_another_format_converts_and_the_old_parts_go_to_history(bench: Bench) -> None:
    bench.write({"t": plain(format="ald")})
    bench.settle()
    bench.write({"t": plain(format="parquet")})

    envelope, _ = bench.apply()

    assert kinds(envelope) == {"t": "convert"}
    assert multiset(bench.rows("t")) == multiset(BASE)
    assert not list((bench.folder / "out").glob("*.ald"))
    assert list((bench.folder / "out/_history").rglob("*.ald"))


def test_another_destination_moves_and_leaves_the_old_place_alone(bench: Bench) -> None:
    bench.write({"t": plain()})
    bench.settle()
    before = tree(bench.folder / "out")
    bench.write({"t": {**plain(), "destination": "elsewhere/"}})

    envelope, _ = bench.apply()

    assert kinds(envelope) == {"t": "move"}
    assert tree(bench.folder / "out") == before
    assert multiset(bench.rows("t")) == multiset(BASE)
    assert unsettled(bench.plan()) == {}


@pytest.mark.parametrize(
    "fields",
    [{"protect": True}, {"tier": "PrivateCloud"}, {"history": {"keep": "1d"}},
     {"residency": ["eu"]}, {"deletionPolicy": "Delete"}],
)  # fmt: skip
def test_what_only_the_log_says_is_changed_without_moving_a_byte(
    bench: Bench, fields: dict[str, Any]
) -> None:
    bench.workspace = {"region": "eu"}
    bench.write({"t": plain()})
    bench.settle()
    before = tree(bench.folder / "out", skip=["_log"])
    bench.write({"t": plain(**fields)})

    envelope, report = bench.apply()

    assert kinds(envelope) == {"t": "relabel"}
    assert report.bytes_read == 0
    assert tree(bench.folder / "out", skip=["_log"]) == before
    assert unsettled(bench.plan()) == {}


# Giving up


def test_a_removed_document_releases_the_data(bench: Bench) -> None:
    bench.write({"t": plain()})
    bench.settle()
    before = tree(bench.folder / "out")
    bench.write({})

    envelope, _ = bench.apply()

    assert kinds(envelope) == {"t": "release"}
    assert tree(bench.folder / "out") == before
    assert not bench.plan().plan.actions


def test_deletion_with_its_document_is_opt_in_and_capped(bench: Bench) -> None:
    """`deletionPolicy: Delete` alone is not enough: the workspace's cap of deletes is 0."""
    bench.write({"t": plain(deletionPolicy="Delete")})
    bench.settle()
    (bench.folder / "out/stranger.txt").write_text("mine")
    bench.write({})
    assert codes(bench.plan()) == {"t": ["PLN108"]}
    bench.workspace = {"limits": {"deletes": 1}}
    bench.write({})

    envelope, _ = bench.apply()

    assert kinds(envelope) == {"t": "delete"}
    assert tree(bench.folder / "out") == {"stranger.txt": b"mine"}
    assert not bench.plan().plan.actions


def test_a_protected_dataset_is_not_deleted_even_when_its_document_is_gone(bench: Bench) -> None:
    bench.workspace = {"limits": {"deletes": 1}}
    bench.write({"t": plain(deletionPolicy="Delete", protect=True)})
    bench.settle()
    before = tree(bench.folder / "out")
    bench.write({})

    envelope, _ = bench.apply()

    assert codes(envelope) == {"t": ["DRF109"]}
    assert codes(bench.plan(destroy=("t",))) == {"t": ["DRF109"]}
    assert tree(bench.folder / "out") == before


def test_destroy_lists_the_paths_before_it_deletes(bench: Bench) -> None:
    bench.write({"t": plain(format="parquet")})
    bench.settle()
    (part,) = (bench.folder / "out").glob("*.parquet")

    refused = bench.run("destroy", "t")
    done = bench.run("destroy", "t", "--yes", "--allow-data-loss", "Dataset/t")

    assert refused.returncode != 0
    assert part.name in refused.stdout + refused.stderr + done.stdout
    assert part.name in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert not part.exists()
    assert tree(bench.folder / "out") == {}


def test_release_forgets_the_dataset_and_leaves_it_whole(bench: Bench) -> None:
    bench.write({"t": plain()})
    bench.settle()
    before = tree(bench.folder / "out")

    done = bench.run("release", "t", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert tree(bench.folder / "out") == before
    with bench.open() as engine:
        assert engine.records() == ()


@pytest.mark.parametrize("command", [["release", "t"], ["destroy", "t"]])
def test_what_is_given_up_needs_its_source_no_more(bench: Bench, command: list[str]) -> None:
    bench.workspace = {"limits": {"deletes": 1}}
    bench.write({"t": plain()})
    bench.settle()
    shutil.rmtree(bench.folder / "t")

    done = bench.run(*command, "--yes", "--allow-data-loss", "Dataset/t")

    assert done.returncode == 0, done.stdout + done.stderr
    with bench.open() as engine:
        assert engine.records() == ()


# Adoption


def test_a_folder_with_files_is_adopted_only_on_request_and_never_deleted(bench: Bench) -> None:
    sources.opaque(bench.folder / "old", None)
    shutil.copytree(bench.folder / "old", bench.folder / "out")
    bench.write({"t": {"source": "old/", "destination": "out/", "format": "files"}})
    assert codes(bench.plan()) == {"t": ["PLN101"]}

    done = bench.run("import", "t", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    bench.settle()
    assert unsettled(bench.plan()) == {}
    assert codes(bench.plan(destroy=("t",))) == {"t": ["PLN112"]}
    assert bench.run("data", "verify", "t").returncode == 0


def test_a_dataset_of_another_name_is_not_taken_over(bench: Bench) -> None:
    bench.write({"t": plain()})
    bench.settle()
    shutil.rmtree(bench.folder / ".batuta")
    bench.write({"u": plain()})

    assert codes(bench.plan()) == {"u": ["PLN102"]}


def test_a_renamed_resource_goes_on_after_state_mv(bench: Bench) -> None:
    bench.write({"t": plain()})
    bench.settle()
    bench.write({"u": plain()})

    done = bench.run("state", "mv", "Dataset/t", "Dataset/u", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert kinds(bench.plan()) == {"u": "relabel"}
    bench.settle()
    assert unsettled(bench.plan()) == {}


def test_two_datasets_never_share_a_destination(bench: Bench) -> None:
    bench.write({"t": plain(), "u": {**plain(), "destination": "out/inner/"}})

    assert codes(bench.plan()) == {"t": ["PLN113"], "u": ["PLN113"]}


@pytest.mark.parametrize("lost", [("a",), ("a", "b")])
def test_a_merge_whose_sources_lost_its_key_is_refused_by_the_plan_also_where_it_is_forced(
    tmp_path: Path, lost: tuple[str, ...]
) -> None:
    def table(name: str, key: str) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        pq.write_table(pa.table({key: [1, 2], "x": [3, 4]}), tmp_path / name / "t.parquet")

    bench = Bench(tmp_path)
    force = dict.fromkeys(("additive", "widening", "breaking", "semantic"), "Force")
    source = {"merge": ["a/", "b/"], "on": ["id"], "conflict": "Last"}
    spec = {"source": source, "destination": "out/", "format": "parquet", "onDrift": force}
    bench.write({"m": spec})
    for name in ("a", "b"):
        table(name, "id")
    assert bench.run("apply", "--yes").returncode == 0
    for name in lost:
        table(name, "number")

    assert codes(bench.plan()) == {"m": ["PLN143"]}
