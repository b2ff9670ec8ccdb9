"""Which level a tier gets, as a table; and the refusal where none will do."""

import pytest

from batuta.model.diagnostic import BatutaError
from batuta.model.tier import Tier
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Need, accepted, choose, goes_on_unenforced
from batuta.runtime.sandbox.probe import Finding
from batuta.runtime.sandbox.report import doctor

FULL, HYBRID, PRIVATE, STANDARD = Tier
I, S, F, A = Level  # noqa: E741 - the columns of the table

# tier, both ends local, the policy accepts filtered: the levels that will do, best first
TABLE = [
    (FULL, True, False, (I, S)),
    (FULL, False, False, (I,)),
    (FULL, False, True, (I,)),
    (HYBRID, True, False, (I, S)),
    (HYBRID, False, False, (I,)),
    (HYBRID, False, True, (I, F)),
    (PRIVATE, True, False, (I, S)),
    (PRIVATE, False, False, (I, F)),
    (STANDARD, True, False, (I, S)),
    (STANDARD, False, False, (I, F)),
]
# tier, declared, enforcement required: goes on without any level
ALONE = [
    (FULL, True, False, False),
    (FULL, False, False, True),
    (FULL, False, True, False),
    (PRIVATE, True, False, False),
    (PRIVATE, False, False, True),
    (STANDARD, True, False, True),
    (STANDARD, False, False, True),
    (STANDARD, True, True, False),
    (STANDARD, False, True, False),
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
