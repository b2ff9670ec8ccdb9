"""The steps by which the gateway judges a connection, each a function of what it has in hand.

The order is theirs to keep who call them: head, host and port against the rules (no name has
been looked up yet), addresses, ClientHello, bytes. Each step answers with what the next one
needs, or with a `Refused`; the first refusal is the verdict.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from batuta.core.egress import addresses
from batuta.core.egress.clienthello import VERSION_1_2, Hello
from batuta.core.egress.codes import Code, Refused
from batuta.core.egress.hosts import Host, Kind, parse_host
from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import MAX_CONNECTION_S, Rule, allowing, denying

MAX_HEAD = 64 * 1024
"""Bytes of a request's head."""
HEAD_TIMEOUT_S = 3.0
"""Seconds in which a head has to be complete."""

_END = b"\r\n\r\n"
_METHOD = re.compile(rb"[A-Z]{1,16}")
_PORT = re.compile(r"[0-9]{1,5}")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
_PLAIN = "http://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a head asks for. `plain` is the absolute form, CONNECT otherwise.

    `target` is as it was received, without a query, for the audit; `path` that of the absolute
    form, with its query, else empty.
    """

    method: str
    host: Host
    port: int
    target: str
    plain: bool = False
    path: str = ""


def split_head(received: bytes) -> tuple[bytes, bytes] | Refused | None:
    """Return the head with its empty line, and what follows it; None where more must come.

    What follows a CONNECT is bytes of the tunnel and never read as a request.
    """
    end = received.find(_END, 0, MAX_HEAD)
    if end >= 0:
        return received[: end + len(_END)], received[end + len(_END) :]
    if len(received) >= MAX_HEAD:
        return Refused(Code.HTTP_HEAD_TOO_LARGE, f"The head is longer than {MAX_HEAD} bytes.")
    return None


def read_head(head: bytes) -> Request | Refused:
    """Return the request of a whole head, its host in one spelling."""
    lines = head.removesuffix(_END).split(b"\r\n")
    if any(c in line for line in lines for c in (b"\r", b"\n", b"\0")):
        return _malformed("The head holds a bare line end or NUL.")
    tokens = lines[0].split(b" ")
    if len(tokens) != 3 or tokens[2] not in _VERSIONS or not _METHOD.fullmatch(tokens[0]):
        return _malformed("The first line is not a method, a target and a version of HTTP/1.")
    method, target = tokens[0].decode("ascii"), tokens[1].decode("utf-8", "surrogateescape")
    if method == "CONNECT":
        return _connect(target)
    return _absolute(method, target)


def judge_caller(head: bytes, password: str) -> Refused | None:
    """Return a refusal where a head does not give `password`; none is asked for by empty text."""
    if not password:
        return None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"proxy-authorization" and _gives(value.strip(), password):
            return None
    return Refused(Code.HTTP_STRANGER, "The password of this run was not given.")


def _gives(value: bytes, password: str) -> bool:
    scheme, _, text = value.partition(b" ")
    try:
        given = base64.b64decode(text, validate=True).partition(b":")[2]
    except ValueError:
        return False
    return scheme.lower() == b"basic" and hmac.compare_digest(given, password.encode())


def choose(policy: Policy, request: Request) -> Rule | Refused:
    """Return the rule under which the request may go on: denials first, then what is allowed."""
    host, port = request.host, request.port
    if (denial := denying(policy.deny, host, port)) is not None:
        return Refused(Code.HOST_BLOCKED, f"{host} is denied by {denial.origin or denial.name}.")
    rule, spoken_of = allowing(policy.allow, host, port)
    if rule is None:
        return _unspoken(request, spoken_of=spoken_of)
    if request.plain != rule.plain:
        return _wrong_form(request)
    return rule


def judge_addresses(rule: Rule, answers: Sequence[str]) -> Refused | None:
    """Return why none of the answers may be connected to, None where each may."""
    return addresses.judge(answers, rule.demand)


def judge_hello(host: Host, hello: Hello) -> Refused | None:
    """Return why a ClientHello may not go to `host`, None where it may.

    A client that connects to an address names no server; every other one names exactly `host`.
    """
    if hello.encrypted:
        return Refused(Code.TLS_ECH, "The ClientHello holds an encrypted one.")
    if hello.version < VERSION_1_2:
        return Refused(Code.TLS_VERSION, "The client offers nothing newer than TLS 1.1.")
    if host.kind is Kind.ADDRESS and hello.server_name is None:
        return None
    if hello.server_name is None:
        return Refused(Code.TLS_NO_SNI, f"The ClientHello for {host} names no server.")
    named = parse_host(hello.server_name)
    if isinstance(named, Refused):
        return Refused(Code.TLS_MALFORMED, named.detail)
    if named != host:
        detail = f"The tunnel is to {host}, the ClientHello names {named}."
        return Refused(Code.TLS_SNI_MISMATCH, detail)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has used up, of one rule (`uploaded_bytes` on) and of the policy (`moved_bytes`)."""

    moved_bytes: int = 0
    uploaded_bytes: int = 0
    names: frozenset[str] = frozenset()
    connections: int = 0


