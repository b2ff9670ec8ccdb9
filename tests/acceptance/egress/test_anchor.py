"""The end of the egress log of a real run is kept in the state and signed, and an audit compares."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.faults.space import Space, at_s3, ids, write
from tests.conftest import Place
from tests.kernel import requires_kernel


@pytest.fixture
def orders(space: Space, bucket: Place, monkeypatch: pytest.MonkeyPatch) -> Space:
    """A workspace with a key whose dataset `orders` was sent to an S3 server."""
    monkeypatch.setenv("LAKE_ID", bucket.server.access_key)
    monkeypatch.setenv("LAKE_KEY", bucket.server.secret_key)
    write(space.root / "data" / "a.parquet", ids(0, 100))
    spec = f'source: data/, destination: {{address: "{bucket.url}/orders/", platform: lake}}'
    platform = at_s3("lake", bucket.server.endpoint, bucket.server.region)
    space.declare({"orders": f"{spec}, format: parquet"}, (platform,))
    code, text = space.run("keys", "generate")
    assert code == 0, text
    space.apply()
    return space


def _audit(space: Space) -> dict[str, Any]:
    path = space.root / "audit.json"
    code, text = space.run("audit", "orders", "--out", str(path))
    assert code == 0, text
    body: dict[str, Any] = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))
    code, text = space.run("audit", "--verify", str(path))
    assert code == 0, text
    return body


def _cut(path: Path, lines: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))


@requires_kernel("user namespaces")
def test_whoever_cuts_the_log_after_a_run_is_found_by_the_state_and_by_the_signature(
    orders: Space,
) -> None:
    body = _audit(orders)
    (run,) = body["runs"]
    (version,) = body["evidence"]
    said = json.loads(base64.b64decode(json.loads(version["signature"])["payload"]))["predicate"]
    assert 0 < said["egress_head"]["n"] <= run["egress_head"]["n"]
    assert said["policies"] == run["policies"]
    assert said["enforcement"] == run["enforcement"] == {"enforced": True, "level": "isolated"}
    assert body["versions"][0]["place"] == body["place"]
    assert body["versions"][0]["platform"] == "lake"
    assert body["egress_anchor"]["n"] == run["egress_head"]["n"]
    assert not any("egress log" in gap for gap in body["gaps"])

    path = orders.root / ".batuta" / "egress" / "audit.jsonl"
    _cut(path, said["egress_head"]["n"] - 1)
    code, text = orders.run("egress", "log")
    assert (code, "EGR304" in text) == (14, True)
    gaps = _audit(orders)["gaps"]
    assert any(gap.startswith("egress log (EGR30") for gap in gaps)
    (orders.root / ".batuta" / "state.db").unlink()
    gaps = _audit(orders)["gaps"]
    assert any(f"names line {said['egress_head']['n']} of an egress log" in gap for gap in gaps)
