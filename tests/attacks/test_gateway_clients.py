"""Client libraries go through the gateway with nothing but the variables they are given.

Each runs in a process of its own with an empty environment otherwise, resolves nothing (the
names exist in the gateway alone), and reads an object that only the far side has.
"""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.connectors.aws.environment import CLIENT_ENVIRONMENT
from batuta.connectors.aws.link import connect
from batuta.connectors.aws.wire import Bucket
from batuta.model.canonical import Json
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.log import UnitRef
from batuta.model.transfer import CopyItem, Input
from batuta.runtime import mover
from batuta.runtime.egress.session import client_environment
from batuta.runtime.mover_request import Proxy, use_proxy
from tests.attacks.far_side import BIG
from tests.attacks.gateway_lab import Lab, inspected, lab, rule

BUCKET = "good-bucket.s3.eu-central-1.amazonaws.com"
KEYS = "key='AK', secret='SK'"
OPTIONS = (
    "{'AWS_ACCESS_KEY_ID': 'AK', 'AWS_SECRET_ACCESS_KEY': 'SK', 'AWS_REGION': 'eu-central-1', "
    "'AWS_VIRTUAL_HOSTED_STYLE_REQUEST': 'true'}"
)
CLIENTS = {
    "urllib": f"""
import urllib.request
content = urllib.request.urlopen('https://{BUCKET}/t.parquet').read()
""",
    "botocore": """
from botocore.session import Session
client = Session().create_client('s3', region_name='eu-central-1', aws_access_key_id='AK',
                                 aws_secret_access_key='SK')
content = client.get_object(Bucket='good-bucket', Key='t.parquet')['Body'].read()
client.close()
""",
    "s3fs": f"""
import s3fs
fs = s3fs.S3FileSystem({KEYS}, client_kwargs=dict(region_name='eu-central-1'))
content = fs.cat_file('good-bucket/t.parquet')
""",
    "obstore": """
import obstore
from obstore.store import S3Store
store = S3Store('good-bucket', region='eu-central-1', access_key_id='AK', secret_access_key='SK',
                virtual_hosted_style_request=True)
content = bytes(obstore.get(store, 't.parquet').bytes())
""",
    "polars": f"""
import polars
options = {OPTIONS}
frame = polars.read_parquet('s3://good-bucket/t.parquet', storage_options=options)
assert frame['n'].to_list() == [1, 2, 3]
content = EXPECTED
""",
    "pyarrow": """
import os
from urllib.parse import urlsplit
from pyarrow.fs import S3FileSystem
proxy = urlsplit(os.environ['HTTPS_PROXY'])
fs = S3FileSystem(access_key='AK', secret_key='SK', region='eu-central-1', force_virtual_addressing=True,
                  proxy_options={'scheme': 'http', 'host': proxy.hostname, 'port': proxy.port})
content = fs.open_input_file('good-bucket/t.parquet').read()
""",
    "deltalake": f"""
from deltalake import DeltaTable
try:
    DeltaTable('s3://good-bucket/table', storage_options={OPTIONS})
except Exception as error:
    print(error)
content = EXPECTED
""",
}


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": [1, 2, 3]}), sink)
    return sink.getvalue()


