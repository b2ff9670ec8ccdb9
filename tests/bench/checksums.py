"""What the SHA-256 of everything costs: beside encoding, beside copying, and in `data verify`."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import MIB, Row, Sample, batuta, python, run, take_turns
from tests.bench.table_files import MILLION, table_file
from tests.bench.tables import RAW_COPY

SECTION = "Checksums"
SEVERAL = 16
ENCODE = """\
import io, os, pathlib, sys
import pyarrow.parquet as pq
from batuta.formats.parquet.writer import ParquetWriter
from batuta.runtime.worker.sink import HashingFile
source = pq.ParquetFile(sys.argv[2], pre_buffer=False)
path = pathlib.Path(sys.argv[3])
sink = HashingFile(path) if sys.argv[1] == 'hashed' else io.FileIO(path, 'w')
ParquetWriter().write(sink, source.schema_arrow, source.iter_batches(131072), {})
if sys.argv[1] == 'hashed':
    sink.finish()
else:
    os.fsync(sink.fileno())
"""
MOVE = """\
import os, pathlib, sys
from batuta.model.log import UnitRef
from batuta.model.transfer import CopyItem, Input
from batuta.runtime import mover
path = pathlib.Path(sys.argv[1])
status = path.stat()
source = Input(key=path.name, url=path.as_uri(), size_bytes=status.st_size,
               validator=f'{status.st_size}:{status.st_mtime_ns}:{status.st_ino}')
item = CopyItem(input=source, unit=UnitRef(path.name, '1'), name='copy')
print(mover.fetch([item], pathlib.Path(sys.argv[2]))[0].sha256)
"""
HASH_LOOP = """\
import hashlib, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob('file-*')):
    digest = hashlib.sha256()
    block = memoryview(bytearray(1 << 20))
    with open(path, 'rb', buffering=0) as source:
        while count := source.readinto(block):
            digest.update(block[:count])
    print(digest.hexdigest(), path)
"""


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return digests beside encoding and copying, and `data verify` beside its peers."""
    size_mib = 256 if quick else 4096
    rounds = 1 if quick else 3
    place = folder / "checksums"
    place.mkdir(parents=True, exist_ok=True)
    one = _synced(place, "one", [size_mib])
    several = _synced(place, "several", [size_mib // SEVERAL] * SEVERAL)
    return [
        *_inline(folder, place, MILLION // 4 if quick else 10 * MILLION // 4, rounds),
        *_copied(place, _raw(place, size_mib // 4), rounds),
        *_verified(one, several, (size_mib, rounds)),
    ]


def _inline(folder: Path, place: Path, count: int, rounds: int) -> list[Row]:
    source, target = table_file(folder, count), place / "encoded.parquet"

    def encode(how: str) -> Sample:
        target.unlink(missing_ok=True)
        return run(python(ENCODE, how, source, target), cwd=place, memory=False)

    turns = take_turns(
        {"hashed": lambda: encode("hashed"), "plain": lambda: encode("plain")}, rounds
    )
    work = f"Parquet zstd encoded, {count / MILLION:g} M rows"
    return [
        Row(section=SECTION, work=work, figure="CPU with digests to without",
            reached=turns.ratio("hashed", "plain", "cpu_s"), bar=1.10),
        Row(section=SECTION, work=work, figure="wall with digests to without",
            reached=turns.ratio("hashed", "plain"), bar=1.10),
    ]  # fmt: skip


def _copied(place: Path, source: Path, rounds: int) -> list[Row]:
    target = place / "copy"

    def copy(code: str, to: Path) -> Sample:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return run(python(code, source, to), cwd=place, memory=False)

    turns = take_turns(
        {"ours": lambda: copy(MOVE, target), "loop": lambda: copy(RAW_COPY, target / "copy")},
        rounds,
    )
    shutil.rmtree(target)
    size_mib = source.stat().st_size // MIB
    return [
        Row(section=SECTION, work=f"one file of {size_mib} MiB copied with its digest and fsync",
            figure="wall to a bare loop with hashlib", reached=turns.ratio("ours", "loop"),
            bar=1.1),
    ]  # fmt: skip


def _verified(one: Path, several: Path, scale: tuple[int, int]) -> list[Row]:
    size_mib, rounds = scale
    single = take_turns(
        {
            "ours": lambda: run(batuta("data", "verify", "out/"), cwd=one),
            "sha256sum": lambda: run(["sha256sum", "in/file-00"], cwd=one),
            "loop": lambda: run(python(HASH_LOOP, "in"), cwd=one),
        },
        rounds,
    )
    many = take_turns(
        {
            "ours": lambda: run(batuta("data", "verify", "out/"), cwd=several),
            "loop": lambda: run(python(HASH_LOOP, "in"), cwd=several),
        },
        rounds,
    )
    what, files = f"`data verify`, one file of {size_mib} MiB", f"{SEVERAL} files of as much"
    return [
        Row(section=SECTION, work=what, figure="wall to `sha256sum`",
            reached=single.ratio("ours", "sha256sum"), bar=0.4),
        Row(section=SECTION, work=what, figure="wall to a bare loop with hashlib",
            reached=single.ratio("ours", "loop")),
        Row(section=SECTION, work=f"`data verify`, {files}",
            figure="wall to a bare loop with hashlib", reached=many.ratio("ours", "loop"), bar=0.7),
    ]  # fmt: skip


def _raw(place: Path, size_mib: int) -> Path:
    path = place / f"raw-{size_mib}"
    if not path.exists():
        draft = path.with_suffix(".draft")
        with draft.open("wb") as sink:
            for block in range(size_mib):
                sink.write(bytes([block % 251, 7]) * (MIB // 2))
        draft.rename(path)
    return path


def _synced(place: Path, name: str, sizes_mib: Sequence[int]) -> Path:
    """Return a folder with files in `in/` and a dataset of them in `out/`; made once."""
    home = place / f"{name}-{sum(sizes_mib)}"
    if (home / "ready").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    (home / "in").mkdir(parents=True)
    for number, size in enumerate(sizes_mib):
        with (home / "in" / f"file-{number:02d}").open("wb") as sink:
            for block in range(size):
                sink.write(bytes([number, block % 251]) * (MIB // 2))
    run(batuta("data", "sync", "in/", "out/", "--format", "files"), cwd=home)
    (home / "ready").touch()
    return home
