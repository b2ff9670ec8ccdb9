"""Sources that are empty, mixed, damaged or hostile: a code each, and nothing half-written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from batuta.formats.ald import FORMAT as ALD
from tests.acceptance.laws import sources
from tests.acceptance.laws.bench import (
    Bench,
    codes,
    lake,
    lake_environment,
    multiset,
    tree,
)
from tests.conftest import Place

TABLE = pa.table({"id": [1, 2, 3], "name": ["a", "b", None]})
Make = Callable[[Path], Any]


def _text(name: str, content: str | bytes) -> Make:
    def made(folder: Path) -> None:
        folder.mkdir()
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return made


def _parquet(folder: Path) -> Path:
    folder.mkdir()
    pq.write_table(TABLE, folder / "a.parquet", compression="none")
    return folder / "a.parquet"


def _cut(folder: Path) -> None:
    path = _parquet(folder)
    path.write_bytes(path.read_bytes()[:-20])


def _no_footer(folder: Path) -> None:
    path = _parquet(folder)
    content = path.read_bytes()
    path.write_bytes(content[:-8] + b"\xff\xff\xff\x7f" + b"PAR1")


class _Kms(pe.KmsClient):  # type: ignore[misc]  # pyarrow ships no types
    def wrap_key(self, key_bytes: bytes, _master: str) -> str:
        return key_bytes.hex()

    def unwrap_key(self, wrapped: str, _master: str) -> bytes:
        return bytes.fromhex(wrapped)


def _encrypted(folder: Path) -> None:
    folder.mkdir()
    factory = pe.CryptoFactory(lambda _config: _Kms())
    configuration = pe.EncryptionConfiguration(footer_key="k", column_keys={"k": ["id"]})
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    with pq.ParquetWriter(
        folder / "a.parquet", TABLE.schema, encryption_properties=properties
    ) as sink:
        sink.write_table(TABLE)


def _arrow_cut(folder: Path) -> None:
    folder.mkdir()
    with pyarrow.ipc.new_file(folder / "a.arrow", TABLE.schema) as sink:
        sink.write_table(TABLE)
    path = folder / "a.arrow"
    path.write_bytes(path.read_bytes()[:-30])


def _mixed(folder: Path) -> None:
    _parquet(folder)
    (folder / "b.csv").write_text("id,name\n1,a\n")


def _types(folder: Path) -> None:
    _parquet(folder)
    pq.write_table(pa.table({"id": ["x"]}), folder / "b.parquet")


def _pipe(folder: Path) -> None:
    _parquet(folder)
    os.mkfifo(folder / "b.parquet")


def _link(folder: Path) -> None:
    _parquet(folder)
    (folder / "b.parquet").symlink_to("nowhere")


def _loop(folder: Path) -> None:
    _parquet(folder)
    (folder / "again").symlink_to(".", target_is_directory=True)


def _delta(log: str) -> Make:
    def made(folder: Path) -> None:
        (folder / "_delta_log").mkdir(parents=True)
        (folder / "_delta_log/00000000000000000000.json").write_text(log)

    return made


BAD: dict[str, Make] = {
    "an empty folder": lambda folder: folder.mkdir(),
    "only hidden files": _text("_x.parquet", b""),
    "no known format": _text("a.xyz", "?"),
    "no ending": _text("data", "?"),
    "two formats": _mixed,
    "types that do not unite": _types,
    "a broken link": _link,
    "a pipe": _pipe,
    "a link to its own folder": _loop,
    "an empty parquet file": _text("a.parquet", b""),
    "garbage as parquet": _text("a.parquet", os.urandom(5000)),
    "parquet cut at its end": _cut,
    "a footer longer than the file": _no_footer,
    "encrypted parquet": _encrypted,
    "arrow cut at its end": _arrow_cut,
    "garbage as arrow": _text("a.arrow", os.urandom(5000)),
    "garbage as ald": _text("a.ald", os.urandom(5000)),
    "an empty ald file": _text("a.ald", b""),
    "an empty csv file": _text("a.csv", b""),
    "a ragged csv": _text("a.csv", "id,name\n1,a\n2\n3,c,d\n"),
    "NUL in a csv": _text("a.csv", b"id,name\n1,a\0b\n"),
    "a csv that is not UTF-8": _text("a.csv", b"id,name\n1,\xff\xfe\n"),
    "a csv with a name twice": _text("a.csv", "id,id\n1,2\n"),
    "a csv with an open quote": _text("a.csv", 'id,name\n1,"a\n'),
    "json that is not": _text("a.jsonl", '{"id": 1}\n{"id": \n'),
    "json lines of lists": _text("a.jsonl", "[1]\n[2]\n"),
    "deep json": _text("a.jsonl", '{"a": ' + "[" * 100_000 + "\n"),
    "json with a key twice": _text("a.jsonl", '{"a": 1, "a": 2}\n'),
    "json that is not UTF-8": _text("a.jsonl", b'{"a": "\xff"}\n'),
}
DELTA: dict[str, Make] = {
    "no log": lambda folder: folder.mkdir(),
    "an empty log": lambda folder: (folder / "_delta_log").mkdir(parents=True),
    "a log that is not JSON": _delta("{"),
    "a log without metadata": _delta('{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}\n'),
    "a reader of the future": _delta(
        '{"protocol":{"minReaderVersion":99,"minWriterVersion":99}}\n'
        '{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},'
        '"schemaString":"{\\"type\\":\\"struct\\",\\"fields\\":[]}","partitionColumns":[],'
        '"configuration":{}}}\n'
    ),
}


def test_every_bad_source_is_refused_by_a_code_and_the_good_one_is_done(tmp_path: Path) -> None:
    """All in one workspace: each is blocked or fails alone, and leaves nothing behind."""
    wanted: dict[str, Any] = {}
    names = {f"bad-{number}": name for number, name in enumerate(BAD)}
    for short, name in names.items():
        BAD[name](tmp_path / short)
        wanted[short] = {"source": f"{short}/", "destination": f"out/{short}/", "format": "ald"}
    for number, (name, make) in enumerate(DELTA.items()):
        short = f"delta-{number}"
        names[short] = name
        make(tmp_path / short)
        wanted[short] = {"source": f"delta+{short}", "destination": f"out/{short}/"}
    sources.parquet(tmp_path / "good", None)
    wanted["good"] = {"source": "good/", "destination": "out/good/", "format": "ald"}
    bench = Bench(tmp_path)
    bench.write(wanted)

    done = bench.run("apply", "--yes", timeout_s=200)

    said = done.stdout + done.stderr
    assert done.returncode == 8, said
    assert "Traceback" not in said
    assert "fault of batuta" not in said
    assert not list((tmp_path / ".batuta").glob("reports/*"))
    blocked = codes(bench.plan())
    taken = [name for short, name in names.items() if short not in blocked]
    assert taken == []
    assert "WRK201" not in {code for found in blocked.values() for code in found}
    for short, name in names.items():
        assert not [p for p in tree(tmp_path / "out" / short) if "part-" in p], name
        assert not (tmp_path / "out" / short / "_log").exists(), name
    assert multiset(bench.rows("good")) == multiset(sources.ROWS)


@pytest.mark.parametrize("layout", ["A", "B"])
def test_a_flipped_byte_in_an_ald_file_is_refused_or_changes_nothing(
    tmp_path: Path, layout: str
) -> None:
    """Magic, version, lengths, metadata, index, payload, checksum: never other rows."""
    assert ALD.writer is not None
    good = tmp_path / "good.ald"
    options = {"layout": layout, "compression": "zstd" if layout == "B" else "none"}
    with good.open("w+b") as sink:
        ALD.writer().write(sink, TABLE.schema, iter(TABLE.to_batches()), options)
    content = good.read_bytes()
    places = sorted({*range(16), *range(0, len(content), max(1, len(content) // 12))})
    places += [len(content) - back for back in range(1, 5)]
    wanted: dict[str, Any] = {}
    for at in places:
        name = f"at-{at}"
        flipped = bytearray(content)
        flipped[at] ^= 0x41
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "a.ald").write_bytes(flipped)
        wanted[name] = {"source": f"{name}/", "destination": f"out/{name}/", "format": "parquet"}
    bench = Bench(tmp_path)
    bench.write(wanted)

    envelope, report = bench.apply()

    statuses = {o.address.partition("/")[2]: o for o in report.outcomes}
    refused = 0
    for name in wanted:
        if statuses[name].status == "done":
            assert multiset(bench.rows(name)) == multiset(TABLE), name
        else:
            found = codes(envelope).get(name) or [d.code for d in statuses[name].diagnostics]
            assert found, name
            assert "WRK201" not in found, name
            refused += 1
    assert refused > len(wanted) * 0.8


RESERVED = ("_log/x", "_history/x", "_staging/x")


@pytest.mark.parametrize("key", RESERVED)
def test_a_key_of_the_log_is_refused_by_name(tmp_path: Path, key: str) -> None:
    (tmp_path / "t" / key).parent.mkdir(parents=True)
    (tmp_path / "t" / key).write_text("x")
    (tmp_path / "t/fine").write_text("y")
    bench = Bench(tmp_path)
    bench.write({"t": {"source": "t/", "destination": "out/", "format": "files"}})

    done = bench.run("apply", "--yes")

    assert done.returncode not in (0, 70), done.stdout + done.stderr
    # A folder with a `_log/` is taken for a dataset, whose label is missing.
    assert key in done.stdout + done.stderr or (key == "_log/x" and done.returncode == 14)
    assert not (tmp_path / "out/_log/x").exists()
    assert not (tmp_path / "out/fine").exists()


@pytest.mark.server
def test_objects_with_keys_of_the_log_are_refused_and_odd_ones_are_copied(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a bucket, where such keys can exist, into a folder, where they must not."""
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    client = bucket.server.client()
    bad = {
        "log": ["_log/00000000000000000000.json"],
        "staging": ["_staging/x", "fine"],
        "history": ["_history/part-x.ald"],
        "dots": ["..hidden/x", "a..b/c"],
    }
    for name, keys in bad.items():
        for key in keys:
            whole = f"{bucket.prefix}{name}/{key}"
            client.put_object(Bucket=bucket.bucket, Key=whole, Body=b"not a log")
    bench = Bench(tmp_path, others=lake(bucket))
    bench.write(
        {n: {"source": f"{bucket.url}/{n}/", "destination": f"out/{n}/", "format": "files"}
         for n in bad}
    )  # fmt: skip

    done = bench.run("apply", "--yes")

    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert done.returncode == 8, said
    assert codes(bench.plan()).keys() == bad.keys() - {"dots"}
    for name in bad.keys() - {"dots"}:
        assert bad[name][0] in said or name == "log"
        assert tree(tmp_path / "out" / name) == {}, name
    assert (tmp_path / "out/dots/a..b/c").read_bytes() == b"not a log"
