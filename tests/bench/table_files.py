"""The table that the sections share: ten columns of the kinds that sales records have."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 1 << 20
MILLION = 1_000_000


def table_file(folder: Path, rows: int) -> Path:
    """Return a Parquet file (zstd, row groups of 1 Mi rows) of so many rows; made once."""
    path = folder / "tables" / f"sales-{rows}" / "sales.parquet"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    random = np.random.default_rng(20)
    with pq.ParquetWriter(
        draft, _rows(random, 0, 1).schema, compression="zstd", compression_level=3,
        dictionary_pagesize_limit=65_536,
    ) as writer:  # fmt: skip
        for start in range(0, rows, GROUP_ROWS):
            count = min(GROUP_ROWS, rows - start)
            writer.write_table(_rows(random, start, count), row_group_size=count)
    draft.rename(path)
    return path


def _rows(random: np.random.Generator, start: int, count: int) -> pa.Table:
    pick = random.integers
    cities = pa.array([f"city-{number:02d}" for number in range(50)])
    customers = pa.array([f"customer-{number:07d}" for number in range(100_000)])
    started = np.datetime64("2024-01-01", "us") + np.arange(start, start + count) * 1_000_000
    columns = {
        "id": pa.array(np.arange(start, start + count)),
        "sold_at": pa.array(started + pick(0, 900_000, count)),
        "customer": customers.take(pa.array(pick(0, 100_000, count))),
        "city": cities.take(pa.array(pick(0, 50, count))),
        "product": pa.array(pick(0, 20_000, count).astype(np.int32)),
        "quantity": pa.array(pick(1, 20, count).astype(np.int16)),
        "price": pa.array(np.round(random.gamma(2.0, 40.0, count), 2)),
        "discount": pa.array(random.choice([0.0, 0.05, 0.1, 0.2], count)),
        "paid": pa.array(random.random(count) < 0.9),
        "note": pa.array(pick(0, 1 << 62, count)).cast(pa.string()),
    }
    return pa.table(columns)
