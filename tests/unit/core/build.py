"""Short spellings for the values that plans are made from.

`units=["a@1", "b@1"]` are units `a` and `b` at version 1; `parts=[["a@1"], ["b@1"]]` are two
parts that hold one of them each. A column is `"int64"` or `"int64 not null"`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from batuta.core.case import Case, wanted_facts, world_of
from batuta.core.decide import judged
from batuta.core.plan_input import Asked, Beforehand, Observation, PlanInput
from batuta.core.selection import choose
from batuta.model.address import parse_address
from batuta.model.log import Facts, Head, Label, LogEntry, Part, Snapshot, SourceRef, UnitRef
from batuta.model.observed import Condition, DestinationState, SourceState, Unit
from batuta.model.resource import (
    BudgetSpec,
    Dataset,
    DeletionPolicy,
    Desired,
    DriftChoice,
    DriftPolicy,
    HistorySpec,
    IncrementalSpec,
    Limits,
    Mode,
    OnSourceDelete,
    Origin,
    Platform,
    SourceSpec,
    Workspace,
)
from batuta.model.state import ResourceRecord
from batuta.model.table import Column, TableSchema
from batuta.model.tier import Network, Tier

HEAD = Head(4, "ab" * 32)
BEFORE = Beforehand(tier=Tier.PRIVATE_CLOUD, policies="p")
FORMATS = {"ald": 48 << 20, "parquet": 64 << 20, "arrow": 48 << 20}

_ENUMS: dict[str, Any] = {
    "mode": Mode,
    "on_source_delete": OnSourceDelete,
    "tier": Tier,
    "deletion_policy": DeletionPolicy,
    "origin": Origin,
}
_RECORDS: dict[str, Any] = {"budget": BudgetSpec, "history": HistorySpec}


def schema(columns: Mapping[str, str]) -> TableSchema:
    return TableSchema(
        tuple(
            Column(name, text.removesuffix(" not null"), not text.endswith(" not null"))
            for name, text in columns.items()
        )
    )


def ref(text: str) -> UnitRef:
    key, _, version = text.partition("@")
    return UnitRef(key, version)


def unit(text: str, size: int = 100, rows: int | None = 10) -> Unit:
    found = ref(text)
    return Unit(key=found.key, version=found.version, size_bytes=size, rows=rows)


def part(name: str, units: Sequence[str], size: int = 50) -> Part:
    return Part(
        path=f"part-{name}.parquet", size_bytes=size, sha256="0" * 64, rows=10 * len(units),
        units=tuple(map(ref, units)),
    )  # fmt: skip


def pairs(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(values.items())


def dataset(name: str = "orders", **fields: Any) -> Dataset:
    """A dataset from a local Delta table to a local folder, with what `fields` say."""
    spec = _source_spec(name, fields.pop("source", {}))
    fields = {key: _field(key, value) for key, value in fields.items()}
    if spec.dataset is not None:
        fields.setdefault("depends_on", (spec.dataset,))
    where = fields.pop("destination", f"out/{name}/")
    fields.setdefault("format", "parquet")
    return Dataset(
        name=name, source=spec, destination=parse_address(where),
        manifest_digest=f"manifest-{name}", **fields,
    )  # fmt: skip


def _source_spec(name: str, given: Any) -> SourceSpec:
    spec: dict[str, Any] = {"address": given} if isinstance(given, str) else dict(given)
    if "dataset" not in spec:
        spec["address"] = parse_address(spec.get("address", f"delta+data/{name}"))
    for key in ("include", "exclude", "files"):
        spec[key] = tuple(spec.get(key, ()))
    for key in ("rename", "options", "types"):
        spec[key] = pairs(spec.get(key, {}))
    if "origin_tier" in spec:
        spec["origin_tier"] = Tier(spec["origin_tier"])
    return SourceSpec(**spec)


def _field(key: str, value: Any) -> Any:
    if key in _ENUMS:
        return _ENUMS[key](value)
    match key:
        case "budget" | "history":
            return _RECORDS[key](**value)
        case "on_drift":
            return DriftPolicy(**{k: DriftChoice(v) for k, v in value.items()})
        case "incremental":
            return IncrementalSpec(**{**value, "key": tuple(value.get("key", ()))})
        case "depends_on" | "residency":
            return tuple(value)
        case "format_options" | "tags":
            return pairs(value)
        case _:
            return value


def source(**fields: Any) -> SourceState:
    """A table at version 7 with the columns id and amount in two files."""
    kind = fields.pop("kind", "table")
    columns = fields.pop("schema", {"id": "int64", "amount": "double"})
    units = tuple(map(unit, fields.pop("units", ["a@1", "b@1"])))
    if "label" in fields:
        fields["label"] = Label(**fields["label"])
    fields.setdefault("format", "parquet" if kind == "table" else None)
    fields.setdefault("size_bytes", sum(u.size_bytes for u in units))
    return SourceState(
        address=fields.pop("address", "delta+data/orders"),
        version=fields.pop("version", "7"), kind=kind,
        schema=None if kind == "files" else schema(columns), units=units, **fields,
    )  # fmt: skip


def platform(name: str, **fields: Any) -> Platform:
    network = Network(fields.pop("network", "Public"))
    return Platform(name=name, network=network, type=fields.pop("type", "aws"), **fields)


def workspace(**fields: Any) -> Workspace:
    if "limits" in fields:
        fields["limits"] = Limits(**fields["limits"])
    if "budget" in fields:
        fields["budget"] = BudgetSpec(**fields["budget"])
    for key in ("default_tier", "weakest_tier"):
        if key in fields:
            fields[key] = Tier(fields[key])
    return Workspace(**fields)


def settled(desired: Desired, wanted: Dataset, state: SourceState) -> tuple[Facts, Label]:
    """The facts and label that the dataset has once it agrees with its manifest and source."""
    given = PlanInput(desired=desired)
    nothing = DestinationState(address="", condition="absent")
    case = Case(
        world=world_of(given), dataset=wanted, destination=nothing, source=state,
        observation=Observation(source=state, destination=nothing),
    )  # fmt: skip
    answer = judged(case, state)
    chosen = choose(wanted.source, state.schema).schema if state.schema else None
    return wanted_facts(wanted, state, chosen, answer), answer.label


def snapshot(facts: Facts, label: Label, address: str, **fields: Any) -> Snapshot:
    parts = fields.pop("parts", [["a@1"], ["b@1"]])
    cursor = fields.pop("cursor", None)
    entry = LogEntry(
        version=HEAD.version, parent="cd" * 32, written_at="2024-01-01T00:00:00Z",
        batuta_version="1", action="create", resource=fields.pop("resource", address),
        owner=fields.pop("owner", "Created"), plan=None, facts=facts, label=label,
        source=SourceRef(address="delta+data/orders", version=facts.source_version, cursor=cursor),
    )  # fmt: skip
    found = tuple(part(f"{i:02}", units) for i, units in enumerate(parts))
    return Snapshot(head=fields.pop("head", HEAD), entry=entry, parts=found)


def record(facts: Facts, label: Label, address: str, **fields: Any) -> ResourceRecord:
    fields.setdefault("destination", f"out/{address.partition('/')[2]}/")
    return ResourceRecord(
        address=address, revision=fields.pop("revision", 3), destination_platform=None,
        origin=fields.pop("origin", "Manifest"), owner=fields.pop("owner", "Created"),
        head=fields.pop("head", HEAD), facts=facts, label=label, run="run-1", plan=None, **fields,
    )  # fmt: skip


def destination(condition: Condition = "absent", **fields: Any) -> DestinationState:
    return DestinationState(address="out", condition=condition, **fields)


def agreed(desired: Desired, wanted: Dataset, state: SourceState, **live: Any) -> Observation:
    """A dataset that agrees with its manifest and source, but for the facts in `live`."""
    facts, label = settled(desired, wanted, state)
    if "schema" in live:
        live["schema"] = schema(live["schema"])
    facts = replace(facts, **live)
    return Observation(
        source=state,
        destination=destination("dataset", snapshot=snapshot(facts, label, wanted.address)),
        record=record(facts, label, wanted.address, destination=str(wanted.destination)),
        head="same",
    )


def desired(*datasets: Dataset, **fields: Any) -> Desired:
    return Desired(
        workspace=fields.pop("workspace", Workspace()),
        datasets=tuple(sorted(datasets, key=lambda d: d.name)),
        platforms=tuple(fields.pop("platforms", ())),
    )


def given(wanted: Desired, observed: Mapping[str, Observation], **fields: Any) -> PlanInput:
    asked = fields.pop("asked", {})
    return PlanInput(
        desired=wanted, observed=observed, target_bytes=FORMATS, batuta_version="1",
        asked=Asked(**{k: tuple(v) for k, v in asked.items()}), prices="q",
        beforehand=fields.pop("beforehand", dict.fromkeys(observed, BEFORE)), **fields,
    )  # fmt: skip
