"""Runs the comparisons and writes what they found to docs/reference/performance.md.

python -m tests.bench                    everything, and the page
python -m tests.bench --only startup     one section, shown only
python -m tests.bench --quick            small sizes, shown only
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import (
    checksums,
    confinement,
    datasets,
    gateway,
    plan_scale,
    report,
    rerun,
    s3,
    startup,
    state,
    tables,
)
from tests.bench.measure import Row

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "performance.md"
SECTIONS: dict[str, Callable[[Path, bool], Sequence[Row]]] = {
    "s3": s3.rows,
    "rerun": rerun.rows,
    "tables": tables.rows,
    "checksums": checksums.rows,
    "state": state.rows,
    "datasets": datasets.rows,
    "confinement": confinement.rows,
    "gateway": gateway.rows,
    "plan_scale": plan_scale.rows,
    "startup": startup.rows,
}


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; 0 also where bars are missed, since the page says so."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="run only this section")
    parser.add_argument("--quick", action="store_true", help="small sizes; shows that it runs")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers end as well
    folder = ROOT / ".cache" / "bench" / ("quick" if chosen.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Row] = []
    for name in chosen.only or SECTIONS:
        start = time.perf_counter()
        rows = SECTIONS[name](folder, chosen.quick)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        print(report.table(rows), flush=True)
        found += rows
    if not (chosen.only or chosen.quick):
        PAGE.write_text(report.page(found, report.about()), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
