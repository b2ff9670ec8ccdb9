"""Files that are added, rewritten, renamed and removed: an Incremental dataset is a Snapshot."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batuta.runtime.engine import Engine
from tests.acceptance.laws.bench import (
    EXAMPLES,
    Bench,
    Rows,
    Steps,
    lake,
    lake_environment,
    multiset,
)
from tests.conftest import Place

NAMES = st.sampled_from(["a", "b", "sub/c", "d e", "é"])
ROWS = st.lists(st.integers(0, 99), min_size=0, max_size=4)
EDITS = st.one_of(
    st.tuples(st.just("put"), NAMES, ROWS),
    st.tuples(st.just("append"), NAMES, ROWS),
    st.tuples(st.just("remove"), NAMES, st.none()),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("swap"), NAMES, NAMES),
    st.tuples(st.just("same"), NAMES, st.none()),
)
HISTORIES = st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=1, max_size=4)
Content = dict[str, list[int]]


class Store(Protocol):
    """Where the files of a source lie."""

    suffix: str

    def put(self, name: str, rows: list[int]) -> None: ...

    def remove(self, name: str) -> None: ...


class Folder:
    """A folder of Parquet or CSV files."""

    def __init__(self, root: Path, suffix: str) -> None:
        self.root, self.suffix = root, suffix

    def put(self, name: str, rows: list[int]) -> None:
        path = self.root / f"{name}{self.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, rows)

    def remove(self, name: str) -> None:
        (self.root / f"{name}{self.suffix}").unlink()


class Prefix:
    """A prefix of a bucket."""

    def __init__(self, place: Place, name: str, scratch: Path) -> None:
        self.place, self.name, self.suffix = place, name, ".parquet"
        self.scratch = scratch / "object.parquet"

    def put(self, name: str, rows: list[int]) -> None:
        write(self.scratch, rows)
        self.place.server.client().put_object(
            Bucket=self.place.bucket, Key=self._key(name), Body=self.scratch.read_bytes()
        )

    def remove(self, name: str) -> None:
        self.place.server.client().delete_object(Bucket=self.place.bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.place.prefix}{self.name}/{name}{self.suffix}"


def table(rows: list[int]) -> pa.Table:
    ids = pa.array(rows, pa.int64())
    return pa.table({"id": ids, "text": pa.array([f"t{i}" for i in rows], pa.string())})


def write(path: Path, rows: list[int]) -> None:
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table(rows), path)
    else:
        pq.write_table(table(rows), path)


def edit(store: Store, content: Content, kind: str, name: str, what: Any) -> None:
    """Do one edit to the store and to what a reader of it should see."""
    if kind == "put" or name not in content:
        content[name] = what if isinstance(what, list) else [7]
    elif kind == "append" and isinstance(what, list):
        content[name] = content[name] + what
    elif kind == "remove" and len(content) > 1:
        del content[name]
        store.remove(name)
        return
    elif kind == "rename" and what != name:
        content[what] = content.pop(name)
        store.remove(name)
        store.put(what, content[what])
        return
    elif kind == "swap" and what in content:
        content[name], content[what] = content[what], content[name]
        store.put(what, content[what])
    store.put(name, content[name])


def rows_of(content: Content) -> Rows:
    return multiset(table([row for rows in content.values() for row in rows]))


def datasets(source: str, root: str) -> dict[str, dict[str, Any]]:
    incremental = {"source": source, "mode": "Incremental"}
    return {
        "copy": {**incremental, "destination": f"{root}copy/", "format": "parquet"},
        "ald": {**incremental, "destination": f"{root}ald/", "format": "ald"},
        "snapshot": {"source": source, "destination": f"{root}snapshot/", "format": "arrow"},
        "kept": {
            **incremental, "destination": f"{root}kept/", "format": "parquet",
            "onSourceDelete": "Keep",
        },
    }  # fmt: skip


def follow(engine: Engine, store: Store, history: list[list[tuple[str, str, Any]]]) -> None:
    """Apply after each step of the history and compare all datasets with what they should hold."""
    content: Content = {"a": [1, 2], "b": [3]}
    for name, rows in content.items():
        store.put(name, rows)
    steps = Steps(engine)
    steps.apply()
    kept = dict(content)
    for edits in history:
        for each in edits:
            edit(store, content, *each)
        blocked = steps.apply(may_block={"kept"})
        assert blocked.get("kept", ["DRF108"]) == ["DRF108"]
        if "kept" not in blocked:
            kept |= content
        for name in ("copy", "ald", "snapshot"):
            assert steps.rows(name) == rows_of(content), name
        assert steps.rows("kept") == rows_of(kept)
        steps.rests(may_block={"kept"})
    steps.whole()


@contextmanager
def workspace(source: str) -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp())
    try:
        bench = Bench(folder)
        bench.write(datasets(source, "out/"))
        yield bench
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@settings(EXAMPLES, max_examples=10)
@given(history=HISTORIES)
def test_files_by_size_and_hash(suffix: str, history: list[list[tuple[str, str, Any]]]) -> None:
    """After any edits and runs the rows are a Snapshot's; with Keep, nothing synced goes."""
    with workspace("src/") as bench, bench.open() as engine:
        follow(engine, Folder(bench.folder / "src", suffix), history)


@pytest.mark.server
@settings(EXAMPLES, max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES)
def test_objects_by_etag(
    bucket: Place, monkeypatch: pytest.MonkeyPatch, history: list[list[tuple[str, str, Any]]]
) -> None:
    """The same for objects, whose destinations lie in the same store."""
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    folder = Path(tempfile.mkdtemp())
    try:
        bench = Bench(folder, others=lake(bucket))
        bench.write(datasets(f"{bucket.url}/{folder.name}/src/", f"{bucket.url}/{folder.name}/"))
        with bench.open() as engine:
            follow(engine, Prefix(bucket, f"{folder.name}/src", folder), history)
    finally:
        shutil.rmtree(folder)
