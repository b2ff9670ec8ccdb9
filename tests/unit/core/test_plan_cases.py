"""Every case in tests/cases/plan plans to what it says."""

import hashlib
from typing import Any

import pytest

from batuta.core.plan_document import digest_of, parse_plan, plan_bytes
from batuta.core.planner import plan
from tests.unit.core import cases

CASES = cases.load()


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_a_case_plans_to_what_it_expects(case: dict[str, Any]) -> None:
    made = plan(cases.given(case))
    expected = case["expected"]
    assert [a.target.resource.partition("/")[2] for a in made.actions] == [
        e["resource"] for e in expected
    ]
    assert cases.shown(made, [set(e) for e in expected]) == expected
    codes = sorted({d.code for d in made.diagnostics})
    assert codes == case.get("diagnostics", [])


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_the_plan_of_a_case_survives_its_document(case: dict[str, Any]) -> None:
    made = plan(cases.given(case))
    assert digest_of(made) == hashlib.sha256(plan_bytes(made)).hexdigest()
    again = parse_plan(plan_bytes(made))
    assert again == made
    assert digest_of(again) == digest_of(made)


def test_there_are_cases_for_every_kind_of_action_that_core_plans() -> None:
    kinds = {e["kind"] for _, case in CASES for e in case["expected"]}
    assert kinds == {
        "create", "append", "replace", "evolve-schema", "convert", "relabel", "move", "delete",
        "release", "no-op", "blocked",
    }  # fmt: skip
