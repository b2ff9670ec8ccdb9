"""What lies there already is taken over as what it is, and is never deleted with its dataset."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.laws.bench import Bench, codes, kinds, tree
from tests.shown import rows_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A folder of a table, and one of files that are none."""
    bench = Bench(tmp_path)
    bench.write({})
    for name in ("there", "source"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"id": [1, 2]}), tmp_path / name / "a.parquet")
    (tmp_path / "pictures/deep").mkdir(parents=True)
    (tmp_path / "pictures/deep/a.bin").write_bytes(b"\x00\x01")
    return bench


def described(**fields: Any) -> dict[str, Any]:
    return {"source": "source/", "destination": "there/", "format": "parquet", **fields}


def test_a_folder_is_imported_as_the_dataset_whose_document_names_it(bench: Bench) -> None:
    """With its columns, its tier and the label that follows from it."""
    bench.write({"t": described(tier="HybridSovereign", deletionPolicy="Delete")})
    origin = {"address": "source/", "origin": {"tier": "HybridSovereign"}}
    bench.write({"t": described(tier="HybridSovereign", source=origin)})

    done = bench.run("import", "there/", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    with bench.open() as engine:
        (record,) = engine.records()
        assert record.address == "Dataset/t"
        assert record.owner == "Imported"
        assert record.facts.schema is not None
        assert record.facts.schema.names == ("id",)
        assert (record.facts.tier, record.facts.tier_derived) == ("HybridSovereign", False)
        assert record.label.confidentiality == "HybridSovereign"
        assert rows_of(engine, "t").num_rows == 2
    assert kinds(bench.plan()) == {"t": "replace"}


@pytest.mark.parametrize(("folder", "format_"), [("there", "parquet"), ("pictures", "files")])
def test_a_folder_without_a_document_is_imported_as_what_it_shows_itself_to_be(
    bench: Bench, folder: str, format_: str
) -> None:
    done = bench.run("import", f"{folder}/", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    with bench.open() as engine:
        (record,) = engine.records()
        assert record.address.startswith(f"Dataset/{folder}-")
        assert record.facts.format == format_
        assert (record.facts.schema is None) == (format_ == "files")
        assert engine.labels.show(f"{folder}/").holds


def test_a_tier_that_the_files_may_not_have_is_refused(bench: Bench) -> None:
    bench.write({"t": described(tier="FullySovereign")})

    done = bench.run("import", "t", "--yes")

    assert done.returncode == 14, done.stdout + done.stderr
    assert not (bench.folder / "there/_log").exists()


def test_what_cannot_be_imported_is_refused_before_anybody_is_asked(bench: Bench) -> None:
    missing = bench.run("import", "nowhere/")
    asked = bench.run("import", "there/")

    assert "LOG151" in missing.stderr
    assert "CLI104" in asked.stderr
    assert "apply plan.json" not in asked.stderr
    assert "a.parquet" in asked.stdout


@pytest.mark.parametrize("way", ["destroy", "orphan"])
def test_what_was_imported_is_not_deleted_with_its_dataset(bench: Bench, way: str) -> None:
    bench.workspace["limits"] = {"deletes": 5}
    bench.write({"t": described(deletionPolicy="Delete")})
    assert bench.run("import", "t", "--yes").returncode == 0
    before = tree(bench.folder / "there")
    if way == "orphan":
        bench.write({})
        envelope = bench.plan()
    else:
        envelope = bench.plan(destroy=("t",))

    assert codes(envelope) == {"t": ["PLN112"]}
    assert bench.run("destroy", "t", "--yes").returncode != 0
    assert tree(bench.folder / "there") == before
