"""What one dataset needs: the first rule that applies decides, from what stops to what is calm."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from batuta.core import refusals
from batuta.core.carrying import Source, carried, sources_of, ways
from batuta.core.case import Case, World, ends_of, wanted_facts
from batuta.core.compare import compared
from batuta.core.draft import Decision, calm, stop, stop_closed, stop_unseen
from batuta.core.egress.policy import Action, compose
from batuta.core.labels.flows import Input, Place, conflict
from batuta.core.labels.lattice import of_record
from batuta.core.labels.merging import merge_refusal
from batuta.core.overlap import overlap
from batuta.core.owned import barred
from batuta.core.reasons import Why
from batuta.core.shape import Committed, Shape, shape, with_answer
from batuta.core.sovereignty import Answer, Question, judge
from batuta.core.tiers import known
from batuta.core.transfer_plan import refuse_mode
from batuta.core.unheeded import unheeded
from batuta.core.uniting import source_name
from batuta.core.ways_out import ways_out
from batuta.model.diagnostic import Diagnostic, Severity
from batuta.model.log import Facts
from batuta.model.observed import DestinationState, SourceState
from batuta.model.plan import Blocked
from batuta.model.resource import Dataset
from batuta.model.tier import Tier

FILES = "files"
_TIERS = {tier.value: tier for tier in Tier}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Names of datasets that this plan makes, and of those that it changes.

    `used` are the texts of the decisions about labels that its actions use.
    """

    made: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)


def decide(world: World, dataset: Dataset, upstream: Upstream) -> Decision:
    """Return the action for one dataset of the manifests, with what else is worth saying.

    The first rule that applies decides, from what stops to what is calm. A dataset whose
    upstream is made in this plan waits for the next one; one whose upstream only changes is
    planned against what is there now, and says so.
    """
    if (bad := overlap(world, dataset)) is not None:
        return Decision(action=stop_closed(world, dataset, (bad,)))
    before = world.input.beforehand.get(dataset.name)
    if before is not None and before.refused:
        return Decision(action=stop_closed(world, dataset, before.refused))
    observation = world.input.observed.get(dataset.name)
    if observation is None:
        # Without a look at the world every answer would be a guess.
        return Decision(action=stop_unseen(world, dataset))
    source, destination = observation.source, observation.destination
    case = Case(
        world=world,
        dataset=dataset,
        observation=observation,
        destination=destination
        if isinstance(destination, DestinationState)
        else DestinationState(address=str(dataset.destination), condition="absent"),
        source=source if isinstance(source, SourceState) else None,
        used=upstream.used,
    )
    if not isinstance(destination, DestinationState):
        unreadable = destination if isinstance(source, SourceState) else (*destination, *source)
        return Decision(action=stop(case, Why.UNREADABLE, unreadable))
    return barred(case) or _with_source(case, upstream)


def _with_source(case: Case, upstream: Upstream) -> Decision:
    dataset, upstreams = case.dataset, case.dataset.source.upstreams
    if made := [name for name in upstreams if name in upstream.made]:
        waits = refusals.waits(dataset, made[0])
        return Decision(action=calm(case, Why.WAITS), diagnostics=(waits,))
    source = case.observation.source
    if not isinstance(source, SourceState):
        return Decision(action=stop(case, Why.UNREADABLE, source))
    bad = _wrong_format(case, source) or unheeded(dataset, source)
    if bad is not None:
        return Decision(action=stop(case, Why.NOT_POSSIBLE, (bad,)))
    answer = judged(case, source)
    if answer.refused:
        return Decision(action=_refused(case, source, answer))
    if closed := _closed(case, answer.tier):
        return Decision(action=stop(case, Why.EGRESS, closed))
    decision = _shaped(case, source, answer)
    notes = source.notes
    changed = [name for name in upstreams if name in upstream.changed]
    notes = (*notes, *(refusals.upstream_changes(dataset, name) for name in changed))
    return replace(decision, diagnostics=decision.diagnostics + notes) if notes else decision


