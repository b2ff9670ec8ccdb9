"""The dataset port (`model.dataset.DatasetStore`): every verb of this folder on one `Files`."""

from collections.abc import Sequence
from dataclasses import dataclass

from batuta.connectors.alimentar import names, reader
from batuta.connectors.alimentar.adopt import Describe, adopt, importable
from batuta.connectors.alimentar.commit import Staged, announce, commit
from batuta.connectors.alimentar.deletion import announced, delete
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
from batuta.connectors.alimentar.sealing import place, read_seal, settle_seals
from batuta.connectors.alimentar.snapshot import snapshot_at
from batuta.connectors.alimentar.source import AlimentarSource
from batuta.connectors.alimentar.verify import verify
from batuta.model.connector import Files
from batuta.model.dataset import Cuts, HeadRelation, Told, Verification
from batuta.model.diagnostic import Diagnostic
from batuta.model.format import Format
from batuta.model.log import Head, LogEntry, Part, Snapshot
from batuta.model.observed import DestinationState
from batuta.model.resource import HistorySpec
from batuta.model.seal import NO_SEAL, Seal
from batuta.model.transfer import Input


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
        return expire(self.files, history, now_s)

    def verify(self, anchor: Head | None, told: Told) -> Verification:
        """See `verify.verify`."""
        return verify(self.files, anchor, told, self.seal.check)

    def importable(self) -> None:
        """See `adopt.importable`."""
        importable(self.files)

    def adopt(self, describe: Describe, draft: LogEntry, write: bool) -> tuple[Part, ...]:
        """See `adopt.adopt`."""
        sign = self.seal.sign

        def told(_files: int, _size: int) -> None:
            """Nobody listens."""

        return adopt(self.files, describe, draft, write=write, told=told, sign=sign)

    def settle_seals(self) -> tuple[str, ...]:
        """See `sealing.settle_seals`."""
        return settle_seals(self.files)

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

    def deletion(self) -> Snapshot | None:
        """See `deletion.announced`."""
        return announced(self.files)

    def delete(self, draft: LogEntry, base: Head) -> None:
        """See `deletion.delete`."""
        delete(self.files, draft, base, sign=self.seal.sign)

    def source(self, formats: dict[str, Format], cuts: Cuts | None = None) -> AlimentarSource:
        """Return this dataset as a source, pinned to its log."""
        return AlimentarSource(self.files, formats, self.seal.check, cuts)

    def readable(self, version: int | None, formats: dict[str, Format]) -> Snapshot:
        """See `reader.readable`."""
        return reader.readable(self.files, self.snapshot(version), formats)

    def inputs(self, parts: Sequence[Part]) -> tuple[Input, ...]:
        """See `reader.inputs`."""
        return reader.inputs(self.files, parts)
