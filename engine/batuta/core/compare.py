"""What turns the dataset that is there into the wanted one, and by which action."""

from collections.abc import Sequence
from dataclasses import replace

from batuta.core import refusals
from batuta.core.case import Case
from batuta.core.diff import diff, same_schema
from batuta.core.draft import Decision, Draft, calm, finish
from batuta.core.owned import is_taken_over
from batuta.core.reasons import Why
from batuta.core.shape import Shape
from batuta.core.sovereignty import Answer
from batuta.core.tiers import RANK, known, restated, united
from batuta.core.transfer_plan import Reading, read_all, read_changed
from batuta.model.change import Change, Effect, FieldChange, SchemaChange
from batuta.model.diagnostic import Diagnostic
from batuta.model.log import Facts, Label, Part
from batuta.model.observed import SourceState
from batuta.model.plan import Append, Convert, Create, EvolveSchema, Move, NoOp, Relabel, Replace
from batuta.model.resource import Mode

_WHY_OF_FIELD = {
    "source": Why.SOURCE_EDITED,
    "source_version": Why.SOURCE_CHANGED,
    "format": Why.FORMAT_EDITED,
    "settings": Why.SETTINGS_EDITED,
    "tier": Why.TIER_CHANGED,
    "tier_derived": Why.TIER_CHANGED,
    "mode": Why.FACTS_EDITED,
    "protect": Why.FACTS_EDITED,
    "on_source_delete": Why.FACTS_EDITED,
    "history": Why.FACTS_EDITED,
    "residency": Why.FACTS_EDITED,
    "deletion_policy": Why.FACTS_EDITED,
}


def compared(
    case: Case, source: SourceState, shaped: Shape | None, wanted: tuple[Facts, Answer]
) -> Decision:
    """Return the action that brings the dataset to the wanted facts; a no-op where it is there."""
    facts, answer = wanted
    live, record = case.live, case.observation.record
    extra = answer.diagnostics + (shaped.diagnostics if shaped else ())
    if live is None:
        kind = Move if case.moved else Create
        why = Why.DESTINATION_EDITED if case.moved else Why.ABSENT
        draft = Draft(case=case, kind=kind, facts=facts, label=answer.label, whys=(why,),
                      effect=Effect.ADDS, reading=read_all(case, source), shaped=shaped,
                      approvals=answer.approvals)  # fmt: skip
        return finish(draft, extra)
    if facts.source.rstrip("/") == live.source.rstrip("/"):
        facts = replace(facts, source=live.source)  # a folder with and without its slash is one
    if facts.schema is not live.schema and same_schema(facts.schema, live.schema):
        facts = replace(facts, schema=live.schema)
    recorded = record.facts if record is not None and not case.moved else None
    changes = diff(facts, live, recorded, case.locate())
    needed = _draft(case, source, shaped, (facts, answer.label, changes))
    if needed is None:
        quiet = extra if shaped and shaped.outcome == "skip" else answer.diagnostics
        label = _joined(case, answer.label, None)
        return Decision(action=_settled(case, shaped), diagnostics=_told(case, quiet, label))
    return finish(replace(needed, approvals=answer.approvals), _told(case, extra, needed.label))


def _draft(
    case: Case,
    source: SourceState,
    shaped: Shape | None,
    goal: tuple[Facts, Label, tuple[Change, ...]],
) -> Draft | None:
    facts, label, changes = goal
    paths = {_path(change) for change in changes}
    rewrite = _rewrite(case, shaped, paths)
    if rewrite is not None:
        kind, why = rewrite
        return Draft(
            case=case,
            kind=kind,
            facts=facts,
            label=label,
            whys=(why, *_also(case, shaped, paths, why)),
            changes=changes,
            effect=Effect.REWRITES,
            reading=read_all(case, source),
            shaped=shaped,
        )
    if "source_version" in paths:
        return _synced(case, source, shaped, (facts, label, changes))
    return _relabelled(case, (facts, label, changes), _also(case, shaped, paths, None))


def _rewrite(
    case: Case, shaped: Shape | None, paths: set[str]
) -> tuple[type[Convert | EvolveSchema | Replace], Why] | None:
    """What makes everything be written anew, the deepest change first."""
    if "format" in paths:
        return Convert, Why.FORMAT_EDITED
    if "settings" in paths:
        return Convert, Why.SETTINGS_EDITED
    if "schema" in paths:
        drifted = shaped is not None and bool(shaped.drift)
        return EvolveSchema, Why.SCHEMA_DRIFT if drifted else Why.SCHEMA_EDITED
    if "source" in paths:
        return Replace, Why.SOURCE_EDITED
    skipped = shaped is not None and shaped.outcome == "skip"
    if case.asked(case.world.input.asked.resync) and not skipped:
        return Replace, Why.RESYNC
    return None


