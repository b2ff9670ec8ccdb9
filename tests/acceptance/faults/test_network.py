"""A network that is lost in mid-transfer, busy, or silent after it did the work."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from tests.acceptance.faults.space import BATCH, Space, at_s3, ids, write, write_days
from tests.conftest import Place
from tests.servers.faultproxy import FaultProxy, Rule

AGAIN = 3


@pytest.fixture
def proxy(bucket: Place) -> Iterator[FaultProxy]:
    with FaultProxy.before(bucket.server.endpoint) as running:
        yield running


@pytest.fixture
def lake(space: Space, bucket: Place, proxy: FaultProxy) -> Space:
    """A workspace that has a proxied S3 server as its Platform."""
    server = bucket.server
    space.environment |= {"LAKE_ID": server.access_key, "LAKE_KEY": server.secret_key}
    space.root.mkdir()
    return space


def outward(space: Space, place: Place, proxy: FaultProxy) -> None:
    platform = at_s3("lake", proxy.endpoint, place.server.region)
    space.declare(
        {"orders": f'source: data/, destination: "{place.url}/out/", format: ald'}, [platform]
    )


def inward(space: Space, place: Place, proxy: FaultProxy) -> None:
    platform = at_s3("lake", proxy.endpoint, place.server.region)
    source = f'source: {{address: "{place.url}/in/", platform: lake}}'
    space.declare({"orders": f"{source}, destination: out/orders/, format: ald"}, [platform])


def holds(space: Space, rows: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the dataset from this process, with the keys that the program had."""
    for name, value in space.environment.items():
        monkeypatch.setenv(name, value)
    space.holds(rows)
    engine = space.engine()
    versions = [entry.version for entry in engine.dataset_log("orders")]
    engine.close()
    assert versions == list(range(len(versions)))


UPLOADS = {
    "the connection is cut before the answer": Rule(r"^PUT .*part-", lose_answer=True, times=AGAIN),
    "503 with Retry-After": Rule(
        r"^PUT .*part-", status=503, headers={"Retry-After": "1"}, times=AGAIN
    ),
    "429": Rule(r"^PUT .*part-", status=429, times=AGAIN),
    "500": Rule(r"^PUT .*part-", status=500, times=AGAIN),
}


@pytest.mark.parametrize("fault", UPLOADS)
def test_an_upload_that_fails_for_a_while_ends_exact(
    lake: Space, bucket: Place, proxy: FaultProxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_days(lake.root / "data")
    outward(lake, bucket, proxy)
    proxy.add(UPLOADS[fault])
    lake.apply()
    assert sum(e.rule is not None for e in proxy.exchanges) == AGAIN
    holds(lake, rows, monkeypatch)


@pytest.mark.parametrize("what", ["_log/0", r"_staging/.*intent", r"list-type=2", "delete"])
@pytest.mark.parametrize("how", ["answer lost", "503"])
def test_the_commit_outlives_a_request_that_fails_for_a_while(
    lake: Space, bucket: Place, proxy: FaultProxy, what: str, how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Log entry, intent, listings, deletions: also when the work was done and nobody said so."""
    rows = write_days(lake.root / "data")
    outward(lake, bucket, proxy)
    match = rf"^(PUT|POST|GET) .*{what}"
    lost = how == "answer lost"
    rule = Rule(match, lose_answer=lost, status=None if lost else 503, times=2)
    proxy.add(rule)
    lake.apply()
    assert any(e.rule is not None for e in proxy.exchanges)
    holds(lake, rows, monkeypatch)
    newer = write_days(lake.root / "data", edition=1)
    proxy.clear()
    proxy.add(rule)
    lake.apply()
    holds(lake, newer, monkeypatch)


def send(place: Place, name: str, content: bytes) -> None:
    client = place.server.client()
    client.put_object(Bucket=place.bucket, Key=f"{place.prefix}in/{name}", Body=content)
    client.close()


DOWNLOADS = {
    "cut in the middle": Rule(r"^GET .*day", cut_after_bytes=1000, times=AGAIN),
    "503 with Retry-After": Rule(
        r"^GET .*day", status=503, headers={"Retry-After": "1"}, times=AGAIN
    ),
    "answer lost": Rule(r"^GET .*day", lose_answer=True, times=AGAIN),
}


@pytest.mark.parametrize("fault", DOWNLOADS)
def test_a_download_that_fails_for_a_while_ends_exact(
    lake: Space, bucket: Place, proxy: FaultProxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_days(lake.root / "local")
    for path in sorted((lake.root / "local").iterdir()):
        send(bucket, path.name, path.read_bytes())
    inward(lake, bucket, proxy)
    proxy.add(DOWNLOADS[fault])
    lake.apply()
    assert sum(e.rule is not None for e in proxy.exchanges) == AGAIN
    holds(lake, rows, monkeypatch)


def test_a_network_that_stays_away_fails_in_words_and_the_next_run_goes_on(
    lake: Space, bucket: Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_days(lake.root / "data")
    outward(lake, bucket, proxy)
    proxy.add(Rule(r"^PUT .*part-", status=400, times=None))
    code, text = lake.run("apply", "--yes")
    assert code not in {0, 70}, text
    assert "400" in text
    proxy.clear()
    text = lake.apply()
    holds(lake, rows, monkeypatch)


def test_an_object_that_is_replaced_while_it_is_read_is_never_spliced(
    lake: Space, bucket: Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two answers comes late; by then the object is another one."""
    write(lake.root / "old.parquet", ids(0, 40 * BATCH), compression="none")
    write(lake.root / "new.parquet", ids(1_000_000_000, 40 * BATCH), compression="none")
    send(bucket, "day.parquet", (lake.root / "old.parquet").read_bytes())
    inward(lake, bucket, proxy)
    proxy.add(Rule(r"^GET .*day", after=4, delay_s=3.0, times=1))
    process = lake.start("apply", "--yes")
    while sum("day" in e.target for e in proxy.exchanges if e.method == "GET") < 5:
        assert process.poll() is None, process.communicate()[0]
    send(bucket, "day.parquet", (lake.root / "new.parquet").read_bytes())
    text, _ = process.communicate(timeout=60)
    assert process.returncode not in {0, 70}, text
    assert not list((lake.root / "out").rglob("part-*"))
    proxy.clear()
    lake.apply()
    holds(lake, ids(1_000_000_000, 40 * BATCH), monkeypatch)
