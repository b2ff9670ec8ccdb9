"""Partial documents laid over whole ones: maps merge, lists replace, `null` removes a field.

Each field of the result keeps the place where it was written, in the document or the overlay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from batuta.manifest.check import KIND_NAMES, LATER_KINDS
from batuta.manifest.document import Document, Path, Spot, Value
from batuta.manifest.findings import found, quoted, suggest
from batuta.model.diagnostic import Diagnostic

Identity = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Overlays:
    """Overlay documents by the kind and name of the document they are for, in file order."""

    by_identity: dict[Identity, tuple[Document, ...]]

    def over(self, document: Document) -> Document:
        """Return `document` with its overlays merged in; itself where it has none."""
        if not self.by_identity:
            return document
        for overlay in self.by_identity.get(identity(document), ()):
            document = merge(document, overlay)
        return document


def identity(document: Document) -> Identity:
    """Return kind and name; a Workspace is one whatever its name."""
    return (document.kind, "" if document.kind == "Workspace" else document.name)


def collect(
    overlays: Sequence[Document], documents: Sequence[Document]
) -> tuple[Overlays, list[Diagnostic]]:
    """Return overlays by identity, and a finding for each that meets no document."""
    known = {identity(document) for document in documents}
    kept: dict[Identity, tuple[Document, ...]] = {}
    findings: list[Diagnostic] = []
    for overlay in sorted(overlays, key=lambda document: document.file):
        key = identity(overlay)
        if key in known and isinstance(overlay.value, dict):
            kept[key] = (*kept.get(key, ()), overlay)
        else:
            findings.append(_stray(overlay, [name for kind, name in known if kind == key[0]]))
    return Overlays(kept), findings


def _stray(overlay: Document, names: list[str]) -> Diagnostic:
    kind, name = overlay.kind, overlay.name
    if kind not in (*KIND_NAMES, *LATER_KINDS):
        detail = "An overlay names the `kind` and `metadata.name` of the document it changes."
        place = overlay.spot(("kind",)).value
        return found("MAN124", detail, suggest(kind, KIND_NAMES, "Kinds"), place)
    detail = f"There is no {kind} named {quoted(name)} to lay this over."
    place = overlay.spot(("metadata", "name")).value
    return found("MAN124", detail, suggest(name, names, "Names"), place)


def merge(base: Document, overlay: Document) -> Document:
    """Return `base` changed by `overlay`; both are maps."""
    value = _merged(base.value, overlay.value)
    below, above = dict(base.walk()), dict(overlay.walk())
    spots = dict(_spots(value, overlay.value, below, above))
    return replace(
        base,
        value=value,
        spots=spots,
        valid=False,
        templated=base.templated or overlay.templated,
    )


def _merged(base: Value, over: Value) -> Value:
    if not isinstance(over, dict):
        return over
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _spots(
    value: Value, over: Value, below: dict[Path, Spot], above: dict[Path, Spot]
) -> Iterator[tuple[Path, Spot]]:
    """Walk the result; a map that both wrote stands where the document has it."""
    stack: list[tuple[Path, Value, Value, bool]] = [((), value, over, False)]
    while stack:
        path, current, written, replaced = stack.pop()
        both_maps = isinstance(current, dict) and isinstance(written, dict)
        replaced = replaced or (written is not None and not (both_maps and path in below))
        yield path, (above if replaced and path in above else below)[path]
        if isinstance(current, dict):
            inner = written if isinstance(written, dict) else {}
            stack.extend(
                ((*path, key), current[key], inner.get(key), replaced) for key in reversed(current)
            )
        elif isinstance(current, list):
            stack.extend(
                ((*path, i), current[i], None, replaced) for i in reversed(range(len(current)))
            )
