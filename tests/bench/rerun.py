"""A sync that finds nothing changed, over 10,000 objects, against rclone and s5cmd."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Row, Sample, run, take_turns
from tests.bench.s3 import fresh, s5cmd, sync
from tests.bench.s3_server import Server, make_bucket, serving
from tests.servers._base.venv import program

SECTION = "Sync again, nothing changed"


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return what a second sync costs as ratios to the second syncs of the peers."""
    place = folder / "rerun"
    place.mkdir(parents=True, exist_ok=True)
    count = 500 if quick else 10_000
    make_bucket(place, "small", count, 4096)
    with serving(place, ("small",)) as server:
        ours = fresh(place / "ours")
        fresh(place / "rclone")
        sync(ours, server, "small")
        _rclone(place, server)
        s5cmd(place, server, "cp", "small")
        turns = take_turns(
            {
                "ours": lambda: sync(ours, server, "small"),
                "bare": lambda: sync(ours, server, "small", confined=False),
                "rclone": lambda: _rclone(place, server),
                "s5cmd": lambda: s5cmd(place, server, "sync", "small"),
            },
            2 if quick else 5,
        )
    work = f"`data sync` again, {count:,} objects"
    note = "" if server.name == "nginx" else f"server: {server.name}"
    return [
        Row(section=SECTION, work=work, figure="wall to `rclone sync`, defaults", note=note,
            reached=turns.ratio("ours", "rclone"),
            unconfined=turns.ratio("bare", "rclone"), bar=0.25),
        Row(section=SECTION, work=work, figure="CPU to `rclone sync`, defaults", note=note,
            reached=turns.ratio("ours", "rclone", "cpu_s"),
            unconfined=turns.ratio("bare", "rclone", "cpu_s"), bar=0.25),
        Row(section=SECTION, work=work, figure="wall to `s5cmd sync`", note=note,
            reached=turns.ratio("ours", "s5cmd"),
            unconfined=turns.ratio("bare", "s5cmd"), bar=0.4),
        Row(section=SECTION, work=work, figure="CPU to `s5cmd sync`", note=note,
            reached=turns.ratio("ours", "s5cmd", "cpu_s"),
            unconfined=turns.ratio("bare", "s5cmd", "cpu_s"), bar=0.4),
    ]  # fmt: skip


def _rclone(place: Path, server: Server) -> Sample:
    env = {
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "false",
        "RCLONE_CONFIG_BENCH_ENDPOINT": server.endpoint,
        "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": server.environment["AWS_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": server.environment["AWS_SECRET_ACCESS_KEY"],
        "RCLONE_CONFIG_BENCH_REGION": "us-east-1",
        "RCLONE_CONFIG_BENCH_LIST_VERSION": "2",  # as at AWS
        "RCLONE_CONFIG": str(place / "no-rclone.conf"),
    }
    return run([program("peers", "rclone"), "sync", "bench:small", "rclone"], cwd=place, env=env)
