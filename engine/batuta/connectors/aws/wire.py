"""A bucket as a source asks for it, over the standard library's HTTP client: only reading.

Every request is a signed address, so that the same signer serves this process and the workers
that hold no keys. Nothing is retried here: one layer, the caller, owns retries. A bucket that
turns out to be in another region is not followed there: that host is one that no plan has named.
"""

import http.client
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from batuta.connectors.aws import faults
from batuta.connectors.aws.client import keys_of, region_of
from batuta.connectors.aws.hosts import DEFAULT_REGION, host_of
from batuta.connectors.aws.link import connect
from batuta.connectors.aws.listing import Object, next_token, parse_page
from batuta.connectors.aws.sigv4 import Keys, Scope, presign
from batuta.model.connector import Connection
from batuta.model.diagnostic import Failure

EXPIRES_S = 3600
TIMEOUT_S = 60.0
BLOCK_BYTES = 1024 * 1024
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
# As http.client words it, with the verdict that batuta's gateway gives as the reason.
_TUNNEL = re.compile(r"Tunnel connection failed: (403|502) ([a-z]+\.[a-z_]+)")
_VERDICT = "x-batuta-verdict"
_REGION = re.compile(r"[a-z0-9-]{1,40}")


class Answer(NamedTuple):
    """Status, headers with names in lower case, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a bucket is reached. `origin` is the service's URL, without the bucket."""

    scheme: str
    host: str
    base: str
    custom: bool
    origin: str
    by_path: bool


class _Kept:
    """A thread's connection; it is closed when the thread ends or the bucket is forgotten."""

    def __init__(self, netloc: str, link: http.client.HTTPConnection) -> None:
        self.netloc = netloc
        self.link = link

    def __del__(self) -> None:
        self.link.close()


