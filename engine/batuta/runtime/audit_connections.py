"""The lines of the egress log that are about one dataset, for an audit, and whether the log holds."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from batuta.model.canonical import Json
from batuta.model.egress import LogHead
from batuta.runtime.egress.anchors import Anchor
from batuta.runtime.egress.audit import Row, log_files
from batuta.runtime.egress.audit_read import rows
from batuta.runtime.egress_record import EgressRecord
from batuta.runtime.worker.gate import SUPERVISOR


@dataclass
class Tried:
    """Looks for connections tried since a time; `gaps` grows with what the log does not show.

    `quiet` says that every run kept an empty log's head at its end, and that none of its workers
    could pass the log by: then a log that is not here was never begun.
    """

    record: EgressRecord
    resource: str
    since: str | None
    quiet: bool = False
    gaps: list[str] = field(default_factory=list)

    def of(self, runs: Collection[str], signed: Iterable[Anchor]) -> dict[str, Json]:
        """Return what was tried for the dataset, and by batuta itself in `runs`, which touched it.

        Args:
            signed: The heads of the log that signatures name.
        """
        record = self.record
        held = record.verify(signed)
        checked = held.log
        self.gaps += [f"the egress log is not anchored by {why}" for why in held.unread]
        self.gaps += [
            f"egress log ({found.code}): {found.detail.rstrip('.')}" for found in held.findings
        ]
        self.gaps += [
            f"{anchor.kept_by} names line {anchor.head.n} of an egress log, which the log here does"
            " not have: it was cut off or written anew, or the version was made with another log"
            for anchor in checked.missing
        ]
        if not log_files(record.path):
            if not self.quiet or held.findings or checked.missing:
                self.gaps.append(
                    "there is no egress log here: what workers tried to reach is not known"
                )
            return {"connections": [], "egress_head": None, "egress_anchor": None}
        names = {self.resource, self.resource.partition("/")[2]}
        tried = [
            _row(row)
            for row in rows(record.path)
            # What batuta itself asks of a store is of no dataset, but of a run that touched this one.
            if row.dataset in names or (row.worker == SUPERVISOR and row.run in runs)
            if self.since is None or row.time >= self.since or row.run in runs
        ]
        anchor: Json = None
        if checked.anchor is not None:
            anchor = {**_line(checked.anchor.head), "kept_by": checked.anchor.kept_by}
        return {
            "connections": tried, "egress_head": _line(checked.head), "egress_anchor": anchor,
        }  # fmt: skip


def _row(row: Row) -> Json:
    whole: dict[str, Json] = msgspec.to_builtins(row)
    return {name: value for name, value in whole.items() if value}


def _line(head: LogHead) -> dict[str, Json]:
    return {"n": head.n, "digest": head.digest}
