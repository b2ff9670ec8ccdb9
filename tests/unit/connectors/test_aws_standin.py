"""What a stand-in signed is signed anew with the real keys, and nothing else is."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from batuta.connectors.aws.standin import STAND_INS
from batuta.connectors.aws.wire import Bucket
from batuta.model.address import parse_address
from batuta.model.canonical import Json
from batuta.model.connector import Connection
from batuta.model.request_signing import HttpRequest, Misused

NAME = "0123456789ABCDEF0123"
REAL = {"accessKeyId": "AKREAL", "secretAccessKey": "real/secret", "sessionToken": "tok+en="}
OPTIONS: Mapping[str, Json] = {
    "endpoint": "http://127.0.0.1:8333",
    "pathStyle": True,
    "region": "eu-central-1",
}
PLACE = parse_address("s3://lake/raw/")
HEADER = f"AWS4-HMAC-SHA256 Credential={NAME}/20260101/eu-west-1/s3/aws4_request, Signature=0"


def _bucket(secrets: dict[str, str], options: Mapping[str, Json] | None = None) -> Bucket:
    connection = Connection(secrets=secrets, options=OPTIONS if options is None else options)
    return Bucket(connection, "lake")


def _request(url: str, *headers: tuple[str, str], method: str = "GET") -> HttpRequest:
    parts = urlsplit(url)
    return HttpRequest(
        scheme=parts.scheme, method=method, host=parts.hostname or "", port=parts.port or 443,
        target=f"{parts.path}?{parts.query}", headers=(("host", parts.netloc), *headers),
    )  # fmt: skip


def _signed(request: HttpRequest, options: Mapping[str, Json] | None = None) -> HttpRequest:
    connection = Connection(secrets=REAL, options=OPTIONS if options is None else options)
    return STAND_INS.sign(connection, PLACE)(request)


@pytest.mark.parametrize("options", [OPTIONS, {"region": "eu-west-1"}], ids=["path", "host"])
@pytest.mark.parametrize("key", ["", "raw/a b+c=é&x.parquet", "raw/plain"])
def test_an_address_that_a_stand_in_signed_is_signed_anew(
    key: str, options: Mapping[str, Json]
) -> None:
    ours = _bucket(dict(STAND_INS.secrets(NAME)), options)
    query = [("list-type", "2"), ("prefix", "raw/é +"), ("versionId", "v==")]
    amz = ("x-amz-request-payer", "requester")
    request = _request(ours.sign("GET", key, query, [amz]), amz, ("if-match", '"e"'))
    assert STAND_INS.name(request) == NAME

    signed = _signed(request, options)

    told = parse_qs(signed.target.partition("?")[2])
    assert told["X-Amz-Credential"][0].startswith("AKREAL/")
    assert told["X-Amz-Security-Token"] == [REAL["sessionToken"]]
    assert told["X-Amz-SignedHeaders"] == ["host;x-amz-request-payer"]
    assert [told[name] for name, _ in query] == [[value] for _, value in query]
    assert NAME not in str(signed)
    assert signed.headers == request.headers
    assert signed.target.partition("?")[0] == request.target.partition("?")[0]


def test_a_signature_in_a_header_becomes_one_in_the_address() -> None:
    given = (("authorization", HEADER), ("x-amz-date", "20260101T000000Z"), ("range", "bytes=0-1"),
             ("x-amz-content-sha256", "e3b0"))  # fmt: skip
    request = _request("http://127.0.0.1:8333/lake/raw/a%20b", *given)
    assert STAND_INS.name(request) == NAME

    signed = _signed(request)

    assert dict(signed.headers) == {"host": "127.0.0.1:8333", "range": "bytes=0-1"}
    assert signed.target.startswith("/lake/raw/a%20b?")
    told = parse_qs(signed.target.partition("?")[2])
    assert "/eu-west-1/" in told["X-Amz-Credential"][0]


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("http://127.0.0.1:8333/", ()),
        ("http://127.0.0.1:8333/other/raw/a", ()),
        ("http://127.0.0.1:8333/lakes/a", ()),
        ("http://lake.elsewhere.test/lake/a", ()),
        ("http://127.0.0.1:9999/lake/a", ()),
        ("https://127.0.0.1:8333/lake/a", ()),
        ("http://127.0.0.1:8333/lake/../other/a", ()),
        ("http://127.0.0.1:8333/lake/%2e%2E/other/a", ()),
        ("http://127.0.0.1:8333/lake/%252e%252e/other/a", ()),
        ("http://127.0.0.1:8333/lake/..%5cother", ()),
        ("http://127.0.0.1:8333/lake/a", (("host", "payroll.127.0.0.1:8333"),)),
        ("http://127.0.0.1:8333/lake/a?X-Amz-Credential=A/20260101/r/s3/aws4_request", ()),
    ],
)
def test_nothing_is_signed_for_another_bucket(url: str, more: tuple[tuple[str, str], ...]) -> None:
    request = _request(url, ("authorization", HEADER), *more)

    with pytest.raises(Misused, match="AWS126"):
        _signed(request)


def test_a_host_header_cannot_lead_to_another_bucket_of_the_same_store() -> None:
    """Stores choose the bucket by this header."""
    options: Mapping[str, Json] = {"region": "eu-west-1"}
    request = _request("https://lake.s3.eu-west-1.amazonaws.com/a", ("authorization", HEADER))
    assert "X-Amz-Signature" in _signed(request, options).target
    other = replace(
        request, headers=(("host", "payroll.s3.eu-west-1.amazonaws.com"), *request.headers[1:])
    )

    with pytest.raises(Misused, match="AWS126"):
        _signed(other, options)


def test_a_blank_that_is_written_as_a_plus_stays_a_blank() -> None:
    """Libraries write the prefixes of their listings as forms do."""
    url = "http://127.0.0.1:8333/lake?list-type=2&prefix=my+table%2Bx%2F_delta_log%2F"

    signed = _signed(_request(url, ("authorization", HEADER)))

    assert "prefix=my%20table%2Bx%2F_delta_log%2F" in signed.target


def test_what_is_not_signed_is_nobodys_and_what_another_signed_is_his() -> None:
    plain = _request("http://127.0.0.1:8333/lake/a?list-type=2")
    assert STAND_INS.name(plain) is None
    for header in ("Bearer x", "AWS AKID:signature", "AWS4-HMAC-SHA256 Credential=x"):
        given = replace(plain, headers=(("authorization", header),))
        assert STAND_INS.name(given) not in {None, NAME}
    for query in ("X-Amz-Credential=x", "AWSAccessKeyId=AK&Signature=x", "X-Amz-Signature=x"):
        assert STAND_INS.name(replace(plain, target=f"/lake/a?{query}")) not in {None, NAME}
    theirs = "X-Amz-Credential=AK/20260101/eu-west-1/s3/aws4_request"
    both = replace(plain, target=f"/a?{theirs}", headers=(("authorization", HEADER),))
    assert STAND_INS.name(both) not in {None, NAME}
