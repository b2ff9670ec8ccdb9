"""Everything that a plan is decided from, as one value. Whoever looked at the world fills it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from batuta.core.egress.policy import Reached
from batuta.model.decision import Approval
from batuta.model.diagnostic import Diagnostic, Severity
from batuta.model.observed import DestinationState, SourceState
from batuta.model.resource import Desired, DriftChoice, DriftPolicy
from batuta.model.state import ResourceRecord
from batuta.model.tier import Tier

HeadRelation = Literal["same", "descendant", "older", "foreign"]
"""How the log's head relates to the one in the state: the last two may be a rollback."""


@dataclass(frozen=True, slots=True)
class Feed:
    """The source can say which rows changed since the last run: in how many bytes, 0 for none."""

    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One dataset seen from all sides.

    `source` and `destination` are what was found, or the diagnostics that say why an end could
    not be read. `head` is None where the state has no record or the destination no log. `feed`
    is None where the source cannot say which rows changed since the committed version. `standing`
    are the decisions that the destination's last commit used: they go on to hold for its rows.
    """

    source: SourceState | tuple[Diagnostic, ...]
    destination: DestinationState | tuple[Diagnostic, ...]
    record: ResourceRecord | None = None
    head: HeadRelation | None = None
    feed: Feed | None = None
    standing: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beforehand:
    """What was decided of one dataset before anything was contacted for it.

    `tier` is the one that was foreseen. `reached` are the ends that hosts are needed at. Where
    there is an error among `diagnostics` nothing was contacted. `policies` is a digest of the
    documents that apply, empty where none does.
    """

    tier: Tier
    reached: tuple[Reached, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    policies: str = ""

    @property
    def refused(self) -> tuple[Diagnostic, ...]:
        """The errors among the diagnostics."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)

    @property
    def notes(self) -> tuple[Diagnostic, ...]:
        """What is worth saying and stops nothing."""
        return tuple(d for d in self.diagnostics if d.severity is not Severity.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A resource that the state knows and no document describes any more."""

    record: ResourceRecord
    destination: DestinationState | tuple[Diagnostic, ...]
    head: HeadRelation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for. `select` and `exclude` are selectors, the rest are names.

    A name is a Dataset's name or its address. `allow_data_loss` names what may lose data,
    `adopt` what may take over a dataset that was made under another name.
    """

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    resync: tuple[str, ...] = ()
    destroy: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    adopt: tuple[str, ...] = ()
    allow_data_loss: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system of this machine: a folder that names it in a message, and what is free there."""

    id: str
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInput:
    """The desired state, the observed one by dataset name, the recorded one, and the questions.

    A dataset without an observation was not read (an offline plan). `target_bytes` gives for
    each format that can be written the Arrow size at which its parts end. `read` names the
    platforms that were read. `on_drift` outranks the manifests, and `drift_answers`, by
    address, outranks both. `prices` is a digest. `spent` holds, by the text of a decision that
    was used already, the resource that used it. `beforehand` holds, by dataset name, what was
    decided before anything was contacted; one that is missing needs no host. `disks` are the
    file systems of local destinations by dataset name, `staging` is the one where uploads wait.
    `real_paths` holds, by the path as it is written, where a local end really lies, links followed.
    """

    desired: Desired
    observed: Mapping[str, Observation] = field(default_factory=dict)
    orphans: tuple[Orphan, ...] = ()
    asked: Asked = Asked()
    on_drift: DriftPolicy | None = None
    drift_answers: Mapping[str, DriftChoice] = field(default_factory=dict)
    target_bytes: Mapping[str, int] = field(default_factory=dict)
    prices: str = ""
    batuta_version: str = ""
    read: tuple[str, ...] = ()
    spent: Mapping[str, str] = field(default_factory=dict)
    beforehand: Mapping[str, Beforehand] = field(default_factory=dict)
    disks: Mapping[str, Disk] = field(default_factory=dict)
    staging: Disk | None = None
    real_paths: Mapping[str, str] = field(default_factory=dict)

    def policies(self, name: str) -> str:
        """Return the digest of the egress policies that apply to a dataset."""
        before = self.beforehand.get(name)
        return "" if before is None else before.policies


def is_named(names: tuple[str, ...], address: str) -> bool:
    """True where `address` is among `names`, written as a name or as an address."""
    return bool(names) and (address in names or address.partition("/")[2] in names)
