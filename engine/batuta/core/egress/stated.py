"""Hosts as platforms themselves state them: what a printed list says, entry by entry.

Names of vendors stand here and not with their connectors, since such a list is taken over also
where the vendor's connector is not installed. A host that a worker does not need for data is
kept as a remark, so that whoever reviews the policy sees what was left out, and why.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from batuta.core.egress.codes import Refused
from batuta.core.egress.hosts import Kind, apex, parse_host, parse_pattern
from batuta.model.canonical import Json
from batuta.model.diagnostic import BatutaError, Diagnostic, Location

Path: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = Callable[[Path], Location]
"""Returns where the value at a path of the document stands."""

PLAIN = "plain HTTP, which the gateway lets out of the house for nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One host of a list. `left_out` says why it is not allowed, None where it is."""

    pattern: str
    port: int
    what: str
    place: Location
    left_out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of list: what prints it, and how it is read.

    `asked` says what to give where no program prints it. `read` yields the raw host, the port, what it is said to be for, why it is left out, and the
    path of the entry; it raises `Malformed` for a document of another shape.
    """

    printed_by: str
    asked: str = ""
    read: "Callable[[Json], Iterator[Raw]]"

    @property
    def wanted(self) -> str:
        """What has to be given, as a message says it."""
        return self.asked or f"the unchanged output of {self.printed_by}"


@dataclass(frozen=True, slots=True)
class Raw:
    """An entry as it stands in the document."""

    host: str
    port: int
    what: str
    path: Path
    left_out: str | None = None


class Malformed(Exception):
    """The document is not of the form. `path` leads to the value that is something else."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(why)
        self.path = path
        self.why = why


def stated(form: str, document: Json, place: Place) -> tuple[Stated, ...]:
    """Return the hosts of a list, each host and port once, in the order of the list.

    Raises:
        BatutaError: EGR401, it is not what the platform prints; EGR402, an entry is no host;
            EGR403, it states addresses.
    """
    if _states_addresses(document):
        raise BatutaError(_addresses(form, place(())))
    try:
        raws = list(FORMS[form].read(document))
    except Malformed as error:
        raise BatutaError(malformed(form, error.why, place(error.path))) from error
    if not raws:
        raise BatutaError(malformed(form, "it names no host", place(())))
    found: dict[tuple[str, int], Stated] = {}
    wrong: list[Diagnostic] = []
    for raw in raws:
        each = _checked(raw, place(raw.path))
        if isinstance(each, Diagnostic):
            wrong.append(each)
        elif (before := found.get((each.pattern, each.port))) is None:
            found[each.pattern, each.port] = each
        else:
            found[each.pattern, each.port] = _both(before, each)
    if wrong:
        raise BatutaError(*wrong)
    return tuple(found.values())


def _both(one: Stated, other: Stated) -> Stated:
    """Return one entry for two that name the same host; it is allowed where one of them is."""
    what = one.what if other.what in one.what.split(", ") else f"{one.what}, {other.what}"
    left_out = None if one.left_out is None or other.left_out is None else one.left_out
    return Stated(
        pattern=one.pattern, port=one.port, what=what, place=one.place, left_out=left_out
    )  # fmt: skip


def _checked(raw: Raw, place: Location) -> Stated | Diagnostic:
    pattern = parse_pattern(raw.host)
    if isinstance(pattern, Refused):
        return _no_host(pattern.detail, place)
    kind = parse_host(apex(pattern))
    if isinstance(kind, Refused) or kind.kind is not Kind.NAME:
        return _no_host(f"{raw.host} is not the full name of a host.", place)
    left_out = PLAIN if raw.port == 80 else raw.left_out
    return Stated(pattern=pattern, port=raw.port, what=raw.what, place=place, left_out=left_out)


# -- the forms ---------------------------------------------------------------------------------

_FOR_DATA = frozenset(
    {"SNOWFLAKE_DEPLOYMENT", "SNOWFLAKE_DEPLOYMENT_REGIONLESS", "CLIENT_FAILOVER", "STAGE"}
)
_NOT_FOR_DATA = "workers need it for no data"


def _snowflake(document: Json) -> Iterator[Raw]:
    for i, entry in enumerate(_list(document, ())):
        what = _text(entry, "type", (i,))
        reason = None if what in _FOR_DATA else _NOT_FOR_DATA
        yield Raw(_text(entry, "host", (i,)), _port(entry, (i,)), what, (i, "host"), reason)


def _aws(document: Json) -> Iterator[Raw]:
    listed = _map(document, ())
    one = "VpcEndpoint" in listed
    endpoints = (
        [listed["VpcEndpoint"]] if one else _list(listed.get("VpcEndpoints"), ("VpcEndpoints",))
    )
    for i, endpoint in enumerate(endpoints):
        path: Path = ("VpcEndpoint",) if one else ("VpcEndpoints", i)
        service = _text(endpoint, "ServiceName", path)
        for j, entry in enumerate(
            _list(_map(endpoint, path).get("DnsEntries"), (*path, "DnsEntries"))
        ):
            at = (*path, "DnsEntries", j)
            # A gateway endpoint has no name of its own: it serves the public ones.
            yield Raw(_text(entry, "DnsName", at), 443, f"endpoint of {service}", (*at, "DnsName"))


