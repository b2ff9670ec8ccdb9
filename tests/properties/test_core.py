"""Laws of the core room: the diff, units, selections, documents and whole plans."""

import hashlib
import random
from collections import Counter
from dataclasses import replace
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from batuta.core.diff import diff, diff_schema, patch, patch_schema, same_schema
from batuta.core.plan_document import digest_of, parse_plan, plan_bytes
from batuta.core.plan_input import Observation, PlanInput
from batuta.core.planner import plan
from batuta.core.schema_rules import classify_type
from batuta.core.selection import columns_of, source_text
from batuta.core.tiers import UNKNOWN, Carried, End, derive, keeps_secret, trusts, united
from batuta.core.units import reconcile
from batuta.model.address import parse_address
from batuta.model.change import (
    AddColumn,
    AlterColumn,
    DropColumn,
    Effect,
    FieldChange,
    SchemaChange,
    SchemaClass,
)
from batuta.model.cost import Confidence, CostEstimate
from batuta.model.diagnostic import Diagnostic, Location, Severity
from batuta.model.log import Facts, Head, Label, Part, UnitRef
from batuta.model.observed import Unit
from batuta.model.plan import (
    Append,
    Blocked,
    Convert,
    Create,
    Delete,
    EvolveSchema,
    Move,
    NoOp,
    Plan,
    Preconditions,
    Reason,
    Relabel,
    Release,
    Replace,
    Target,
    Transfer,
    Volume,
)
from batuta.model.resource import HistorySpec, IncrementalSpec, OnSourceDelete, SourceSpec
from batuta.model.table import Column, TableSchema
from batuta.model.tier import Network, Tier
from batuta.model.transfer import Output
from tests.unit.core import build

T = TypeVar("T")
TEXT = st.text(max_size=6)
NAMES = st.sampled_from(["id", "amount", "note", "Ünï", "a.b", "x y", ""])
TYPES = st.sampled_from(
    ["int32", "int64", "double", "string", "decimal128(12, 2)", "timestamp[us, tz=UTC]",
     "struct<a: int32, b: list<item: string>>", "map<string, int64>", "null", "not a type"]
)  # fmt: skip
COLUMNS = st.builds(Column, NAMES, TYPES, st.booleans())
SCHEMAS = st.lists(COLUMNS, max_size=5, unique_by=lambda c: c.name).map(
    lambda columns: TableSchema(tuple(columns))
)
TIERS = st.sampled_from(list(Tier))
SETTINGS = st.dictionaries(st.sampled_from(["level", "a.b", "compression", ""]), TEXT, max_size=3)
FACTS = st.builds(
    Facts,
    source=TEXT,
    source_version=TEXT,
    schema=st.none() | SCHEMAS,
    format=TEXT,
    mode=TEXT,
    settings=SETTINGS.map(lambda d: tuple(sorted(d.items()))),
    tier=TIERS.map(str),
    tier_derived=st.booleans(),
    protect=st.booleans(),
    on_source_delete=TEXT,
    history=TEXT,
    residency=st.lists(TEXT, max_size=2).map(tuple),
    deletion_policy=TEXT,
)


def nowhere(path: str) -> tuple[Location, ...]:
    return (Location("m.yaml", 1, 1),) if path else ()


def same(one: Facts, other: Facts) -> bool:
    """Equal up to the order of columns."""
    plain = replace(one, schema=None) == replace(other, schema=None)
    return plain and same_schema(one.schema, other.schema)


# The diff


@given(FACTS, FACTS, st.none() | FACTS)
def test_patching_what_is_live_with_the_diff_gives_what_is_wanted(
    wanted: Facts, live: Facts, recorded: Facts | None
) -> None:
    assert same(patch(live, diff(wanted, live, recorded, nowhere)), wanted)


@given(FACTS, st.none() | FACTS, st.randoms(use_true_random=False))
def test_nothing_differs_from_itself_whatever_the_order_of_columns(
    facts: Facts, recorded: Facts | None, shuffler: random.Random
) -> None:
    assert diff(facts, facts, recorded, nowhere) == ()
    if facts.schema is not None:
        columns = list(facts.schema.columns)
        shuffler.shuffle(columns)
        assert diff(replace(facts, schema=TableSchema(tuple(columns))), facts, None, nowhere) == ()


