"""The vendor's file system does what the port promises, and nothing that it does by default."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import s3fs

from batuta.connectors.aws import CONNECTOR, client, faults, wire
from batuta.connectors.aws import files as aws_files
from batuta.connectors.aws.files import S3Files
from batuta.connectors.aws.hosts import hosts_for
from batuta.connectors.aws.sigv4 import Keys
from batuta.model.address import parse_address
from batuta.model.canonical import Json
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.log import UnitRef
from tests.conftest import Place
from tests.servers.faultproxy import FaultProxy, Rule

SECRETS = {"accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "secret"}


@pytest.fixture
def proxy(bucket: Place) -> Iterator[FaultProxy]:
    with FaultProxy.before(bucket.server.endpoint) as running:
        yield running


@pytest.fixture
def files(bucket: Place, proxy: FaultProxy) -> S3Files:
    return S3Files(_connection(bucket, proxy), parse_address(bucket.url))


def _connection(bucket: Place, proxy: FaultProxy) -> Connection:
    server = bucket.server
    return Connection(
        type="aws",
        region=server.region,
        options={"endpoint": proxy.endpoint},
        secrets={"accessKeyId": server.access_key, "secretAccessKey": server.secret_key},
    )


def _asked(proxy: FaultProxy) -> list[str]:
    return [each.method for each in proxy.exchanges]


@pytest.mark.parametrize(
    ("bucket", "region", "options"),
    [
        ("lake", None, {}),
        ("lake", "us-east-1", {}),
        ("lake", "eu-west-1", {}),
        ("lake.x", "eu-west-1", {}),
        ("lake", "eu-west-1", {"pathStyle": True}),
        ("lake", "cn-north-1", {}),
        ("lake", "us-gov-west-1", {}),
        ("lake", "eusc-de-east-1", {}),
        ("lake", "eu-isoe-west-1", {}),
        ("lake", "us-isof-south-1", {}),
        ("lake", "eu-west-1", {"endpoint": "https://s3.lake.test:9000/base"}),
        ("lake", "eu-west-1", {"endpoint": "https://s3.lake.test", "pathStyle": False}),
    ],
)
def test_library_and_signer_go_to_the_host_that_a_plan_names(
    bucket: str, region: str | None, options: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.test")
    monkeypatch.setenv("AWS_PROFILE", "there-is-none")
    connection = Connection(region=region, options=options, secrets=SECRETS)
    address = parse_address(f"s3://{bucket}/a/")
    (need,) = hosts_for(connection, address)
    files = S3Files(connection, address)
    (one,) = files.inputs([("k", 1, UnitRef("u", "1"))])
    asked = urlsplit(files._system().sign(f"{bucket}/a/k"))
    signed = urlsplit(one.url)
    assert (asked.hostname, asked.path) == (signed.hostname, signed.path)
    assert (asked.hostname, asked.port or 443, asked.scheme) == (need.host, need.port, need.scheme)


def test_keys_are_asked_for_anew_for_each_request(bucket: Place, proxy: FaultProxy) -> None:
    """Temporary keys that were renewed are the ones that the next request is signed with."""
    server = bucket.server
    rounds: list[Keys] = []

    def keys() -> Keys:
        rounds.append(Keys("stale" if len(rounds) == 1 else server.access_key, server.secret_key))
        return rounds[-1]

    system = client.file_system(
        keys, region=server.region, origin=proxy.endpoint, by_path=True, pays=False
    )
    assert not system.find(bucket.bucket, prefix=bucket.prefix)
    with pytest.raises(PermissionError):
        system.find(bucket.bucket, prefix=bucket.prefix)
    assert not system.find(bucket.bucket, prefix=bucket.prefix)
    assert len(rounds) == 3


def test_keys_that_cannot_be_renewed_say_so(bucket: Place, proxy: FaultProxy) -> None:
    files = S3Files(_connection(bucket, proxy), parse_address(bucket.url))

    def expired() -> Keys:
        raise faults.failure("AWS108", "The session is over.", Failure.EXPIRED)

    files._bucket.keys = expired
    with pytest.raises(ConnectorError) as caught:
        files.exists()
    assert (caught.value.diagnostics[0].code, caught.value.kind) == ("AWS108", Failure.EXPIRED)
    assert not proxy.exchanges


def test_a_verb_makes_no_more_requests_than_it_needs(
    files: S3Files, proxy: FaultProxy, tmp_path: Path
) -> None:
    files.create("a", b"abc")
    assert _asked(proxy) == ["PUT"]
    files.read("a")
    files.read("a", 2)
    list(files.list())
    list(files.list("nothing/"))
    files.exists()
    assert _asked(proxy)[1:] == ["GET"] * 5
    files.move([("a", "b")])
    assert _asked(proxy)[6:] == ["HEAD", "PUT", "POST"]


def test_what_another_writes_is_seen_at_once(files: S3Files, bucket: Place) -> None:
    """Nothing is remembered of earlier listings or of objects that were not there."""
    other = bucket.server.client()
    assert not files.exists()
    assert list(files.list()) == []
    with pytest.raises(FileNotFoundError):
        files.read("x")
    other.put_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}x", Body=b"1")
    assert files.exists()
    assert [each.path for each in files.list()] == ["x"]
    other.put_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}x", Body=b"22")
    assert [each.size_bytes for each in files.list()] == [2]
    assert files.read("x") == b"22"


def test_a_key_is_never_cut_off_or_taken_for_a_folder(files: S3Files, tmp_path: Path) -> None:
    """The library reads `?versionId=` in a name, and an object's folder as the object."""
    odd = "a?versionId=1"
    files.create("a/below", b"other")
    files.create(odd, b"odd")
    with pytest.raises(FileNotFoundError):
        files.read("a")
    with pytest.raises(FileNotFoundError):
        files.open("a?versionId=1/below")
    (tmp_path / "staged").write_bytes(b"abc")
    files.publish([(str(tmp_path / "staged"), "a")])
    assert files.read("a") == b"abc"
    files.move([(odd, "_history/1?versionId=2")])
    assert files.read("_history/1?versionId=2") == b"odd"
    assert [each.path for each in files.list()] == ["_history/1?versionId=2", "a", "a/below"]
    assert [each.path for each in files.list("_history")] == ["_history/1?versionId=2"]


