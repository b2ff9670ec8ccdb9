"""`--resync` of a damaged dataset mends it: afterwards it verifies and its rows are the source's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.laws.bench import (
    Bench,
    codes,
    fresh,
    lake,
    lake_environment,
    multiset,
    tree,
)
from tests.conftest import Place
from tests.shown import rows_of

ROWS = pa.table({"id": pa.array(range(40), pa.int64()), "v": [f"value {i}" for i in range(40)]})
NEXT = pa.table({"id": pa.array(range(40), pa.int64()), "v": [f"VALUE {i}" for i in range(40)]})
Damage = Callable[[bytes], bytes | None]

DAMAGES: dict[str, Damage] = {
    "removed": lambda _content: None,
    "flipped": lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
    "truncated": lambda content: content[:-7],
    "grown": lambda content: content + b"more",
}
FORMATS = ("ald", "parquet", "files")


def write_source(folder: Path, rows: pa.Table = ROWS) -> None:
    (folder / "t").mkdir(parents=True, exist_ok=True)
    for number, half in enumerate((rows.slice(0, 25), rows.slice(25))):
        pq.write_table(half, folder / "t" / f"{number}.parquet")
    fresh(folder / "t")


def spec(format_: str, destination: str = "out/", **fields: Any) -> dict[str, Any]:
    return {"source": "t/", "destination": destination, "format": format_, **fields}


def parts_in(folder: Path) -> list[Path]:
    names = sorted(p for p in folder.rglob("*") if p.is_file())
    return [p for p in names if not p.relative_to(folder).parts[0].startswith("_")]


def damage_one(folder: Path, damage: Damage) -> Path:
    victim = parts_in(folder)[0]
    content = damage(victim.read_bytes())
    victim.unlink()
    if content is not None:
        victim.write_bytes(content)
    return victim


def check_whole(bench: Bench, rows: pa.Table) -> None:
    """Every dataset verifies and is what its source is."""
    with bench.open() as engine:
        for name in CASES:
            found = engine.verify_dataset(name)
            assert found.ok, (name, found.problems)
            if "files" not in name:
                assert multiset(rows_of(engine, name)) == multiset(rows), name
            elif (bench.folder / name).exists():
                assert tree(bench.folder / name, ["_"]) == tree(bench.folder / "t")


CASES = {f"{format_}-{damage}": (format_, damage) for format_ in FORMATS for damage in DAMAGES}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One dataset for each format and damage, damaged."""
    bench = Bench(tmp_path)
    write_source(tmp_path)
    bench.write({name: spec(format_, f"{name}/") for name, (format_, _) in CASES.items()})
    bench.settle()
    return bench


def damage_all(bench: Bench) -> None:
    for name, (_, damage) in CASES.items():
        damage_one(bench.folder / name, DAMAGES[damage])


def test_a_resync_mends_a_damaged_part(bench: Bench) -> None:
    before = tree(bench.folder, [".", "t/"])
    damage_all(bench)

    _, report = bench.apply(resync=tuple(CASES))

    assert report.status == "done"
    check_whole(bench, ROWS)
    after = tree(bench.folder, [".", "t/"])
    assert {k: v for k, v in after.items() if "/_" not in k} == {
        k: v for k, v in before.items() if "/_" not in k
    }
    assert not bench.plan().plan.has_changes


def test_a_resync_after_a_change_does_not_keep_a_damaged_part_as_history(bench: Bench) -> None:
    """History holds contents under their own digests, and under no other."""
    damage_all(bench)
    write_source(bench.folder, NEXT)

    _, report = bench.apply(resync=tuple(CASES))

    assert report.status == "done"
    check_whole(bench, NEXT)


def test_what_was_changed_outside_is_kept_in_history_under_its_own_digest(bench: Bench) -> None:
    """Somebody may have meant the edit: a resync takes it out of the way and loses nothing."""
    name = "files-flipped"
    victim = damage_one(bench.folder / name, lambda _content: b"my own notes")

    bench.apply(resync=(name,))

    history = bench.folder / name / "_history"
    assert [p.read_bytes() for p in history.rglob(victim.name)] == [b"my own notes"]


def test_a_damaged_copy_in_history_does_not_hide_the_mended_part(bench: Bench) -> None:
    """Readers look into history first."""
    name = "parquet-flipped"
    with bench.open() as engine:
        snapshot = engine.datasets.find(name).dataset.snapshot()
    assert snapshot is not None
    part = snapshot.parts[0]
    shadow = bench.folder / name / "_history" / part.sha256[:16] / part.path
    shadow.parent.mkdir(parents=True)
    shadow.write_bytes(bytes(part.size_bytes))

    _, report = bench.apply(resync=(name,))

    assert report.status == "done"
    check_whole(bench, ROWS)


def test_without_a_resync_a_damaged_dataset_stops_and_names_the_way_out(bench: Bench) -> None:
    damage_all(bench)

    found = codes(bench.plan())

    # A part that was changed and kept its size is found by `data verify`, not by a plan.
    seen = {name: codes for name, codes in found.items() if "flipped" not in name}
    assert seen.keys() == {name for name in CASES if "flipped" not in name}
    assert {codes[0] for codes in seen.values()} == {"DRF105"}


@pytest.mark.parametrize("changed", [False, True], ids=["same source", "changed source"])
def test_a_resync_mends_a_damaged_object(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    bench = Bench(tmp_path, others=lake(bucket))
    write_source(tmp_path)
    bench.write(
        {name: spec(format_, f"{bucket.url}/{name}/") for name, (format_, _) in CASES.items()}
    )
    bench.settle()
    for name, (_, damage) in CASES.items():
        damage_object(bucket, f"{bucket.prefix}{name}/", DAMAGES[damage])
    if changed:
        write_source(tmp_path, NEXT)

    _, report = bench.apply(resync=tuple(CASES))

    assert report.status == "done"
    check_whole(bench, NEXT if changed else ROWS)
    assert not bench.plan().plan.has_changes


def damage_object(place: Place, prefix: str, damage: Damage) -> None:
    client = place.server.client()
    listed = client.list_objects_v2(Bucket=place.bucket, Prefix=prefix)["Contents"]
    key = next(o["Key"] for o in listed if not o["Key"].removeprefix(prefix).startswith("_"))
    content = damage(client.get_object(Bucket=place.bucket, Key=key)["Body"].read())
    client.delete_object(Bucket=place.bucket, Key=key)
    if content is not None:
        client.put_object(Bucket=place.bucket, Key=key, Body=content)
