"""The byte mover against s5cmd: one large object, a few middling ones, many small ones.

`python -m tests.bench.s3_copy` prints the table; `rows()` gives it to the bench runner. A static
nginx answers GET and LIST on loopback, so that the client is what is measured; programs take
turns round by round, and the figures are medians of the ratios of each round's pair.
"""

import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from batuta.model.log import UnitRef
from batuta.model.transfer import CopyItem, Input
from batuta.runtime import mover
from tests.servers._base.venv import program

MIB = 1 << 20
WORKLOADS = {"one": (1, 1024 * MIB), "middling": (64, 16 * MIB), "small": (10_000, 4096)}
TITLES = {"one": "1 GiB, one object", "middling": "64 x 16 MiB", "small": "10,000 x 4 KiB"}
BARS = {"one": 0.95, "middling": 0.95, "small": 1.0}
PORT = 18480
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr error; worker_processes 2;
events {{ worker_connections 512; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {folder}/data; {lists} }} }}
"""


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run nginx over the workloads' files; yields its address."""
    lists = "".join(
        f"location = /{name} {{ alias {folder}/{name}.xml; }}"
        f" location = /{name}/ {{ alias {folder}/{name}.xml; }}"
        for name in WORKLOADS
    )
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=PORT, lists=lists))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        time.sleep(0.5)
        yield f"http://127.0.0.1:{PORT}"
    finally:
        process.terminate()
        process.wait(10)


def make_files(folder: Path) -> None:
    """Write each workload's objects, and the answer to its LIST."""
    block = hashlib.shake_256(b"batuta").digest(16 * MIB)
    for name, (count, size) in WORKLOADS.items():
        bucket = folder / "data" / name
        bucket.mkdir(parents=True)
        rows = []
        for at in range(count):
            key = f"object-{at:05}"
            with (bucket / key).open("wb") as sink:
                for start in range(0, size, len(block)):
                    sink.write(block[: min(len(block), size - start)])
            rows.append(
                f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;x&quot;</ETag><Size>{size}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
        (folder / f"{name}.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{name}</Name><Prefix></Prefix><KeyCount>{count}</KeyCount>"
            f"<MaxKeys>{count}</MaxKeys><IsTruncated>false</IsTruncated>{''.join(rows)}"
            "</ListBucketResult>"
        )


def items(folder: Path, endpoint: str, name: str) -> list[CopyItem]:
    """Return what a data worker would be handed: addresses and ETags."""
    out = []
    for path in sorted((folder / "data" / name).iterdir()):
        status = path.stat()
        etag = f'"{int(status.st_mtime):x}-{status.st_size:x}"'
        source = Input(
            key=path.name,
            url=f"{endpoint}/{name}/{path.name}",
            size_bytes=status.st_size,
            validator=etag,
        )
        out.append(CopyItem(input=source, unit=UnitRef(path.name, etag), name=path.name))
    return out


def _clean(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    os.sync()


def time_ours(copies: Sequence[CopyItem], target: Path, threads: int) -> tuple[float, float, float]:
    """Return seconds of the transfer phase, of all with durability, and of processor time."""
    _clean(target)
    last = 0.0

    def progress(_count: int) -> None:
        nonlocal last
        last = time.perf_counter()

    used = time.process_time()
    start = time.perf_counter()
    mover.fetch(copies, target, threads=threads, on_progress=progress)
    end = time.perf_counter()
    return last - start, end - start, time.process_time() - used


def time_s5cmd(program: str, endpoint: str, name: str, target: Path) -> tuple[float, float]:
    """Return seconds of wall and processor time of the whole program."""
    _clean(target)
    env = {
        "PATH": os.defpath,
        "HOME": str(target),
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
    }
    command = [program, "--log", "error", "--endpoint-url", endpoint, "cp"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([*command, f"s3://{name}/*", f"{target}/"], env=env, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def rows(
    s5cmd: str | None = None, rounds: int = 5, threads: int = mover.THREADS
) -> list[dict[str, str | float]]:
    """Return a row for each workload: our ratios to s5cmd, and the bar.

    `s5cmd` is the peer's path; None: the one that the tests' own servers are installed beside.
    """
    peer = s5cmd or str(program("peers", "s5cmd"))
    out: list[dict[str, str | float]] = []
    with tempfile.TemporaryDirectory(prefix="bench-s3-", dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers are another user
        make_files(folder)
        with server(folder) as endpoint:
            for workload in WORKLOADS:
                copies = items(folder, endpoint, workload)
                pairs = []
                for _ in range(rounds):
                    theirs = time_s5cmd(peer, endpoint, workload, folder / "theirs")
                    pairs.append((time_ours(copies, folder / "ours", threads), theirs))
                out.append(_row(workload, pairs))
    return out


def _row(
    workload: str, pairs: Sequence[tuple[tuple[float, float, float], tuple[float, float]]]
) -> dict[str, str | float]:
    def median(ratios: Iterator[float]) -> float:
        return round(statistics.median(ratios), 2)

    return {
        "workload": TITLES[workload],
        "transfer": median(ours[0] / theirs[0] for ours, theirs in pairs),
        "durable": median(ours[1] / theirs[0] for ours, theirs in pairs),
        "cpu": median(ours[2] / theirs[1] for ours, theirs in pairs),
        "s5cmd_s": median(theirs[0] for _, theirs in pairs),
        "bar": BARS[workload],
    }


def main() -> None:
    """Print the table. Arguments: rounds, threads."""
    rounds, threads = (*sys.argv[1:], *("5", str(mover.THREADS))[len(sys.argv) - 1 :])
    table = rows(None, int(rounds), int(threads))
    print(" | ".join(table[0]))
    for row in table:
        print(" | ".join(str(value) for value in row.values()))


if __name__ == "__main__":
    main()