def test_only_what_lies_under_the_prefix_is_there(bucket: Place, proxy: FaultProxy) -> None:
    """An object named like the folder, and a folder that begins with its name, are not in it."""
    url = f"{bucket.url}/orders/"
    files = S3Files(_connection(bucket, proxy), parse_address(url))
    other = bucket.server.client()
    for key in ("orders", "orders2/x", "order"):
        other.put_object(Bucket=bucket.bucket, Key=bucket.prefix + key, Body=b"")
    assert not files.exists()
    assert list(files.list()) == []


def test_an_object_that_is_not_deleted_is_an_error(
    files: S3Files, proxy: FaultProxy, bucket: Place
) -> None:
    proxy.add(
        Rule(
            "POST",
            status=200,
            body=b"<DeleteResult><Error><Key>kept</Key><Code>AccessDenied</Code>"
            b"<Message>Access Denied</Message></Error></DeleteResult>",
        )
    )
    with pytest.raises(ConnectorError) as caught:
        files.delete(["gone", "kept"])
    assert caught.value.diagnostics[0].code == "AWS102"
    assert "kept" in caught.value.diagnostics[0].detail


def test_more_objects_than_one_request_holds_are_deleted(
    files: S3Files, monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy
) -> None:
    monkeypatch.setattr(aws_files, "DELETE_BATCH", 2)
    for number in range(5):
        files.create(f"{number}", b"")
    files.delete([f"{number}" for number in range(5)])
    assert list(files.list()) == []
    assert _asked(proxy).count("POST") == 3


