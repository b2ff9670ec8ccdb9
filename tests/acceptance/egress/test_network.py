"""With an end on the network a worker reaches it through the run's gateway, and nothing else."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.runtime.worker.gate import SUPERVISOR
from tests.acceptance.egress.house import House
from tests.acceptance.egress.sink import Sink
from tests.acceptance.faults.space import Space, at_s3, events, ids, write
from tests.conftest import Place
from tests.kernel import requires_kernel

SOVEREIGNTY = 14
BEHIND = "store.corp.test"
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
def lake(space: Space, bucket: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Room in an S3 server, with its keys in the environment of the workspace."""
    monkeypatch.setenv("LAKE_ID", bucket.server.access_key)
    monkeypatch.setenv("LAKE_KEY", bucket.server.secret_key)
    return bucket


_WITHOUT = """
from batuta.runtime.sandbox import levels, probe
from batuta.runtime.sandbox.confinement import Level
def found(level):
    if level.value in {taken!r}:
        return probe.Finding(given=False, step="namespaces", reason="taken away by a test")
    return probe.finding(level)
levels.choose.__defaults__ = (found,)
"""


def _declare(space: Space, place: Place, more: str = "", tier: str = "") -> None:
    """Two datasets: from a folder to the store, and from the store to a folder."""
    away = f'destination: {{address: "{place.url}/orders/", platform: lake}}'
    back = f'source: {{address: "{place.url}/raw/", platform: lake}}'
    platform = at_s3("lake", place.server.endpoint, place.server.region)
    if more:
        platform = platform.replace("requireTls: false", f"requireTls: false, {more}")
        platform = platform.replace('"requireTls": false', f'"requireTls": false, {more}')
    space.declare(
        {
            "up": f"source: data/, {away}, format: parquet{tier}",
            "down": f"{back}, destination: out/down/, format: parquet",
        },
        (platform,),
    )


