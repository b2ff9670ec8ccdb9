"""Signed addresses: the same ones that the vendor's own signer makes, and no vendor in them."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from batuta.connectors.aws import CONNECTOR, faults
from batuta.connectors.aws.listing import parse_page
from batuta.connectors.aws.sigv4 import Keys, Scope, encode, presign
from batuta.connectors.aws.wire import Bucket
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError

PAGES = Path(__file__).parents[3] / "engine/batuta/cli/pages"
SECRETS = {"accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "secret"}


@pytest.mark.parametrize("token", [None, "a/b+c=="])
@pytest.mark.parametrize("key", ["plain", "a b/ü~é", "x=1/y&z+?#%", "//odd//", "100%25"])
def test_our_signature_is_the_vendors(key: str, token: str | None) -> None:
    now = datetime.now(UTC)
    scope = Scope("https", "bucket.s3.eu-central-1.amazonaws.com", "eu-central-1", now, 600)
    headers = {"x-amz-copy-source": "/b/k"}
    query = [("versionId", "a/b+c"), ("partNumber", "1")]
    ours = presign(
        scope, Keys("AK", "secret", token), "PUT", f"/{key}", query=query, headers=headers.items()
    )
    base = f"https://{scope.host}{encode('/' + key, slashes=True)}"
    text = "&".join(f"{encode(k)}={encode(v)}" for k, v in query)
    request = AWSRequest(method="PUT", url=f"{base}?{text}", headers=headers)
    signer = S3SigV4QueryAuth(Credentials("AK", "secret", token), "s3", scope.region, expires=600)
    signer.add_auth(request)
    vendors = dict(part.partition("=")[::2] for part in request.url.partition("?")[2].split("&"))
    found = dict(part.partition("=")[::2] for part in ours.partition("?")[2].split("&"))
    if found["X-Amz-Date"] != vendors["X-Amz-Date"]:
        pytest.skip("the second changed between the two signatures")
    assert found == vendors


def test_the_record_imports_nothing_heavy() -> None:
    code = (
        "import sys, batuta.connectors.aws, batuta.connectors.local;"
        "print([m for m in ('botocore', 'pyarrow', 'http.client', 'ssl') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_environment_becomes_options_and_references_never_secrets() -> None:
    assert CONNECTOR.implicit is not None
    found = CONNECTOR.implicit(
        {
            "AWS_ENDPOINT_URL": "http://other.test",
            "AWS_ENDPOINT_URL_S3": "http://s3.test",
            "AWS_REGION": "eu-west-1",
            "AWS_PROFILE": "lake",
            "AWS_ACCESS_KEY_ID": "AKIA",
            "AWS_SECRET_ACCESS_KEY": "topsecret",
        }
    )
    assert found == {
        "endpoint": "http://s3.test",
        "region": "eu-west-1",
        "profile": "lake",
        "credentials": {
            "accessKeyId": "env:AWS_ACCESS_KEY_ID",
            "secretAccessKey": "env:AWS_SECRET_ACCESS_KEY",
        },
    }
    assert CONNECTOR.implicit({}) == {}


@pytest.mark.parametrize(
    ("bucket", "fields", "url"),
    [
        ("lake", {"region": "eu-west-1"}, "https://lake.s3.eu-west-1.amazonaws.com/k"),
        ("lake", {"region": "cn-north-1"}, "https://lake.s3.cn-north-1.amazonaws.com.cn/k"),
        ("lake", {"region": "eusc-de-east-1"}, "https://lake.s3.eusc-de-east-1.amazonaws.eu/k"),
        ("la.ke", {"region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/la.ke/k"),
        ("lake", {"options": {"endpoint": "http://s3.test:9000"}}, "http://s3.test:9000/lake/k"),
        (
            "lake",
            {"options": {"endpoint": "https://s3.test/base/", "pathStyle": False}},
            "https://lake.s3.test/base/k",
        ),
        ("lake", {"endpoints": ("vpce-1.s3.test",)}, "https://vpce-1.s3.test/lake/k"),
    ],
)
def test_each_bucket_has_its_address(bucket: str, fields: dict[str, object], url: str) -> None:
    connection = Connection(secrets=SECRETS, **fields)  # type: ignore[arg-type]  # test data
    signed = Bucket(connection, bucket).sign("GET", "k")
    assert signed.partition("?")[0] == url
    assert "secret" not in signed


def test_requester_pays_is_part_of_the_signature() -> None:
    bucket = Bucket(Connection(secrets=SECRETS, options={"requesterPays": True}), "lake")
    assert "x-amz-request-payer=requester" in bucket.sign("GET", "k")


@pytest.mark.parametrize(
    ("bucket", "fields", "code"),
    [
        ("a/b", {}, "AWS103"),
        ("", {}, "AWS103"),
        ("lake", {"options": {"endpoint": "ftp://x.test"}}, "AWS120"),
        ("lake", {"options": {"endpoint": "http://u:p@x.test"}}, "AWS120"),
        ("lake", {"region": "eu west"}, "AWS120"),
        ("lake", {"secrets": {"accessKeyId": "A"}}, "AWS101"),
    ],
)
def test_wrong_options_are_named(bucket: str, fields: dict[str, object], code: str) -> None:
    given: dict[str, object] = {"secrets": SECRETS, **fields}
    with pytest.raises(ConnectorError) as caught:
        Bucket(Connection(**given), bucket)  # type: ignore[arg-type]  # test data
    assert caught.value.diagnostics[0].code == code


def test_keys_come_from_the_named_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "config").write_text("[profile lake-x]\nregion = eu-north-1\n[profile bare-x]\n")
    (tmp_path / "credentials").write_text(
        "[lake-x]\naws_access_key_id = AKIDFILE\naws_secret_access_key = s\n"
    )
    signed = Bucket(Connection(options={"profile": "lake-x"}), "lake").sign("GET", "k")
    assert "AKIDFILE" in signed
    assert "eu-north-1" in signed
    for profile in ("bare-x", "missing-x"):
        with pytest.raises(ConnectorError) as caught:
            Bucket(Connection(options={"profile": profile}), "lake")
        assert caught.value.diagnostics[0].code == "AWS101"


def _page(*rows: str, encoded: bool = False) -> str:
    kind = "<EncodingType>url</EncodingType>" if encoded else ""
    contents = "".join(f"<Contents>{row}</Contents>" for row in rows)
    return f"<ListBucketResult>{kind}{contents}</ListBucketResult>"


def test_a_page_gives_keys_as_they_are() -> None:
    row = "<Key>{}</Key><ETag>&quot;x&quot;</ETag><Size>3</Size>"
    keys = [each.key for each in parse_page(_page(row.format("a &amp; b+c%20")))]
    assert keys == ["a & b+c%20"]
    keys = [each.key for each in parse_page(_page(row.format("a+b%2Bc%0A"), encoded=True))]
    assert keys == ["a b+c\n"]


def test_archived_objects_are_told_from_restored_ones() -> None:
    row = "<Key>k</Key><ETag>x</ETag><Size>3</Size><StorageClass>{}</StorageClass>{}"
    restored = "<RestoreStatus><RestoreExpiryDate>2026</RestoreExpiryDate></RestoreStatus>"
    page = _page(
        row.format("GLACIER", ""),
        row.format("DEEP_ARCHIVE", ""),
        row.format("GLACIER", restored),
        row.format("GLACIER_IR", ""),
        row.format("STANDARD", ""),
    )
    assert [each.archived for each in parse_page(page)] == [True, True, False, False, False]


def test_a_row_that_lacks_something_is_refused() -> None:
    with pytest.raises(ConnectorError) as caught:
        parse_page(_page("<Key>k</Key><Size>3</Size>"))
    assert caught.value.diagnostics[0].code == "AWS110"


@pytest.mark.parametrize("code", sorted(faults.SUMMARIES))
def test_every_code_has_its_page(code: str) -> None:
    first = (PAGES / f"{code}.md").read_text().partition("\n")[0]
    assert first == f"# {code}: {faults.SUMMARIES[code]}"