@pytest.mark.parametrize("method", ["HEAD", "PUT", "POST"])
@pytest.mark.parametrize(
    ("rule", "code", "kind"),
    [
        (Rule("", status=503, headers={"Retry-After": "7"}), "AWS106", Failure.THROTTLED),
        (Rule("", status=500), "AWS107", Failure.TRANSIENT),
        (Rule("", status=403), "AWS102", Failure.AUTH),
        (Rule("", lose_answer=True), "AWS107", Failure.TRANSIENT),
    ],
)
def test_a_failed_request_is_named_and_sent_once(
    files: S3Files, proxy: FaultProxy, method: str, rule: Rule, code: str, kind: Failure
) -> None:
    files.create("a", b"abc")
    files.read("a")  # the connection that the failing request goes out on is a kept one
    before = len(proxy.exchanges)
    proxy.add(replace(rule, match=f"^{method}", times=None))
    with pytest.raises(ConnectorError) as caught:
        files.move([("a", "b")])
    assert (caught.value.diagnostics[0].code, caught.value.kind) == (code, kind)
    assert _asked(proxy)[before:].count(method) == 1
    if rule.headers:
        assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    "rule",
    [
        Rule("GET", cut_after_bytes=2),
        Rule("GET", status=200, body=b"<ListBucketResult><Con"),
        Rule("GET", status=502, body=b"<html>bad gateway</html>"),
    ],
)
def test_an_answer_that_breaks_off_or_is_none_may_be_asked_for_again(
    files: S3Files, proxy: FaultProxy, rule: Rule
) -> None:
    files.create("a", b"abcdef")
    for verb in (lambda: list(files.list()), files.exists):
        proxy.add(rule)
        with pytest.raises(ConnectorError) as caught:
            verb()
        assert caught.value.kind is Failure.TRANSIENT
    proxy.add(Rule("GET", cut_after_bytes=2))
    with pytest.raises(ConnectorError) as caught:
        files.read("a")
    assert caught.value.kind is Failure.TRANSIENT
    assert files.read("a") == b"abcdef"


