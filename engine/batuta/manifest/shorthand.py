"""One-line commands as documents: a command builds one of these and goes the usual way."""

import hashlib
import re
from collections.abc import Mapping

from batuta.manifest.check import API_VERSION
from batuta.manifest.document import Value
from batuta.manifest.write import document_text
from batuta.model.address import Address, parse_address
from batuta.model.resource import Platform

_MAX_STEM = 63 - 9


def canonical_destination(address: Address) -> str:
    """Return the one spelling of a destination: a folder with and without its slash is one."""
    return str(address).rstrip("/") or "/"


def command_name(destination: Address) -> str:
    """Return the name of a one-line command's document: last path part and a digest."""
    stem = re.sub(r"[^a-z0-9]+", "-", destination.name.lower()).strip("-")
    stem = stem[:_MAX_STEM].rstrip("-") or "data"
    return f"{stem}-{hashlib.sha256(canonical_destination(destination).encode()).hexdigest()[:8]}"


def command_document(
    source: str,
    destination: str,
    *,
    format: str | None = None,
    spec: Mapping[str, Value] | None = None,
) -> dict[str, Value]:
    """Return the Dataset document behind `data sync SOURCE DESTINATION`.

    `spec` holds further fields of the spec, one for each flag that was given.

    Raises:
        ValueError: `destination` is not an address.
    """
    body: dict[str, Value] = {
        "source": literal(source),
        "destination": literal(destination),
        **({} if format is None else {"format": format}),
        **(spec or {}),
    }
    return _document("Dataset", command_name(parse_address(destination)), body)


def platform_document(platform: Platform) -> dict[str, Value]:
    """Return the document that declares `platform`; secrets stay references."""
    body: dict[str, Value] = {"type": platform.type}
    if platform.network.value != "Local":
        body["network"] = platform.network.value
    for name, value in (
        ("region", platform.region),
        ("endpoints", list(platform.endpoints)),
        ("cidrs", list(platform.cidrs)),
        ("credentials", dict(platform.credentials)),
        ("residency", list(platform.residency)),
        (platform.type, dict(platform.options)),
    ):
        if value:
            body[name] = value  # type: ignore[assignment]  # options are JSON, so they are values
    return _document("Platform", platform.name, body)


def _document(kind: str, name: str, spec: dict[str, Value]) -> dict[str, Value]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def literal(text: str) -> str:
    """Return text that a manifest reads as `text`, variables or not."""
    return text.replace("${", "$${")


def documents_text(*documents: Mapping[str, Value]) -> str:
    """Return documents as one YAML text, `---` between them."""
    return "---\n".join(document_text(dict(document)) for document in documents)
