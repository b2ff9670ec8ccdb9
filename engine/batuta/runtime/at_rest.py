"""The label that data has where it lies: by the log above it, and by what the state knows of it.

What other tools keep in files is a hint and never lowers anything. Where two witnesses differ
and none is signed the stricter of both holds; a log that cannot be believed means that nobody
knows the label, and then no place takes the data in.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batuta.core.tiers import united
from batuta.model.address import Address
from batuta.model.diagnostic import BatutaError
from batuta.model.log import Label
from batuta.model.observed import SourceState
from batuta.model.resource import SourceSpec
from batuta.runtime.approvals import in_force
from batuta.runtime.clock import now_utc
from batuta.runtime.seals import Seals
from batuta.runtime.state.labels import known_labels
from batuta.runtime.state.store import StateStore

if TYPE_CHECKING:
    from batuta.model.dataset import DatasetStore

LOG_FOLDER = "_log"
BROKEN = Label(confidentiality="broken", integrity="broken", declared=False)
"""Names no tier: a label that is there and cannot be believed."""

OpenDataset = Callable[[Address, str | None], "DatasetStore"]
IsFolder = Callable[[Address], bool]


@dataclass(frozen=True, slots=True)
class AtRest:
    """Finds labels with one state and one workspace's keys. `root` is where paths start."""

    store: Callable[[], StateStore]
    seals: Seals
    root: Path

    def labelled(
        self, spec: SourceSpec, state: SourceState, log: "DatasetStore | None"
    ) -> SourceState:
        """Return what was observed with the label that it has, and the decisions that hold.

        `log` is the dataset that it lies in, where it was not read through its log already.
        """
        label, decisions = state.label, state.decisions
        if log is not None:
            label, decisions = _in_log(log)
        remembered = self._remembered(spec, state)
        if label is None:
            label = remembered
            if label is not None:
                # Nothing can be recorded where no log is, whatever is known of the contents.
                state = replace(state, has_log=False)
        elif remembered is not None and label is not BROKEN and not self._signs:
            label = united((label, remembered))
        approvals = in_force(decisions, self.seals.keys[1], now_utc()) if decisions else ()
        if label == state.label and not approvals and decisions == state.decisions:
            return state
        return replace(state, label=label, decisions=decisions, approvals=approvals)

    @property
    def _signs(self) -> bool:
        """True where logs are checked by signature, so that a log outranks the state."""
        return bool(self.seals.keys[1].keys)

    def _remembered(self, spec: SourceSpec, state: SourceState) -> Label | None:
        """What the state knows of the contents; those it was itself made from say nothing new."""
        digests = [u.version for u in state.units if u.size_bytes and len(u.version) == 64]
        if not digests or spec.dataset is not None:
            return None
        found = known_labels(self.store(), digests, apart_from=str(spec.address))
        return united(found) if found else None

    def local_log(self, address: Address) -> Address | None:
        """Return the folder, this one or one above it, that holds a log; None where none does."""
        if address.scheme != "file":
            return None
        place = os.path.abspath(os.path.join(self.root, os.path.expanduser(address.path)))
        while not os.path.isdir(os.path.join(place, LOG_FOLDER)):
            above = os.path.dirname(place)
            if above == place:
                return None
            place = above
        return Address("file", place)


def _in_log(log: "DatasetStore") -> tuple[Label, tuple[tuple[str, str], ...]]:
    try:
        state = log.source({}).observe(SourceSpec(), None)
    except BatutaError:
        return BROKEN, ()
    return state.label or BROKEN, state.decisions
