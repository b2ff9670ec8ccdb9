"""Heads of the egress log that were kept elsewhere, held against the log.

The chain shows that no line was changed; that none was cut off its end, and that it was not
written anew from some line on, shows only what somebody wrote down in another place.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from batuta.model.diagnostic import Diagnostic
from batuta.model.egress import LogHead


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that was kept, and by what (`run 20261130T…`). A log that only grew has its line.

    `sure` is False where it may be the head of another log: of another machine's.
    """

    head: LogHead
    kept_by: str
    sure: bool = True


class Anchors:
    """The anchors that one pass over the lines has not met yet."""

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self.last: Anchor | None = None
        self._waiting: dict[LogHead, Anchor] = {}
        for anchor in anchors:
            known = self._waiting.get(anchor.head)
            if anchor.head.n and (known is None or anchor.sure):
                self._waiting[anchor.head] = anchor

    def meet(self, head: LogHead) -> None:
        """Take note that the log has this line."""
        self.last = self._waiting.pop(head, self.last)

    @property
    def unsure(self) -> tuple[Anchor, ...]:
        """Those that were not met and may be of another log, by line."""
        found = [anchor for anchor in self._waiting.values() if not anchor.sure]
        return tuple(sorted(found, key=lambda anchor: anchor.head.n))

    def findings(self, name: str, last: LogHead) -> list[Diagnostic]:
        """Say what is missing in the log `name`, which ends with `last`; two at most."""
        missing = [anchor for anchor in self._waiting.values() if anchor.sure]
        missing.sort(key=lambda anchor: anchor.head.n)
        beyond = [anchor for anchor in missing if anchor.head.n > last.n]
        other = [anchor for anchor in missing if anchor.head.n <= last.n]
        found = [_other(name, other)] if other else []
        return [*found, _cut_off(name, beyond, last)] if beyond else found


def _cut_off(name: str, beyond: list[Anchor], last: LogHead) -> Diagnostic:
    newest = beyond[-1]
    more = f" ({len(beyond)} heads that were kept are behind it)" if len(beyond) > 1 else ""
    return Diagnostic(
        code="EGR304",
        summary="The egress log was cut off",
        detail=f"Line {newest.head.n}, the last one when {newest.kept_by} kept its digest, is not"
        f" in {name}; the log now ends with line {last.n}{more}.",
        fix="Restore the file from a backup; what was tried after its end is not known.",
    )


def _other(name: str, other: list[Anchor]) -> Diagnostic:
    oldest = other[0]
    more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
    return Diagnostic(
        code="EGR308",
        summary="The egress log is not the one that was anchored",
        detail=f"Line {oldest.head.n} in {name} is another one than the line whose digest"
        f" {oldest.kept_by} kept{more}.",
        fix="Restore the file from a backup: from that line on, or before, it was written anew.",
    )
