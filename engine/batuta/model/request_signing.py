"""Requests that are signed for somebody else: a worker asks, the gateway puts the signature on.

A worker that reads a store is handed a stand-in: credentials that nobody but the gateway of its
run takes for anything. What it signs with them is signed anew on the way out, with those that it
never sees.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batuta.model.diagnostic import ConnectorError

if TYPE_CHECKING:
    from batuta.model.address import Address
    from batuta.model.connector import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """The head of a request.

    `target` is path and query as they are sent; names of headers are in lower case.
    """

    scheme: str
    method: str
    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...]


class Misused(ConnectorError):
    """A worker signed what its stand-in is not for; no retry helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """How a platform's requests are signed anew.

    `secrets` gives the credentials of a stand-in by its name; `name` says whose signature a request
    bears, None where it bears none; `sign` returns a function that signs in its place what is
    meant for the container (a bucket) of an address.

    The function that `sign` returns raises Misused for any other request.
    """

    secrets: Callable[[str], Mapping[str, str]]
    name: Callable[[HttpRequest], str | None]
    sign: "Callable[[Connection, Address], Callable[[HttpRequest], HttpRequest]]"