def _synced(
    case: Case,
    source: SourceState,
    shaped: Shape | None,
    goal: tuple[Facts, Label, tuple[Change, ...]],
) -> Draft | None:
    facts, label, changes = goal
    reading = read_changed(case, source)
    paths = {_path(change) for change in changes}
    whys = (Why.SOURCE_CHANGED, *_also(case, shaped, paths, Why.SOURCE_CHANGED))
    if reading.is_idle:
        return _relabelled(case, goal, whys)
    adds = reading.scope == "units" and not reading.removed
    draft = Draft(
        case=case,
        kind=Append if adds else Replace,
        facts=facts,
        label=_joined(case, label, reading),
        whys=whys,
        changes=changes,
        effect=Effect.ADDS if adds else Effect.REWRITES,
        reading=reading,
        shaped=shaped,
    )
    shows = source.shows_deletes and reading.scope != "merge"
    hidden = case.dataset.mode is Mode.INCREMENTAL and not shows
    return replace(draft, notes=(refusals.hidden_deletes(case.dataset),)) if hidden else draft


def _relabelled(
    case: Case, goal: tuple[Facts, Label, tuple[Change, ...]], whys: tuple[Why, ...]
) -> Draft | None:
    facts, label, changes = goal
    snapshot = case.snapshot
    label = _joined(case, label, None)
    if snapshot is not None and label != snapshot.entry.label:
        whys = (*whys, Why.LABEL_CHANGED)
    if is_taken_over(case):
        whys = (*whys, Why.TAKEN_OVER)
    if not changes and not whys:
        return None
    return Draft(case=case, kind=Relabel, facts=facts, label=label, whys=whys, changes=changes,
                 effect=Effect.NONE, reading=None, shaped=None)  # fmt: skip


def _joined(case: Case, label: Label, reading: Reading | None) -> Label:
    """The label of the dataset afterwards: rows that stay keep theirs.

    The source's label is about the rows that it has now, so it may restate what was said of them
    before, and says nothing of those that it has no more.
    """
    snapshot = case.snapshot
    if snapshot is None or (reading is not None and not reading.kept):
        return label
    kept = known(snapshot.entry.label)
    if kept == label:
        return label
    parts = snapshot.parts if reading is None else reading.kept
    return united((kept, label)) if _outlived(case, parts) else restated(kept, label)


def _outlived(case: Case, parts: Sequence[Part]) -> bool:
    """True where `parts` may hold rows that the source has no more.

    They do where they are not tied to units of it: rows that were merged by key.
    """
    now = {unit.ref for unit in case.source.units} if case.source is not None else set()
    return any(not part.units or not now.issuperset(part.units) for part in parts)


def _told(case: Case, found: tuple[Diagnostic, ...], label: Label) -> tuple[Diagnostic, ...]:
    """What is worth saying once it is known that rows which stay keep the label as it was."""
    snapshot = case.snapshot
    if (
        snapshot is None
        or RANK[label.confidentiality] > RANK[known(snapshot.entry.label).confidentiality]
    ):
        return found
    return tuple(each for each in found if each.code != "SOV109")


def _settled(case: Case, shaped: Shape | None) -> NoOp:
    record, snapshot = case.observation.record, case.snapshot
    behind = record is None or case.moved or snapshot is None or record.head != snapshot.head
    if shaped is not None and shaped.outcome == "skip":
        return calm(case, Why.DRIFT_SKIPPED, adopt=behind, changes=shaped.drift)
    return calm(case, Why.STATE_BEHIND if behind else Why.UNCHANGED, adopt=behind)


def _path(change: Change) -> str:
    match change:
        case SchemaChange():
            return "schema"
        case FieldChange(path=path):
            return path.partition(".")[0]


def _also(case: Case, shaped: Shape | None, paths: set[str], first: Why | None) -> tuple[Why, ...]:
    """The further reasons that hold, in the order of the closed list."""
    found = {why for path, why in _WHY_OF_FIELD.items() if path in paths}
    if "schema" in paths and shaped is not None:
        found |= {Why.SCHEMA_DRIFT} if shaped.drift else set()
        found |= {Why.SCHEMA_EDITED} if shaped.edits else set()
    if case.asked(case.world.input.asked.resync):
        found.add(Why.RESYNC)
    # In the order of the closed list; most datasets have no reason at all.
    return tuple(why for why in Why if why in found and why is not first) if found else ()