def test_a_server_that_is_not_there_is_named(bucket: Place, proxy: FaultProxy) -> None:
    connection = replace(_connection(bucket, proxy), options={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(ConnectorError) as caught:
        S3Files(connection, parse_address(bucket.url)).read("x")
    assert (caught.value.diagnostics[0].code, caught.value.kind) == ("AWS107", Failure.TRANSIENT)


def test_an_upload_that_fails_half_way_leaves_no_parts(
    files: S3Files, proxy: FaultProxy, bucket: Place, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(aws_files, "PART_BYTES", 5 << 20)
    (tmp_path / "big").write_bytes(bytes(11 << 20))
    proxy.add(Rule("partNumber=2", status=503))
    with pytest.raises(ConnectorError) as caught:
        files.publish([(str(tmp_path / "big"), "part")])
    assert caught.value.kind is Failure.THROTTLED
    left = bucket.server.client().list_multipart_uploads(Bucket=bucket.bucket)
    assert not [each for each in left.get("Uploads", []) if each["Key"].startswith(bucket.prefix)]
    files.publish([(str(tmp_path / "big"), "part")])
    assert [each.size_bytes for each in files.list()] == [11 << 20]


def test_a_bucket_in_another_region_is_not_followed_there_but_named(
    bucket: Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host there is none that a plan has named; the region to declare is said."""

    def place(_connection: Connection, name: str, _region: str) -> wire.Endpoint:
        netloc = proxy.endpoint.removeprefix("http://")
        return wire.Endpoint("http", netloc, f"/{name}", False, proxy.endpoint, True)

    monkeypatch.setattr(wire, "_endpoint", place)
    # The library asks the same place once more by itself, with another signature.
    proxy.add(Rule("GET", status=301, headers={"x-amz-bucket-region": "eu-near-1"}, times=3))
    far = replace(_connection(bucket, proxy), region="eu-far-9")
    address = parse_address(bucket.url)
    for ask in (S3Files(far, address).exists, lambda: wire.Bucket(far, bucket.bucket).objects("")):
        with pytest.raises(ConnectorError) as caught:
            ask()
        assert caught.value.diagnostics[0].code == "AWS121"
        assert "region: eu-near-1" in caught.value.diagnostics[0].detail


def test_the_wrong_region_of_a_stated_endpoint_is_named(files: S3Files, proxy: FaultProxy) -> None:
    proxy.add(Rule("GET", status=301, body=b"<Error><Code>PermanentRedirect</Code></Error>"))
    with pytest.raises(ConnectorError) as caught:
        files.exists()
    assert caught.value.diagnostics[0].code == "AWS121"


def test_requests_that_are_paid_for_say_so(bucket: Place, proxy: FaultProxy) -> None:
    connection = _connection(bucket, proxy)
    paying = replace(connection, options={**connection.options, "requesterPays": True})
    files = S3Files(paying, parse_address(bucket.url))
    files.create("a", b"abc")
    files.read("a")
    list(files.list())
    files.move([("a", "b")])
    heads = [each.headers.get("x-amz-request-payer") for each in proxy.exchanges]
    assert heads == ["requester"] * len(proxy.exchanges)


def test_equal_places_share_a_client_and_others_do_not(bucket: Place, proxy: FaultProxy) -> None:
    """What is shared is what all of keys, region and endpoint are the same for; never more."""
    connection, address = _connection(bucket, proxy), parse_address(bucket.url)
    one = S3Files(connection, address)
    assert one._system() is S3Files(connection, parse_address(f"{bucket.url}/b/"))._system()
    for other in (
        replace(connection, secrets={**connection.secrets, "sessionToken": "t"}),
        replace(connection, secrets={**connection.secrets, "secretAccessKey": "x"}),
        replace(connection, region="eu-far-9"),
        replace(connection, options={**connection.options, "requesterPays": True}),
        replace(connection, options={"endpoint": bucket.server.endpoint}),
    ):
        assert one._system() is not S3Files(other, address)._system()
    assert not s3fs.S3FileSystem._cache


def test_many_threads_ask_through_one_client(files: S3Files) -> None:
    seen: list[bool] = []
    threads = [threading.Thread(target=lambda: seen.append(files.exists())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 8


def test_a_forked_child_has_a_client_of_its_own(files: S3Files) -> None:
    """The threads that serve the parent's client are not there after a fork."""
    files.create("a", b"abc")
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        child = os.fork()
    if not child:
        os.write(writing, files.read("a"))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        assert answer.read() == b"abc"
    assert os.waitpid(child, 0)[1] == 0


def test_a_worker_signs_without_the_library() -> None:
    code = (
        "import json, sys\n"
        "from batuta.connectors.aws import CONNECTOR\n"
        "from batuta.model.address import parse_address\n"
        "from batuta.model.connector import Connection\n"
        "from batuta.model.log import UnitRef\n"
        f"c = Connection(region='eu-west-1', secrets={SECRETS!r})\n"
        "f = CONNECTOR.files(c, parse_address('s3://lake/a/'))\n"
        "f.inputs([('k', 1, UnitRef('u', '1'))])\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert not {"s3fs", "aiohttp", "botocore"} & set(json.loads(done.stdout))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONNECTOR.missing() is None
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert CONNECTOR.missing() == "s3fs"


class _Empty(BaseHTTPRequestHandler):
    """Answers every listing with nothing."""

    def do_GET(self) -> None:
        body = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
        self.send_response(200)
        self.send_header("Content-Length", f"{len(body)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the URL of a server whose certificate nobody knows, and that certificate."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", str(cert), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with ThreadingHTTPServer(("localhost", 0), _Empty) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refusals are wanted
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}", cert
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_an_authority_is_trusted_where_the_rest_of_batuta_trusts_it(
    secure: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, cert = secure
    connection = Connection(region="x", options={"endpoint": url}, secrets=SECRETS)
    with pytest.raises(ConnectorError) as caught:
        S3Files(connection, parse_address("s3://lake/a/")).exists()
    assert (caught.value.diagnostics[0].code, caught.value.kind) == ("AWS107", Failure.PERMANENT)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    connection = replace(connection, region="y")  # a client has one trust for its life
    assert not S3Files(connection, parse_address("s3://lake/a/")).exists()
    other = replace(connection, options={"endpoint": url.replace("localhost", "127.0.0.1")})
    with pytest.raises(ConnectorError) as caught:
        S3Files(other, parse_address("s3://lake/a/")).exists()
    assert caught.value.kind is Failure.PERMANENT


class ClientHttpProxyError(Exception):
    """Named and filled in as the HTTP client's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@pytest.mark.parametrize(
    ("status", "said", "code", "kind"),
    [
        (403, "host.not_allowed", "AWS124", Failure.PERMANENT),
        (403, "budget.upload", "AWS124", Failure.PERMANENT),
        (502, "connect.failed", "AWS107", Failure.TRANSIENT),
        (502, "dns.nxdomain", "AWS125", Failure.PERMANENT),
    ],
)
def test_what_the_gateway_refuses_or_no_resolver_knows_is_not_tried_again(
    status: int, said: str, code: str, kind: Failure
) -> None:
    try:
        try:
            raise ClientHttpProxyError(status, said)
        except ClientHttpProxyError:
            raise OSError("Failed to connect to proxy URL")  # noqa: B904 - as the library does
    except OSError as error:
        found = faults.of_exception("Listing s3://lake/", error)
    assert (found.diagnostics[0].code, found.kind) == (code, kind)
    assert said in found.diagnostics[0].detail or "does not resolve" in found.diagnostics[0].detail
    assert "proxy" not in found.diagnostics[0].detail
    assert ("`maxUpload`" in found.diagnostics[0].fix) == (said == "budget.upload")
