"""One small source of every kind: made in a folder or a bucket, with the rows it holds.

No two have a file of the same bytes: data is known again by its digest wherever it lies, so that
a file in a more sovereign place would make its twin elsewhere as secret.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from deltalake import write_deltalake

from batuta.connectors.delta.client import storage_options
from batuta.formats.ald import FORMAT as ALD
from batuta.model.connector import Connection
from tests.conftest import Place
from tests.unit.connectors.delta_tables import HandMade, column

DELTA = Path(__file__).resolve().parents[2] / "data" / "delta"
ROWS = pa.table(
    {
        "id": pa.array(range(12), pa.int64()),
        "name": pa.array([None if i % 5 == 4 else f"näme {i}" for i in range(12)]),
        "price": pa.array([Decimal(i) / 4 for i in range(12)], pa.decimal128(12, 2)),
        "day": pa.array([date(2024, 1, 1 + i) for i in range(12)]),
        "at": pa.array(
            [datetime(2024, 5, 1, i, tzinfo=UTC) for i in range(12)], pa.timestamp("us", "UTC")
        ),
        "ok": pa.array([i % 2 == 0 for i in range(12)]),
    }
)
PLAIN = ROWS.select(["id", "name", "ok"])
HALVES = (ROWS.slice(0, 7), ROWS.slice(7))


@dataclass(frozen=True)
class Made:
    """A source: what a manifest says of it, and its rows (None: opaque files)."""

    spec: Any
    rows: pa.Table | None


Maker = Callable[[Path, Place | None], Made]


def opaque(folder: Path, _place: Place | None) -> Made:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(range(256)) * 20 + folder.name.encode())
    (folder / "sub" / "ü b.txt").write_text(folder.name)
    (folder / ".hidden").write_text(f".{folder.name}")
    return Made(f"{folder.name}/", None)


def parquet(folder: Path, _place: Place | None) -> Made:
    folder.mkdir(parents=True)
    for number, half in enumerate(HALVES):
        own = half.replace_schema_metadata({"made for": folder.name})
        pq.write_table(own, folder / f"part-{number}.parquet", row_group_size=3)
    return Made(f"{folder.name}/", ROWS)


def hive(folder: Path, _place: Place | None) -> Made:
    for number, half in enumerate(HALVES):
        inside = folder / f"year=202{number}"
        inside.mkdir(parents=True)
        pq.write_table(half, inside / "x.parquet")
    years = pa.array([2020] * 7 + [2021] * 5, pa.int64())
    return Made(f"{folder.name}/", ROWS.append_column("year", years))


def csv(folder: Path, _place: Place | None) -> Made:
    folder.mkdir(parents=True)
    for number, half in enumerate((PLAIN.slice(0, 7), PLAIN.slice(7))):
        lines = [f"{r['id']},{r['name'] or ''},{str(r['ok']).lower()}" for r in half.to_pylist()]
        end = "\r\n" if folder.name.startswith("s3") else "\n"
        (folder / f"{number}.csv").write_text(end.join(["id,name,ok", *lines, ""]), newline="")
    return Made(f"{folder.name}/", PLAIN)


def jsonl(folder: Path, _place: Place | None) -> Made:
    folder.mkdir(parents=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in PLAIN.to_pylist()]
    (folder / "x.jsonl").write_text("".join(lines))
    return Made(f"{folder.name}/", PLAIN)


def arrow(folder: Path, _place: Place | None) -> Made:
    folder.mkdir(parents=True)
    with pyarrow.ipc.new_file(folder / "x.arrow", ROWS.schema) as sink:
        sink.write_table(ROWS, max_chunksize=5)
    return Made(f"{folder.name}/", ROWS)


def ald(folder: Path, _place: Place | None) -> Made:
    folder.mkdir(parents=True)
    assert ALD.writer is not None
    for number, half in enumerate(HALVES):
        with (folder / f"{number}.ald").open("wb") as sink:
            ALD.writer().write(sink, half.schema, iter(half.to_batches()), {})
    return Made(f"{folder.name}/", ROWS)


def delta(folder: Path, _place: Place | None) -> Made:
    for half in HALVES:
        write_deltalake(folder, half, mode="append")
    return Made(f"delta+{folder.name}/", ROWS)


def delta_parted(folder: Path, _place: Place | None) -> Made:
    write_deltalake(folder, ROWS, partition_by=["name"])
    return Made(f"delta+{folder.name}/", ROWS)


def delta_deletions(folder: Path, _place: Place | None) -> Made:
    """Columns mapped by name, and a deletion vector."""
    mode = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"}
    table = HandMade(folder).create(
        [
            column("id", "long", id=1, physicalName="c1"),
            column("name", "string", id=2, physicalName="c2"),
        ],
        features=("columnMapping", "deletionVectors"),
        configuration=mode,
    )
    stored = ROWS.select(["id", "name"]).rename_columns(["c1", "c2"])
    table.add("f0.parquet", stored.slice(0, 7), dropped=[1, 3])
    table.add("f1.parquet", stored.slice(7))
    kept = [i for i in range(12) if i not in (1, 3)]
    return Made(f"delta+{folder.name}/", ROWS.select(["id", "name"]).take(kept))


def delta_short_vector(folder: Path, _place: Place | None) -> Made:
    """A table that another engine wrote; what it holds is asked of the library elsewhere."""
    shutil.copytree(DELTA / "short_deletions", folder)
    return Made(f"delta+{folder.name}/", None)


def delta_widened(folder: Path, _place: Place | None) -> Made:
    shutil.copytree(DELTA / "type_widening", folder)
    return Made(f"delta+{folder.name}/", None)


def delta_s3(folder: Path, place: Place | None) -> Made:
    assert place is not None
    url = f"{place.url}/{folder.name}"
    for half in HALVES:
        write_deltalake(url, half, mode="append", storage_options=options(place))
    return Made(f"delta+{url}/", ROWS)


def options(place: Place) -> dict[str, str]:
    """What deltalake needs to write to the store."""
    server = place.server
    return storage_options(
        Connection(
            options={"endpoint": server.endpoint, "region": server.region, "pathStyle": True},
            secrets={"accessKeyId": server.access_key, "secretAccessKey": server.secret_key},
        )
    )


def on_s3(make: Maker) -> Maker:
    """The same files, in the bucket."""

    def made(folder: Path, place: Place | None) -> Made:
        assert place is not None
        local = make(folder, None)
        upload(folder, place, folder.name)
        return replace(local, spec=f"{place.url}/{folder.name}/")

    return made


def upload(folder: Path, place: Place, name: str) -> None:
    """Put all files of a folder under a prefix of the place."""
    client = place.server.client()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{place.prefix}{name}/{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=place.bucket, Key=key, Body=path.read_bytes())


LOCAL: dict[str, Maker] = {
    "opaque": opaque,
    "parquet": parquet,
    "hive": hive,
    "csv": csv,
    "jsonl": jsonl,
    "arrow": arrow,
    "ald": ald,
    "delta": delta,
    "delta-parted": delta_parted,
    "delta-deletions": delta_deletions,
    "delta-short-vector": delta_short_vector,
    "delta-widened": delta_widened,
}
REMOTE: dict[str, Maker] = {
    "s3-opaque": on_s3(opaque),
    "s3-parquet": on_s3(parquet),
    "s3-csv": on_s3(csv),
    "s3-delta": delta_s3,
}
TABLES = [name for name in (*LOCAL, *REMOTE) if "opaque" not in name]
