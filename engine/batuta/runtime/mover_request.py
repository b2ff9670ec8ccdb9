"""Taking addresses apart and spelling requests; what could break out of a request line is refused."""

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from batuta.model.diagnostic import Failure
from batuta.model.transfer import Input
from batuta.runtime import mover_errors

_TARGET = re.compile(r"[!-~]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Proxy(NamedTuple):
    """The gateway: https goes through it by CONNECT, http in absolute form.

    `ca_file` holds the authorities to trust instead of the system's, None for the system's.
    `password` is what it asks of this process, empty where it asks for none.
    """

    host: str
    port: int
    ca_file: str | None = None
    password: str = ""

    @property
    def authorization(self) -> str:
        """The header that gives the password, with its line's end; empty for none."""
        if not self.password:
            return ""
        pair = base64.b64encode(f"batuta:{self.password}".encode()).decode()
        return f"Proxy-Authorization: Basic {pair}\r\n"


_proxy: Proxy | None = None


def use_proxy(proxy: Proxy | None) -> None:
    """Send all later connections of this process through `proxy`; None: straight out."""
    global _proxy  # noqa: PLW0603 - a worker has one way out, told to it once when it starts
    _proxy = proxy


class Origin(NamedTuple):
    """Who to connect to, and through which gateway; `netloc` is sent as Host."""

    secure: bool
    host: str
    port: int
    netloc: str
    way: Proxy | None = None


class Target(NamedTuple):
    """An address taken apart: the origin, and what is asked of it."""

    origin: Origin
    path: str


@lru_cache(maxsize=64)
def _origin(scheme: str, netloc: str, way: Proxy | None) -> Origin:
    secure = scheme == "https"
    host, port = netloc, 443 if secure else 80
    if match := re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:@/]+)(?::(\d{1,5}))?", netloc):
        host = match[1].strip("[]")
        port = int(match[2]) if match[2] else port
        return Origin(secure, host, port, netloc, way)
    raise ValueError(netloc)


def target_of(key: str, url: str, way: Proxy | None = None) -> Target:
    """Take an http(s) address apart; `way` None: the gateway of this process leads there.

    Raises:
        ConnectorError: WRK110, it is not one, or holds what no request line may hold.
    """
    scheme, _, rest = url.partition("://")
    netloc, _, path = rest.partition("/")
    if scheme in {"http", "https"} and _TARGET.fullmatch(rest):
        with suppress(ValueError):
            return Target(_origin(scheme, netloc, way or _proxy), "/" + path.partition("#")[0])
    detail = f"The address of `{key}` is not an http or https URL that can be sent."
    raise mover_errors.failure("WRK110", detail, Failure.PERMANENT)


def request_bytes(
    method: str, target: Target, headers: Sequence[tuple[str, str]], key: str
) -> bytes:
    """Return the head of a request.

    Raises:
        ConnectorError: WRK110, a header could not be sent as one.
    """
    origin = target.origin
    # A proxy reads from the first line where a plain request goes.
    way = None if origin.secure else origin.way
    place = "" if way is None else f"http://{origin.netloc}"
    lines = [f"{method} {place}{target.path} HTTP/1.1\r\nHost: {origin.netloc}\r\n"]
    if way is not None:
        lines.append(way.authorization)
    for name, value in headers:
        if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
            detail = f"A header of the request for `{key}` cannot be sent."
            raise mover_errors.failure("WRK110", detail, Failure.PERMANENT)
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")


def get_headers(source: Input, span: tuple[int, int] | None = None) -> Iterator[tuple[str, str]]:
    """Yield the headers of a GET for `source`, or for its bytes from `span[0]` up to `span[1]`."""
    yield from source.headers
    yield "Accept-Encoding", "identity"
    if source.validator:
        yield "If-Match", source.validator
    if span is not None:
        yield "Range", f"bytes={span[0]}-{span[1] - 1}"