@given(FACTS, FACTS, FACTS)
def test_a_field_says_whether_manifest_or_world_moved_it(
    wanted: Facts, live: Facts, recorded: Facts
) -> None:
    for change in diff(wanted, live, recorded, nowhere):
        if isinstance(change, FieldChange):
            assert change.live != change.wanted
            moved = change.recorded != change.live
            meant = change.recorded != change.wanted
            assert change.reason == ("both" if moved and meant else "drift" if moved else "intent")


@given(SCHEMAS, SCHEMAS)
def test_patching_a_schema_with_its_diff_gives_the_wanted_one(
    wanted: TableSchema, live: TableSchema
) -> None:
    changes = diff_schema(wanted, live)
    assert same_schema(patch_schema(live, changes), wanted)
    assert bool(changes) != same_schema(wanted, live)
    assert (wanted.fingerprint == live.fingerprint) == (not changes)


@given(TYPES, TYPES)
def test_only_a_change_that_keeps_all_values_is_called_widening(before: str, after: str) -> None:
    verdict = classify_type(before, after)
    assert verdict.keeps or verdict.schema_class in {SchemaClass.BREAKING, SchemaClass.SEMANTIC}


# Units

REFS = st.lists(
    st.builds(UnitRef, st.sampled_from("abcdefg"), st.just("1")),
    unique_by=lambda r: r.key,
    max_size=7,
)
CHANGES = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(["1", "2", None]), max_size=7)


@st.composite
def dataset_parts(draw: st.DrawFn) -> tuple[list[Part], dict[str, str]]:
    """Parts over units that are cut at random, and the units that they hold whole."""
    refs = draw(REFS)
    slices = [ref for ref in refs for _ in range(draw(st.integers(1, 3)))]
    parts: list[Part] = []
    while slices:
        count = draw(st.integers(1, 3))
        taken, slices = slices[:count], slices[count:]
        units = tuple(dict.fromkeys(taken))
        parts.append(Part(path=str(len(parts)), size_bytes=1, sha256="", rows=1, units=units))
    return parts, {ref.key: ref.version for ref in refs}


def _source(held: dict[str, str], changes: dict[str, str | None]) -> list[Unit]:
    now = {**held, **changes}
    return [Unit(key=k, version=v, size_bytes=1) for k, v in sorted(now.items()) if v is not None]


@given(dataset_parts(), CHANGES)
def test_kept_and_read_rows_are_together_those_of_a_snapshot(
    held: tuple[list[Part], dict[str, str]], changes: dict[str, str | None]
) -> None:
    parts, units = held[0], _source(held[1], changes)
    found = reconcile(parts, units, OnSourceDelete.REMOVE)
    whole = Counter(ref for part in parts for ref in part.units)
    kept = Counter(ref for part in found.keep for ref in part.units)
    read = Counter(unit.ref for unit in found.read)
    # A kept unit is kept with all its pieces, a read one has no piece left, none is missing.
    assert all(kept[ref] == whole[ref] for ref in kept)
    assert not kept.keys() & read.keys()
    assert kept.keys() | read.keys() == {unit.ref for unit in units}
    assert sorted(p.path for p in (*found.keep, *found.remove)) == sorted(p.path for p in parts)


@given(dataset_parts(), CHANGES)
def test_no_part_goes_without_a_changed_unit_in_reach(
    held: tuple[list[Part], dict[str, str]], changes: dict[str, str | None]
) -> None:
    parts, units = held[0], _source(held[1], changes)
    if {unit.ref for unit in units} >= {ref for part in parts for ref in part.units}:
        assert reconcile(parts, units, OnSourceDelete.REMOVE).remove == ()