def _refused(case: Case, source: SourceState, answer: Answer) -> Blocked:
    """A merge says what met and how to go on; at a terminal the specification asks."""
    if not case.dataset.source.merge:
        return stop(case, Why.SOVEREIGNTY, answer.diagnostics)
    live = case.live
    tier = case.dataset.tier or (_TIERS.get(live.tier) if live is not None else None)
    sources = sources_of(case.world, case.dataset, source)
    # Nobody named a tier: the data needs a place as sovereign as its most confidential part.
    secret = carried(case.world, sources, ()).at(tier or answer.tier).confidentiality
    place = Place(tier=tier or Tier(secret), region=ends_of(case.world, case.dataset)[-1].region)
    inputs = [
        Input(
            name=source_name(each.part),
            label=of_record(carried(case.world, (each,), ()).at(place.tier)),
        )
        for each in sources
    ]
    where = case.dataset.place("spec.source")
    found = answer.diagnostics
    if (met := conflict(place, inputs)) is not None:
        lead_out = ways_out(case, _question(case, sources), sources, met)
        refusal = merge_refusal(place, inputs, met, case.dataset.address, lead_out)
        found = (*found, replace(refusal, locations=where))
    return stop(case, Why.SOVEREIGNTY, found, question="sovereignty")


def _closed(case: Case, tier: Tier) -> tuple[Diagnostic, ...]:
    """Return what forbids the hosts under the tier that the data's label gave, if it is another."""
    before = case.world.input.beforehand.get(case.dataset.name)
    if before is None or before.tier is tier or not before.reached:
        return ()
    action = Action(
        tier=tier, dataset=case.dataset.name, ends=before.reached, named=case.dataset.egress
    )
    found = compose(case.world.input.desired.egress_policies, action)
    return tuple(d for d in found.diagnostics if d.severity is Severity.ERROR)


def _wrong_format(case: Case, source: SourceState) -> Diagnostic | None:
    dataset, formats = case.dataset, case.world.input.target_bytes
    if (dataset.format == FILES) != (source.kind == FILES):
        return refusals.wrong_kind(dataset, source.kind)
    if dataset.format != FILES and dataset.format not in formats:
        return refusals.unwritable(dataset, sorted(formats))
    return None


def judged(case: Case, source: SourceState) -> Answer:
    """Return what tiers, labels and residency say of the case's transfer."""
    return judge(_question(case, sources_of(case.world, case.dataset, source)))


def _question(case: Case, sources: Sequence[Source]) -> Question:
    snapshot, live = case.snapshot, case.live
    tier = _TIERS.get(live.tier) if live is not None else None
    return Question(
        dataset=case.dataset,
        workspace=case.world.input.desired.workspace,
        ends=ends_of(case.world, case.dataset),
        carried=carried(case.world, sources, case.observation.standing),
        ways=ways(case, sources),
        recorded=known(snapshot.entry.label) if snapshot else None,
        recorded_tier=(tier, live.tier_derived) if live is not None and tier else None,
    )


def _shaped(case: Case, source: SourceState, answer: Answer) -> Decision:
    shaped = _shape(case, source)
    if shaped is not None:
        errors = tuple(d for d in shaped.diagnostics if d.severity is Severity.ERROR)
        if shaped.outcome == "stop":
            return Decision(action=stop(case, Why.DRIFT_STOPS, errors, changes=shaped.drift,
                                  question="drift"))  # fmt: skip
        if errors:
            return Decision(action=stop(case, Why.NOT_POSSIBLE, errors, changes=shaped.drift))
    bad = refuse_mode(case, source, shaped)
    if bad is not None:
        return Decision(action=stop(case, Why.NOT_POSSIBLE, (bad,)))
    facts = wanted_facts(case.dataset, source, shaped.schema if shaped else None, answer)
    live = case.live
    if shaped is not None and shaped.outcome == "skip" and live is not None:
        facts = _without_moving(facts, live)
    return compared(case, source, shaped, (facts, answer))


def _shape(case: Case, source: SourceState) -> Shape | None:
    if source.schema is None:
        return None
    dataset, live, given = case.dataset, case.live, case.world.input
    committed = None
    if live is not None and live.schema is not None:
        committed = Committed(schema=live.schema, source=live.source, version=live.source_version)
    base = given.on_drift or dataset.on_drift
    policy = with_answer(base, given.drift_answers.get(dataset.address))
    return shape(dataset, source.schema, source.version, committed, policy)


def _without_moving(facts: Facts, live: Facts) -> Facts:
    """Only what needs no bytes may change while a sync is skipped."""
    return replace(
        facts,
        source=live.source,
        source_version=live.source_version,
        schema=live.schema,
        format=live.format,
        settings=live.settings,
    )
