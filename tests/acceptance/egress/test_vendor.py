"""Keys that a vendor's own chain gives: asked by batuta itself, by the gateway, and in its log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from batuta.runtime.worker.gate import SUPERVISOR
from tests.acceptance.egress.house import House
from tests.acceptance.egress.vendor import BASE, Vendor
from tests.acceptance.faults.space import Space, ids, write
from tests.conftest import Place
from tests.kernel import requires_kernel
from tests.plain import plain_text

SOVEREIGNTY, UNAUTHORISED = 14, 12
BEHIND, STS = "store.corp.test", "sts.us-east-1.amazonaws.com"
DEAD = "http://127.0.0.1:9"
_ROLE = f"""
[profile base]
aws_access_key_id = {BASE}
aws_secret_access_key = secret
[profile lake]
role_arn = arn:aws:iam::123456789012:role/lake
source_profile = base
region = us-east-1
[profile closed]
role_arn = arn:aws:iam::123456789012:role/closed
source_profile = base
region = us-east-1
"""
_POLICY = """---
apiVersion: batuta.dev/v1
kind: EgressPolicy
metadata: {name: cloud}
spec:
  appliesTo: {tiers: [Standard]}
  allow: [{host: store.corp.test}]
"""


@pytest.fixture
def vendor(bucket: Place) -> Iterator[Vendor]:
    """What gives the keys of the S3 server."""
    with Vendor(bucket.server.access_key, bucket.server.secret_key) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_of_ours(space: Space, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys but the profile's, and variables for proxies that lead nowhere."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text(_ROLE)
    space.environment |= {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "HTTPS_PROXY": DEAD,
        "HTTP_PROXY": DEAD,
    }


def _declare(space: Space, place: Place, platform: str, *, back: bool = False) -> None:
    write(space.root / "data" / "a.parquet", ids(0, 100))
    away = f'destination: {{address: "{place.url}/orders/", platform: lake}}'
    datasets = {"up": f"source: data/, {away}, format: parquet"}
    if back:
        content = (space.root / "data" / "a.parquet").read_bytes()
        client = place.server.client()
        client.put_object(Bucket=place.bucket, Key=f"{place.prefix}raw/a.parquet", Body=content)
        source = f'source: {{address: "{place.url}/raw/", platform: lake}}'
        datasets["down"] = f"{source}, destination: out/, format: parquet"
    space.declare(datasets, (platform,))


def _behind(
    space: Space, place: Place, proxy: str, more: str = "", network: str = "Public"
) -> None:
    """A store at a public name, whose keys a role gives; behind the proxy of the house."""
    store = f"https://{BEHIND}"
    platform = (
        "---\napiVersion: batuta.dev/v1\nkind: Platform\nmetadata: {name: lake}\n"
        f"spec: {{type: aws, network: {network}, region: {place.server.region}, "
        f'endpoints: ["{store}"], '
        f'aws: {{endpoint: "{store}", pathStyle: true, profile: lake}}}}\n'
    )
    _declare(space, place, platform + more, back=True)
    manifest = space.root / "batuta.yaml"
    house = f'network: {{proxy: "{proxy}", caFile: corp.pem}}'
    spec = 'spec: {manifests: ["batuta.yaml"]'
    manifest.write_text(manifest.read_text().replace(spec, f"{spec}, {house}"))


def _on_prem(place: Place) -> str:
    """A store in the house that states no keys."""
    endpoint = place.server.endpoint
    platform = (
        "---\napiVersion: batuta.dev/v1\nkind: Platform\nmetadata: {name: lake}\n"
        f"spec: {{type: aws, network: OnPrem, region: {place.server.region}, "
        f'endpoints: ["{endpoint}"], cidrs: [127.0.0.0/8], '
        f'aws: {{endpoint: "{endpoint}", pathStyle: true}}}}\n'
    )
    return platform + plain_text(endpoint, name="lake-plain")


def _rows(space: Space) -> list[dict[str, Any]]:
    path = space.root / ".batuta" / "egress" / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _house(folder: Path, place: Place, vendor: Vendor) -> House:
    where = urlsplit(place.server.endpoint)
    assert where.hostname is not None
    assert where.port is not None
    return House(folder, (where.hostname, where.port), {STS: vendor.address})


@requires_kernel("user namespaces")
@pytest.mark.parametrize(("network", "read"), [("Public", False), ("Vpc", True)])
def test_a_role_is_assumed_by_the_proxy_and_the_authority_of_the_house_and_stands_in_the_log(
    space: Space, bucket: Place, vendor: Vendor, tmp_path: Path, network: str, read: bool
) -> None:
    """A host of all customers is inspected above Standard: then each request has a line too."""
    with _house(tmp_path / "house", bucket, vendor) as house:
        space.root.mkdir(parents=True)
        (space.root / "corp.pem").write_bytes(house.ca_file.read_bytes())
        _behind(space, bucket, house.url, network=network)

        text = space.apply()

        assert "2 of 2 actions done" in text, text
        assert vendor.asked
        assert set(vendor.asked) == {"AssumeRole"}
        assert set(house.asked) == {f"{BEHIND}:443", f"{STS}:443"}
    told = [row for row in _rows(space) if row.get("host") == STS]
    assert {(row["worker"], row["verdict"]) for row in told} == {(SUPERVISOR, "allow")}
    assert {(row["method"], row["path"]) for row in told if row["event"] == "request"} == (
        {("POST", "/")} if read else set()
    )
    # No worker may ask it.
    assert {row["host"] for row in _rows(space) if row["worker"] != SUPERVISOR} == {BEHIND}


def test_who_gives_keys_and_says_no_is_the_trouble_of_the_dataset(
    space: Space, bucket: Place, vendor: Vendor, tmp_path: Path
) -> None:
    with _house(tmp_path / "house", bucket, vendor) as house:
        space.root.mkdir(parents=True)
        (space.root / "corp.pem").write_bytes(house.ca_file.read_bytes())
        _behind(space, bucket, house.url)
        manifest = space.root / "batuta.yaml"
        manifest.write_text(manifest.read_text().replace("profile: lake", "profile: closed"))

        code, text = space.run("plan")

    assert code == UNAUTHORISED, text
    said = " ".join(text.split())
    assert "AWS101" in said, text
    assert "(AccessDenied) when calling the AssumeRole operation: The role may not be" in said, text


def test_a_policy_that_leaves_the_giver_of_keys_out_blocks_the_plan_before_anybody_is_asked(
    space: Space, bucket: Place, vendor: Vendor, tmp_path: Path
) -> None:
    with _house(tmp_path / "house", bucket, vendor) as house:
        space.root.mkdir(parents=True)
        (space.root / "corp.pem").write_bytes(house.ca_file.read_bytes())
        _behind(space, bucket, house.url, _POLICY)

        code, text = space.run("plan")
        said = " ".join(text.split())

        assert code != 0, text
        assert "EGR101" in said, text
        assert f"needs {STS}:443, which gives batuta itself keys (sts)" in said, text
        assert f"Add `- {{host: {STS}, ports: [443]}}` to `spec.allow`" in said, text
        assert "batuta.yaml:" in said, text
        code, text = space.run("egress", "explain", STS, "--dataset", "up")
        assert code == SOVEREIGNTY, text
        assert (vendor.asked, house.asked) == ([], [])
    assert _rows(space) == []


def test_a_giver_of_keys_that_no_plan_has_named_is_refused_and_stands_in_the_log(
    space: Space, bucket: Place, tmp_path: Path
) -> None:
    space.environment |= {
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://keys.corp.test/lake",
    }
    _declare(space, bucket, _on_prem(bucket))

    code, text = space.run("plan")

    assert code != 0, text
    said = " ".join(text.split())
    assert "AWS124" in said, text
    assert "Keys from keys.corp.test: the gateway refused it (host.not_allowed)" in said, text
    told = {(row["worker"], row.get("host"), row["verdict"]) for row in _rows(space)}
    assert told == {(SUPERVISOR, "keys.corp.test", "deny")}


@requires_kernel("user namespaces")
def test_the_metadata_of_the_instance_is_asked_past_every_proxy_and_stands_in_the_log(
    space: Space, bucket: Place, vendor: Vendor
) -> None:
    space.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = vendor.url
    _declare(space, bucket, _on_prem(bucket))

    text = space.apply()

    assert "1 of 1 action done" in text, text
    assert "token" in vendor.asked
    told = [row for row in _rows(space) if row.get("port") == vendor.address[1]]
    assert {(row["worker"], row["rule"]) for row in told} == {
        (SUPERVISOR, "metadata of this machine")
    }
    assert [row["event"] for row in told[:2]] == ["open", "end"]
    code, text = space.run("egress", "log")
    assert code == 0, text
    assert "metadata of this machine" in " ".join(text.split())
