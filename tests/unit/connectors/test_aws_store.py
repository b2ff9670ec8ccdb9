"""A prefix of a real S3 server as a store and as a source."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from batuta.connectors.aws import files as aws_files
from batuta.connectors.aws.files import S3Files
from batuta.connectors.aws.source import S3Source
from batuta.formats.parquet import FORMAT
from batuta.model.address import parse_address
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.log import UnitRef
from batuta.model.resource import SourceSpec
from batuta.model.transfer import CopyItem, UploadItem
from batuta.runtime import mover
from tests.conftest import Place
from tests.servers.faultproxy import FaultProxy, Rule
from tests.servers.seaweedfs import SeaweedFS

pytestmark = pytest.mark.server


def _connection(server: SeaweedFS, *, endpoint: str = "", reader: bool = False) -> Connection:
    access = server.reader_access_key if reader else server.access_key
    secret = server.reader_secret_key if reader else server.secret_key
    return Connection(
        platform="lake",
        type="aws",
        region=server.region,
        options={"endpoint": endpoint or server.endpoint},
        secrets={"accessKeyId": access, "secretAccessKey": secret},
        formats={"parquet": FORMAT},
        open_input=mover.open_input,
    )


@pytest.fixture
def files(bucket: Place) -> S3Files:
    return S3Files(_connection(bucket.server), parse_address(bucket.url))


@pytest.fixture
def source(bucket: Place) -> S3Source:
    return S3Source(_connection(bucket.server))


@pytest.fixture
def proxy(bucket: Place) -> Iterator[FaultProxy]:
    with FaultProxy.before(bucket.server.endpoint) as running:
        yield running


def _spec(url: str, **fields: Any) -> SourceSpec:
    return replace(SourceSpec(address=parse_address(url)), **fields)


def _parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _stage(tmp_path: Path, name: str, content: bytes) -> str:
    (tmp_path / name).write_bytes(content)
    return str(tmp_path / name)


def test_odd_keys_come_back_as_they_were_put_in_byte_order(files: S3Files) -> None:
    keys = ["a b", "a+b", "a%20b", "é", "a&<b>", "x=1/y", "~", "a/b", "a-b", "#?"]
    for key in keys:
        files.create(key, key.encode())
    assert [each.path for each in files.list()] == sorted(keys, key=str.encode)
    assert all(files.read(key) == key.encode() for key in keys)
    assert [each.path for each in files.list("a/")] == ["a/b"]
    files.delete([*keys, "never there"])
    assert list(files.list()) == []


def test_a_bucket_states_no_free_space(files: S3Files) -> None:
    assert files.free_bytes() is None


def test_long_files_go_and_are_copied_in_parts(
    files: S3Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_files, "SINGLE_PUT_BYTES", 6_000_000)
    monkeypatch.setattr(aws_files, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(aws_files, "COPY_PART_BYTES", 5 << 20)
    monkeypatch.setattr(s3fs.core, "MANAGED_COPY_THRESHOLD", 6_000_000)
    content = bytes(range(256)) * 50_000
    pairs = [(_stage(tmp_path, "big", content), "part-big")]
    assert files.upload_inputs(pairs) is None
    files.publish(pairs)
    assert files.read("part-big") == content
    for _ in range(2):
        files.move([("part-big", "_history/1/part-big")])
    assert files.read("_history/1/part-big") == content
    assert [each.path for each in files.list()] == ["_history/1/part-big"]


def test_a_worker_without_keys_sends_and_reads_through_signed_addresses(
    files: S3Files, tmp_path: Path
) -> None:
    staged = [(_stage(tmp_path, f"{n}", b"abc" * n), f"part {n}+é") for n in range(3)]
    signed = files.upload_inputs(staged)
    assert signed is not None
    mover.put(
        [
            UploadItem(name=f"{n}", url=put.url, size_bytes=3 * n, headers=put.headers)
            for n, put in enumerate(signed)
        ],
        tmp_path,
    )
    inputs = files.inputs([(f"part {n}+é", 3 * n, UnitRef("u", "1")) for n in range(3)])
    items = [
        CopyItem(input=each, unit=UnitRef("u", "1"), name=f"out-{n}")
        for n, each in enumerate(inputs)
    ]
    parts = mover.fetch(items, tmp_path)
    assert [part.sha256 for part in parts] == [
        hashlib.sha256(b"abc" * n).hexdigest() for n in range(3)
    ]


def test_an_opaque_prefix_is_everything_under_it(
    files: S3Files, source: S3Source, bucket: Place, tmp_path: Path
) -> None:
    for key in (".hidden", "_log/x", "a/b.bin", "z", "marker/"):
        files.create(key, b"" if key.endswith("/") else key.encode())
    state = source.observe(_spec(bucket.url, opaque=True), None)
    assert [unit.key for unit in state.units] == [".hidden", "_log/x", "a/b.bin", "z"]
    items = [
        CopyItem(input=each, unit=unit.ref, name=unit.key)
        for each, unit in zip(source.inputs(state, state.units), state.units, strict=True)
    ]
    for part in mover.fetch(items, tmp_path):
        assert (tmp_path / part.path).read_bytes() == part.path.encode()
    again = source.observe(_spec(bucket.url + "/", opaque=True), state)
    assert again == state


@pytest.mark.parametrize("entry", [f"{0:020d}.json", f"{20:020d}.checkpoint.json"])
def test_what_batuta_keeps_beside_its_own_files_is_left_out_of_an_opaque_prefix(
    files: S3Files, source: S3Source, bucket: Place, entry: str
) -> None:
    own = [f"_log/{entry}", "_history/0123456789abcdef/a", "_staging/work/x"]
    for key in (*own, "a", "below/_log/x", "_logs"):
        files.create(key, b"x")

    state = source.observe(_spec(bucket.url, opaque=True), None)

    assert [unit.key for unit in state.units] == ["_logs", "a", "below/_log/x"]
    assert state.has_log is True


def test_one_object_is_named_by_its_last_part_even_where_others_lie_below_it(
    files: S3Files, source: S3Source, bucket: Place
) -> None:
    files.create("d/x", b"abc")
    files.create("d/x/x", b"other")
    state = source.observe(_spec(f"{bucket.url}/d/x", opaque=True), None)
    assert [(unit.key, unit.size_bytes) for unit in state.units] == [("x", 3)]
    below = source.observe(_spec(f"{bucket.url}/d/x/", opaque=True), None)
    (one,) = source.inputs(below, below.units)
    assert one.url.partition("?")[0].endswith("/d/x/x")


def test_a_replaced_object_is_found_by_the_mover(
    files: S3Files, source: S3Source, bucket: Place, tmp_path: Path
) -> None:
    files.create("x", b"abc")
    state = source.observe(_spec(bucket.url, opaque=True), None)
    files.delete(["x"])
    files.create("x", b"xyz")
    (one,) = source.inputs(state, state.units)
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([CopyItem(input=one, unit=state.units[0].ref, name="x")], tmp_path)
    assert caught.value.kind is Failure.CHANGED
    assert source.observe(_spec(bucket.url, opaque=True), state).version != state.version


def test_a_table_is_read_by_its_footers_and_only_where_it_changed(
    files: S3Files, source: S3Source, bucket: Place, proxy: FaultProxy
) -> None:
    files.create("year=2024/1.parquet", _parquet(a=pa.array([1, 2], pa.int32())))
    files.create("year=2025/1.parquet", _parquet(a=[3], b=["x"]))
    files.create("_SUCCESS", b"")
    state = source.observe(_spec(bucket.url), None)
    assert state.schema is not None
    assert [(c.name, c.type) for c in state.schema.columns] == [
        ("a", "int64"),
        ("b", "string"),
        ("year", "int64"),
    ]
    assert state.rows == 3
    watched = S3Source(_connection(bucket.server, endpoint=proxy.endpoint))
    assert watched.observe(_spec(bucket.url), state).version == state.version
    assert not [e for e in proxy.exchanges if ".parquet" in e.target]
    (partition,) = source.partitions(_spec(bucket.url), state, state.units, 1 << 20)
    with mover.open_input(partition.segments[0].input) as file:
        assert pq.read_table(file)["a"].to_pylist() == [1, 2]


def test_a_broken_object_is_named(files: S3Files, source: S3Source, bucket: Place) -> None:
    files.create("1.parquet", b"PAR1 this is none")
    with pytest.raises(ConnectorError) as caught:
        source.observe(_spec(bucket.url), None)
    assert caught.value.diagnostics[0].code.startswith("FMT")
    assert f"{bucket.url}/1.parquet" in caught.value.diagnostics[0].detail


def test_a_version_id_pins_one_object(seaweedfs: SeaweedFS) -> None:
    name = seaweedfs.make_bucket("pinned-versions")
    client = seaweedfs.client()
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket=name, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=name, Key="k", Body=b"newer")
    source = S3Source(_connection(seaweedfs))
    state = source.observe(_spec(f"s3://{name}/k", opaque=True, version=first), None)
    assert state.units[0].version.endswith(f":{first}")
    with mover.open_input(source.inputs(state, state.units)[0]) as file:
        assert file.read() == b"old"
    with pytest.raises(ConnectorError) as caught:
        source.observe(_spec(f"s3://{name}/k", opaque=True, version="f" * 32), None)
    assert caught.value.diagnostics[0].code == "AWS115"


def test_a_listing_of_several_pages_is_whole(bucket: Place, files: S3Files) -> None:
    client = bucket.server.client()
    for number in range(1005):
        client.put_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}{number:04}", Body=b"")
    assert [each.path for each in files.list()] == [f"{n:04}" for n in range(1005)]


def test_missing_things_have_their_codes(source: S3Source, bucket: Place) -> None:
    for url, code in {
        bucket.url + "/nothing": "AWS104",
        bucket.url + "/nothing/": "AWS104",
        "s3://no-such-bucket-here/": "AWS103",
    }.items():
        with pytest.raises(ConnectorError) as caught:
            source.observe(_spec(url, opaque=True), None)
        assert caught.value.diagnostics[0].code == code, url


def test_wrong_keys_and_read_only_keys_have_their_codes(bucket: Place) -> None:
    reading = S3Files(_connection(bucket.server, reader=True), parse_address(bucket.url))
    with pytest.raises(ConnectorError) as caught:
        reading.create("x", b"")
    assert caught.value.diagnostics[0].code == "AWS102"
    wrong = replace(
        _connection(bucket.server), secrets={"accessKeyId": "nobody", "secretAccessKey": "x"}
    )
    with pytest.raises(ConnectorError) as caught:
        S3Files(wrong, parse_address(bucket.url)).exists()
    assert caught.value.diagnostics[0].code == "AWS101"
    assert caught.value.kind is Failure.AUTH


@pytest.mark.parametrize(
    ("rule", "code", "kind"),
    [
        (Rule("GET", status=503, headers={"Retry-After": "3"}), "AWS106", Failure.THROTTLED),
        (Rule("GET", status=500), "AWS107", Failure.TRANSIENT),
        (Rule("GET", lose_answer=True), "AWS107", Failure.TRANSIENT),
        (Rule("GET", cut_after_bytes=10), "AWS107", Failure.TRANSIENT),
        (
            Rule("GET", status=400, body=b"<Error><Code>ExpiredToken</Code></Error>"),
            "AWS108",
            Failure.EXPIRED,
        ),
        (
            Rule("GET", status=200, body=b"<Error><Code>InternalError</Code></Error>"),
            "AWS107",
            Failure.TRANSIENT,
        ),
    ],
)
def test_failures_on_the_way_are_classified_and_not_retried_here(
    bucket: Place, proxy: FaultProxy, rule: Rule, code: str, kind: Failure
) -> None:
    proxy.add(rule)
    files = S3Files(_connection(bucket.server, endpoint=proxy.endpoint), parse_address(bucket.url))
    with pytest.raises(ConnectorError) as caught:
        list(files.list())
    assert (caught.value.diagnostics[0].code, caught.value.kind) == (code, kind)
    assert len(proxy.exchanges) == 1
    if rule.headers:
        assert caught.value.retry_after_s == 3.0


def test_a_create_whose_answer_was_lost_is_not_sent_twice(bucket: Place, proxy: FaultProxy) -> None:
    files = S3Files(_connection(bucket.server, endpoint=proxy.endpoint), parse_address(bucket.url))
    files.exists()
    proxy.add(Rule("PUT", lose_answer=True))
    with pytest.raises(ConnectorError) as caught:
        files.create("_log/0.json", b"mine")
    assert caught.value.diagnostics[0].code == "AWS107"
    with pytest.raises(FileExistsError):
        files.create("_log/0.json", b"mine")
    assert files.read("_log/0.json") == b"mine"
