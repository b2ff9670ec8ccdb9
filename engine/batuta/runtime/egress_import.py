"""`batuta egress import`: a list of hosts, as its platform prints it, to an EgressPolicy document.

Nothing is contacted. The document says of each host where it comes from, keeps wildcards as they
are stated, and has what was left out as remarks.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import cast

from batuta.core.egress.stated import FORMS, Path, Place, Stated, malformed, stated
from batuta.core.egress.suffixes import shared_by
from batuta.manifest.compose import MAX_BYTES, compose
from batuta.model.canonical import Json
from batuta.model.diagnostic import BatutaError, Location

_BARE = re.compile(r"[a-z][a-z0-9.-]*[a-z0-9]")
_WRAPPED = re.compile(r"SYSTEM\$(?:ALLOWLIST|WHITELIST)(?:_PRIVATELINK)?\(\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What the document is called, and which tiers and datasets it is for; empty: named ones."""

    name: str
    tiers: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


def imported(form: str, file: str, content: bytes, naming: Naming) -> str:
    """Return the text of an EgressPolicy with the hosts of a list.

    Args:
        form: One of `stated.FORMS`.
        file: What the list is called in the document and in messages.

    Raises:
        BatutaError: EGR401, EGR402, EGR403.
    """
    document, place = _lines(file, content) if form == "hosts" else _json(form, file, content)
    hosts = stated(form, document, place)
    return _document(form, file, content, naming, hosts)


def _lines(file: str, content: bytes) -> tuple[Json, Place]:
    numbered = [
        (number, text)
        for number, line in enumerate(_decoded("hosts", file, content).splitlines(), start=1)
        if (text := line.partition("#")[0].strip())
    ]

    def place(path: Path) -> Location:
        return Location(file, numbered[int(path[0])][0] if path and numbered else 1, 1)

    return [text for _, text in numbered], place


def _json(form: str, file: str, content: bytes) -> tuple[Json, Place]:
    text = _decoded(form, file, content)
    document = _parsed(form, file, text)
    inner = _result_of_query(document)
    if inner is not None:
        # A client printed the row of the query; its one value is the list, as text.
        return _parsed(form, file, inner), lambda _path: Location(file, 1, 1)
    # What is JSON is YAML, whose composer knows where each value stands; tabs between values,
    # which only JSON has, become blanks, so that no column moves.
    composed = compose(file, text.replace("\t", " ").encode())

    def place(path: Path) -> Location:
        if composed.diagnostics or not composed.documents:
            return Location(file, 1, 1)
        return composed.documents[0].spot(path).value

    return document, place


def _decoded(form: str, file: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise BatutaError(malformed(form, f"it has over {MAX_BYTES:,} bytes", Location(file, 1, 1)))
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BatutaError(malformed(form, "it is not UTF-8", Location(file, line, 1))) from error


def _parsed(form: str, file: str, text: str) -> Json:
    try:
        return cast("Json", json.loads(text))
    except json.JSONDecodeError as error:
        why = f"it is not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        place = Location(file, error.lineno, error.colno)
        raise BatutaError(malformed(form, why, place)) from error
    except RecursionError as error:
        raise BatutaError(malformed(form, "it is nested deeply", Location(file, 1, 1))) from error


def _result_of_query(document: Json) -> str | None:
    if not isinstance(document, list) or len(document) != 1 or not isinstance(document[0], dict):
        return None
    ((name, value), *more) = document[0].items() or (("", ""),)
    wrapped = not more and _WRAPPED.fullmatch(name) and isinstance(value, str)
    return str(value) if wrapped else None


def _document(
    form: str, file: str, content: bytes, naming: Naming, hosts: tuple[Stated, ...]
) -> str:
    allowed = [each for each in hosts if each.left_out is None]
    left = [each for each in hosts if each.left_out is not None]
    lines = [
        f"# Hosts of {_remark(file)} (SHA-256 {hashlib.sha256(content).hexdigest()}),",
        f"# as stated by {FORMS[form].printed_by}.",
        "# A worker reaches one of them only where its own action needs it as well.",
        "apiVersion: batuta.dev/v1",
        "kind: EgressPolicy",
        f"metadata: {{name: {naming.name}}}",
        "spec:",
    ]
    lines += _applies(naming)
    lines += ["  allow:"] if allowed else ["  allow: []"]
    for each in allowed:
        ports = f", ports: [{each.port}]" if each.port != 443 else ""
        lines.append(f"    - {{host: {_quoted(each.pattern)}{ports}}}  # {_origin(each)}")
    if left:
        lines.append("  # Stated as well, and left out:")
        lines += [f"  # {e.pattern}:{e.port}: {e.left_out} ({_origin(e)})" for e in left]
    return "\n".join([*lines, ""])


def _applies(naming: Naming) -> list[str]:
    parts = []
    if naming.tiers:
        parts.append(f"tiers: [{', '.join(naming.tiers)}]")
    if naming.datasets:
        parts.append(f"datasets: [{', '.join(json.dumps(each) for each in naming.datasets)}]")
    if parts:
        return [f"  appliesTo: {{{', '.join(parts)}}}"]
    return ["  # Counts for a dataset that says `egress: " + naming.name + "`, as it stands."]


def _origin(each: Stated) -> str:
    place = f"{_remark(each.place.file)}:{each.place.line}"
    shared = shared_by(each.pattern)
    note = f"; any customer of {shared} can have a host here" if shared else ""
    return f"{_remark(each.what)}, {place}{note}"


def _quoted(pattern: str) -> str:
    return pattern if _BARE.fullmatch(pattern) else json.dumps(pattern)


def _remark(text: str) -> str:
    """Return text that cannot end a comment, whatever the list or the file is called."""
    return ascii(text)[1:-1][:200]