def may_open(rule: Rule, host: Host, spent: Spent) -> Refused | None:
    """Return why no further connection may be opened, before the name is looked up."""
    if spent.connections >= rule.max_connections:
        detail = f"{rule.name} has had {rule.max_connections} connections in this run."
        return Refused(Code.BUDGET_CONNECTIONS, detail)
    new = host.name not in spent.names
    if rule.wildcard and new and len(spent.names) >= rule.max_names:
        detail = f"{rule.max_names} names were asked for under {rule.pattern} in this run."
        return Refused(Code.BUDGET_NAMES, detail)
    return None


def may_send(policy: Policy, rule: Rule, spent: Spent, size_bytes: int) -> Refused | None:
    """Return why `size_bytes` may not go up; asked before they are forwarded."""
    limit = rule.max_upload_bytes
    if limit is not None and spent.uploaded_bytes + size_bytes > limit:
        return Refused(Code.BUDGET_UPLOAD, f"{rule.name} may be sent {limit} bytes in one run.")
    return may_move(policy, spent, size_bytes)


def may_move(policy: Policy, spent: Spent, size_bytes: int) -> Refused | None:
    """Return why `size_bytes` may not be moved in either direction."""
    limit = policy.max_bytes
    if limit is not None and spent.moved_bytes + size_bytes > limit:
        return Refused(Code.BUDGET_BYTES, f"The policy moves {limit} bytes in one run at most.")
    return None


def may_stay(open_s: float) -> Refused | None:
    """Return why a connection that is open for so many seconds has to end."""
    if open_s > MAX_CONNECTION_S:
        return Refused(Code.BUDGET_DURATION, f"It was open for over {MAX_CONNECTION_S} seconds.")
    return None


def _connect(target: str) -> Request | Refused:
    text, colon, digits = target.rpartition(":")
    port = _port(digits) if colon else None
    if port is None:
        return _malformed("The target of CONNECT has no port of one to five digits.")
    host = parse_host(text)
    if isinstance(host, Refused):
        return host
    return Request(method="CONNECT", host=host, port=port, target=target)


def _absolute(method: str, target: str) -> Request | Refused:
    """Return a request in absolute form; whether it is served at all is the rule's to say."""
    if not target.lower().startswith(_PLAIN):
        return Refused(Code.HTTP_PLAINTEXT, f"{method} is not CONNECT.")
    authority, slash, rest = target[len(_PLAIN) :].partition("/")
    if not slash or not target.isascii() or "#" in rest:
        return _malformed("The absolute target holds no path, or a fragment, or no ASCII.")
    text, colon, digits = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        text, digits = authority, "80"
    port = _port(digits)
    if port is None:
        return _malformed("The port of the absolute target is no number of one to five digits.")
    host = parse_host(text)
    if isinstance(host, Refused):
        return host
    received = target.partition("?")[0]
    return Request(
        method=method, host=host, port=port, target=received, plain=True, path=f"/{rest}"
    )


def _port(digits: str) -> int | None:
    number = int(digits) if _PORT.fullmatch(digits) else 0
    return number if 0 < number < 65536 else None


def _unspoken(request: Request, *, spoken_of: bool) -> Refused:
    host = request.host
    if request.plain:
        return _wrong_form(request)
    if spoken_of:
        return Refused(Code.PORT_NOT_ALLOWED, f"No rule allows the port {request.port} of {host}.")
    if host.kind is Kind.ADDRESS:
        return Refused(Code.HOST_IP_LITERAL, f"{host} is an address, not a name.")
    if host.kind is Kind.LABEL:
        return Refused(Code.HOST_MALFORMED, f"{host} is one label; a full name is needed.")
    return Refused(Code.HOST_NOT_ALLOWED, f"No rule allows {host}.")


def _wrong_form(request: Request) -> Refused:
    if request.plain:
        detail = f"Plain HTTP to {request.host}:{request.port} is not served."
        return Refused(Code.HTTP_PLAINTEXT, detail)
    detail = f"{request.host}:{request.port} is a plain endpoint; CONNECT would hide what is sent."
    return Refused(Code.HTTP_METHOD, detail)


def _malformed(detail: str) -> Refused:
    return Refused(Code.HTTP_MALFORMED, detail)
