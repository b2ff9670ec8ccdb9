"""Planner cases as data: `tests/cases/plan/*.yaml` hold desired, observed and expected.

`observed.<name>` has `source`, `destination`, `record`, `head`. Where `destination` is
`agreed` (the default), the dataset is the one that the manifest asks for, but for `live`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from batuta.core.plan_input import Observation, Orphan, PlanInput
from batuta.model.diagnostic import Diagnostic
from batuta.model.log import Label
from batuta.model.observed import SourceState
from batuta.model.plan import Action, Blocked, Delete, NoOp, Plan, Relabel, Release
from batuta.model.resource import Dataset, Desired, DriftChoice
from tests.unit.core import build

FOLDER = Path(__file__).parents[2] / "cases" / "plan"


def load() -> list[tuple[str, dict[str, Any]]]:
    """All cases with a name each."""
    return [
        (f"{path.stem}: {case['name']}", case)
        for path in sorted(FOLDER.glob("*.yaml"))
        for case in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def given(case: dict[str, Any]) -> PlanInput:
    """The planner's input for a case."""
    wanted = case["desired"]
    datasets = {d["name"]: build.dataset(**_copy(d)) for d in wanted.get("datasets", [])}
    desired = build.desired(
        *datasets.values(),
        workspace=build.workspace(**_copy(wanted.get("workspace", {}))),
        platforms=[build.platform(**_copy(p)) for p in wanted.get("platforms", [])],
    )
    seen = case.get("observed", {})
    return build.given(
        desired,
        {n: _observed(desired, datasets[n], dict(seen[n] or {})) for n in datasets if n in seen},
        asked=case.get("asked", {}),
        orphans=tuple(_orphan(o) for o in case.get("orphans", [])),
        drift_answers={k: DriftChoice(v) for k, v in case.get("answers", {}).items()},
    )


def _copy(value: dict[str, Any]) -> dict[str, Any]:
    return {k: dict(v) if isinstance(v, dict) else v for k, v in value.items()}


def _problem(code: str) -> tuple[Diagnostic, ...]:
    return (Diagnostic(code=code, summary="It failed", detail="It failed.", fix="Repair it."),)


def _observed(desired: Desired, dataset: Dataset, seen: dict[str, Any]) -> Observation:
    raw = seen.get("source", {})
    unreadable = _problem(raw) if isinstance(raw, str) else None
    state: SourceState = build.source(**({} if unreadable else _copy(raw)))
    before = dict(raw) if isinstance(raw, dict) else {}
    then = build.source(**_copy({**before, **seen.get("committed", {})}))
    base = replace(dataset, **_committed_spec(seen, dataset))
    facts, label = build.settled(desired, base, then)
    live: dict[str, Any] = dict(seen.get("live", {}))
    if isinstance(live.get("schema"), dict):
        live["schema"] = build.schema(live["schema"])
    facts = replace(facts, **live)
    label = Label(**seen["label"]) if "label" in seen else label
    shot = build.snapshot(facts, label, dataset.address, **dict(seen.get("log", {})))
    where = seen.get("destination", "dataset")
    has_log = where == "dataset" or (where == "damaged" and seen.get("snapshot", True))
    found = (
        build.destination(where, snapshot=shot if has_log else None, **seen.get("place", {}))
        if not where.isupper()
        else _problem(where)
    )
    record = seen.get("record", has_log)
    kept = None
    if record is not False and record is not None:
        extra = record if isinstance(record, dict) else {}
        extra.setdefault("destination", str(dataset.destination))
        kept = build.record(facts, label, dataset.address, **extra)
    head = seen.get("head", "same" if kept and has_log else None)
    return Observation(source=unreadable or state, destination=found, record=kept, head=head)


def _committed_spec(seen: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Fields of the dataset as they were when the log's head was written."""
    if "before" not in seen:
        return {}
    old = build.dataset(name=dataset.name, **_copy(seen["before"]))
    return {name: getattr(old, name) for name in seen["before"]}


def _orphan(raw: dict[str, Any]) -> Orphan:
    dataset = build.dataset(**_copy(raw["was"]))
    facts, label = build.settled(build.desired(dataset), dataset, build.source())
    live = replace(facts, **raw.get("live", {}))
    shot = build.snapshot(live, label, dataset.address, **dict(raw.get("log", {})))
    where = raw.get("destination", "dataset")
    return Orphan(
        record=build.record(facts, label, dataset.address, **dict(raw.get("record", {}))),
        destination=build.destination(
            where,
            snapshot=shot if where == "dataset" else None,
            **_tuples(raw.get("place", {})),
        ),
        head=raw.get("head", "same"),
    )


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def shown(plan: Plan, keys: list[set[str]]) -> list[dict[str, Any]]:
    """What a plan does, in the fields that a case names."""
    return [
        {k: v for k, v in _action(a).items() if k in wanted}
        for a, wanted in zip(plan.actions, keys, strict=True)
    ]


def _action(action: Action) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resource": action.target.resource.partition("/")[2],
        "kind": action.kind,
        "effect": action.effect.value,
        "reasons": [reason.code for reason in action.reasons],
        "changes": [getattr(c, "path", None) or _column(c) for c in action.changes],
        "read_bytes": action.volume.read_bytes,
        "units": [action.volume.units_read, action.volume.units_kept],
        "decisions": dict(action.decisions),
    }
    match action:
        case Blocked():
            found["codes"] = [d.code for d in action.diagnostics]
            found["question"] = action.question
        case Delete():
            found |= {"paths": len(action.paths) + len(action.history), "rows": action.rows}
        case NoOp():
            found["adopt_state"] = action.adopt_state
        case Release():
            pass
        case Relabel():
            found |= {"tier": action.facts.tier, "derived": action.facts.tier_derived}
            found["label"] = [action.label.confidentiality, action.label.integrity]
        case _:
            transfer = action.transfer
            found |= {
                "scope": transfer.scope,
                "copy": transfer.copy,
                "since": transfer.since,
                "columns": [list(pair) for pair in transfer.columns],
                "schema": {c.name: c.type for c in action.facts.schema.columns}
                if action.facts.schema
                else None,
                "tier": action.facts.tier,
                "derived": action.facts.tier_derived,
                "label": [action.label.confidentiality, action.label.integrity],
                "cost": action.cost.confidence.value if action.cost else None,
            }
    return found


def _column(change: Any) -> str:
    return f"{change.change.kind}/{change.schema_class}"
