"""Texts to documents: composed once, kept in the parse cache, decoded only when looked at.

The caller reads files and, for many of them, switches the cyclic collector off meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from batuta.manifest.cache import (
    Damaged,
    ParseCache,
    content_key,
    entry_key,
    pack_documents,
    pieces,
    unpack_document,
    unpack_documents,
)
from batuta.manifest.check import fits
from batuta.manifest.compose import compose
from batuta.manifest.document import Document, Number
from batuta.model.diagnostic import Diagnostic


@dataclass(frozen=True, slots=True)
class Text:
    """A file that is read only if the cache does not know its `stamp`.

    `stamp` names one content of the file (size, time in nanoseconds and inode, say); where it
    is empty, the digest of the content takes its place.
    """

    file: str
    read: Callable[[], bytes]
    stamp: str = ""


class _Entry:
    """The documents of one file, still packed until somebody asks.

    What was put into the cache is kept packed as well, so that the documents can be let go of.
    Who asks for one document gets that one unpacked, and the file is divided only once.
    """

    __slots__ = ("_documents", "_packed", "_pieces", "_text", "stamp")

    def __init__(
        self, text: Text, stamp: str, documents: tuple[Document, ...] | None, packed: bytes = b""
    ) -> None:
        self._text = text
        self.stamp = stamp
        self._documents = documents
        self._packed = packed
        self._pieces: tuple[msgspec.Raw, ...] | None = None

    @property
    def file(self) -> str:
        """The file's name."""
        return self._text.file

    def look(self) -> tuple[Document, ...]:
        """Return the documents; a damaged entry of the cache is composed anew."""
        found = self._documents
        if found is None:
            try:
                return unpack_documents(self.file, self._packed)
            except Damaged:
                return self._composed_again()
        return found

    def one(self, number: int) -> Document:
        """Return what `look` gives at `number`, and unpack no other."""
        if self._documents is not None:
            return self._documents[number]
        try:
            if self._pieces is None:
                self._pieces = pieces(self.file, self._packed)
            return unpack_document(self.file, self._pieces[number])
        except (Damaged, IndexError):
            return self._composed_again()[number]

    def _composed_again(self) -> tuple[Document, ...]:
        self._documents = _compose(self._text)[0]
        self._packed, self._pieces = b"", None
        return self._documents

    def documents(self) -> tuple[Document, ...]:
        """Return the documents, and keep them for the next time."""
        found = self._documents = self.look()
        return found

    def let_go(self) -> None:
        """Forget the documents where they can be had again."""
        if self._packed:
            self._documents = None


class Documents:
    """All documents that were loaded, in the order of their files."""

    __slots__ = ("_entries", "complete")

    def __init__(self, entries: Sequence[_Entry], *, complete: bool) -> None:
        self._entries = tuple(entries)
        self.complete = complete

    def __iter__(self) -> Iterator[Document]:
        for entry in self._entries:
            yield from entry.documents()

    def numbered(self) -> Iterator[tuple[Number, Document]]:
        """Yield each document with the numbers of its file and of itself in it."""
        for i, entry in enumerate(self._entries):
            for j, document in enumerate(entry.documents()):
                yield (i, j), document

    def at(self, number: Number) -> Document:
        """Return the document of a number that `numbered` gave; what was let go of stays so."""
        return self._entries[number[0]].one(number[1])

    def looked_through(self) -> Iterator[tuple[Number, Document]]:
        """Yield what `numbered` does, and keep nothing."""
        for i, entry in enumerate(self._entries):
            for j, document in enumerate(entry.look()):
                yield (i, j), document

    def let_go(self) -> None:
        """Keep the documents packed from now on: ten times smaller, and few are looked at again."""
        for entry in self._entries:
            entry.let_go()

    def stamps(self) -> Iterator[str]:
        """Yield what together names the content of all files."""
        for entry in self._entries:
            yield entry.file
            yield entry.stamp


def load_documents(
    texts: Sequence[tuple[str, bytes] | Text], *, cache: ParseCache | None = None
) -> tuple[Documents, list[Diagnostic]]:
    """Return the documents of all texts, and all that is wrong with the texts as YAML.

    Every text is read, whatever is wrong with others. `Documents.complete` is False where a
    text could not be read whole: what is resolved from it serves to find more errors.
    """
    entries: list[_Entry] = []
    diagnostics: list[Diagnostic] = []
    for item in texts:
        text = item if isinstance(item, Text) else _read_already(*item)
        entry, findings = _load(text, cache)
        entries.append(entry)
        diagnostics.extend(findings)
    return Documents(entries, complete=not diagnostics), diagnostics


def _read_already(file: str, content: bytes) -> Text:
    return Text(file, lambda: content)


def _load(text: Text, cache: ParseCache | None) -> tuple[_Entry, tuple[Diagnostic, ...]]:
    content = b"" if text.stamp else text.read()
    stamp = text.stamp or content_key(content)
    key = entry_key(text.file, stamp)
    if cache is not None and (packed := cache.get(key)) is not None:
        return _Entry(text, stamp, None, packed), ()
    documents, diagnostics = _compose(text)
    packed = b""
    if cache is not None and not diagnostics:
        packed = pack_documents(documents)
        cache.put(key, packed)
    return _Entry(text, stamp, documents, packed), diagnostics


def _compose(text: Text) -> tuple[tuple[Document, ...], tuple[Diagnostic, ...]]:
    composed = compose(text.file, text.read())
    documents = tuple(
        document
        if document.templated or not fits(document.value, document.kind)
        else replace(document, valid=True)
        for document in composed.documents
    )
    return documents, composed.diagnostics