@given(dataset_parts(), CHANGES)
def test_kept_deletes_are_kept_or_named_as_lost(
    held: tuple[list[Part], dict[str, str]], changes: dict[str, str | None]
) -> None:
    parts, units = held[0], _source(held[1], changes)
    found = reconcile(parts, units, OnSourceDelete.KEEP)
    present = {unit.key for unit in units}
    gone = {ref for part in parts for ref in part.units if ref.key not in present}
    kept = {ref for part in found.keep for ref in part.units}
    assert gone == (gone & kept) | set(found.lost)
    assert not kept & set(found.lost)
    assert {unit.ref for unit in units} <= kept | {unit.ref for unit in found.read}


# Selections and labels

WORDS = st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple)
SPECS = st.builds(
    SourceSpec,
    address=st.just(None),
    dataset=st.just("base"),
    include=WORDS,
    exclude=WORDS,
    rename=st.dictionaries(TEXT, TEXT, max_size=2).map(lambda d: tuple(d.items())),
    where=st.none() | st.text(min_size=1, max_size=5),
)


@given(SPECS)
def test_the_spelling_of_a_source_gives_its_columns_back(spec: SourceSpec) -> None:
    found = columns_of(source_text(spec))
    assert found is not None
    assert (found.include, found.exclude, found.rename) == (spec.include, spec.exclude, spec.rename)


@given(SPECS, SPECS)
def test_two_sources_are_spelled_alike_only_if_they_are_alike(
    one: SourceSpec, other: SourceSpec
) -> None:
    assert (source_text(one) == source_text(other)) == (one == other)


LABELS = st.builds(Label, confidentiality=TIERS.map(str), integrity=TIERS.map(str),
                   declared=st.booleans())  # fmt: skip


def _admits(tier: Tier, label: Label) -> bool:
    return keeps_secret(tier, label) and trusts(tier, label)


@given(LABELS, LABELS, TIERS)
def test_a_place_that_refuses_a_label_refuses_every_mixture_with_it(
    one: Label, other: Label, tier: Tier
) -> None:
    if not _admits(tier, one):
        assert not _admits(tier, united((one, other)))
        assert not _admits(tier, united((other, one)))


@given(LABELS, st.lists(st.sampled_from(list(Network)), min_size=1, max_size=2))
def test_a_derived_tier_admits_ends_and_label_and_no_better_one_does(
    label: Label, networks: list[Network]
) -> None:
    ends = tuple(End(role="source", what="", network=n, platform_type="aws") for n in networks)
    found = derive(ends, Carried(label=label))
    good = [t for t in Tier if _admits(t, label) and all(t.rank >= e.fits.rank for e in ends)]
    assert found == (good[0] if good else None)
    assert derive(ends, Carried(label=UNKNOWN)) is None


# Documents

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
PLACES = st.lists(
    st.builds(Location, TEXT, st.integers(1, 9), st.integers(1, 9), st.integers(0, 9)), max_size=1
).map(tuple)
DIAGNOSTICS = st.lists(
    st.builds(Diagnostic, code=TEXT, summary=TEXT, detail=TEXT, fix=TEXT,
              severity=st.sampled_from(list(Severity)), locations=PLACES, address=st.none() | TEXT),
    max_size=1,
).map(tuple)  # fmt: skip
COLUMN_CHANGES = (
    st.builds(AddColumn, COLUMNS) | st.builds(DropColumn, COLUMNS)
    | st.builds(AlterColumn, COLUMNS, COLUMNS)
)  # fmt: skip
FIELD_CHANGES = st.builds(FieldChange, path=TEXT, recorded=JSON, live=JSON, wanted=JSON,
                          reason=TEXT, locations=PLACES)  # fmt: skip
SCHEMA_CHANGES = st.builds(SchemaChange, change=COLUMN_CHANGES, why=TEXT,
                           schema_class=st.sampled_from(list(SchemaClass)))  # fmt: skip
