"""Where something lives: a scheme and a path, in one canonical spelling.

A path without a scheme is a local one and is kept as written, relative to the workspace,
so that a document never depends on the machine that made it.
"""

import posixpath
import re
from dataclasses import dataclass

_SCHEME = re.compile(r"^([a-z][a-z0-9]*)://")
TABLE_SCHEMES = frozenset({"delta", "snowflake", "databricks", "glue", "iceberg"})


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A scheme (`file`, `s3`, `delta`, …) and what follows it.

    For `delta` the path is the address of the table's folder in its own right
    (`delta+s3://bucket/t` has the path `s3://bucket/t`); `inner` gives it.
    """

    scheme: str
    path: str

    @property
    def inner(self) -> "Address":
        """The address of the folder or prefix that holds the bytes."""
        return parse_address(self.path) if self.scheme == "delta" else self

    @property
    def is_local(self) -> bool:
        """True where the bytes lie on a file system of this machine."""
        return self.inner.scheme == "file"

    @property
    def is_table(self) -> bool:
        """True where the address itself says that it names a table, not files."""
        return self.scheme in TABLE_SCHEMES

    @property
    def name(self) -> str:
        """The last part of the path, `.` and `/` aside; empty for a bare root."""
        return posixpath.basename(self.inner.path.rstrip("/"))

    def __str__(self) -> str:
        if self.scheme == "file":
            return self.path
        if self.scheme == "delta":
            return f"delta+{self.path}"
        return f"{self.scheme}://{self.path}"


def parse_address(text: str) -> Address:
    """Return the address that `text` spells.

    `file:` is dropped and local paths are normalised (`./a//b/` is `a/b/`); a trailing
    slash, which says "a folder or prefix", is kept.

    Raises:
        ValueError: `text` is empty, holds NUL or a control character, or has `..` in a URL.
    """
    if not text or any(ord(c) < 0x20 or c == "\x7f" for c in text):
        raise ValueError("an address is not empty and holds no control characters")
    if text.startswith("delta+"):
        return Address("delta", str(parse_address(text.removeprefix("delta+"))))
    if match := _SCHEME.match(text):
        scheme, path = match[1], text[match.end() :]
        if scheme == "file":
            return Address("file", _normal(path))
        if ".." in path.split("/"):
            raise ValueError("`..` has no meaning in a URL")
        return Address(scheme, path)
    if re.match(r"^[a-z][a-z0-9]+:[^/\\]", text) and not text.startswith("file:"):
        scheme, _, path = text.partition(":")
        return Address(scheme, path)
    return Address("file", _normal(text.removeprefix("file:")))


def _normal(path: str) -> str:
    slash = "/" if path.endswith("/") else ""
    normal = posixpath.normpath(path)
    if normal.startswith("//"):
        normal = normal[1:]
    return normal if normal == "/" else normal + slash
