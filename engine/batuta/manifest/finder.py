"""Finds the documents of what was resolved again, so that none is kept for its places."""

from collections.abc import Sequence
from functools import partial

from batuta.manifest.document import Document
from batuta.manifest.load import Documents
from batuta.manifest.overlay import Overlays, collect, identity
from batuta.manifest.places import Places
from batuta.model.resource import Desired


class Finder:
    """Finds the document of what was resolved, by looking at the documents after all.

    The last one is kept: who asks for one place of a resource asks for others next.
    """

    def __init__(self, documents: Documents, laid: Documents) -> None:
        self._documents = documents
        self._laid = laid
        self._overlays: Overlays | None = None
        self._last: tuple[tuple[int, int], Document] | None = None
        self._others: dict[tuple[str, str], Document] | None = None

    def _over(self, document: Document) -> Document:
        if self._overlays is None:
            laid = list(self._laid)
            self._overlays = collect(laid, list(self._documents) if laid else [])[0]
        return self._overlays.over(document)

    def dataset(self, number: tuple[int, int]) -> Document:
        """Return the document of a Dataset by its number, overlays merged in."""
        last = self._last
        if last is None or last[0] != number:
            last = self._last = number, self._over(self._documents.at(number))
        return last[1]

    def other(self, kind: str, name: str) -> Document | None:
        """Return the one document of another kind and name; None where nobody wrote it."""
        if self._others is None:
            others = (d for _, d in self._documents.looked_through() if d.kind != "Dataset")
            self._others = {identity(document): self._over(document) for document in others}
        return self._others.get((kind, name))


def let_find(desired: Desired, numbers: Sequence[tuple[int, int]], finder: Finder) -> None:
    """Let places be found by `finder`, so that the documents need not be kept for them."""
    for dataset, number in zip(desired.datasets, numbers, strict=True):
        # The value was made a moment ago and nobody else has it: what `__init__` does, done late.
        object.__setattr__(dataset, "places", Places(partial(finder.dataset, number)))
    for kind, name, holder in (
        ("Workspace", "", desired.workspace),
        *(("Platform", p.name, p) for p in desired.platforms),
        *(("EgressPolicy", p.name, p) for p in desired.egress_policies),
    ):
        object.__setattr__(holder, "places", Places(partial(finder.other, kind, name)))