HEADS = st.builds(Head, st.integers(0, 2**40), TEXT)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=1).map(tuple)
READ = st.builds(
    SourceSpec,
    address=st.sampled_from(["s3://b/p", "data/x", "delta+s3://b/t"]).map(parse_address),
    options=st.lists(st.tuples(TEXT, JSON), max_size=1).map(tuple),
    origin_tier=st.none() | TIERS,
)
TRANSFERS = st.builds(
    Transfer,
    source=READ,
    source_version=TEXT,
    source_schema=st.none() | SCHEMAS,
    columns=PAIRS,
    scope=st.sampled_from(["all", "units", "merge"]),
    copy=st.booleans(),
    output=st.builds(Output, format=TEXT, label=TEXT, target_bytes=st.integers(1, 9)),
    incremental=st.none() | st.builds(IncrementalSpec, cursor=st.none() | TEXT),
    since=st.none() | TEXT,
)
STEP = {
    "target": st.builds(
        Target, resource=TEXT, destination=TEXT, destination_platform=st.none() | TEXT,
        history=st.builds(HistorySpec, keep_s=st.integers(0, 9), versions=st.integers(0, 9)), origin=TEXT,
        locations=PLACES,
    ),
    "preconditions": st.builds(Preconditions, source_version=st.none() | TEXT, labels=TEXT,
                               head=st.none() | HEADS, revision=st.integers(0, 9)),
    "reasons": st.lists(st.builds(Reason, code=TEXT, text=TEXT), max_size=1).map(tuple),
    "changes": st.lists(FIELD_CHANGES | SCHEMA_CHANGES, max_size=2).map(tuple),
    "effect": st.sampled_from(list(Effect)),
    "volume": st.builds(Volume, read_bytes=st.integers(0, 9), rows=st.none() | st.integers(0, 9)),
    "cost": st.none() | st.builds(CostEstimate, confidence=st.sampled_from(list(Confidence))),
    "decisions": PAIRS,
}  # fmt: skip
MOVING = {**STEP, "transfer": TRANSFERS, "facts": FACTS, "label": LABELS}
ACTIONS = st.one_of(
    *(st.builds(kind, **MOVING) for kind in (Create, Append, Replace, EvolveSchema, Convert)),
    st.builds(Move, **MOVING, origin_destination=TEXT),
    st.builds(Relabel, **STEP, source=READ, facts=FACTS, label=LABELS),
    st.builds(Delete, **STEP, paths=st.lists(TEXT, max_size=2).map(tuple), rows=st.none()),
    st.builds(Release, **STEP),
    st.builds(NoOp, **STEP, adopt_state=st.booleans()),
    st.builds(Blocked, **STEP, diagnostics=DIAGNOSTICS, question=st.none() | TEXT),
)


@given(st.lists(ACTIONS, max_size=2), DIAGNOSTICS)
def test_every_kind_of_action_comes_back_from_its_document(
    actions: list[NoOp], diagnostics: tuple[Diagnostic, ...]
) -> None:
    made = Plan(batuta_version="1", workspace="w", actions=tuple(actions), diagnostics=diagnostics)
    again = parse_plan(plan_bytes(made))
    assert again == made
    assert digest_of(again) == digest_of(made) == hashlib.sha256(plan_bytes(made)).hexdigest()


# Whole plans

UNITS = st.lists(
    st.sampled_from(["a@1", "a@2", "b@1", "c@1"]), min_size=1, unique_by=lambda text: text[0]
)
SOURCES: dict[str, st.SearchStrategy[object]] = {
    "version": st.sampled_from(["7", "8"]),
    "units": UNITS,
    "schema": st.sampled_from(
        [{"id": "int64", "amount": "double"}, {"id": "int64"}, {"id": "int32", "new": "string"}]
    ),
}
OPTIONS: dict[str, st.SearchStrategy[object]] = {
    "format": st.sampled_from(["parquet", "ald"]),
    "protect": st.booleans(),
    "on_source_delete": st.sampled_from(["Remove", "Keep"]),
    "tier": st.sampled_from(["PrivateCloud", "Standard"]),
    "format_options": st.sampled_from([{}, {"level": 3}]),
    "source": st.sampled_from([{}, {"exclude": ["amount"]}, {"rename": {"id": "key"}}]),
    "on_drift": st.sampled_from(
        [dict.fromkeys(("additive", "widening", "breaking", "semantic"), c)
         for c in ("Apply", "Skip", "Force", "Stop")]
    ),
    "mode": st.sampled_from(["Snapshot", "Incremental"]),
    "residency": st.just([]),
}  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> PlanInput:
    """A few datasets, each at some distance from what its manifest asks for."""
    datasets, observed = [], {}
    for name in draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True)):
        options = draw(st.fixed_dictionaries({}, optional=OPTIONS))
        dataset = build.dataset(name, **options)
        before = build.dataset(name, **draw(st.fixed_dictionaries({}, optional=OPTIONS)))
        now = build.source(**draw(st.fixed_dictionaries(SOURCES)))
        then = build.source(**draw(st.fixed_dictionaries(SOURCES)))
        seen = build.agreed(build.desired(before), before, then)
        if draw(st.booleans()):
            seen = Observation(source=now, destination=build.destination("absent"))
        datasets.append(dataset)
        observed[name] = replace(seen, source=now)
    return build.given(build.desired(*datasets), observed)


