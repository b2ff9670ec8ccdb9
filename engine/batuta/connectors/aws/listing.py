"""The rows of a listing (ListObjectsV2), read with patterns: a page of a thousand in milliseconds."""

import re
from html import unescape
from typing import NamedTuple
from urllib.parse import unquote_plus

from batuta.connectors.aws import faults

_ITEM = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_FIELD = re.compile(r"<(Key|Size|ETag|StorageClass|RestoreExpiryDate)>([^<]*)</", re.DOTALL)
_TOKEN = re.compile(r"<NextContinuationToken>([^<]*)</NextContinuationToken>")


class Object(NamedTuple):
    """One row of a listing; `etag` has no quotes, `archived` says that it cannot be read now."""

    key: str
    size_bytes: int
    etag: str
    storage_class: str
    archived: bool


def parse_page(text: str) -> list[Object]:
    """Return the rows of one answer to ListObjectsV2.

    Raises:
        ConnectorError: AWS110, a row lacks key, size or ETag.
    """
    encoded = "<EncodingType>url</EncodingType>" in text
    rows: list[Object] = []
    for item in _ITEM.finditer(text):
        fields = dict(_FIELD.findall(item[1]))
        try:
            key = unquote_plus(fields["Key"]) if encoded else unescape(fields["Key"])
            size, etag = int(fields["Size"]), unescape(fields["ETag"]).strip('"')
        except (KeyError, ValueError) as error:
            raise faults.failure("AWS110", f"A row of a listing lacks {error}.") from error
        storage = fields.get("StorageClass", "STANDARD")
        archived = storage in {"GLACIER", "DEEP_ARCHIVE"} and "RestoreExpiryDate" not in fields
        rows.append(Object(key, size, etag, storage, archived))
    return rows


def next_token(text: str) -> str | None:
    """Return what the next page is asked for with; empty where it is missing, None at the end."""
    if "<IsTruncated>true</IsTruncated>" not in text:
        return None
    found = _TOKEN.search(text)
    return unescape(found[1]) if found else ""
