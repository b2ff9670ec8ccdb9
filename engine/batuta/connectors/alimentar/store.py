"""The dataset port (`model.dataset.DatasetStore`): every verb of this folder on one `Files`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batuta.connectors.alimentar import names
from batuta.connectors.alimentar import reader as rows
from batuta.connectors.alimentar.adopt import Describe, adopt
from batuta.connectors.alimentar.commit import Staged, announce, commit
from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.history import expire
from batuta.connectors.alimentar.log import (
    compare_head,
    log_names,
    open_log,
    read_entries,
)
from batuta.connectors.alimentar.observe import observe
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.sealing import place, read_seal
from batuta.connectors.alimentar.snapshot import snapshot_at
from batuta.connectors.alimentar.source import AlimentarSource
from batuta.connectors.alimentar.verify import verify
from batuta.model.connector import Files
from batuta.model.dataset import HeadRelation, Told, Verification
from batuta.model.diagnostic import ConnectorError, Diagnostic
from batuta.model.format import Format
from batuta.model.log import Head, LogEntry, Part, Snapshot
from batuta.model.observed import DestinationState
from batuta.model.resource import HistorySpec
from batuta.model.seal import NO_SEAL, Seal

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class AlimentarStore:
    """Implements `model.dataset.DatasetStore`; opens the log anew for each call."""

    files: Files
    seal: Seal = NO_SEAL

    def observe(self) -> DestinationState:
        """See `observe.observe`."""
        return observe(self.files, self.seal.check)

    def entries(self) -> tuple[LogEntry, ...]:
        """Return all entries, oldest first; none where there is no log."""
        versions = log_names(self.files).entries
        if not versions:
            return ()
        return tuple(e.entry for e in read_entries(self.files, 0, versions[-1]))

    def snapshot(self, version: int | None = None) -> Snapshot | None:
        """Return the dataset at `version` (None: the head), None where nothing was committed."""
        if (log := open_log(self.files)) is None:
            return None
        return log.snapshot if version is None else snapshot_at(self.files, log, version)

    def relation(self, recorded: Head | None) -> HeadRelation:
        """See `log.compare_head`."""
        return compare_head(self.files, recorded, open_log(self.files))

    def announce(
        self, draft: LogEntry, base: Head | None, staged: Staged, *, mend: bool = False
    ) -> None:
        """Prepare a commit whose files are uploaded between this and `commit`.

        Without it an upload over an existing path would destroy what older readers need.
        """
        announce(self.files, open_log(self.files), draft, base, staged, mend=mend)

    def commit(
        self, draft: LogEntry, base: Head | None, staged: Staged, *, mend: bool = False
    ) -> Head:
        """See `commit.commit`."""
        log = open_log(self.files)
        return commit(self.files, log, draft, base, staged, sign=self.seal.sign, mend=mend).head

    def recover(self, alive: frozenset[str]) -> tuple[str, ...]:
        """See `recover.recover`."""
        return recover(self.files, alive)

    def expire(self, history: HistorySpec, now_s: float) -> int:
        """See `history.expire`."""
        log = open_log(self.files)
        return expire(self.files, log, history, now_s) if log else 0

    def verify(self, anchor: Head | None, told: Told) -> Verification:
        """See `verify.verify`."""
        return verify(self.files, anchor, told, self.seal.check)

    def adopt(self, describe: Describe, draft: LogEntry, write: bool) -> tuple[Part, ...]:
        """See `adopt.adopt`."""
        parts = adopt(self.files, describe, draft, write=write, told=lambda _files, _bytes: None)
        if write:
            self.seal_head()
        return parts

    def seal_head(self) -> Head | None:
        """Sign the head anew; None where there is no log or no key."""
        log = open_log(self.files)
        if log is None or self.seal.sign is None:
            return None
        place(self.files, log.head.version, self.seal.sign(log.head, log.entry))
        return log.head

    def raw(self, version: int) -> tuple[bytes, bytes | None]:
        """Return the bytes of an entry and of its signature, None where it has none.

        Raises:
            ConnectorError: LOG103, permanent: there is no such entry.
        """
        try:
            content = self.files.read(names.entry_name(version))
        except FileNotFoundError as error:
            raise refusal("LOG103", f"{names.entry_name(version)} is not there.") from error
        return content, read_seal(self.files, version)

    def check_keys(self, keys: Sequence[str]) -> tuple[Diagnostic, ...]:
        """Return one diagnostic for each key that is reserved, unsafe, or clashes with another."""
        return names.check_keys(keys)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete `paths`, current parts, history, staging and, last of all, the log.

        Where the log can be read, only paths that it names go. The log goes from its old end,
        so that a deletion that was cut short is seen as damage and can be done again.
        """
        wanted = {path for path in paths if names.unsafe(path) is None}
        try:
            log = open_log(self.files)
        except ConnectorError:
            log = None
        if log is not None:
            wanted = set(log.folded.parts)
        listed = [info.path for info in self.files.list()]
        self.files.delete(sorted(wanted))
        self.files.delete([p for p in listed if names.history_key(p) is not None])
        self.files.delete([p for p in listed if p.startswith(names.STAGING)])
        self.files.delete([p for p in listed if names.checkpoint_version(p) is not None])
        self.files.delete([p for p in listed if names.seal_version(p) is not None])
        self.files.delete([p for p in listed if names.entry_version(p) is not None])

    def source(self, formats: dict[str, Format]) -> AlimentarSource:
        """Return this dataset as a source, pinned to its log."""
        return AlimentarSource(self.files, formats, self.seal.check)

    def batches(
        self, version: int | None, formats: dict[str, Format]
    ) -> "Iterator[pa.RecordBatch]":
        """See `reader.batches`; LOG143 where nothing was committed."""
        if (snapshot := self.snapshot(version)) is None:
            raise refusal("LOG143", f"{self.files.location} has no log.")
        return rows.batches(self.files, snapshot, formats)
