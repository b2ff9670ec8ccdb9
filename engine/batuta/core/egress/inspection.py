"""What may be asked inside a connection that the gateway decrypts, one request at a time.

The head has been read by an HTTP library; what is judged here is what it says, never its bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from batuta.core.egress.codes import Code, Refused
from batuta.core.egress.hosts import Host, parse_host
from batuta.core.egress.rules import Rule

Headers = Sequence[tuple[bytes, bytes]]
READING = ("GET", "HEAD")
"""The methods of a worker that only reads."""

_NEVER = frozenset({"CONNECT", "TRACE"})
_DEFAULT_PORT = {"https": 443, "http": 80}
_DOTS = re.compile(r"(?:^|[/\\])\.{1,2}(?:[/\\]|$)")
_STRANGE = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """One request: header names in lower case, values without outer white space, in order."""

    method: str
    target: str
    headers: Headers


def judge_request(rule: Rule, host: Host, port: int, request: Inside) -> Refused | None:
    """Return why a request may not be passed on to `host`, None where it may.

    `port` is that of the connection; the Host header may leave it out where it is the usual one.
    """
    method = request.method
    if method in _NEVER or (rule.methods and method not in rule.methods):
        return Refused(Code.HTTP_METHOD, f"{rule.name} does not allow {method[:20]!a}.")
    if not request.target.startswith("/") or not request.target.isascii():
        return Refused(Code.HTTP_TARGET, "The target is not a path of this host.")
    scheme = "http" if rule.plain else "https"
    return (
        _host(request.headers, host, port, _DEFAULT_PORT[scheme])
        or _framing(request.headers)
        or _path(rule, request.target)
    )


def _host(headers: Headers, host: Host, port: int, usual_port: int) -> Refused | None:
    named = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(named) != 1:
        return Refused(Code.HTTP_HOST, f"The request has {len(named)} Host headers, not one.")
    text, colon, digits = named[0].rpartition(":")
    if not colon or named[0].endswith("]"):
        text, digits = named[0], str(usual_port)
    if parse_host(text) != host or digits != str(port):
        detail = f"The connection is to {host}:{port}, the request for {named[0][:80]!a}."
        return Refused(Code.HTTP_HOST, detail)
    return None


def _framing(headers: Headers) -> Refused | None:
    names = [name for name, _ in headers]
    coded = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if names.count(b"content-length") > 1 or (coded and b"content-length" in names):
        return Refused(Code.HTTP_FRAMING, "The request states its length more than once.")
    if coded and coded != [b"chunked"]:
        return Refused(Code.HTTP_FRAMING, "The body is coded in another way than in chunks.")
    if b"upgrade" in names or any(
        b"upgrade" in value.lower() for name, value in headers if name == b"connection"
    ):
        return Refused(Code.HTTP_UPGRADE, "The request asks for another protocol.")
    return None


def _path(rule: Rule, target: str) -> Refused | None:
    """Compare the path as the server may read it: decoded once, or twice by a careless one."""
    if not rule.paths:
        return None
    once = unquote(target.partition("?")[0])
    for read in (once, unquote(once)):
        strange = _DOTS.search(read) or _STRANGE.search(read)
        if strange or not any(_below(prefix, read) for prefix in rule.paths):
            allowed = " or ".join(rule.paths)
            return Refused(Code.HTTP_PATH, f"The path does not begin with {allowed}.")
    return None


def _below(prefix: str, path: str) -> bool:
    """True for the path itself and what lies under it, whole parts at a time."""
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")
