"""S3's hosts: against the endpoint rules of the vendor's library, and against our own client."""

from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointResolutionError

from batuta.connectors.aws import CONNECTOR
from batuta.connectors.aws.hosts import (
    FORMS,
    PARTITIONS,
    host_of,
    hosts_for,
    key_hosts,
    partition_of,
)
from batuta.connectors.aws.wire import Bucket
from batuta.model.address import Address
from batuta.model.canonical import Json
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError
from batuta.model.egress import HostNeed

REGIONS = (
    "us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1", "us-iso-east-1",
    "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "mx-central-1",
)  # fmt: skip
ACCOUNT = "123456789012"
KEYS = {"accessKeyId": "a", "secretAccessKey": "b"}


@pytest.fixture(scope="module")
def provider() -> EndpointProvider:
    loader = botocore.loaders.Loader()
    rules = loader.load_service_model("s3", "endpoint-rule-set-1")
    return EndpointProvider(rules, loader.load_data("partitions"))


def _asked(provider: EndpointProvider, region: str, **parameters: Any) -> str:
    endpoint = provider.resolve_endpoint(Region=region, **parameters)
    return str(endpoint.url).removeprefix("https://").partition("/")[0]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize(
    ("form", "parameters"),
    [
        ("virtual", {"Bucket": "sales"}),
        ("path", {"Bucket": "sales.eu", "ForcePathStyle": True}),
        ("dual-stack", {"Bucket": "sales", "UseDualStack": True}),
        ("fips", {"Bucket": "sales", "UseFIPS": True}),
        ("fips-dual-stack", {"Bucket": "sales", "UseFIPS": True, "UseDualStack": True}),
    ],
)
def test_a_form_is_the_vendor_s(
    provider: EndpointProvider, region: str, form: str, parameters: dict[str, Any]
) -> None:
    if "fips" in form and partition_of(region).name == "aws-cn":
        with pytest.raises(EndpointResolutionError, match="FIPS"):
            _asked(provider, region, **parameters)
        return
    assert host_of(form, region, bucket="sales") == _asked(provider, region, **parameters)


@pytest.mark.parametrize(
    ("form", "bucket", "parts"),
    [
        ("access-point", "arn:{p}:s3:{r}:{a}:accesspoint/sales", {"account": ACCOUNT}),
        (
            "object-lambda",
            "arn:{p}:s3-object-lambda:{r}:{a}:accesspoint/sales",
            {"account": ACCOUNT},
        ),
        ("multi-region", "arn:{p}:s3::{a}:accesspoint:sales.mrap", {}),
        (
            "outposts",
            "arn:{p}:s3-outposts:{r}:{a}:outpost/op-01234567890123456/accesspoint/sales",
            {"account": ACCOUNT, "outpost": "op-01234567890123456"},
        ),
        ("express", "sales--use1-az4--x-s3", {"zone": "use1-az4"}),
    ],
)
def test_a_form_of_another_kind_of_bucket_is_the_vendor_s(
    provider: EndpointProvider, form: str, bucket: str, parts: dict[str, str]
) -> None:
    region = "us-east-1"
    asked = bucket.format(p=partition_of(region).name, r=region, a=ACCOUNT)
    named = {"multi-region": "sales.mrap", "express": bucket}.get(form, "sales")
    assert host_of(form, region, bucket=named, **parts) == _asked(provider, region, Bucket=asked)


def test_the_global_forms_are_the_vendor_s(provider: EndpointProvider) -> None:
    legacy = _asked(provider, "us-east-1", Bucket="sales", UseGlobalEndpoint=True)
    fast = _asked(provider, "eu-central-1", Bucket="sales", Accelerate=True)
    assert (host_of("legacy", "us-east-1", bucket="sales"),
            host_of("accelerate", "eu-central-1", bucket="sales")) == (legacy, fast)  # fmt: skip
    assert not any(FORMS[form].in_region for form in ("legacy", "accelerate", "multi-region"))


def test_the_partitions_are_the_vendor_s() -> None:
    stated = botocore.loaders.Loader().load_data("partitions")["partitions"]
    assert {(p["id"], p["outputs"]["dnsSuffix"], p["outputs"]["dualStackDnsSuffix"]) for p in stated} == {
        (p.name, p.suffix, p.dual_stack) for p in PARTITIONS
    }  # fmt: skip
    for partition in stated:
        for region in partition["regions"]:
            if not region.startswith("aws"):
                assert partition_of(region).name == partition["id"], region


