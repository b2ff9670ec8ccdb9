"""Finds the documents of what was resolved again, so that none is kept for its places."""

from collections.abc import Sequence
from functools import lru_cache, partial

from batuta.manifest.document import Number
from batuta.manifest.load import Documents
from batuta.manifest.overlay import Overlays
from batuta.manifest.places import Places, Written
from batuta.model.resource import Dataset, Desired, EgressPolicy, Platform, Workspace

_KEPT = 64  # documents of a few KB: the policies and Platforms of a workspace, and a dataset


class Finder:
    """Finds the document of what was resolved, by looking at the documents after all.

    All documents are let go of until then.
    """

    def __init__(self, documents: Documents, laid: Documents) -> None:
        documents.let_go()
        laid.let_go()
        self._documents = documents
        self._laid = laid
        self._overlays: Overlays | None = None

    def find(self, number: Number) -> Written:
        """Return the places of the document of a number, overlays merged in."""
        if self._overlays is None:
            self._overlays = Overlays(self._laid)
        return Written(self._overlays.over(self._documents.at(number)))


def holders(desired: Desired) -> tuple[Workspace | Dataset | Platform | EgressPolicy, ...]:
    """Return all that knows its places, in the order of the numbers that `let_find` takes."""
    return (desired.workspace, *desired.datasets, *desired.platforms, *desired.egress_policies)


def let_find(desired: Desired, numbers: Sequence[Number | None], finder: Finder) -> None:
    """Let places be found by `finder`, so that the documents need not be kept for them.

    What nobody wrote has no number: an implicit Platform, or a Workspace that is all defaults.
    What was found last is kept: who asks for one place of a resource asks for others next, and
    policies are asked for with each dataset.
    """
    find = lru_cache(_KEPT)(finder.find)
    for holder, number in zip(holders(desired), numbers, strict=True):
        if number is not None:
            # The value was made a moment ago and nobody else has it: what `__init__` does, late.
            object.__setattr__(holder, "places", Places(partial(find, number)))
