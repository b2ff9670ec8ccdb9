"""Finds the documents of what was resolved again, so that none is kept for its places."""

from collections.abc import Sequence
from functools import partial

from batuta.manifest.document import Document, Number
from batuta.manifest.load import Documents
from batuta.manifest.overlay import Overlays
from batuta.manifest.places import Places
from batuta.model.resource import Dataset, Desired, EgressPolicy, Platform, Workspace


class Finder:
    """Finds the document of what was resolved, by looking at the documents after all.

    The documents themselves are let go of. The last one that was found is kept: who asks for one
    place of a resource asks for others next.
    """

    def __init__(self, documents: Documents, laid: Documents) -> None:
        documents.let_go()
        laid.let_go()
        self._documents = documents
        self._laid = laid
        self._overlays: Overlays | None = None
        self._last: tuple[Number, Document] | None = None

    def _over(self, document: Document) -> Document:
        if self._overlays is None:
            self._overlays = Overlays(self._laid)
        return self._overlays.over(document)

    def find(self, number: Number) -> Document:
        """Return the document of a number, overlays merged in."""
        last = self._last
        if last is None or last[0] != number:
            last = self._last = number, self._over(self._documents.at(number))
        return last[1]


def holders(desired: Desired) -> tuple[Workspace | Dataset | Platform | EgressPolicy, ...]:
    """Return all that knows its places, in the order of the numbers that `let_find` takes."""
    return (desired.workspace, *desired.datasets, *desired.platforms, *desired.egress_policies)


def let_find(desired: Desired, numbers: Sequence[Number | None], finder: Finder) -> None:
    """Let places be found by `finder`, so that the documents need not be kept for them.

    What nobody wrote has no number: an implicit Platform, or a Workspace that is all defaults.
    """
    for holder, number in zip(holders(desired), numbers, strict=True):
        if number is not None:
            # The value was made a moment ago and nobody else has it: what `__init__` does, late.
            object.__setattr__(holder, "places", Places(partial(finder.find, number)))
