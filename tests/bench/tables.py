"""Tables in and out of Parquet, Arrow and `.ald`, against DuckDB, Polars and plain loops."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.measure import (
    TIMES,
    Rounds,
    Row,
    Sample,
    batuta,
    exponent,
    python,
    run,
    take_turns,
)
from tests.bench.table_files import MILLION, table_file

SECTION = "Tables"
WORKSPACE = """\
apiVersion: batuta.dev/v1
kind: Workspace
metadata: {{name: tables}}
spec: {{manifests: ["*.yaml"]}}
---
apiVersion: batuta.dev/v1
kind: Dataset
metadata: {{name: sales}}
spec:
  source: {source}
  destination: out/
  format: {format}
{options}"""
ZSTD = "  formatOptions: {parquet: {compression: zstd, level: 3}}\n"
LAYOUT_B = "  formatOptions: {ald: {layout: B, compression: none}}\n"
DUCKDB = """\
import sys, duckdb
duckdb.sql(f"COPY (FROM '{sys.argv[1]}') TO '{sys.argv[2]}' "
           "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)")
"""
POLARS = "import sys, polars\npolars.scan_parquet(sys.argv[1]).sink_ipc(sys.argv[2])\n"
RAW_COPY = """\
import hashlib, os, sys
digest = hashlib.sha256()
block = memoryview(bytearray(1 << 20))
with open(sys.argv[1], 'rb', buffering=0) as source, open(sys.argv[2], 'wb', buffering=0) as sink:
    while count := source.readinto(block):
        digest.update(block[:count])
        sink.write(block[:count])
    os.fsync(sink.fileno())
print(digest.hexdigest())
"""
SCAN_DUCKDB = """\
import sys, duckdb
duckdb.sql(f"SELECT count(*), min(id), max(sold_at), count(distinct city), sum(product), sum(quantity),"
           "sum(price), avg(discount), sum(paid::int), max(customer), max(note) "
           f"FROM '{sys.argv[1]}'").fetchall()
"""
SCAN_ARROW = """\
import pathlib, sys
import pyarrow as pa
import pyarrow.compute as pc
parts = [pa.ipc.open_file(pa.memory_map(str(path))).read_all()
         for path in sorted(pathlib.Path(sys.argv[1]).glob('part-*.arrow'))]
table = pa.concat_tables(parts)
assert pa.total_allocated_bytes() < 64 << 20, 'it was decoded, not mapped'
print(table.num_rows, pc.min(table['id']), pc.max(table['sold_at']), pc.count_distinct(table['city']),
      *(pc.sum(table[name]) for name in ('product', 'quantity', 'price', 'paid')),
      pc.mean(table['discount']), pc.max(table['customer']), pc.max(table['note']))
