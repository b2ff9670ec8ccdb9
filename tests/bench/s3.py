"""S3 → local directory: the transfer phase, and a whole `batuta data sync`, against s5cmd."""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.bench import s3_copy
from tests.bench.measure import MIB, Rounds, Row, Sample, batuta, python, run, take_turns
from tests.bench.s3_server import Server, make_bucket, serving
from tests.plain import plain_text
from tests.servers._base.venv import program

SECTION = "S3 to a local directory"
GIB = 1024 * MIB
WORKLOADS = {
    "one": ("4 GiB, one object", 1, 4 * GIB, 1.3),
    "middling": ("256 x 16 MiB", 256, 16 * MIB, 1.3),
    "small": ("10,000 x 4 KiB", 10_000, 4096, 1.5),
}
QUICK = {
    "one": ("256 MiB, one object", 1, 256 * MIB, 1.3),
    "middling": ("16 x 16 MiB", 16, 16 * MIB, 1.3),
    "small": ("500 x 4 KiB", 500, 4096, 1.5),
}
BASE = "import pyarrow, batuta.runtime.engine, batuta.runtime.worker.main"
BOTH = f"""\
{BASE}
import subprocess, sys
subprocess.run([sys.executable, "-c", "{BASE}; import time; time.sleep(0.5)"], check=True)
"""


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return whole syncs and the transfer phase alone, as ratios to s5cmd."""
    place = folder / "s3"
    place.mkdir(parents=True, exist_ok=True)
    workloads = QUICK if quick else WORKLOADS
    for name, (_, count, size, _) in workloads.items():
        make_bucket(place, name, count, size)
    base = run(python(BOTH), cwd=place).peak_mib
    out: list[Row] = []
    with serving(place, tuple(workloads)) as server:
        for name, (title, _, _, bar) in workloads.items():
            turns = take_turns(
                {
                    "ours": partial(_ours, place, server, name),
                    "bare": partial(_ours, place, server, name, confined=False),
                    "s5cmd": partial(s5cmd, place, server, "cp", name),
                },
                1 if quick else 3,
            )
            out += _rows(turns, (f"`data sync`, {title}", bar, base, server.name))
            shutil.rmtree(place / "ours", ignore_errors=True)
            shutil.rmtree(place / "theirs", ignore_errors=True)
    if not quick and server.name == "nginx":
        out = [*_transfer(place), *out]
    return out


def _rows(turns: Rounds, what: tuple[str, float, float, str]) -> list[Row]:
    work, bar, base, server = what
    note = "" if server == "nginx" else f"server: {server}"
    return [
        Row(section=SECTION, work=work, figure="wall to s5cmd", note=note,
            reached=turns.ratio("ours", "s5cmd"), unconfined=turns.ratio("bare", "s5cmd"),
            bar=bar),
        Row(section=SECTION, work=work, figure="CPU to s5cmd", note=note,
            reached=turns.ratio("ours", "s5cmd", "cpu_s"),
            unconfined=turns.ratio("bare", "s5cmd", "cpu_s")),
        Row(section=SECTION, work=work, figure="peak memory over the interpreters' base",
            unit=" MiB", reached=turns.peak_mib("ours") - base, bar=150,
            unconfined=turns.peak_mib("bare") - base,
            note=f"all processes {turns.peak_mib('ours'):.0f} MiB"),
    ]  # fmt: skip


def _transfer(place: Path) -> list[Row]:
    os.environ["BENCH_DIR"] = str(place)
    try:
        table = s3_copy.rows(str(program("peers", "s5cmd")), rounds=3)
    finally:
        del os.environ["BENCH_DIR"]
    return [
        Row(section=SECTION, work=f"transfer phase, {row['workload']}",
            figure="wall to the whole of s5cmd", reached=float(row["transfer"]),
            bar=float(row["bar"]), note=f"with fsync {row['durable']}")
        for row in table
    ]  # fmt: skip


def fresh(target: Path) -> Path:
    """Return `target` as a new empty folder, with nothing left to write from before."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    os.sync()
    return target


def _ours(place: Path, server: Server, bucket: str, *, confined: bool = True) -> Sample:
    home = fresh(place / "ours")
    return sync(home, server, bucket, confined=confined)


def sync(home: Path, server: Server, bucket: str, *, confined: bool = True) -> Sample:
    """Run `batuta data sync` of a whole bucket into `home`."""
    workspace = "apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n"
    (home / "batuta.yaml").write_text(workspace + plain_text(server.endpoint))
    command = batuta(
        "data", "sync", f"s3://{bucket}/", "out/", "--format", "files", "--yes", confined=confined
    )
    return run(command, cwd=home, env=server.environment)


def s5cmd(place: Path, server: Server, verb: str, bucket: str) -> Sample:
    """Run `s5cmd cp` or `s5cmd sync` of a whole bucket."""
    target = place / "theirs"
    if verb == "cp":
        fresh(target)
    command: list[str | Path] = [program("peers", "s5cmd"), "--log", "error"]
    command += ["--endpoint-url", server.endpoint, verb, f"s3://{bucket}/*", f"{target}/"]
    env = {name: text for name, text in server.environment.items() if name != "AWS_ENDPOINT_URL"}
    return run(command, cwd=place, env=env)
