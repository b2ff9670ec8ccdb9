"""The port behind a destination: a dataset with a log, on any store of files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from batuta.model.connector import Files, Source
from batuta.model.diagnostic import Diagnostic
from batuta.model.format import Format
from batuta.model.log import Head, LogEntry, Part, Snapshot
from batuta.model.observed import Cut, DestinationState
from batuta.model.resource import HistorySpec
from batuta.model.table import TableSchema
from batuta.model.transfer import Input

HeadRelation = Literal["same", "descendant", "older", "foreign"]
Told = Callable[[int, int], None]
Cuts = Callable[[str, Input], Sequence[Cut]]
"""Looks into an input of a format, in a worker, for places where it can be read from."""


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
            CommitUnsettled: the entry is there, or may be; what comes after it is `recover`'s.
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

    def settle_seals(self) -> tuple[str, ...]:
        """Put signatures beside their entries that a death kept from it; one sentence for each.

        Nothing else is touched: unlike `recover` it disturbs no run that is alive.
        """
        ...

    def raw(self, version: int) -> tuple[bytes, bytes | None]:
        """Return the bytes of an entry and of its signature, None where it has none."""
        ...

    def importable(self) -> None:
        """Check that the files there can be taken over, without opening any.

        Raises:
            BatutaError: nothing is there, a log is there already, or names cannot be used.
        """
        ...

    def adopt(
        self, describe: Callable[[str], TableSchema | None], draft: LogEntry, write: bool
    ) -> tuple[Part, ...]:
        """Hash what is there and, if `write`, commit it as the first entry."""
        ...

    def check_keys(self, keys: Sequence[str]) -> tuple[Diagnostic, ...]:
        """Return why keys of opaque files cannot be paths here; empty where all can."""
        ...

    def deletion(self) -> Snapshot | None:
        """Return the entry of a deletion that has begun, with what may be left; else None."""
        ...

    def delete(self, draft: LogEntry, base: Head) -> None:
        """Commit `draft` after `base`, then delete files, history and log; strangers stay.

        Raises:
            CommitConflict: another writer committed after `base`; nothing was deleted.
            CommitUnsettled: it was committed, or may have been, and not all is deleted.
        """
        ...

    def source(self, formats: "dict[str, Format]", cuts: Cuts | None = None) -> Source:
        """Return this dataset as a source, pinned to its log.

        Without `cuts` it lists whole parts only, however large they are.
        """
        ...

    def readable(self, version: int | None, formats: "dict[str, Format]") -> Snapshot:
        """Return what a version holds (None: the head), where that can be read as rows.

        Raises:
            BatutaError: nothing was committed, or the files are of no format with rows.
        """
        ...

    def inputs(self, parts: Sequence[Part]) -> Sequence[Input]:
        """Return one input for each part, for a worker; both places of a part are tried."""
        ...
