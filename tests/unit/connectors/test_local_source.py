"""Paths as a source: versions, what is trusted without opening, tables over many files."""

import hashlib
import os
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.connectors.local.source import LocalSource
from batuta.formats.parquet import FORMAT
from batuta.model.address import parse_address
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError, Failure, Severity
from batuta.model.format import Format
from batuta.model.resource import SourceSpec
from batuta.runtime import mover

OTHER = replace(FORMAT, name="other", suffixes=(".other",))


def _source(root: Path, **formats: Format) -> LocalSource:
    found = {"parquet": FORMAT, "other": OTHER, **formats}
    return LocalSource(Connection(root=str(root), formats=found))


def _spec(path: str, **fields: Any) -> SourceSpec:
    return replace(SourceSpec(address=parse_address(path)), **fields)


def _age(path: Path, seconds: float = 10) -> None:
    """Make files look as if they were written a while ago."""
    then = time.time_ns() - int(seconds * 1e9)
    for each in [path, *path.rglob("*")]:
        if each.is_file():
            os.utime(each, ns=(then, then))


def _table(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _fails(source: LocalSource, spec: SourceSpec) -> tuple[str, str]:
    with pytest.raises(ConnectorError) as caught:
        source.observe(spec, None)
    return caught.value.diagnostics[0].code, caught.value.diagnostics[0].detail


def test_an_opaque_folder_is_everything_in_it_byte_for_byte(tmp_path: Path) -> None:
    for name in (".hidden", "_log/x", "a/b.bin", "z"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    state = _source(tmp_path).observe(_spec("in/", opaque=True), None)
    assert [u.key for u in state.units] == [".hidden", "_log/x", "a/b.bin", "z"]
    assert [u.version for u in state.units] == [
        hashlib.sha256(u.key.encode()).hexdigest() for u in state.units
    ]
    assert (state.kind, state.format, state.schema) == ("files", None, None)


def test_a_single_file_is_named_by_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"abc")
    source = _source(tmp_path)
    state = source.observe(_spec("x.bin", opaque=True), None)
    assert [u.key for u in state.units] == ["x.bin"]
    (one,) = source.inputs(state, state.units)
    assert one.url == f"file://{tmp_path}/x.bin"
    assert one.sha256 == hashlib.sha256(b"abc").hexdigest()


def test_ten_thousand_unchanged_files_are_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}").touch()
    _age(folder)
    source = _source(tmp_path)
    state = source.observe(_spec("in", opaque=True), None)
    # Whoever opened one of these would fail.
    states = {u.key: replace(u, version=f"kept-{u.key}") for u in state.units}
    known = replace(state, units=tuple(states.values()))
    again = source.observe(_spec("in", opaque=True), known)
    assert all(u.version == f"kept-{u.key}" for u in again.units)


