"""The page that a run writes: one table a section, each figure beside its bar."""

import os
import platform
import sqlite3
import ssl
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import groupby

import psutil

from tests.bench import reasons, s3_server
from tests.bench.measure import Row
from tests.servers._base.venv import program

INTRO = """\
# Performance

`make bench` wrote this page. It compares batuta with programs that do the same work, and with the
bare loop that the work comes down to. Programs take turns, round by round, on the same machine;
each figure is the median of the rounds' ratios, so that a busy machine troubles both sides.
Unless a line says otherwise a program is measured whole, from its start to its end: wall time,
processor time with that of its children, and the resident memory of all its processes together,
in which a page that several of them share, such as one of a library, counts once.
Lower is better. A bar is what batuta means to reach. **Bold** figures miss theirs, and the list
under the table says why.

Transfers run in workers behind the strongest walls that this machine gives. *Unconfined* is the
same work without walls and without the gateway, which the product has no switch for; where it is
given, the bar is for it, and the column before it says what the walls cost.

One section again: `python -m tests.bench --only SECTION`. Small sizes: `--quick`. Neither of
them writes this page.
"""
LIBRARIES = ("batuta", "pyarrow", "duckdb", "polars", "PyYAML", "click")


def page(rows: Iterable[Row], machine: str) -> str:
    """Return the whole page. `machine` is what `about` says."""
    found = list(rows)
    missed = sum(row.missed for row in found)
    barred = sum(row.bar is not None for row in found)
    parts = [INTRO, f"{barred - missed} of {barred} bars are reached.\n", machine]
    for section, group in groupby(found, key=lambda row: row.section):
        mine = list(group)
        parts.append(f"## {section}\n\n{table(mine)}")
        if why := _why(mine):
            parts.append(why)
    return "\n".join(parts)


def table(rows: Sequence[Row]) -> str:
    """Return one table."""
    if any(row.unconfined is not None for row in rows):
        lines = ["| work | measured | confined | unconfined | bar | |", "|---|---|---|---|---|---|"]
        columns = 2
    else:
        lines = ["| work | measured | reached | bar | |", "|---|---|---|---|---|"]
        columns = 1
    for row in rows:
        found = [row.reached] if row.unconfined is None else [row.reached, row.unconfined]
        shown = [_figure(value, row.unit) for value in found]
        if row.missed:
            shown[-1] = f"**{shown[-1]}**"
        shown += [""] * (columns - len(shown))
        bar = "" if row.bar is None else f"≤ {_figure(row.bar, row.unit)}"
        lines.append(f"| {row.work} | {row.figure} | {' | '.join(shown)} | {bar} | {row.note} |")
    return "\n".join(lines) + "\n"


def _figure(value: float, unit: str) -> str:
    number = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
    return f"{number}{unit}"


def _why(rows: Sequence[Row]) -> str:
    lines = [f"* {row.work}, {row.figure}: {reasons.reason(row)}" for row in rows if row.missed]
    return "Missed:\n\n" + "\n".join(lines) + "\n" if lines else ""


def about() -> str:
    """Return what the figures were taken on, without the names of hosts and folders."""
    memory_gib = psutil.virtual_memory().total / (1 << 30)
    versions = [f"{name} {version(name)}" for name in LIBRARIES]
    versions += [
        f"CPython {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        _openssl(),
        f"s5cmd {_said([program('peers', 's5cmd'), 'version'])}",
        _said([program("peers", "rclone"), "version"]),
        _said([s3_server.program() or "true", "-v"]).removeprefix("nginx version: "),
        _said(["sha256sum", "--version"]),
    ]
    return (
        f"Machine: {os.cpu_count()} cores ({_processor()}), {memory_gib:.0f} GiB of memory, "
        f"{platform.system()} {platform.release().partition('-')[0]}, load "
        f"{os.getloadavg()[2]:.1f} over the last quarter of an hour.\n\n"
        f"Programs: {', '.join(text for text in versions if text)}.\n"
    )


def _openssl() -> str:
    return " ".join(ssl.OPENSSL_VERSION.split()[:2])


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _said(command: Sequence[object]) -> str:
    """Return the first line that a program says of its version."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()
