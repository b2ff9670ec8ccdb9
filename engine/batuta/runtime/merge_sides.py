"""The two sides of `batuta data merge`: its document, and what may be done where they conflict."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from batuta.core.labels.flows import (
    NEEDED_INTEGRITY,
    Choice,
    Conflict,
    Denial,
    Input,
    Place,
    Way,
    conflict,
)
from batuta.core.labels.lattice import of_record
from batuta.core.selection import source_text
from batuta.core.tiers import Carried, platform_label, united
from batuta.manifest.document import Value
from batuta.manifest.shorthand import command_document, literal
from batuta.model.address import parse_address
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.model.log import Facts, Label, LogEntry, Snapshot
from batuta.model.observed import SourceState, states_of
from batuta.model.resource import Dataset, SourcePart, SourceSpec
from batuta.model.resource import MergeConflict as Holds
from batuta.model.tier import Network, Tier
from batuta.runtime.datasets import Datasets
from batuta.runtime.observe import Observer

_TEXTS = {
    Choice.DECLASSIFY: "Downgrade {names} to {to}: declassify it (needs your reason, is recorded)",
    Choice.RESOURCE: "Re-source {names} from an origin of {to} or better",
    Choice.ENDORSE: "Endorse {names} as {to} after your review (needs your reason, is recorded)",
    Choice.QUIT: "Quit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side: what it is called, its tier and origin as the question words them, its label.

    `logged` says that a decision about it can be recorded. `follows` is true where nothing says
    how confidential it is, so that it is as confidential as the place that it comes to.
    """

    name: str
    tier: str
    origin: str
    label: Label
    logged: bool = False
    follows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConflict:
    """Why two sides may not be merged, and the ways out by the letter that chooses them."""

    target: Side
    source: Side
    why: str
    ways: tuple[Way, ...]

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """The letters with their sentences, in the order of the question."""
        return tuple(
            (way.choice.value, _TEXTS[way.choice].format(names=", ".join(way.inputs), to=way.to))
            for way in self.ways
        )

    def way(self, letter: str) -> Way | None:
        """Return the way that a letter chooses, None where it chooses none."""
        return next((way for way in self.ways if way.choice.value == letter.upper()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeWish:
    """What `data merge` was asked for. `tier` is None where the target's own is to stay.

    `egress` names the EgressPolicy to go by, None for those that apply by themselves.
    """

    target: str
    source: str
    on: tuple[str, ...] = ()
    conflict: str | None = None
    tier: str | None = None
    egress: str | None = None


def merge_documents(datasets: Datasets, wish: MergeWish) -> tuple[dict[str, Value], ...]:
    """Return the documents to try, in order: as it was merged before, and as it is now.

    The first one is there only where the target's last commit was this very merge; where
    nothing has changed since, it plans nothing, and so the command may be typed twice.

    Raises:
        BatutaError: DAT101, the target has no log; DAT102, a manifest says what it is made from.
    """
    place = datasets.committed(wish.target)
    name = place.resource.partition("/")[2]
    snapshot = place.dataset.snapshot()
    assert snapshot is not None
    if name in datasets.wanted or _declared(datasets, str(place.destination)):
        raise BatutaError(_in_manifest(wish, str(place.destination), snapshot.entry.facts.format))
    now = _document(wish, snapshot, str(snapshot.head.version))
    before = _version_before(snapshot, place.dataset.entries(), _text(wish))
    return (now,) if before is None else (_document(wish, snapshot, before), now)


def _declared(datasets: Datasets, destination: str) -> bool:
    wanted = destination.rstrip("/")
    return any(str(d.destination).rstrip("/") == wanted for d in datasets.wanted.values())


def _in_manifest(wish: MergeWish, place: str, format_: str) -> Diagnostic:
    copy = f"{place.rstrip('/')}-merged/"
    on = [word for column in wish.on for word in ("--on", column)]
    on += ["--conflict", wish.conflict] if wish.conflict else []
    copied = shlex.join(["batuta", "data", "sync", place, copy, "--format", format_])
    merged = shlex.join(["batuta", "data", "merge", copy, wish.source, *on])
    return Diagnostic(
        code="DAT102",
        summary="The target of a merge stands in a manifest",
        detail=f"A manifest says what `{wish.target}` is made from; the next apply would undo the"
        " merge.",
        # A folder that is copied with its log would still be the dataset of that document.
        fix="Write the merge into its document:\n"
        f"  source: {{merge: [WHAT IT READS NOW, {wish.source}]}}\n"
        "Or merge into a dataset of its own, which starts as a copy:\n"
        f"  {copied}\n"
        f"  {merged}",
    )


def _version_before(snapshot: Snapshot, entries: Sequence[LogEntry], source: str) -> str | None:
    if snapshot.entry.facts.source != source:
        return None
    written = [entry.version for entry in entries if entry.added or entry.removed]
    return str(written[-1] - 1) if written and written[-1] else None


def _text(wish: MergeWish) -> str:
    """The source of the merge as a log spells it."""
    parts = tuple(SourcePart(address=parse_address(t)) for t in (wish.target, wish.source))
    chosen = Holds(wish.conflict or "Fail")
    return source_text(SourceSpec(merge=parts, on=wish.on, conflict=chosen))


def _document(wish: MergeWish, snapshot: Snapshot, version: str) -> dict[str, Value]:
    facts = snapshot.entry.facts
    source: dict[str, Value] = {
        "merge": [
            {"address": literal(wish.target), "version": version},
            {"address": literal(wish.source)},
        ]
    }
    if wish.on:
        source["on"] = [literal(name) for name in wish.on]
        source["conflict"] = wish.conflict or "Fail"
    spec: dict[str, Value] = {"source": source, **_kept(facts)}
    if (tier := wish.tier or (None if facts.tier_derived else facts.tier)) is not None:
        spec["tier"] = tier
    if wish.egress:
        spec["egress"] = wish.egress
    return command_document("", wish.target, format=facts.format, spec=spec)


def _kept(facts: Facts) -> dict[str, Value]:
    """What the merge leaves as the target has it."""
    kept: dict[str, Value] = {}
    if facts.settings:
        kept["formatOptions"] = {facts.format: {name: _value(t) for name, t in facts.settings}}
    if facts.protect:
        kept["protect"] = True
    if facts.residency:
        kept["residency"] = list(facts.residency)
    return kept


def _value(text: str) -> Value:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int) else text


def find_conflict(dataset: Dataset, observer: Observer, target: Facts) -> MergeConflict | None:
    """Return why the two sources of a merge may not come together at the target; None: they may."""
    states = states_of(observer.source(dataset, {}))
    tier = dataset.tier or Tier(target.tier)
    sides = [
        _side(part, state, observer, (dataset.name, tier))
        for part, state in zip(dataset.source.merge, states, strict=True)
    ]
    inputs = [Input(name=side.name, label=of_record(side.label)) for side in sides]
    found = conflict(Place(tier=tier), inputs)
    if found is None:
        return None
    into, new = sides
    return MergeConflict(
        target=Side(name=into.name, tier=tier, origin="", label=into.label), source=new,
        why=_why(into, new, tier, found), ways=tuple(_reachable(found.ways, sides)),
    )  # fmt: skip


def _reachable(ways: Sequence[Way], sides: Sequence[Side]) -> list[Way]:
    """Leave out decisions about data without a log: there is nowhere to record them.

    What follows the place's tier comes down with it, and nobody has to declassify it.
    """
    logged = {side.name for side in sides if side.logged}
    follows = {side.name for side in sides if side.follows}
    found: list[Way] = []
    for way in ways:
        names = way.inputs
        if way.choice is Choice.DECLASSIFY:
            names = tuple(name for name in names if name not in follows)
        decides = way.choice in {Choice.DECLASSIFY, Choice.ENDORSE}
        if not decides or (names and set(names) <= logged):
            found.append(replace(way, inputs=names))
    return found


def _why(into: Side, new: Side, tier: Tier, found: Conflict) -> str:
    """Return what is wrong, of the sides of which it is true."""
    said: list[str] = []
    sides = [(side.name, of_record(side.label)) for side in (into, new)]
    target, source = (label for _, label in sides)
    needs = NEEDED_INTEGRITY[tier]
    doubtful = [name for name, label in sides if label.integrity.rank > needs.rank]
    secret = [name for name, label in sides if tier.rank > label.confidentiality.rank]
    if doubtful and source.integrity.rank > target.integrity.rank:
        said.append("Merging public data into sovereign data violates data sovereignty policy.")
    elif doubtful:
        said.append(
            f"The tier {tier} takes in data of the integrity {needs} or better; that of"
            f" {' and '.join(doubtful)} is lower."
        )
    if secret:
        verb = "are" if len(secret) > 1 else "is"
        said.append(
            f"{' and '.join(secret)} {verb} more confidential than the tier {tier} is sovereign."
        )
    if Denial.RESIDENCY in found.denials:
        said.append(f"Together they may not lie where {into.name} lies.")
    return " ".join(said)


def _side(
    part: SourcePart, state: SourceState, observer: Observer, wanted: tuple[str, Tier]
) -> Side:
    """Return what one side is, with the label that the plan gives it as well.

    `wanted` is the name of the merge and its tier.
    """
    name, tier = wanted
    address = part.address
    assert address is not None
    platform = observer.connections.platform_of(address, part.platform)
    label = state.label
    local = platform.network is Network.LOCAL
    own = None if local else platform_label(platform.network, platform.type)
    known = Carried(label=label or own, stated=part.origin_tier)
    found = known.at(tier)
    return Side(
        name=str(address), tier=_recorded(part, observer, name) or found.integrity, origin="" if local else str(address),
        label=united((found,)), logged=label is not None and state.has_log is not False,
        follows=known.label is None and known.stated is None,
    )  # fmt: skip


def _recorded(part: SourcePart, observer: Observer, name: str) -> str | None:
    """The tier in the log of a side that has one; what has none is as good as its integrity."""
    log = observer.opened(part, name).local
    snapshot = log.snapshot() if log is not None else None
    return snapshot.entry.facts.tier if snapshot is not None else None
