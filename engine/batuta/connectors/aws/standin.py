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
from urllib.parse import unquote, unquote_plus, urlsplit

from batuta.connectors.aws import faults
from batuta.connectors.aws.files import split
from batuta.connectors.aws.sigv4 import Scope, presign
from batuta.connectors.aws.wire import EXPIRES_S, Bucket, Endpoint
from batuta.model.address import Address
from batuta.model.connector import Connection
from batuta.model.diagnostic import Failure
from batuta.model.request_signing import HttpRequest, Misused, StandIns

_CREDENTIAL = re.compile(r"([A-Z0-9]{1,64})/\d{8}/([a-z0-9-]{1,40})/s3/aws4_request")
_HEADER = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,\s]+)")
_OF_A_SIGNATURE = frozenset(
    {
        "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signature",
        "x-amz-signedheaders", "x-amz-security-token", "x-amz-content-sha256", "authorization",
    }
)  # fmt: skip
_SIGNED = frozenset({"x-amz-credential", "x-amz-signature", "awsaccesskeyid", "signature"})
_UNKNOWN = "?"
_PORTS = {"http": 80, "https": 443}


def secrets_of(name: str) -> Mapping[str, str]:
    """Return the keys of a stand-in: of the form of real ones, and worth nothing elsewhere."""
    return {"accessKeyId": name, "secretAccessKey": name}


def name_of(request: HttpRequest) -> str | None:
    """Return whose access key a request is signed with, None where it is not signed.

    `?` where it is signed in a way that is not known here.
    """
    query = [name.lower() for name, _ in _pairs(request.target)]
    header = [value for name, value in request.headers if name == "authorization"]
    if not header and not _SIGNED.intersection(query):
        return None
    return found[1] if (found := _scope(request)) else _UNKNOWN


def signer(connection: Connection, address: Address) -> Callable[[HttpRequest], HttpRequest]:
    """Return what signs requests for the bucket of `address` with the keys of `connection`.

    Raises:
        ConnectorError: AWS101, AWS103 or AWS120, as for any other use of the bucket.
    """
    bucket = Bucket(connection, split(address.inner)[0])
    place = bucket.endpoint

    def sign(request: HttpRequest) -> HttpRequest:
        scope, path = _scope(request), unquote(request.target.partition("?")[0])
        if scope is None or not _is_in(place, request, path):
            detail = f"What it asked {request.host} for is not in s3://{bucket.name}."
            raise Misused(faults.diagnostic("AWS126", detail), kind=Failure.PERMANENT)
        query = [(k, v) for k, v in _pairs(request.target) if k.lower() not in _OF_A_SIGNATURE]
        headers = tuple(each for each in request.headers if each[0] not in _OF_A_SIGNATURE)
        # Signed for the host that was compared, whatever else the request says.
        where = Scope(place.scheme, place.host, scope[2], datetime.now(UTC), EXPIRES_S)
        signed = presign(
            where, bucket.keys(), request.method, path, query=query,
            headers=[each for each in headers if each[0].startswith("x-amz-")],
        )  # fmt: skip
        parts = urlsplit(signed)
        return replace(request, target=f"{parts.path}?{parts.query}", headers=headers)

    return sign


STAND_INS = StandIns(secrets=secrets_of, name=name_of, sign=signer)


def _scope(request: HttpRequest) -> "re.Match[str] | None":
    """Return access key and region of a signature: there is one, in the query or in a header."""
    given = [value for name, value in _pairs(request.target) if name.lower() == "x-amz-credential"]
    headers = [value for name, value in request.headers if name == "authorization"]
    given += [found[1] if (found := _HEADER.match(each)) else "" for each in headers]
    return _CREDENTIAL.fullmatch(given[0]) if len(given) == 1 else None


def _is_in(place: Endpoint, request: HttpRequest, path: str) -> bool:
    """True where a request is for this bucket, whichever of its parts a server goes by."""
    hosts = [value for name, value in request.headers if name == "host"]
    asked = (request.scheme, request.host, request.port)
    if len(hosts) != 1 or not asked == _origin(place.scheme, hosts[0]) == _origin(
        place.scheme, place.host
    ):
        return False
    # Some servers tidy paths before they look at them, and some twice.
    steps = unquote(path).replace("\\", "/").split("/")
    inside = path == place.base or path.startswith(f"{place.base}/")
    return inside and not {".", ".."}.intersection(steps)


def _origin(scheme: str, host: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(f"{scheme}://{host}")
        return scheme, parts.hostname or "", parts.port or _PORTS.get(scheme, 0)
    except ValueError:
        return None


def _pairs(target: str) -> list[tuple[str, str]]:
    """Return the parameters of a query. Of those who ask here, none writes a plus for itself."""
    pairs = (each.partition("=") for each in target.partition("?")[2].split("&") if each)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]
