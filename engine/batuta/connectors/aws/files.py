"""A dataset's folder on S3: exclusive creation by `If-None-Match: *`, copies instead of renames."""

import base64
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from xml.sax.saxutils import escape

from batuta.connectors.aws import faults, upload
from batuta.connectors.aws.wire import NAMESPACE, Bucket, copy_source
from batuta.model.address import Address
from batuta.model.connector import Connection, FileInfo, SignedPut
from batuta.model.diagnostic import Failure
from batuta.model.log import UnitRef
from batuta.model.transfer import Input

if TYPE_CHECKING:
    import pyarrow as pa

THREADS = 8
DELETE_BATCH = 1000
_T = TypeVar("_T")


def split(address: Address) -> tuple[str, str]:
    """Return bucket and key of an address."""
    bucket, _, key = address.path.partition("/")
    return bucket, key


class S3Files:
    """A prefix of a bucket; all paths are relative to it. Calls may come from several threads."""

    moves = False

    def __init__(self, connection: Connection, address: Address) -> None:
        self.location = str(address)
        name, prefix = split(address)
        self._bucket = Bucket(connection, name)
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        self._open_input = connection.open_input

    def list(self, prefix: str = "") -> Iterator[FileInfo]:
        """Yield objects under `prefix` in byte order of their paths; markers of folders aside.

        Raises:
            ConnectorError: AWS1xx.
        """
        for each in self._bucket.objects(self._prefix + prefix):
            path = each.key[len(self._prefix) :]
            if path and not path.endswith("/"):
                yield FileInfo(path, each.size_bytes, each.modified_ns)

    def exists(self) -> bool:
        """True where any object lies under the prefix.

        Raises:
            ConnectorError: AWS1xx, the bucket itself not being there included.
        """
        return bool(next(self._bucket.pages(self._prefix, limit=1)))

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes (None: all). FileNotFoundError where it is not there."""
        if limit == 0:
            return b""
        headers = {} if limit is None else {"Range": f"bytes=0-{limit - 1}"}
        answer = self._bucket.ask("GET", self._prefix + path, headers=headers)
        if answer.status == 416:
            return b""  # an empty object has no first byte
        self._missing(answer.status, answer.body, path)
        return self._bucket.expect(answer, f"Reading {self._url(path)}", 200, 206).body

    def open(self, path: str) -> "pa.NativeFile":
        """Return a seekable file. FileNotFoundError where it is not there."""
        import pyarrow as pa

        if self._open_input is None:
            return pa.BufferReader(self.read(path))
        answer = self._bucket.ask("HEAD", self._prefix + path)
        self._missing(answer.status, answer.body, path)
        self._bucket.expect(answer, f"Asking for {self._url(path)}", 200)
        return self._open_input(
            Input(
                key=path,
                url=self._bucket.sign("GET", self._prefix + path),
                size_bytes=int(answer.headers.get("content-length", "0")),
                validator=answer.headers.get("etag", ""),
            )
        )

    def create(self, path: str, content: bytes) -> None:
        """Make `path` with `content`; FileExistsError where it is there already.

        Raises:
            ConnectorError: AWS1xx. After AWS107 it is not known whether the object was made.
        """
        answer = self._bucket.ask(
            "PUT", self._prefix + path, headers={"If-None-Match": "*"}, body=content
        )
        if answer.status == 412:
            raise FileExistsError(self._url(path))
        self._bucket.expect(answer, f"Creating {self._url(path)}", 200, 201, 204)

    def publish(self, staged: Sequence[tuple[str, str]]) -> None:
        """Send staged files to their final keys; those there with the same size are left alone.

        Raises:
            ConnectorError: AWS119 where another object has the key.
        """
        self._each(self._publish_one, staged)

    def _publish_one(self, pair: tuple[str, str]) -> None:
        source, path = pair
        what = f"Writing {self._url(path)}"
        wanted = os.path.getsize(source)
        answer = self._bucket.ask("HEAD", self._prefix + path)
        if answer.status == 200:
            present = int(answer.headers.get("content-length", "-1"))
            if present == wanted:
                return
            detail = f"{self._url(path)} has {present} bytes, not {wanted}."
            raise faults.failure("AWS119", detail, Failure.CONFLICT)
        if answer.status != 404:
            raise self._bucket.refused(answer, what)
        upload.send(self._bucket, source, self._prefix + path, what)

    def upload_inputs(self, staged: Sequence[tuple[str, str]]) -> Sequence[SignedPut] | None:
        """Return signed PUTs, or None where a file is too long for one: then `publish` is the way."""
        if any(os.path.getsize(source) > upload.SINGLE_PUT_BYTES for source, _ in staged):
            return None
        return [SignedPut(url=self._bucket.sign("PUT", self._prefix + path)) for _, path in staged]

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Copy objects in the store, then delete the first ones; done pairs are passed over.

        Raises:
            ConnectorError: AWS1xx; AWS104 where neither of a pair is there.
        """
        self._each(self._copy_one, pairs)
        self.delete([old for old, _ in pairs])

    def _copy_one(self, pair: tuple[str, str]) -> None:
        old, new = (self._prefix + path for path in pair)
        what = f"Copying {self._url(pair[0])} to {self._url(pair[1])}"
        answer = self._bucket.ask("HEAD", old)
        if answer.status == 404:
            self._bucket.expect(self._bucket.ask("HEAD", new), what, 200)
            return
        self._bucket.expect(answer, what, 200)
        size = int(answer.headers.get("content-length", "0"))
        amz = {"x-amz-copy-source": copy_source(self._bucket.name, old)}
        if (etag := answer.headers.get("etag")) is not None:
            amz["x-amz-copy-source-if-match"] = etag
        if size > upload.SINGLE_COPY_BYTES:
            upload.copy_in_parts(self._bucket, (amz, size), new, what)
        else:
            self._bucket.expect(self._bucket.ask("PUT", new, amz=amz), what, 200)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects, a thousand a request; those that are gone already are done.

        Raises:
            ConnectorError: AWS1xx, with the first object that the store would not delete.
        """
        for start in range(0, len(paths), DELETE_BATCH):
            batch = paths[start : start + DELETE_BATCH]
            keys = "".join(
                f"<Object><Key>{escape(self._prefix + path)}</Key></Object>" for path in batch
            )
            body = f'<Delete xmlns="{NAMESPACE}"><Quiet>true</Quiet>{keys}</Delete>'.encode()
            checksum = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
            answer = self._bucket.ask(
                "POST", query=[("delete", "")], headers={"Content-MD5": checksum}, body=body
            )
            self._bucket.expect(answer, f"Deleting under {self.location}", 200)

    def prepare(self) -> None:
        """Check that the bucket is there; a prefix needs no making.

        Raises:
            ConnectorError: AWS103 and others.
        """
        self.exists()

    def free_bytes(self) -> int | None:
        """None: a bucket has no such figure."""
        return None

    def inputs(self, parts: Sequence[tuple[str, int, UnitRef]]) -> Sequence[Input]:
        """Return signed inputs; parts are immutable, so no ETag is asked for."""
        return [
            Input(
                key=path,
                url=self._bucket.sign("GET", self._prefix + path),
                size_bytes=size,
                validator="",
            )
            for path, size, _unit in parts
        ]

    def _url(self, path: str) -> str:
        return f"s3://{self._bucket.name}/{self._prefix}{path}"

    def _missing(self, status: int, body: bytes, path: str) -> None:
        if status == 404 and faults.said(body).code != "NoSuchBucket":
            raise FileNotFoundError(self._url(path))

    def _each(self, action: Callable[[_T], None], things: Sequence[_T]) -> None:
        if len(things) == 1:
            action(things[0])
            return
        with ThreadPoolExecutor(THREADS, thread_name_prefix="s3") as pool:
            list(pool.map(action, things))
