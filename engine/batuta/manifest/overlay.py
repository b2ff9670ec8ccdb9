"""Partial documents laid over whole ones: maps merge, lists replace, `null` removes a field.

Each field of the result keeps the place where it was written, in the document or the overlay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from batuta.manifest.check import KIND_NAMES, LATER_KINDS
from batuta.manifest.document import Document, Number, Path, Spot, Value
from batuta.manifest.findings import found, quoted, suggest
from batuta.manifest.load import Documents
from batuta.model.diagnostic import Diagnostic

Identity = tuple[str, str]


class Overlays:
    """Overlay documents by the kind and name of the document they are for, in file order.

    Which ones there are is kept, not what they say: there may be one for each of many documents.
    """

    __slots__ = ("_laid", "_numbers")

    def __init__(self, laid: Documents) -> None:
        self._laid = laid
        found: dict[Identity, list[tuple[str, Number]]] = {}
        for number, document in laid.looked_through():
            if isinstance(document.value, dict):
                found.setdefault(identity(document), []).append((document.file, number))
        self._numbers = {key: [number for _, number in sorted(of)] for key, of in found.items()}

    def over(self, document: Document) -> Document:
        """Return `document` with its overlays merged in; itself where it has none."""
        if not self._numbers:
            return document
        for number in self._numbers.get(identity(document), ()):
            document = merge(document, self._laid.at(number))
        return document

    def strays(self, documents: Iterable[Document]) -> list[Diagnostic]:
        """Return a finding for each overlay that meets none of `documents`."""
        laid = [overlay for _, overlay in self._laid.looked_through()]
        known = {identity(document) for document in documents} if laid else set()
        return [
            _stray(overlay, [name for kind, name in known if kind == overlay.kind])
            for overlay in laid
            if identity(overlay) not in known or not isinstance(overlay.value, dict)
        ]


def identity(document: Document) -> Identity:
    """Return kind and name; a Workspace is one whatever its name."""
    return (document.kind, "" if document.kind == "Workspace" else document.name)


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
