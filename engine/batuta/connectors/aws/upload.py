"""Sending a file to S3 in one PUT or in parts, and copying long objects in parts."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from html import escape, unescape
from typing import IO, TypeAlias, cast

from batuta.connectors.aws import faults
from batuta.connectors.aws.wire import NAMESPACE, Bucket
from batuta.model.diagnostic import ConnectorError

GIB = 1024**3
SINGLE_PUT_BYTES = 4 * GIB
SINGLE_COPY_BYTES = 5 * GIB
PART_BYTES = 256 * 1024**2
COPY_PART_BYTES = 2 * GIB
MOST_PARTS = 10_000
_UPLOAD = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_ETAG = re.compile(rb"<ETag>([^<]+)</ETag>")


Query: TypeAlias = list[tuple[str, str]]
Part: TypeAlias = Callable[[Query, int, int], str]
"""Sends one part, given its query, start and length; returns its ETag."""


class _Window:
    """A stretch of an open file that reads like a file of its own."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        file.seek(start)
        self._file = file
        self._left = length

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, empty at the end of the stretch."""
        content = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(content)
        return content


def send(bucket: Bucket, source: str, key: str, what: str) -> None:
    """Send a staged file; above 4 GiB in parts.

    Raises:
        ConnectorError: AWS1xx. Parts that were sent are dropped then.
    """
    size = os.path.getsize(source)
    with open(source, "rb") as file:
        if size <= SINGLE_PUT_BYTES:
            answer = bucket.ask("PUT", key, headers={"Content-Length": str(size)}, body=file)
            bucket.expect(answer, what, 200, 201, 204)
            return

        def part(query: Query, start: int, length: int) -> str:
            window = cast("IO[bytes]", _Window(file, start, length))
            headers = {"Content-Length": str(length)}
            answer = bucket.ask("PUT", key, query=query, headers=headers, body=window)
            return bucket.expect(answer, what, 200).headers.get("etag", "")

        _in_parts(bucket, key, what, (size, PART_BYTES), part)


def copy_in_parts(
    bucket: Bucket, origin: tuple[Mapping[str, str], int], key: str, what: str
) -> None:
    """Copy a long object inside the store; `origin` is its copy headers and its size.

    Raises:
        ConnectorError: AWS1xx. Parts that were copied are dropped then.
    """
    amz, size = origin

    def part(query: Query, start: int, length: int) -> str:
        span = {"x-amz-copy-source-range": f"bytes={start}-{start + length - 1}"}
        answer = bucket.ask("PUT", key, query=query, amz={**amz, **span})
        found = _ETAG.search(bucket.expect(answer, what, 200).body)
        return unescape(found[1].decode()) if found else ""

    _in_parts(bucket, key, what, (size, COPY_PART_BYTES), part)


def _in_parts(bucket: Bucket, key: str, what: str, sizes: tuple[int, int], part: Part) -> None:
    answer = bucket.expect(bucket.ask("POST", key, query=[("uploads", "")]), what, 200)
    found = _UPLOAD.search(answer.body)
    if found is None:
        raise faults.failure("AWS110", f"{what}: no upload id came.")
    upload_id = unescape(found[1].decode())
    size, step = sizes
    step = max(step, -(-size // MOST_PARTS))
    try:
        rows = ""
        for number, start in enumerate(range(0, size, step), 1):
            query = [("partNumber", str(number)), ("uploadId", upload_id)]
            etag = part(query, start, min(step, size - start))
            rows += f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        body = (
            f'<CompleteMultipartUpload xmlns="{NAMESPACE}">{rows}</CompleteMultipartUpload>'
        ).encode()
        answer = bucket.ask("POST", key, query=[("uploadId", upload_id)], body=body)
        bucket.expect(answer, what, 200)
    except ConnectorError:
        with suppress(ConnectorError):
            bucket.ask("DELETE", key, query=[("uploadId", upload_id)])
        raise
