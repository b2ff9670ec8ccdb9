"""Makes the data that the quickstart's manifests read: small, and the same on every run.

    python seed.py make FOLDER      a Delta table of three versions, Parquet files, a CSV
    python seed.py drift FOLDER     a new version of the Delta table with other columns
    python seed.py upload FOLDER    all of it into the bucket `quickstart` (AWS_* variables)

The columns are described in the manifests beside this file.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

START = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = '''id;name;since;balance;note
00007;Åsa Öberg;01.02.2019;1204.50;"says ""hello"""
00008;José Núñez;15.11.2020;-3.00;
00009;李小龍;31.12.1999;0.00;"two
lines"
00010;O'Brien;n/a;17.25;""
00011;"Müller; Söhne";29.02.2024;99999999.99;n/a
'''


def orders(first: int, count: int) -> pa.Table:
    """Rows of the table `orders`, numbered from `first`."""
    numbers = range(first, first + count)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "customer": pa.array([f"{n % 5 + 7:03d}" for n in numbers], pa.string()),
            "amount": pa.array([Decimal(n * 37 % 10_000) / 100 for n in numbers], pa.decimal128(12, 2)),
            "placed": pa.array([START + timedelta(minutes=n) for n in numbers], pa.timestamp("us", "UTC")),
        }
    )  # fmt: skip


def make(folder: Path) -> None:
    """Write all three sources below `folder`."""
    table = str(folder / "orders")
    write_deltalake(table, orders(0, 20_000))
    write_deltalake(table, orders(20_000, 5_000), mode="append")
    DeltaTable(table).delete("id < 100")
    events = folder / "events"
    events.mkdir(parents=True, exist_ok=True)
    for day in range(3):
        stamps = [datetime(2026, 1, 1 + day) + timedelta(seconds=n) for n in range(10_000)]  # noqa: DTZ001 - the column has no zone
        rows = {
            "ts": pa.array(stamps, pa.timestamp("us")),
            "kind": pa.array([("view", "click", None)[n % 3] for n in range(10_000)]),
            "value": pa.array([n / 7 for n in range(10_000)]),
        }
        pq.write_table(pa.table(rows), events / f"day-{day + 1}.parquet", compression="zstd")
    (folder / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")


def drift(folder: Path) -> None:
    """Give `orders` a new column, and its amounts another type."""
    rows = orders(25_000, 10)
    amounts = rows.column("amount").cast(pa.float64())
    changed = rows.set_column(2, "amount", amounts).append_column(
        "channel", pa.array(["web"] * rows.num_rows)
    )
    write_deltalake(str(folder / "orders"), changed, mode="overwrite", schema_mode="overwrite")


def upload(folder: Path) -> None:
    """Put every file below `folder` into the bucket `quickstart`, under `data/`."""
    import s3fs

    store = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put_file(str(path), f"quickstart/data/{path.relative_to(folder).as_posix()}")


if __name__ == "__main__":
    {"make": make, "drift": drift, "upload": upload}[sys.argv[1]](Path(sys.argv[2]))