def _run(here: Lab, code: str, folder: Path) -> str:
    body = _parquet()
    expected = folder / "expected"
    expected.write_bytes(body)
    here.far.good.answers["/t.parquet"] = (
        200,
        {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
        body,
    )
    script = f"EXPECTED = open({str(expected)!r}, 'rb').read()\n{code}\nassert content == EXPECTED"
    environment = client_environment(here.door.address, here.run.ca_file, CLIENT_ENVIRONMENT)
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, "HOME": str(folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("mode", ["tunnel", "inspect"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_gets_through(tmp_path: Path, name: str, mode: str) -> None:
    allow = [rule(BUCKET, inspect=mode == "inspect", methods=("GET", "HEAD"))]
    with lab(tmp_path, allow) as here:
        said = _run(here, CLIENTS[name], tmp_path)

        seen = here.far.good.requests
        assert seen, said
        assert {each.headers["host"] for each in seen} == {BUCKET}
        assert {row.host for row in here.rows()} == {BUCKET}, here.rows()
        if mode == "inspect":
            assert not any("authorization" in each.headers for each in seen)


def test_a_client_elsewhere_is_refused(tmp_path: Path) -> None:
    code = """
import urllib.error, urllib.request
try:
    urllib.request.urlopen('https://evil.test/')
except urllib.error.URLError as error:
    assert 'host.not_allowed' in str(error), error
content = EXPECTED
"""
    with lab(tmp_path, [rule(BUCKET)]) as here:
        _run(here, code, tmp_path)

        assert here.last().code == "host.not_allowed"
        assert here.far.looked_up == []


@contextmanager
def _through(here: Lab) -> Iterator[None]:
    use_proxy(Proxy(*here.door.address, ca_file=str(here.run.ca_file)))
    try:
        yield
    finally:
        use_proxy(None)


def _item(url: str, key: str) -> CopyItem:
    source = Input(key=key, url=url, size_bytes=len(BIG), validator="")
    return CopyItem(input=source, unit=UnitRef(key, ""), name=key)


@pytest.mark.parametrize("mode", ["tunnel", "inspect"])
def test_the_mover_gets_through(tmp_path: Path, mode: str) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    with lab(tmp_path, [inspected() if mode == "inspect" else rule("api.good.test")]) as here:
        with _through(here):
            items = [_item(f"https://api.good.test/big?part={n}", f"o{n}") for n in range(4)]
            parts = mover.fetch(items, staging, threads=2)

        assert [part.size_bytes for part in parts] == [len(BIG)] * 4
        ends = [row for row in here.rows() if row.event == "end"]
        assert sum(row.down for row in ends) >= 4 * len(BIG)
        assert here.far.good.connections <= 2


def test_the_mover_gets_through_to_a_plain_endpoint(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    with lab(tmp_path) as here:
        with _through(here):
            mover.fetch([_item("http://10.9.9.9:9000/big?x=1", "o")], staging)

        assert (staging / "o").read_bytes() == BIG
        assert [seen.target for seen in here.far.plain.requests] == ["/big?x=1"]


@pytest.mark.parametrize("url", ["https://evil.test/big", "http://evil.test/big"])
def test_a_refusal_of_the_gateway_is_final(tmp_path: Path, url: str) -> None:
    with lab(tmp_path) as here:
        with _through(here), pytest.raises(ConnectorError) as error:
            mover.fetch([_item(url, "o")], tmp_path)

        assert error.value.diagnostics[0].code == "WRK114"
        assert error.value.kind is Failure.PERMANENT
        assert here.last().code in error.value.diagnostics[0].detail


def test_a_host_whose_name_does_not_resolve_is_no_refusal_and_not_tried_again(
    tmp_path: Path,
) -> None:
    with lab(tmp_path) as here:
        with _through(here), pytest.raises(ConnectorError) as error:
            mover.fetch([_item("https://typo.prod.good.test/big", "o")], tmp_path)

        assert error.value.diagnostics[0].code == "WRK115"
        assert error.value.kind is Failure.PERMANENT
        assert here.far.looked_up == ["typo.prod.good.test"]
        assert (here.last().verdict, here.last().code) == ("fail", "dns.nxdomain")


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_the_lister_gets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with lab(tmp_path) as here:
        for name, value in client_environment(here.door.address, here.run.ca_file).items():
            monkeypatch.setenv(name, value)
        netloc = BUCKET if scheme == "https" else "10.9.9.9:9000"
        monkeypatch.setattr("batuta.connectors.aws.link._tls", _fresh_tls)
        link = connect(scheme, netloc, 5)
        link.request("GET", "/?list-type=2")
        assert link.getresponse().read() == b"sink"
        link.close()
        sink = here.far.good if scheme == "https" else here.far.plain
        assert [(seen.target, seen.headers["host"]) for seen in sink.requests] == [
            ("/?list-type=2", netloc)
        ]


@pytest.mark.parametrize(
    ("endpoint", "code", "tries"),
    [
        ("https://evil.test", "AWS124", Failure.PERMANENT),
        ("http://evil.test", "AWS124", Failure.PERMANENT),
        ("https://typo.prod.good.test", "AWS125", Failure.PERMANENT),
        ("https://dead.prod.good.test", "AWS107", Failure.TRANSIENT),
    ],
)
def test_the_lister_says_what_the_gateway_said_and_tries_again_only_what_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, code: str, tries: Failure
) -> None:
    options: dict[str, Json] = {"endpoint": endpoint, "pathStyle": True}
    secrets = {"accessKeyId": "id", "secretAccessKey": "key"}
    bucket = Bucket(Connection(type="aws", options=options, secrets=secrets), "lake")
    with lab(tmp_path) as here:
        here.far.names["dead.prod.good.test"] = ("23.20.0.99",)
        for name, value in client_environment(here.door.address, here.run.ca_file).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConnectorError) as error:
            bucket.ask("GET")
        assert (error.value.diagnostics[0].code, error.value.kind) == (code, tries)


def _fresh_tls() -> object:
    import ssl

    return ssl.create_default_context()
