"""Stand-ins for keys: what a worker signed with one is signed anew by who has the real keys.

Both ways of signing are known, in the address and in a header; what goes out is signed in the
address, for an hour.

Source: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html (which headers have
to be signed, and how a request is spelled for it).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from batuta.connectors.aws import faults
from batuta.connectors.aws.files import split
from batuta.connectors.aws.sigv4 import Scope, presign
from batuta.connectors.aws.wire import EXPIRES_S, Bucket
from batuta.model.address import Address
from batuta.model.connector import Connection
from batuta.model.signing import HttpRequest, StandIns

_CREDENTIAL = re.compile(r"([A-Z0-9]{1,64})/\d{8}/([a-z0-9-]{1,40})/s3/aws4_request")
_HEADER = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,\s]+)")
_OF_A_SIGNATURE = frozenset(
    {
        "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signature",
        "x-amz-signedheaders", "x-amz-security-token", "x-amz-content-sha256", "authorization",
    }
)  # fmt: skip


def secrets_of(name: str) -> Mapping[str, str]:
    """Return the keys of a stand-in: of the form of real ones, and worth nothing elsewhere."""
    return {"accessKeyId": name, "secretAccessKey": name}


def name_of(request: HttpRequest) -> str | None:
    """Return whose access key a request is signed with, None where it is not signed."""
    return found[1] if (found := _scope(request)) else None


def signer(connection: Connection, address: Address) -> Callable[[HttpRequest], HttpRequest]:
    """Return what signs requests for the bucket of `address` with the keys of `connection`.

    Raises:
        ConnectorError: AWS101, AWS103 or AWS120, as for any other use of the bucket.
    """
    name, _ = split(address.inner)
    bucket = Bucket(connection, name)

    def sign(request: HttpRequest) -> HttpRequest:
        scope, (path, _, query) = _scope(request), request.target.partition("?")
        if scope is None or not _is_in(bucket, request.host, unquote(path)):
            detail = f"A worker that reads s3://{name} asked {request.host} for something else."
            raise faults.failure("AWS102", detail)
        pairs = [_pair(each) for each in query.split("&") if each]
        kept = [(k, v) for k, v in pairs if k.lower() not in _OF_A_SIGNATURE]
        headers = [(k, v) for k, v in request.headers if k not in _OF_A_SIGNATURE]
        host = dict(request.headers).get("host", request.host)
        place = Scope(request.scheme, host, scope[2], datetime.now(UTC), EXPIRES_S)
        signed = presign(
            place, bucket.keys(), request.method, unquote(path), query=kept,
            headers=[(k, v) for k, v in headers if k.startswith("x-amz-")],
        )  # fmt: skip
        parts = urlsplit(signed)
        return replace(request, target=f"{parts.path}?{parts.query}", headers=tuple(headers))

    return sign


STAND_INS = StandIns(secrets=secrets_of, name=name_of, sign=signer)


def _scope(request: HttpRequest) -> "re.Match[str] | None":
    """Return access key and region of a signature, in the query or else in the header."""
    query = request.target.partition("?")[2]
    for name, value in map(_pair, query.split("&")):
        if name.lower() == "x-amz-credential":
            return _CREDENTIAL.fullmatch(value)
    header = _HEADER.match(dict(request.headers).get("authorization", ""))
    return _CREDENTIAL.fullmatch(header[1]) if header else None


def _is_in(bucket: Bucket, host: str, path: str) -> bool:
    place = bucket.endpoint
    return host == urlsplit(f"//{place.host}").hostname and (
        path == place.base or path.startswith(f"{place.base}/")
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return unquote(name), unquote(value)