class Bucket:
    """One bucket. Calls may come from several threads; each has a connection of its own."""

    def __init__(self, connection: Connection, name: str) -> None:
        """Check the options; nothing is sent yet.

        Raises:
            ConnectorError: AWS101, AWS103 or AWS120.
        """
        if not _BUCKET.fullmatch(name):
            raise faults.failure("AWS103", f"`{name}` is no name of a bucket.")
        self.name = name
        self.keys: Callable[[], Keys] = keys_of(connection)
        self.pays = connection.options.get("requesterPays") is True
        self._local = threading.local()
        region = region_of(connection) or DEFAULT_REGION
        if not _REGION.fullmatch(region):
            raise faults.failure("AWS120", f"`{region}` is no region.")
        self.region = region
        self.endpoint = _endpoint(connection, name, region)

    def sign(
        self,
        method: str,
        key: str,
        query: Iterable[tuple[str, str]] = (),
        headers: Iterable[tuple[str, str]] = (),
    ) -> str:
        """Return a signed address for `key` (empty: the bucket), good for an hour."""
        scope = Scope(
            self.endpoint.scheme, self.endpoint.host, self.region, datetime.now(UTC), EXPIRES_S
        )
        pays = (("x-amz-request-payer", "requester"),) if self.pays else ()
        path = (
            f"{self.endpoint.base}/{key}" if key or not self.endpoint.base else self.endpoint.base
        )
        return presign(scope, self.keys(), method, path, query=(*query, *pays), headers=headers)

    def ask(
        self,
        method: str,
        key: str = "",
        *,
        query: Iterable[tuple[str, str]] = (),
        amz: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return its answer, whatever its status.

        Args:
            amz: Headers whose names start with `x-amz-`; they are signed.

        Raises:
            ConnectorError: AWS107, AWS124 or AWS125 where no answer came, AWS121 where the bucket is
                elsewhere.
        """
        signed = amz or {}
        answer = self._send(method, self.sign(method, key, query, signed.items()), signed)
        self.refuse_elsewhere(_other_region(answer))
        return answer

    def refuse_elsewhere(self, region: str | None) -> None:
        """Go on where an answer named no region, or the one that was asked.

        Raises:
            ConnectorError: AWS121, naming the region to declare.
        """
        if region is None or region == self.region or self.endpoint.custom:
            return
        detail = f"s3://{self.name} is in {region}, and was looked for in {self.region}. Declare"
        raise faults.failure("AWS121", f"{detail} `region: {region}`.")

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}"
        for fresh in (False, True):
            link, kept = self._link(parts.scheme, parts.netloc, fresh)
            try:
                link.request(method, target, headers=dict(headers))
                answer = self._read(link.getresponse())
            except (http.client.HTTPException, OSError) as error:
                self._local.link = None
                link.close()
                if not (kept and _was_idle(error)):
                    raise self._unreachable(error) from error
            else:
                if (said := answer.headers.get(_VERDICT)) is not None:
                    raise faults.of_gateway(self.endpoint.host, answer.status, said)
                return answer
        raise AssertionError("unreachable: a fresh connection answers or raises")

    def _link(
        self, scheme: str, netloc: str, fresh: bool
    ) -> tuple[http.client.HTTPConnection, bool]:
        """Return this thread's connection, and whether it had served before."""
        kept: tuple[str, http.client.HTTPConnection] | None = getattr(self._local, "link", None)
        if kept is not None and kept[0] == netloc and not fresh:
            return kept[1], True
        if kept is not None:
            kept[1].close()
        link = connect(scheme, netloc, TIMEOUT_S)
        self._local.link = (netloc, link)
        return link, False

    def _read(self, reply: http.client.HTTPResponse) -> Answer:
        names = {name.lower(): value for name, value in reply.getheaders()}
        if reply.length is None:
            content = reply.read(ANSWER_LIMIT_BYTES)
        elif reply.length <= ANSWER_LIMIT_BYTES:
            content = reply.read()
        else:
            content = b""
        if not reply.isclosed():
            self._local.link = None
            detail = f"{self.endpoint.host} answered with more than {ANSWER_LIMIT_BYTES} bytes."
            raise faults.failure("AWS110", detail)
        return Answer(reply.status, names, content)

    def _unreachable(self, error: Exception) -> Exception:
        why = str(error) or type(error).__name__
        if (said := _TUNNEL.fullmatch(why)) is not None:
            return faults.of_gateway(self.endpoint.host, int(said[1]), said[2])
        final = isinstance(error, ssl.SSLCertVerificationError)
        kind = Failure.PERMANENT if final else Failure.TRANSIENT
        return faults.failure("AWS107", f"{self.endpoint.host}: {why}.", kind)

    def expect(self, answer: Answer, what: str, *statuses: int) -> Answer:
        """Return `answer` where it is one of `statuses` and holds no error, whatever its status.

        Raises:
            ConnectorError: AWS1xx.
        """
        if answer.status not in statuses or faults.said(answer.body).code:
            retry_after = answer.headers.get("retry-after")
            raise faults.of_answer(what, answer.status, answer.body, retry_after)
        return answer

    def pages(self, prefix: str) -> Iterator[list[Object]]:
        """Yield the objects under `prefix`, a page at a time, in the store's order.

        Raises:
            ConnectorError: AWS1xx.
        """
        token = ""
        while True:
            query = [("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix)]
            if token:
                query.append(("continuation-token", token))
            amz = {"x-amz-optional-object-attributes": "RestoreStatus"}
            answer = self.ask("GET", query=query, amz=amz)
            self.expect(answer, f"Listing s3://{self.name}/{prefix}", 200)
            text = answer.body.decode("utf-8", "replace")
            yield parse_page(text)
            following = next_token(text)
            if following is None:
                return
            if following in {"", token}:
                detail = f"The listing of s3://{self.name}/{prefix} does not go on where it says."
                raise faults.failure("AWS110", detail)
            token = following

    def objects(self, prefix: str) -> list[Object]:
        """Return the objects under `prefix` in byte order of their keys.

        S3 lists them so; directory buckets and some other stores do not.
        """
        found = [each for page in self.pages(prefix) for each in page]
        return sorted(found, key=lambda each: each.key)


def _endpoint(connection: Connection, bucket: str, region: str) -> Endpoint:
    stated = connection.options.get("endpoint") or next(iter(connection.endpoints), None)
    custom = isinstance(stated, str)
    text = stated if isinstance(stated, str) else f"https://{host_of('path', region)}"
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise faults.failure("AWS120", f"`endpoint` is `{text}`, which is no http or https URL.")
    wanted = connection.options.get("pathStyle")
    by_path = wanted if isinstance(wanted, bool) else custom or not _HOST_NAME.fullmatch(bucket)
    base = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}{base}"
    host = parts.netloc if by_path else f"{bucket}.{parts.netloc}"
    path = f"{base}/{bucket}" if by_path else base
    return Endpoint(parts.scheme, host, path, custom, origin, by_path)


def _other_region(answer: Answer) -> str | None:
    """Return the region that a refused request should have gone to."""
    if answer.status not in {301, 307, 400}:
        return None
    if region := answer.headers.get("x-amz-bucket-region"):
        return region
    found = re.search(rb"<Region>([a-z0-9-]{1,40})</Region>", answer.body[:4096])
    return found[1].decode() if found else None


def _was_idle(error: Exception) -> bool:
    return isinstance(error, http.client.RemoteDisconnected | ConnectionError)