def _azure(document: Json) -> Iterator[Raw]:
    many = isinstance(document, list)
    for i, account in enumerate(_list(document, ()) if many else [document]):
        path: Path = (i,) if many else ()
        name = _text(account, "name", path)
        for field in ("primaryEndpoints", "secondaryEndpoints"):
            endpoints = _map(account, path).get(field)
            if field == "secondaryEndpoints" and endpoints is None:
                continue
            for service, url in _map(endpoints, (*path, field)).items():
                at = (*path, field, service)
                if isinstance(url, str):
                    host, port = _of_url(url, at)
                    reason = None if service in {"blob", "dfs"} else _NOT_FOR_DATA
                    yield Raw(host, port, f"{service} of the account {name}", at, reason)


def _huggingface(document: Json) -> Iterator[Raw]:
    lists = [key for key in _map(document, ()) if key.lower().endswith("domains")]
    if not lists:
        raise Malformed((), "it has no list whose name ends in `Domains`")
    for key in lists:
        for i, host in enumerate(_list(_map(document, ())[key], (key,))):
            if not isinstance(host, str):
                raise Malformed((key, i), "an entry is no text")
            yield Raw(host, 443, key, (key, i))


def _plain(document: Json) -> Iterator[Raw]:
    for i, text in enumerate(_list(document, ())):
        host, colon, port = str(text).rpartition(":")
        if not colon:
            host, port = str(text), "443"
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise Malformed((i,), f"{str(text)!a} is not HOST or HOST:PORT")
        yield Raw(host, int(port), "listed", (i,))


FORMS: Mapping[str, Form] = {
    "snowflake-allowlist": Form(
        printed_by="SELECT SYSTEM$ALLOWLIST(), or SYSTEM$ALLOWLIST_PRIVATELINK()", read=_snowflake
    ),
    "aws-vpc-endpoints": Form(printed_by="aws ec2 describe-vpc-endpoints", read=_aws),
    "azure-storage-account": Form(printed_by="az storage account show (or list)", read=_azure),
    "huggingface-domains": Form(
        printed_by="https://huggingface.co/.well-known/meta.json", read=_huggingface
    ),
    "hosts": Form(
        asked="a text with a host, or host:port, in each line", printed_by="hand", read=_plain
    ),
}
"""The lists that can be taken over, by the name that the command knows them under."""


def _list(value: Json, path: Path) -> Sequence[Json]:
    if not isinstance(value, list):
        raise Malformed(path, "a list is expected here")
    return value


def _map(value: Json, path: Path) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise Malformed(path, "an object is expected here")
    return value


def _text(value: Json, key: str, path: Path) -> str:
    found = _map(value, path).get(key)
    if not isinstance(found, str) or not found:
        raise Malformed((*path, key), f"the entry has no text under `{key}`")
    return found


def _port(value: Json, path: Path) -> int:
    found = _map(value, path).get("port")
    number = int(found) if isinstance(found, str) and found.isdecimal() else found
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
        raise Malformed((*path, "port"), "the entry has no port from 1 to 65535 under `port`")
    return number


def _of_url(text: str, path: Path) -> tuple[str, int]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Malformed(path, f"{text!a} is no URL") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username:
        raise Malformed(path, f"{text!a} is no URL of a web service")
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _states_addresses(document: Json) -> bool:
    if not isinstance(document, Mapping):
        return False
    if {"prefixes", "ipv6_prefixes"} & document.keys():
        return True
    values = document.get("values")
    return isinstance(values, list) and any(
        isinstance(v, Mapping) and isinstance(p := v.get("properties"), Mapping)
        and "addressPrefixes" in p
        for v in values
    )  # fmt: skip


# -- what can be wrong -------------------------------------------------------------------------


def malformed(form: str, why: str, place: Location) -> Diagnostic:
    """Return the diagnostic for a document that is not of the form."""
    return Diagnostic(
        code="EGR401",
        summary="This is not the list that was named",
        detail=f"Read as {form}, {why}.",
        fix=f"Give {FORMS[form].wanted}.",
        locations=(place,),
    )


def _no_host(detail: str, place: Location) -> Diagnostic:
    return Diagnostic(
        code="EGR402",
        summary="This is no host that a policy can allow",
        detail=detail,
        fix="Write the full name in ASCII, or `*.` and a name; nothing was imported.",
        locations=(place,),
    )


def _addresses(form: str, place: Location) -> Diagnostic:
    return Diagnostic(
        code="EGR403",
        summary="The list states addresses, not hosts",
        detail="Published ranges of addresses are shared by all customers of a platform and say"
        " nothing about hosts; a policy that allowed them would allow every tenant.",
        fix=f"Give the hosts: for {form} {FORMS[form].wanted}. Ranges of your"
        " own network belong into `cidrs` of a Platform.",
        locations=(place,),
    )