def _declare_behind(space: Space, place: Place, proxy: str) -> None:
    """The same, with the store at a public name and a proxy before all that is public."""
    store = f"https://{BEHIND}"
    platform = (
        "---\napiVersion: batuta.dev/v1\nkind: Platform\nmetadata: {name: lake}\n"
        f"spec: {{type: aws, network: Public, region: {place.server.region}, "
        f'endpoints: ["{store}"], '
        'credentials: {accessKeyId: "env:LAKE_ID", secretAccessKey: "env:LAKE_KEY"}, '
        f'aws: {{endpoint: "{store}", pathStyle: true}}}}\n'
    )
    space.declare(
        {
            "up": "source: data/, format: parquet, "
            f'destination: {{address: "{place.url}/orders/", platform: lake}}',
            "down": f'source: {{address: "{place.url}/raw/", platform: lake}}, '
            "destination: out/down/, format: parquet",
        },
        (platform,),
    )
    manifest = space.root / "batuta.yaml"
    network = f'network: {{proxy: "{proxy}", caFile: corp.pem}}'
    manifest.write_text(
        manifest.read_text().replace(
            'spec: {manifests: ["batuta.yaml"]}', f'spec: {{manifests: ["batuta.yaml"], {network}}}'
        )
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
    text = space.apply()
    assert "workers: enforced, isolated" in " ".join(text.split())
    assert pq.read_table(next((space.root / "out/down").glob("*.parquet"))).equals(rows)
    told = _rows(space)
    host = lake.server.endpoint.rpartition("/")[2].partition(":")[0]
    assert {row.get("host") for row in told} == {host}
    assert {row.get("dataset") for row in told if row["worker"] != SUPERVISOR} == {"up", "down"}
    assert {row["verdict"] for row in told} == {"allow"}
    ended = [row for row in told if row["event"] == "end"]
    assert all(row["rule"] and row["line"] and row["policy"] for row in ended)
    sent = sum(row.get("up", 0) for row in ended if row.get("dataset") == "up")
    assert sent > (space.root / "data" / "a.parquet").stat().st_size
    methods = {
        (row["worker"].partition("-")[0], row["method"])
        for row in told
        if row["event"] == "request"
    }
    assert ("data", "GET") in methods
    assert ("upload", "PUT") in methods
    assert {m for w, m in methods if w == "data"} == {"GET"}
    # The log beside the data is this process's own work, and goes the same way.
    own = {
        (row["method"], row["path"].rpartition("/orders/")[2])
        for row in told
        if row["worker"] == SUPERVISOR and row["event"] == "request"
    }
    assert ("PUT", "_log/00000000000000000000.json") in own
    code, text = space.run("drift")
    assert code == 0, text
    runs = {row["run"].partition("-")[0] for row in _rows(space)[len(told) :]}
    assert runs == {"drift"}  # and not the gate of whoever only looks


@requires_kernel("user namespaces")
def test_rows_of_a_store_are_shown_by_a_worker_that_gets_its_parts_and_nothing_else(
    space: Space, lake: Place
) -> None:
    _filled(space, lake)
    _declare(space, lake)
    space.apply()
    before = len(_rows(space))

    code, text = space.run("data", "cat", "up", "--limit", "2")

    assert code == 0, text
    assert text.split() == ["id", "0", "1"]
    asked = [row for row in _rows(space)[before:] if row["event"] == "request"]
    parts = {row["worker"].partition("-")[0] for row in asked if "/part-" in row["path"]}
    assert parts == {"data"}
    own = [row for row in asked if row["worker"] != SUPERVISOR]
    assert {(row["method"], row["dataset"]) for row in own} == {("GET", "up")}


@requires_kernel("user namespaces")
def test_all_of_it_goes_through_the_proxy_of_the_house_and_trusts_its_authority(
    space: Space, lake: Place, tmp_path: Path
) -> None:
    """The store's name is known to the proxy alone, so that whatever goes another way fails."""
    rows = _filled(space, lake)
    where = urlsplit(lake.server.endpoint)
    assert where.hostname is not None
    assert where.port is not None
    with House(tmp_path / "house", (where.hostname, where.port)) as house:
        (space.root / "corp.pem").write_bytes(house.ca_file.read_bytes())
        _declare_behind(space, lake, house.url)
        text = space.apply()
        assert house.asked
        assert set(house.asked) == {f"{BEHIND}:443"}
        assert pq.read_table(next((space.root / "out/down").glob("*.parquet"))).equals(rows)
        code, shown = space.run("data", "cat", "up")
        assert code == 0, shown
        code, shown = space.run("data", "verify", "up")
        assert code == 0, shown
        code, shown = space.run("plan")
        assert code == 0, shown
        assert "no changes" in shown.lower(), shown
    assert "2 of 2 actions done" in text
    told = _rows(space)
    assert {row.get("host") for row in told} == {BEHIND}
    assert {row["verdict"] for row in told} == {"allow"}
    # Without the house's authority nobody is believed.
    (space.root / "out").rename(space.root / "moved")
    with House(tmp_path / "another", (where.hostname, where.port)) as other:
        _declare_behind(space, lake, other.url)
        code, text = space.run("plan", "--resync", "down")
    assert code != 0
    assert "CERTIFICATE_VERIFY_FAILED" in text, text


@requires_kernel("landlock", "seccomp notification")
def test_filtered_workers_do_it_too_and_still_get_nowhere_else(space: Space, lake: Place) -> None:
    """No namespaces: every connection that a worker makes is handed to the gateway."""
    rows = _filled(space, lake)
    _declare(space, lake, tier=", tier: PrivateCloud")
    told = space.root / "events.jsonl"
    with Sink(str(space.root.parent)) as sink:
        hostile = sink.hostile("/nothing", str(space.root.parent / "stolen"))
        without = _WITHOUT.format(taken={"isolated"})
        before = f"prepare_workers({hostile!r})\n{without}"
        code, text = space.run(
            "apply", "--yes", "--select", "up", "--events", str(told), before=before
        )
        assert sink.taken == set()
    assert code == SOVEREIGNTY, text  # what it tried was seen
    finished = [e for e in events(told) if e["kind"] == "action-finished"]
    assert [(e["level"], e["enforced"], e["status"]) for e in finished] == [
        ("filtered", True, "done")
    ]
    assert space.rows("up").equals(rows)
    log = _rows(space)
    assert {row["dataset"] for row in log if row["worker"] != SUPERVISOR} == {"up"}
    refused = {row["code"] for row in log if row["verdict"] == "deny"}
    assert refused == {"http.malformed"}  # bytes that ask for nothing, on their way to the sink


def test_without_any_level_a_derived_tier_goes_on_and_the_log_has_what_it_tells_of(
    space: Space, lake: Place
) -> None:
    """Advisory: nothing holds such workers, so plan, log and report call it enforced nowhere."""
    rows = _filled(space, lake)
    _declare(space, lake)
    without = _WITHOUT.format(taken={"isolated", "filtered", "sealed"})
    told = space.root / "events.jsonl"
    code, text = space.run(
        "apply", "--yes", "--events", str(told), before=f"set_sizes()\n{without}"
    )
    assert code == 0, text
    assert "workers: enforced: false for 2 of 2" in " ".join(text.split())
    finished = [e for e in events(told) if e["kind"] == "action-finished"]
    assert {(e["level"], e["enforced"]) for e in finished} == {("advisory", False)}
    assert pq.read_table(next((space.root / "out/down").glob("*.parquet"))).equals(rows)
    assert {row.get("dataset") for row in _rows(space) if row["worker"] != SUPERVISOR} == {
        "up",
        "down",
    }


# It dies of the sight of a key.
_SHY = """
import os
from batuta.runtime.worker import main
opened = main.connection
def look(access, inner):
    for end in (access, inner):
        if end is not None and {key!r} in end.secrets.values():
            os._exit(77)
    return opened(access, inner)
main.connection = look
"""


@requires_kernel("user namespaces")
def test_no_worker_behind_walls_is_handed_the_keys_of_a_store(space: Space, lake: Place) -> None:
    """The gateway signs what it asks; without walls nobody would, so there it has them."""
    rows = _filled(space, lake)
    _declare(space, lake)
    shy = f"prepare_workers({_SHY.format(key=lake.server.secret_key)!r})"
    space.apply(before=shy)
    assert pq.read_table(next((space.root / "out/down").glob("*.parquet"))).equals(rows)
    code, text = space.run("plan", before=shy)
    assert code == 0, text

    without = _WITHOUT.format(taken={"isolated", "filtered", "sealed"})
    code, text = space.run("plan", "--resync", "down", before=f"{shy}\n{without}")

    assert code != 0
    assert "WRK201" in text, text


@requires_kernel("user namespaces")
def test_a_delta_table_in_a_store_is_read_without_its_keys(space: Space, lake: Place) -> None:
    rows = ids(0, 1000)
    table = space.root / "table"
    deltalake.write_deltalake(str(table), rows)
    client = lake.server.client()
    for path in table.rglob("*"):
        if path.is_file():
            key = f"{lake.prefix}table/{path.relative_to(table)}"
            client.put_object(Bucket=lake.bucket, Key=key, Body=path.read_bytes())
    platform = at_s3("lake", lake.server.endpoint, lake.server.region)
    source = f'source: {{address: "delta+{lake.url}/table/", platform: lake}}'
    space.declare({"down": f"{source}, destination: out/down/, format: parquet"}, (platform,))

    space.apply(before=f"prepare_workers({_SHY.format(key=lake.server.secret_key)!r})")

    assert space.rows("down").equals(rows)


@requires_kernel("user namespaces")
def test_a_worker_with_a_way_out_still_gets_nowhere_else(space: Space, lake: Place) -> None:
    _filled(space, lake)
    _declare(space, lake)
    with Sink(str(space.root.parent)) as sink:
        hostile = sink.hostile("/nothing", str(space.root.parent / "stolen"))
        space.apply(before=f"prepare_workers({hostile!r})")
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
        "apply", "--yes", "--events", str(told), before=f"prepare_workers({asks!r})"
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
    code, text = space.run("plan", before=f"prepare_workers({asks!r})")
    assert code == SOVEREIGNTY, text
    code, text = space.run("drift", before=f"prepare_workers({asks!r})")
    assert code == SOVEREIGNTY, text
