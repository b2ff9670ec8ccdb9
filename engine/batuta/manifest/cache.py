"""The parse cache's port and the spelling of what is kept in it.

Whoever implements `ParseCache` decides where bytes lie and when they are dropped; a lost or
foreign entry costs time, never correctness, as long as a key names one content.
"""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from batuta import __version__
from batuta.manifest.document import Document, Number, Value
from batuta.model.resource import Desired

# Raise it when documents are composed, checked or kept in another way.
CACHE_FORMAT = 2

_Stored = tuple[Value, bytes, bool, bool]
_encoder = msgspec.msgpack.Encoder(enc_hook=lambda places: {})
_pieces = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...])
_document = msgspec.msgpack.Decoder(tuple[msgspec.Raw, bytes, bool, bool])
_values = msgspec.msgpack.Decoder()


class ParseCache(Protocol):
    """Bytes by key. Both calls are cheap, may come often, and never raise on purpose."""

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, or None."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Keep `content`; an entry may be dropped at any time."""
        ...


class Damaged(Exception):
    """An entry does not read back; it is treated as absent."""


def content_key(content: bytes) -> str:
    """Return a key that names the content of a file."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def entry_key(file: str, stamp: str) -> str:
    """Return the key of a file's documents; another version of batuta reads none of them."""
    return f"documents/{CACHE_FORMAT}/{__version__}/{stamp}/{file}"


def set_key(parts: Iterable[str]) -> str:
    """Return the key of what was resolved from all the named parts together."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode())
        whole.update(b"\0")
    return f"desired/{CACHE_FORMAT}/{__version__}/{whole.hexdigest()}"


def pack_documents(documents: Sequence[Document]) -> bytes:
    """Return the bytes of documents that were composed from one file."""
    return _encoder.encode([(d.value, d.marks.tobytes(), d.templated, d.valid) for d in documents])


def pieces(file: str, content: bytes) -> tuple[msgspec.Raw, ...]:
    """Return the documents of `file`, each still packed: views of `content`, some 50 bytes each.

    Raises:
        Damaged: the bytes are not what `pack_documents` gives.
    """
    try:
        return _pieces.decode(content)
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged(file) from error


def unpack_document(file: str, piece: msgspec.Raw) -> Document:
    """Return one document of `file`.

    Raises:
        Damaged: the piece is not of what `pack_documents` gives.
    """
    try:
        value, marks, templated, valid = _document.decode(piece)
        return Document(file, _values.decode(value), _marks(marks), templated, valid)
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged(file) from error


def unpack_documents(file: str, content: bytes) -> tuple[Document, ...]:
    """Return the documents of `file`.

    Raises:
        Damaged: the bytes are not what `pack_documents` gives.
    """
    return tuple(unpack_document(file, piece) for piece in pieces(file, content))


def _marks(content: bytes) -> "array[int]":
    marks = array("Q")
    marks.frombytes(content)
    return marks


Kept = tuple[Desired, tuple[Number | None, ...]]
"""What was resolved, and for all that knows its places (`holders`) which document it is from."""


def pack_desired(desired: Desired, origins: Sequence[Number | None]) -> bytes:
    """Return the bytes of a resolved set; places are left out and found again by `origins`."""
    return _encoder.encode((desired, origins))


def unpack_desired(content: bytes) -> Kept:
    """Return a resolved set, all places empty.

    Raises:
        Damaged: the bytes are not what `pack_desired` gives.
    """
    try:
        kept: Kept = msgspec.msgpack.decode(content, type=Kept)
    except msgspec.DecodeError as error:
        raise Damaged("desired") from error
    return kept