def _applied(made: Plan, before: PlanInput) -> PlanInput:
    """The world after an apply that did all that the plan says."""
    observed = dict(before.observed)
    for action in made.actions:
        name = action.target.resource.partition("/")[2]
        if isinstance(action, NoOp | Blocked | Delete | Release):
            continue
        seen = observed[name]
        shot = build.snapshot(action.facts, action.label, action.target.resource)
        if not isinstance(action, Relabel) and not isinstance(seen.source, tuple):
            refs = [f"{unit.key}@{unit.version}" for unit in seen.source.units]
            shot = build.snapshot(
                action.facts, action.label, action.target.resource, parts=[[ref] for ref in refs]
            )
        known = build.record(action.facts, action.label, action.target.resource)
        observed[name] = Observation(
            source=seen.source, record=known, head="same",
            destination=build.destination("dataset", snapshot=shot),
        )  # fmt: skip
    return replace(before, observed=observed)


@given(worlds())
def test_after_an_apply_the_plan_is_empty(world: PlanInput) -> None:
    made = plan(world)
    assert not plan(_applied(made, world)).has_changes


@given(worlds())
def test_the_changes_of_an_action_lead_to_its_facts(world: PlanInput) -> None:
    for action in plan(world).actions:
        if isinstance(action, Append | Replace | EvolveSchema | Convert | Relabel):
            seen = world.observed[action.target.resource.partition("/")[2]]
            assert not isinstance(seen.destination, tuple)
            assert seen.destination.snapshot is not None
            live = seen.destination.snapshot.entry.facts
            assert same(patch(live, action.changes), action.facts)


@given(worlds(), st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_its_input(
    world: PlanInput, shuffler: random.Random
) -> None:
    shuffled = replace(
        world,
        desired=replace(world.desired, datasets=_shuffled(world.desired.datasets, shuffler)),
        observed=dict(_shuffled(tuple(world.observed.items()), shuffler)),
    )
    assert plan_bytes(plan(shuffled)) == plan_bytes(plan(world))


def _shuffled(values: tuple[T, ...], shuffler: random.Random) -> tuple[T, ...]:
    return tuple(shuffler.sample(values, len(values)))


@given(worlds())
def test_losing_the_state_never_makes_a_plan_create_what_exists(world: PlanInput) -> None:
    forgotten = {n: replace(o, record=None, head=None) for n, o in world.observed.items()}
    for action in plan(replace(world, observed=forgotten)).actions:
        seen = world.observed[action.target.resource.partition("/")[2]]
        assert not isinstance(seen.destination, tuple)
        if seen.destination.snapshot is not None:
            assert not isinstance(action, Create | Move)


@given(worlds())
def test_a_protected_dataset_never_loses_anything(world: PlanInput) -> None:
    for action in plan(world).actions:
        seen = world.observed[action.target.resource.partition("/")[2]]
        live = seen.destination if not isinstance(seen.destination, tuple) else None
        kept = live is not None and live.snapshot is not None and live.snapshot.entry.facts.protect
        assert isinstance(action, Blocked) or not (kept and action.effect is Effect.LOSES)
