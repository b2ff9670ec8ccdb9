"""Log entries, checkpoints and intents as canonical JSON, and back.

Reading is strict: what was read is written again and must give the same bytes. So a field
that nobody knows, a second spelling of a number or a doubled key is refused, and a digest of
the bytes is a digest of the meaning.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.names import folders_above, unsafe
from batuta.model.canonical import canonical_bytes
from batuta.model.log import LOG_FORMAT_VERSION, Head, LogEntry, Part

# A commit that names a million files takes about 300 MB; anything larger is not an entry.
MAX_BYTES = 1 << 30

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The parts that are current at `head`, in row order: a short cut, never an authority.

    `content` is the newest entry that changed rows or schema, `shape` their fingerprint.
    """

    format_version: int = LOG_FORMAT_VERSION
    head: Head
    content: Head
    shape: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a run is about to do to the files of the folder for the commit of `version`.

    `removed` are parts as they are before; a path that is added as well is replaced. The
    paths in `revived` come back from history, the other added ones from staging.
    """

    format_version: int = LOG_FORMAT_VERSION
    run: str
    version: int
    added: tuple[Part, ...]
    removed: tuple[Part, ...]
    revived: tuple[str, ...] = ()

    @property
    def replaced(self) -> tuple[Part, ...]:
        """Parts whose path gets another content, as they are before."""
        paths = {part.path for part in self.added}
        return tuple(part for part in self.removed if part.path in paths)

    @property
    def superseded(self) -> tuple[Part, ...]:
        """Parts whose path is not used any more after the commit."""
        paths = {part.path for part in self.added}
        return tuple(part for part in self.removed if part.path not in paths)

    @property
    def in_the_way(self) -> tuple[Part, ...]:
        """Superseded keys that are a folder of an added one, or lie below one, on a file system."""
        added = {part.path for part in self.added}
        folders = {folder for path in added for folder in folders_above(path)}
        return tuple(
            part
            for part in self.superseded
            if part.path in folders or not added.isdisjoint(folders_above(part.path))
        )


Document = LogEntry | Checkpoint | Intent
_D = TypeVar("_D", LogEntry, Checkpoint, Intent)


class _Versioned(msgspec.Struct):
    format_version: int


# Made here, by one thread: logs are read by several, and a type that two of them look into for the
# first time at once can crash the process.
_VERSIONED = msgspec.json.Decoder(_Versioned)
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (LogEntry, Checkpoint, Intent)
}


def encode(document: Document) -> bytes:
    """Return the one spelling of `document`, whose SHA-256 is its digest."""
    return canonical_bytes(msgspec.to_builtins(document))


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of an entry's bytes as 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()


def decode_entry(content: bytes, *, name: str, version: int) -> LogEntry:
    """Return the entry that `content` spells; `name` is for messages.

    Raises:
        ConnectorError: permanent. LOG101: no entry, or not in its one spelling, or with paths
            that lead out of the folder; LOG102: of a newer format; LOG104: another version
            than its name says.
    """
    entry = _decode(content, LogEntry, name)
    if entry.version != version or (entry.parent is None) != (version == 0):
        detail = f"{name} says that it is version {entry.version} with parent {entry.parent}."
        raise refusal("LOG104", detail)
    paths = [part.path for part in entry.added]
    _check_parts(entry.added, name)
    for many in (paths, entry.removed):
        if twice := [path for path, times in Counter(many).items() if times > 1]:
            raise refusal("LOG101", f"{name} names {twice[0]!r} twice.")
    return entry


def decode_checkpoint(content: bytes, *, name: str, version: int) -> Checkpoint:
    """Return the checkpoint that `content` spells.

    Raises:
        ConnectorError: as for an entry.
    """
    checkpoint = _decode(content, Checkpoint, name)
    _check_parts(checkpoint.parts, name)
    if checkpoint.head.version != version:
        raise refusal("LOG105", f"{name} says that it folds version {checkpoint.head.version}.")
    return checkpoint


def decode_intent(content: bytes, *, name: str) -> Intent:
    """Return the intent that `content` spells.

    Raises:
        ConnectorError: as for an entry.
    """
    intent = _decode(content, Intent, name)
    _check_parts((*intent.added, *intent.removed), name)
    return intent


def _decode(content: bytes, kind: type[_D], name: str) -> _D:
    if len(content) > MAX_BYTES:
        raise refusal("LOG101", f"{name} has more than {MAX_BYTES} bytes.")
    try:
        written = _VERSIONED.decode(content).format_version
        if written > LOG_FORMAT_VERSION:
            detail = f"{name} has format version {written}; this one reads {LOG_FORMAT_VERSION}."
            raise refusal("LOG102", detail)
        document: _D = _DECODERS[kind].decode(content)
        same = encode(document) == content
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise refusal("LOG101", f"{name} does not parse: {error}.") from error
    if not same or written != LOG_FORMAT_VERSION:
        raise refusal("LOG101", f"{name} is not spelled as batuta spells it: it was edited.")
    return document


def _check_parts(parts: tuple[Part, ...], name: str) -> None:
    for part in parts:
        if (why := unsafe(part.path)) is not None:
            raise refusal("LOG101", f"{name} names the file {part.path!r}: {why}.")
        if part.size_bytes < 0 or not _SHA256.fullmatch(part.sha256):
            raise refusal("LOG101", f"{name} has no size or no SHA-256 for {part.path!r}.")
