"""The rows of a dataset for whoever asks to see them: a worker reads and renders part by part.

A part is one request, so that one whose address has expired, because the rows are taken slowly,
is signed anew, and one that moved to history meanwhile is found there.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from batuta.model.dataset import DatasetStore
from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.log import Snapshot
from batuta.model.transfer import Input
from batuta.runtime.retry import retrying
from batuta.runtime.worker.pool import trouble
from batuta.runtime.worker.wire import Reply, ShowRequest, Style

Ask = Callable[[ShowRequest, Callable[[Reply], None]], None]
_MOST_BARE = 8
"""Pieces of cells that may come beside those with rows: a head, and the ends of batches."""
_ANEW = frozenset({Failure.TRANSIENT, Failure.THROTTLED, Failure.EXPIRED, Failure.CHANGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How rows are to be shown: of which version (None: the newest), at most how many."""

    style: Style
    version: int | None = None
    limit: int | None = None


@dataclass(kw_only=True)
class Showing:
    """One version of a dataset on its way to somebody.

    `ask` has a worker serve a request. `told` gets each piece as it comes; what it raises ends
    the showing.
    """

    dataset: DatasetStore
    snapshot: Snapshot
    wish: Wish
    ask: Ask
    told: Callable[[bytes], None]
    _inputs: list[Input] = field(default_factory=list)
    _heard: int = 0
    _rows: int = 0
    _bare: int = 0

    def run(self, stop: threading.Event) -> None:
        """Show everything that was asked for.

        Raises:
            ConnectorError: a part cannot be read; what was shown before it stays.
        """
        self._find(0)
        for number in range(len(self.snapshot.parts)):
            self._part(number, stop)
            # Asked for no rows, somebody still wants to see the columns.
            if self._heard and self._rows == self.wish.limit:
                return

    def _find(self, first: int) -> None:
        parts = self.snapshot.parts[first:]
        self._inputs[first:] = self.dataset.inputs(parts)

    def _part(self, number: int, stop: threading.Event) -> None:
        try:
            self._once(number)
        except ConnectorError as error:
            if error.kind not in _ANEW:
                raise
            # It was signed too long ago, or has moved: both are put right by looking again.
            self._find(number)
            retrying(lambda: self._once(number), stop, lambda _attempt, _wait_s, _reason: None)

    def _once(self, number: int) -> None:
        facts, limit = self.snapshot.entry.facts, self.wish.limit
        assert facts.schema is not None
        before, self._bare = self._heard, 0
        request = ShowRequest(
            input=self._inputs[number], format=facts.format, schema=facts.schema,
            style=self.wish.style, limit=None if limit is None else limit - self._rows,
            first=before == 0,
        )  # fmt: skip
        try:
            self.ask(request, self._hear)
        except ConnectorError as error:
            if self._heard == before:
                raise
            # Tried again, it would show the same rows twice.
            raise ConnectorError(error.diagnostics[0], kind=Failure.PERMANENT) from error

    def _hear(self, reply: Reply) -> None:
        if reply.payload is None:
            return
        self._heard += 1
        # Cells are kept here until the last; a long value of the others comes in many pieces.
        self._bare = 0 if reply.rows or self.wish.style != "cells" else self._bare + 1
        limit = self.wish.limit
        over = limit is not None and self._rows + reply.rows > limit
        # The rows of a batch are told after its pieces, each of which holds one row at least.
        bare = limit is not None and self._bare > limit + _MOST_BARE
        if reply.rows < 0 or over or bare:
            raise trouble("the rows", "it sent more than it was asked for")
        self._rows += reply.rows
        if reply.payload:
            self.told(reply.payload)