@pytest.mark.parametrize("bucket", ["sales", "sales.eu", "UPPER_case"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pathStyle": True},
        {"region": "cn-north-1"},
        {"endpoint": "http://127.0.0.1:8333"},
        {"endpoint": "https://s3.lake.test"},
        {"endpoint": "https://s3.lake.test/base/", "pathStyle": True},
        {"endpoint": "https://s3.lake.test:9443", "pathStyle": False},
        {"endpoint": "http://[::1]:9000"},
        {"endpoint": "s3.lake.test"},
    ],
)
def test_the_need_is_the_host_that_the_client_connects_to(
    bucket: str, options: dict[str, Json]
) -> None:
    connection = Connection(type="aws", options=options, secrets=KEYS)
    (need,) = hosts_for(connection, Address("s3", f"{bucket}/a/b"))
    endpoint = Bucket(connection, bucket).endpoint
    usual = {"https": 443, "http": 80}[endpoint.scheme]
    port = "" if need.port == usual else f":{need.port}"
    assert (need.scheme, f"{need.host}{port}") == (endpoint.scheme, endpoint.host)


def test_a_bucket_in_the_host_is_its_own_and_one_in_the_path_shares_a_host() -> None:
    connection = Connection(type="aws", region="eu-central-1", secrets=KEYS)
    assert hosts_for(connection, Address("s3", "sales/2026/")) == (
        HostNeed(
            host="sales.s3.eu-central-1.amazonaws.com",
            why="serves the objects of the bucket sales",
        ),
    )
    (dotted,) = hosts_for(connection, Address("s3", "sales.eu/2026/"))
    assert (dotted.host, dotted.shared, dotted.paths) == (
        "s3.eu-central-1.amazonaws.com", True, ("/sales.eu",),
    )  # fmt: skip


def test_an_endpoint_of_the_platform_stands_in_for_the_option() -> None:
    connection = Connection(type="aws", endpoints=("http://10.0.0.7:9000",), secrets=KEYS)
    (need,) = hosts_for(connection, Address("s3", "sales/"))
    assert (need.host, need.port, need.scheme, need.paths) == (
        "10.0.0.7",
        9000,
        "http",
        ("/sales",),
    )


def test_a_path_before_the_bucket_belongs_to_the_transfer_s_own() -> None:
    options: dict[str, Json] = {"endpoint": "https://s3.lake.test/base/", "pathStyle": True}
    connection = Connection(type="aws", options=options, secrets=KEYS)
    (need,) = hosts_for(connection, Address("s3", "sales/"))
    assert need.paths == ("/base/sales",)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "ftp://s3.lake.test"}, {"endpoint": "https://"},
        {"endpoint": "https://a:99999"}, {"endpoint": "https://u:p@s3.lake.test"},
        {"region": "evil.test/"},
    ],
)  # fmt: skip
def test_what_is_no_endpoint_or_region_is_refused(options: dict[str, Json]) -> None:
    connection = Connection(type="aws", options=options, secrets=KEYS)
    with pytest.raises(ConnectorError, match="AWS120"):
        hosts_for(connection, Address("s3", "sales/"))


def test_the_connector_says_its_hosts() -> None:
    connection = Connection(type="aws", region="eu-central-1", secrets=KEYS)
    assert CONNECTOR.hosts is not None
    assert len(CONNECTOR.hosts(connection, Address("s3", "sales/"))) == 1


_CONFIG = """
[profile files-k]
region = eu-central-1
[profile command-k]
credential_process = /usr/bin/true
[profile instance-k]
role_arn = arn:aws:iam::123456789012:role/x
credential_source = Ec2InstanceMetadata
region = eu-central-1
[profile role-k]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = sso-k
region = cn-north-1
[profile loop-k]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = loop-k
region = eu-west-1
[profile old-k]
sso_start_url = https://acme.awsapps.com/start
sso_region = eu-west-2
sso_account_id = 123456789012
sso_role_name = reader
[profile sso-k]
sso_session = acme
sso_account_id = 123456789012
sso_role_name = reader
[sso-session acme]
sso_region = eu-west-1
sso_start_url = https://acme.awsapps.com/start
[profile inside-k]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = files-k
region = eu-west-1
endpoint_url = https://sts.acme.test:8443
"""


@pytest.mark.parametrize(
    ("profile", "hosts"),
    [
        ("files-k", []),
        ("command-k", []),
        ("instance-k", ["sts.eu-central-1.amazonaws.com:443"]),
        (
            "role-k",
            [
                "sts.cn-north-1.amazonaws.com.cn:443",
                "portal.sso.eu-west-1.amazonaws.com:443",
                "oidc.eu-west-1.amazonaws.com:443",
            ],
        ),
        ("loop-k", ["sts.eu-west-1.amazonaws.com:443"]),
        ("old-k", ["portal.sso.eu-west-2.amazonaws.com:443"]),
        ("inside-k", ["sts.acme.test:8443"]),
    ],
)
def test_the_hosts_that_a_profile_asks_for_keys_are_known_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, hosts: list[str]
) -> None:
    (tmp_path / "config").write_text(_CONFIG)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    found = key_hosts(Connection(options={"profile": profile}))

    assert [f"{need.host}:{need.port}" for need in found] == hosts
    assert all(need.shared and not need.bulk for need in found)
