"""The port behind a destination: a dataset with a log, on any store of files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from batuta.model.connector import Files, Source
from batuta.model.diagnostic import Diagnostic
from batuta.model.format import Format
from batuta.model.log import Head, LogEntry, Part, Snapshot
from batuta.model.observed import DestinationState
from batuta.model.resource import HistorySpec
from batuta.model.table import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

HeadRelation = Literal["same", "descendant", "older", "foreign"]
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check of a dataset found. `anchored` says that something outside vouches for the head.

    `signed` counts entries with a signature that a trusted key made.
    """

    ok: bool
    anchored: bool
    problems: tuple[Diagnostic, ...]
    entries: int
    files: int
    size_bytes: int
    signed: int = 0


class DatasetStore(Protocol):
    """One dataset at one place. Errors are BatutaError with LOG codes, or the store's own."""

    files: Files

    def observe(self) -> DestinationState:
        """Return what lies there, by list and log alone; no part is opened."""
        ...

    def entries(self) -> tuple[LogEntry, ...]:
        """Return all entries, oldest first."""
        ...

    def snapshot(self, version: int | None = None) -> Snapshot | None:
        """Return the dataset at `version` (None: the head), None where nothing was committed."""
        ...

    def relation(self, recorded: Head | None) -> HeadRelation:
        """Return how the live head stands to a recorded one."""
        ...

    def announce(
        self,
        draft: LogEntry,
        base: Head | None,
        staged: Sequence[tuple[str, str]],
        *,
        mend: bool = False,
    ) -> None:
        """Prepare a commit whose files are uploaded between this and `commit`.

        Without it an upload over an existing path would destroy what older readers need.
        """
        ...

    def commit(
        self,
        draft: LogEntry,
        base: Head | None,
        staged: Sequence[tuple[str, str]],
        *,
        mend: bool = False,
    ) -> Head:
        """Publish staged files, make the entry visible, retire what it supersedes.

        `draft.version` and `draft.parent` follow from `base` and are filled in. `staged` pairs
        (local file, path in the dataset); empty where the parts were uploaded already. `mend`
        (given to one of the two verbs, the first) hashes what lies there, publishes parts again
        that are spoilt or missing, and lets no spoilt part become history.

        Raises:
            CommitConflict: another writer committed after `base`; nothing became visible.
        """
        ...

    def recover(self, alive: frozenset[str]) -> tuple[str, ...]:
        """Finish or undo what a killed run left; staging folders named in `alive` stay.

        Returns one sentence per thing done; empty where all was in order.
        """
        ...

    def expire(self, history: HistorySpec, now_s: float) -> int:
        """Delete superseded files that are older than `history` keeps; return how many."""
        ...

    def verify(self, anchor: Head | None, told: Told) -> Verification:
        """Check every entry and hash every part. `told` hears (files done, bytes done)."""
        ...

    def seal_head(self) -> Head | None:
        """Sign the head anew; return it, None where there is no log or no key.

        For a signature that was lost, or a log that is older than its key. Who calls it vouches
        for all that the head's chain names: verify first.
        """
        ...

    def raw(self, version: int) -> tuple[bytes, bytes | None]:
        """Return the bytes of an entry and of its signature, None where it has none."""
        ...

    def adopt(
        self, describe: Callable[[str], TableSchema | None], draft: LogEntry, write: bool
    ) -> tuple[Part, ...]:
        """Hash what is there and, if `write`, commit it as the first entry."""
        ...

    def check_keys(self, keys: Sequence[str]) -> tuple[Diagnostic, ...]:
        """Return why keys of opaque files cannot be paths here; empty where all can."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Delete the dataset's files, its history, staging and log; strangers stay."""
        ...

    def source(self, formats: "dict[str, Format]") -> Source:
        """Return this dataset as a source, pinned to its log."""
        ...

    def batches(
        self, version: int | None, formats: "dict[str, Format]"
    ) -> "Iterator[pa.RecordBatch]":
        """Yield the rows of a version in row order; both places of a part are tried."""
        ...