def test_a_young_file_is_never_trusted(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    source = _source(tmp_path)
    known = source.observe(_spec("x", opaque=True), None)
    status = (tmp_path / "x").stat()
    (tmp_path / "x").write_bytes(b"xyz")
    os.utime(tmp_path / "x", ns=(status.st_mtime_ns, status.st_mtime_ns))
    again = source.observe(_spec("x", opaque=True), known)
    assert again.units[0].version == hashlib.sha256(b"xyz").hexdigest()


def test_a_changed_file_is_read_again_and_others_are_not(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"old")
    _age(tmp_path / "in")
    source = _source(tmp_path)
    state = source.observe(_spec("in", opaque=True), None)
    known = replace(state, units=tuple(replace(u, version="kept") for u in state.units))
    (tmp_path / "in/b").write_bytes(b"new!")
    again = source.observe(_spec("in", opaque=True), known)
    assert [u.version for u in again.units] == ["kept", hashlib.sha256(b"new!").hexdigest()]


def test_the_version_of_a_folder_is_its_content_not_its_times(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"x")
    source = _source(tmp_path)
    one = source.observe(_spec("in", opaque=True), None)
    _age(tmp_path / "in")
    assert source.observe(_spec("in", opaque=True), None).version == one.version
    (tmp_path / "in/a").rename(tmp_path / "in/b")
    assert source.observe(_spec("in", opaque=True), None).version != one.version


def test_a_table_unites_columns_by_name(tmp_path: Path) -> None:
    _table(tmp_path / "t/1.parquet", a=pa.array([1, 2], pa.int32()), b=["x", "y"])
    _table(tmp_path / "t/2.parquet", c=[1.5], a=pa.array([3], pa.int64()))
    (tmp_path / "t/_SUCCESS").touch()
    (tmp_path / "t/.part.crc").touch()
    state = _source(tmp_path).observe(_spec("t"), None)
    assert state.schema is not None
    assert [(c.name, c.type) for c in state.schema.columns] == [
        ("a", "int64"),
        ("b", "string"),
        ("c", "double"),
    ]
    assert (state.rows, state.format, state.copyable) == (3, "parquet", False)
    assert [u.key for u in state.units] == ["1.parquet", "2.parquet"]


def test_files_of_one_schema_may_be_copied(tmp_path: Path) -> None:
    for number in (1, 2):
        _table(tmp_path / f"t/{number}.parquet", a=[number])
    assert _source(tmp_path).observe(_spec("t"), None).copyable


def test_columns_that_do_not_unite_name_both_files(tmp_path: Path) -> None:
    _table(tmp_path / "t/1.parquet", a=[1])
    _table(tmp_path / "t/2.parquet", a=["x"])
    code, detail = _fails(_source(tmp_path), _spec("t"))
    assert code == "LOC113"
    assert "1.parquet" in detail
    assert "2.parquet" in detail


def test_folders_become_columns_where_all_files_have_them(tmp_path: Path) -> None:
    _table(tmp_path / "t/year=2024/kind=a%2Fb/1.parquet", v=[1])
    _table(tmp_path / "t/year=2025/kind=__HIVE_DEFAULT_PARTITION__/1.parquet", v=[2])
    source = _source(tmp_path)
    state = source.observe(_spec("t"), None)
    assert state.schema is not None
    assert [(c.name, c.type) for c in state.schema.columns] == [
        ("v", "int64"),
        ("year", "int64"),
        ("kind", "string"),
    ]
    (partition,) = source.partitions(_spec("t"), state, state.units, 1 << 20)
    assert [s.constants for s in partition.segments] == [
        (("year", "2024"), ("kind", "a/b")),
        (("year", "2025"), ("kind", None)),
    ]
    assert not state.copyable


def test_folders_that_only_some_files_have_are_noted_not_read(tmp_path: Path) -> None:
    _table(tmp_path / "t/year=2024/1.parquet", v=[1])
    _table(tmp_path / "t/2.parquet", v=[2])
    state = _source(tmp_path).observe(_spec("t"), None)
    assert state.schema is not None
    assert state.schema.names == ("v",)
    assert [note.code for note in state.notes] == ["LOC114"]


def test_a_column_that_folders_state_is_read_from_the_files_that_have_it(tmp_path: Path) -> None:
    _table(tmp_path / "t/year=2024/1.parquet", v=[1], year=[1999])
    _table(tmp_path / "t/year=2025/2.parquet", v=[2])
    source = _source(tmp_path)
    state = source.observe(_spec("t"), None)
    assert state.schema is not None
    assert state.schema.names == ("v", "year")
    (partition,) = source.partitions(_spec("t"), state, state.units, 1 << 20)
    assert [s.constants for s in partition.segments] == [(), (("year", "2025"),)]
    (note,) = state.notes
    assert (note.code, note.severity) == ("LOC121", Severity.NOTE)
    assert "year=2024/1.parquet" in note.detail


def test_mixed_and_unknown_formats_are_named(tmp_path: Path) -> None:
    _table(tmp_path / "t/1.parquet", a=[1])
    (tmp_path / "t/2.other").touch()
    code, detail = _fails(_source(tmp_path), _spec("t"))
    assert code == "LOC112"
    assert "1.parquet" in detail
    assert "2.other" in detail
    assert _source(tmp_path).observe(_spec("t", files=("*.parquet",)), None).rows == 1
    (tmp_path / "t/0.txt").touch()
    assert _fails(_source(tmp_path), _spec("t"))[0] == "LOC111"
    assert _fails(_source(tmp_path), _spec("t", files=("*.csv",)))[0] == "LOC117"


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    _table(tmp_path / "t/1.parquet", a=[1])
    (tmp_path / "t/2.parquet").write_bytes(b"PAR1 this is none")
    code, detail = _fails(_source(tmp_path), _spec("t"))
    assert code.startswith("FMT")
    assert "2.parquet" in detail


def test_a_missing_path_a_pin_and_a_condition_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    source = _source(tmp_path)
    assert _fails(source, _spec("y", opaque=True))[0] == "LOC101"
    assert _fails(source, _spec("x", opaque=True, version="other"))[0] == "LOC115"
    assert _fails(source, _spec("x", opaque=True, where="a > 1"))[0] == "LOC116"
    state = source.observe(_spec("x", opaque=True), None)
    assert source.observe(_spec("x", opaque=True, version=state.version), None) == state


def test_a_link_out_of_a_source_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to("/etc/passwd")
    assert _fails(_source(tmp_path), _spec("in", opaque=True))[0] == "LOC106"


def test_a_file_written_to_after_observing_gives_no_input(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    _age(tmp_path / "x")
    source = _source(tmp_path)
    state = source.observe(_spec("x", opaque=True), None)
    (tmp_path / "x").write_bytes(b"abd")
    with pytest.raises(ConnectorError) as caught:
        source.inputs(state, state.units)
    assert caught.value.diagnostics[0].code == "LOC109"
    assert caught.value.kind is Failure.CHANGED


def test_big_files_are_cut_and_small_ones_joined_the_same_way_each_time(tmp_path: Path) -> None:
    path = tmp_path / "t/big.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"a": list(range(40_000))}), path, row_group_size=10_000)
    for number in range(4):
        _table(tmp_path / f"t/small-{number}.parquet", a=[number])
    source = _source(tmp_path)
    state = source.observe(_spec("t"), None)
    target = 90_000
    partitions = source.partitions(_spec("t"), state, state.units, target)
    assert partitions == source.partitions(_spec("t"), state, state.units, target)
    assert len({p.id for p in partitions}) == len(partitions) > 3
    assert sum(p.rows or 0 for p in partitions) == 40_004
    cuts = [s for p in partitions for s in p.segments if s.input.key == "big.parquet"]
    assert cuts[0].start is None
    assert cuts[-1].end is None
    assert [s.first_row for s in cuts] == [0, 10_000, 20_000, 30_000]
    assert all(one.end == other.start for one, other in pairwise(cuts))


def test_an_input_opens_with_the_mover(tmp_path: Path) -> None:
    _table(tmp_path / "t/1 é#?.parquet", a=[1, 2])
    source = _source(tmp_path)
    state = source.observe(_spec("t"), None)
    (one,) = source.inputs(state, state.units)
    with mover.open_input(one) as file:
        assert pq.read_table(file).num_rows == 2
