"""A transfer that merges rows by key into the parts that are there.

What changed comes from the source's own change feed, or is what a cursor column says is newer.
The work is one task: it is done as a whole or again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.log import Part
from batuta.model.observed import SourceState
from batuta.model.resource import OnSourceDelete, SourceSpec
from batuta.model.transfer import ChunkReceipt, CopyItem, MergeTask, Partition
from batuta.runtime.retry import retrying
from batuta.runtime.state.store import put_chunk
from batuta.runtime.transfer import (
    Staged,
    TransferRun,
    levels_of,
    source_schema,
    without_keys,
)
from batuta.runtime.worker.wire import Reply, Request, TaskRequest

Changes = Callable[[str, SourceSpec, SourceState, str], "tuple[Partition, ...] | None"]


@dataclass(kw_only=True)
class MergeRun(TransferRun):
    """One merge under way. `parts` are the current parts, in `part_format`."""

    changes: Changes
    parts: Sequence[CopyItem] = ()
    part_format: str = ""

    @staticmethod
    def of(
        run: TransferRun, changes: Changes, parts: Sequence[CopyItem], part_format: str
    ) -> "MergeRun":
        """Return `run` as one that merges."""
        given = {field.name: getattr(run, field.name) for field in fields(TransferRun)}
        return MergeRun(**given, changes=changes, parts=parts, part_format=part_format)

    def _staging_of(self, earlier: dict[str, list[ChunkReceipt]]) -> Staged:
        transfer = self.action.transfer
        incremental = transfer.incremental
        schema = self.action.facts.schema
        assert incremental is not None
        assert schema is not None
        task = MergeTask(
            id="merge", source_version=transfer.source_version,
            partitions=tuple(self._changed()), columns=transfer.columns,
            source_schema=source_schema(transfer), schema=schema, key=incremental.key,
            lookback_s=incremental.lookback_s, parts=tuple(self.parts),
            part_format=self.part_format, output=transfer.output, staging=str(self.staging),
            keeps_gone=self.action.facts.on_source_delete == OnSourceDelete.KEEP,
            **self._order(incremental.cursor),
        )  # fmt: skip
        receipts = earlier.get(task.id, [])
        self._expect(task.partitions)
        if not (receipts and receipts[-1].done):
            receipts = []

            def told(reply: Reply) -> None:
                if reply.receipt is not None:
                    self.store.write([put_chunk(self.id, reply.receipt)])
                    receipts.append(reply.receipt)
                    self._count(reply.receipt)
                elif reply.bytes or reply.rows:
                    self._moved(reply.bytes, reply.rows)

            def attempt() -> None:
                receipts.clear()
                access, inner = (without_keys(end) for end in (self.access, self.inner))
                request = Request(task=TaskRequest(merge=task, access=access, inner=inner))
                self._serve(request, self.action.target.resource, told)

            retrying(attempt, self.pool.stop, self.retold)
        parts = [part for receipt in receipts for part in receipt.files]
        self._check_count(task, parts, receipts[-1].kept)
        return Staged(
            parts=tuple(parts),
            files=tuple((str(self.staging / part.path), part.path) for part in parts),
            kept=receipts[-1].kept,
            cursor=receipts[-1].cursor,
            bytes_read=self.done_bytes,
            levels=levels_of(receipts),
        )

    def _changed(self) -> Sequence[Partition]:
        """The rows to merge: what the source says changed, or all that may be newer."""
        transfer = self.action.transfer
        if transfer.scope == "merge":
            return self._partitions()
        assert transfer.since is not None
        told = self.changes(self._dataset, transfer.source, self.state, transfer.since)
        if told is None:
            raise _failed("WRK214", "The change feed is gone",
                         f"{self.action.target.resource} was to be followed by what its source"
                         " says changed, and the source cannot say it any more.",
                         "Plan again: batuta plan", Failure.CHANGED)  # fmt: skip
        return told

    def _order(self, cursor: str | None) -> Mapping[str, Any]:
        """What decides between rows of one key: the cursor, or the order of a change feed."""
        transfer = self.action.transfer
        if transfer.scope == "changes":
            return {"cursor": None, "since": None, "change_column": "_change"}
        return {"cursor": cursor, "since": transfer.since, "change_column": None}

    def _check_count(self, task: MergeTask, parts: Sequence[Part], kept: Sequence[str]) -> None:
        """Refuse a merge of changes whose rows are not as many as the source says it has.

        With every change seen, only a key that is not unique can make the difference.
        """
        if task.change_column is None or task.keeps_gone or self.state.rows is None:
            return
        stay = {item.name: item.rows or 0 for item in task.parts}
        count = sum(part.rows or 0 for part in parts) + sum(stay[name] for name in kept)
        if count != self.state.rows:
            raise _failed(
                "WRK213", "The key is not unique",
                f"Merged by {', '.join(task.key)} the dataset would have {count} rows; the source"
                f" has {self.state.rows}.",
                "Add columns to `incremental.key` until no two rows share it; if deletes were missed"
                " before, read everything anew with `--resync`.", Failure.PERMANENT,
            )  # fmt: skip


def _failed(code: str, summary: str, detail: str, fix: str, kind: Failure) -> ConnectorError:
    """Return what ends a transfer."""
    return ConnectorError(Diagnostic(code=code, summary=summary, detail=detail, fix=fix), kind=kind)