"""


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion by `batuta apply`, from scratch, in a workspace of its own."""

    folder: Path
    source: Path
    format: str
    options: str = ""
    confined: bool = True

    def __call__(self) -> Sample:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        text = WORKSPACE.format(source=self.source, format=self.format, options=self.options)
        (self.folder / "batuta.yaml").write_text(text)
        return run(batuta("apply", "--yes", confined=self.confined), cwd=self.folder)

    @property
    def out(self) -> Path:
        """Where the dataset lies."""
        return self.folder / "out"

    def size_bytes(self) -> int:
        """Return the bytes of its parts."""
        return sum(path.stat().st_size for path in self.out.glob("part-*"))


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return conversion, copy and scan as ratios, and how CPU and memory grow."""
    few, many = (MILLION // 4, MILLION) if quick else (10 * MILLION // 4, 10 * MILLION)
    rounds = 1 if quick else 3
    small, large = table_file(folder, few), table_file(folder, many)
    work = folder / "tables" / "work"
    return [
        *_parquet(work, small, large, (few, many, rounds)),
        *_plain(work, large, (many, rounds)),
        *_copy(work, large, rounds),
        *_scan(work, large, rounds),
    ]


def _parquet(work: Path, small: Path, large: Path, scale: tuple[int, int, int]) -> list[Row]:
    few, many, rounds = scale
    ours = Job(work / "parquet", large, "parquet", ZSTD)
    bare = replace(ours, confined=False)
    ours_small = Job(work / "parquet-small", small, "parquet", ZSTD)
    theirs = work / "duckdb.parquet"
    turns = take_turns(
        {
            "ours": ours,
            "bare": bare,
            "duckdb": lambda: run(python(DUCKDB, large, theirs), cwd=large.parent),
            "ours, small": ours_small,
        },
        rounds,
    )
    size = ours.size_bytes() / theirs.stat().st_size
    growth = exponent(
        turns.middle("ours, small", "cpu_s"), turns.middle("ours", "cpu_s"), many / few
    )
    what = f"{many // MILLION} M rows, Parquet → Parquet zstd(3)"
    peer = "DuckDB COPY at the same level"
    peak, peak_small = turns.peak_mib("ours"), turns.peak_mib("ours, small")
    base = "1 GiB as Arrow" if many == 10 * MILLION else "as Arrow"
    return [
        _row(what, f"wall to {peer}", turns.ratio("ours", "duckdb"), 0.90,
             unconfined=turns.ratio("bare", "duckdb")),
        _row(what, f"CPU to {peer}", turns.ratio("ours", "duckdb", "cpu_s"), 0.90,
             unconfined=turns.ratio("bare", "duckdb", "cpu_s")),
        _row(what, f"bytes written, to {peer}", size, 1.0),
        _row(what, f"peak memory, {base}", peak, 400, " MiB", unconfined=turns.peak_mib("bare"),
             note=f"DuckDB {turns.peak_mib('duckdb'):.0f} MiB"),
        _row(what, f"peak memory to that of {few / MILLION:g} M rows", peak / peak_small, 1.2),
        _row(what, f"exponent of CPU from {few / MILLION:g} M rows", growth, 1.05, ""),
    ]  # fmt: skip


def _plain(work: Path, large: Path, scale: tuple[int, int]) -> list[Row]:
    many, rounds = scale
    theirs = work / "polars.arrow"
    work.mkdir(parents=True, exist_ok=True)
    arrow = Job(work / "arrow", large, "arrow")
    ald = Job(work / "ald", large, "ald", LAYOUT_B)
    turns = take_turns(
        {
            "arrow": arrow,
            "arrow, bare": replace(arrow, confined=False),
            "ald": ald,
            "ald, bare": replace(ald, confined=False),
            "polars": lambda: run(python(POLARS, large, theirs), cwd=work),
        },
        rounds,
    )
    theirs.unlink()
    shutil.rmtree(work / "ald")
    out: list[Row] = []
    for name, title in (("arrow", "Arrow"), ("ald", "`.ald` layout B")):
        what = f"{many // MILLION} M rows, Parquet → {title}, no compression"
        out += _against_polars(turns, name, what)
    return out


def _against_polars(turns: Rounds, name: str, what: str) -> list[Row]:
    bare, polars = f"{name}, bare", turns.peak_mib("polars")
    return [
        _row(what, "wall to Polars sink_ipc", turns.ratio(name, "polars"), 1.1,
             unconfined=turns.ratio(bare, "polars")),
        _row(what, "CPU to Polars sink_ipc", turns.ratio(name, "polars", "cpu_s"), 1.1,
             unconfined=turns.ratio(bare, "polars", "cpu_s")),
        _row(what, "peak memory to Polars sink_ipc", turns.peak_mib(name) / polars, 0.33,
             unconfined=turns.peak_mib(bare) / polars,
             note=f"{turns.peak_mib(name):.0f} MiB"),
    ]  # fmt: skip


def _copy(work: Path, large: Path, rounds: int) -> list[Row]:
    target = work / "copied"
    copied = Job(work / "copy", large, "parquet")
    turns = take_turns(
        {
            "ours": copied,
            "bare": replace(copied, confined=False),
            "loop": lambda: run(python(RAW_COPY, large, target), cwd=work),
        },
        rounds,
    )
    shutil.rmtree(work / "copy")
    what = "the same Parquet file, no column changed: copied"
    figure = "to read + SHA-256 + write + fsync"
    return [
        _row(
            what,
            f"wall {figure}",
            turns.ratio("ours", "loop"),
            1.1,
            unconfined=turns.ratio("bare", "loop"),
        ),
        _row(
            what,
            f"CPU {figure}",
            turns.ratio("ours", "loop", "cpu_s"),
            unconfined=turns.ratio("bare", "loop", "cpu_s"),
        ),
    ]


def _scan(work: Path, large: Path, rounds: int) -> list[Row]:
    turns = take_turns(
        {
            "arrow": lambda: run(python(SCAN_ARROW, work / "arrow" / "out"), cwd=work),
            "duckdb": lambda: run(python(SCAN_DUCKDB, large), cwd=work),
        },
        rounds,
    )
    what = "scan of the synced Arrow dataset, eleven aggregates, mapped"
    return [
        _row(what, "wall to DuckDB on Parquet", turns.ratio("arrow", "duckdb"), 0.6),
        _row(what, "CPU to DuckDB on Parquet", turns.ratio("arrow", "duckdb", "cpu_s"), 0.6),
    ]


def _row(
    work: str, figure: str, reached: float, bar: float | None = None, unit: str = TIMES,
    note: str = "", unconfined: float | None = None,
) -> Row:  # fmt: skip
    return Row(
        section=SECTION, work=work, figure=figure, reached=reached, bar=bar, unit=unit, note=note,
        unconfined=unconfined,
    )  # fmt: skip
