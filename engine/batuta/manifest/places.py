"""Places of a resource's fields, found in its document when one is asked for."""

from collections.abc import Callable, Iterator, Mapping

from batuta.manifest.document import Document
from batuta.model.diagnostic import Location


class Places(Mapping[str, Location]):
    """A mapping of spelled paths to places; `document` finds the document that they stand in.

    Of ten thousand resources a plan cites a few places each; spelling all paths would cost more
    than reading the documents, and keeping them more than all else that is known of a resource.
    """

    __slots__ = ("_document",)

    def __init__(self, document: Callable[[], Document | None]) -> None:
        self._document = document

    def __getitem__(self, path: str) -> Location:
        document = self._document()
        place = None if document is None else document.place(path)
        if place is None:
            raise KeyError(path)
        return place

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> Mapping[str, Location]:
        document = self._document()
        return {} if document is None else document.places()
