"""Which level a tier gets, as tests/cases/tiers has it; and the refusal where none will do."""

import pytest

from batuta.model.diagnostic import BatutaError
from batuta.model.tier import Tier
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Need, accepted, choose, goes_on_unenforced
from batuta.runtime.sandbox.probe import Finding
from batuta.runtime.sandbox.report import doctor
from tests.tables import TIERS, table

FULL, HYBRID, PRIVATE, STANDARD = Tier
I, S, F, A = Level  # noqa: E741 - the columns of the table

PAGE = TIERS / "enforcement.md"
LEVELS = {"isolated": I, "sealed": S, "filtered": F}
TABLE = [
    (
        Tier(row["tier"]),
        row["ends"] == "local",
        row["the policy accepts filtered"] == "yes",
        tuple(LEVELS[word] for word in row["levels"].split(", ")),
    )
    for row in table(PAGE, "Levels that will do")
]
ALONE = [
    (
        Tier(row["tier"]),
        row["declared or derived"] == "declared",
        row["enforcement of the workspace"] == "Required",
        row["answer"] == "goes on",
    )
    for row in table(PAGE, "Where the machine gives none of them")
]


def only(*given: Level) -> "dict[Level, Finding]":
    lost = Finding(given=False, step="namespaces", errno=1, reason="Operation not permitted")
    return {level: Finding(given=True) if level in given else lost for level in Level}


@pytest.mark.parametrize(("tier", "local", "policy", "levels"), TABLE)
def test_the_levels_that_will_do(
    tier: Tier, local: bool, policy: bool, levels: tuple[Level, ...]
) -> None:
    assert accepted(Need(tier=tier, local_ends=local, filtered_allowed=policy)) == levels


@pytest.mark.parametrize(("tier", "local", "policy", "levels"), TABLE)
def test_the_best_that_is_given_is_chosen(
    tier: Tier, local: bool, policy: bool, levels: tuple[Level, ...]
) -> None:
    need = Need(tier=tier, local_ends=local, filtered_allowed=policy)

    for at, level in enumerate(levels):
        chosen = choose(need, only(*levels[at:]).__getitem__)
        assert chosen.level is level
        assert chosen.enforced
        assert len(chosen.lost) == at


@pytest.mark.parametrize(("tier", "declared", "required", "goes_on"), ALONE)
def test_without_a_level_it_goes_on_or_is_refused(
    tier: Tier, declared: bool, required: bool, goes_on: bool
) -> None:
    need = Need(tier=tier, local_ends=True, declared=declared, required=required)

    assert goes_on_unenforced(need) is goes_on
    if goes_on:
        assert choose(need, only().__getitem__).level is A
        assert not choose(need, only().__getitem__).enforced
    else:
        with pytest.raises(BatutaError) as refused:
            choose(need, only().__getitem__)
        assert refused.value.diagnostics[0].code == "EGR201"
        assert "namespaces" in refused.value.diagnostics[0].detail


@pytest.mark.parametrize(("tier", "given", "named"), [
    (HYBRID, (F,), True), (HYBRID, (), False), (FULL, (F,), False),
])  # fmt: skip
def test_the_refusal_names_the_policys_own_way_out_where_there_is_one(
    tier: Tier, given: tuple[Level, ...], named: bool
) -> None:
    with pytest.raises(BatutaError) as refused:
        choose(Need(tier=tier, local_ends=False), only(*given).__getitem__)
    assert ("weakestLevel: Filtered" in refused.value.diagnostics[0].fix) is named


def test_a_level_that_will_not_do_is_never_chosen() -> None:
    for tier, local, policy, levels in TABLE:
        need = Need(tier=tier, local_ends=local, filtered_allowed=policy, required=True)
        others = [level for level in (I, S, F) if level not in levels]
        with pytest.raises(BatutaError):
            choose(need, only(*others).__getitem__)


def test_the_report_shows_refusals_and_what_a_policy_can_change() -> None:
    report = doctor(only(S, F).__getitem__)

    rows = {row.tier: (row.local, row.network, row.policy) for row in report.tiers}
    assert rows == {
        FULL: (S, None, None), HYBRID: (S, None, F), PRIVATE: (S, F, F), STANDARD: (S, F, F)
    }  # fmt: skip
    assert not report.whole
