"""Places of a resource's fields, found in its document when one is asked for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Self

from batuta.manifest.document import Document
from batuta.model.diagnostic import Location

_FEW = 8  # walks to single places cost less than spelling all paths; more of them cost more


class Written:
    """The places of one document; all paths are spelled once more than a few were asked for."""

    __slots__ = ("_asked", "_document", "_spelled")

    def __init__(self, document: Document) -> None:
        self._document = document
        self._asked = 0
        self._spelled: Mapping[str, Location] | None = None

    def place(self, path: str) -> Location | None:
        """Return the place of one spelled path."""
        self._asked += 1
        if self._spelled is None and self._asked <= _FEW and self._document.spots is None:
            return self._document.place(path)
        return self.all().get(path)

    def all(self) -> Mapping[str, Location]:
        """Return the place of each value by its spelled path."""
        if self._spelled is None:
            self._spelled = self._document.places()
        return self._spelled


class Places(Mapping[str, Location]):
    """A mapping of spelled paths to places; `find` finds the document that they stand in.

    Of ten thousand resources a plan cites a few places each; spelling all paths would cost more
    than reading the documents, and keeping them more than all else that is known of a resource.
    """

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Written]) -> None:
        self._find = find

    @classmethod
    def of(cls, document: Document) -> Self:
        """Return the places of a document that is at hand."""
        written = Written(document)
        return cls(lambda: written)

    def __getitem__(self, path: str) -> Location:
        if (place := self._find().place(path)) is None:
            raise KeyError(path)
        return place

    def __iter__(self) -> Iterator[str]:
        return iter(self._find().all())

    def __len__(self) -> int:
        return len(self._find().all())
