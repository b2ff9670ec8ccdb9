"""A plan is canonical JSON that is read back strictly, or refused by code."""

import hashlib
import json
from typing import Any

import jsonschema
import pytest

from batuta.core.plan_document import digest_of, parse_plan, plan_bytes, plan_to_document
from batuta.core.plan_input import Observation
from batuta.core.plan_schema import schema
from batuta.core.planner import plan
from batuta.model.canonical import canonical_bytes
from batuta.model.diagnostic import BatutaError
from batuta.model.plan import Plan
from tests.unit.core import build, cases


@pytest.fixture
def made() -> Plan:
    orders = build.dataset("orders", source={"options": {"deep": {"list": [1, None, "ü"]}}})
    wanted = build.desired(orders)
    seen = build.agreed(
        wanted, orders, build.source(version="8", units=["a@2"], format="csv"), source_version="7"
    )
    return plan(build.given(wanted, {"orders": seen}))


def _code(document: bytes) -> str:
    with pytest.raises(BatutaError) as caught:
        parse_plan(document)
    return caught.value.diagnostics[0].code


def _edited(made: Plan, *path: str | int, value: object) -> bytes:
    document: Any = json.loads(plan_bytes(made))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return canonical_bytes(document)


def test_the_digest_is_that_of_the_bytes(made: Plan) -> None:
    assert parse_plan(plan_bytes(made)) == made
    assert digest_of(made) == hashlib.sha256(plan_bytes(made)).hexdigest()


@pytest.mark.parametrize(
    "value", [2**70, '\x00\x1f\x7f\u2028"\\/', {"z": 1, "\U0001f600": 2, "\uff5e": 3}]
)
def test_the_digest_of_odd_options_is_that_of_the_bytes(value: Any) -> None:
    orders = build.dataset("orders", source={"options": {"odd": value}})
    seen = build.source(version="8", units=["a@2"], format="csv")
    observed = {"orders": Observation(source=seen, destination=build.destination())}
    moved = plan(build.given(build.desired(orders), observed))

    assert moved.actions[0].kind == "create"
    assert digest_of(moved) == hashlib.sha256(plan_bytes(moved)).hexdigest()


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b"{}", b'{"format_version":true}', b"\xff\xfe", b"[" * 100_000],
)
def test_what_is_no_plan_is_refused_by_code(document: bytes) -> None:
    assert _code(document) == "PLN131"


def test_a_newer_plan_is_refused_by_its_own_code(made: Plan) -> None:
    assert _code(_edited(made, "format_version", value=4)) == "PLN132"
    assert _code(_edited(made, "format_version", value=0)) == "PLN131"


def test_a_plan_from_before_egress_policies_is_refused_by_its_own_code(made: Plan) -> None:
    """It does not say what its workers may reach, and that is not guessed."""
    old = json.loads(plan_bytes(made))
    del old["egress"], old["site"]
    old["format_version"] = 1
    assert _code(canonical_bytes(old)) == "PLN133"


def test_a_plan_that_names_no_labels_is_refused_by_its_own_code(made: Plan) -> None:
    """Whether what it reads became more secret since could not be told."""
    old = json.loads(plan_bytes(made))
    for action in old["actions"]:
        del action["preconditions"]["labels"]
    old["format_version"] = 2
    assert _code(canonical_bytes(old)) == "PLN133"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("extra",), 1),
        (("actions", 0, "extra"), 1),
        (("actions", 0, "kind"), "explode"),
        (("actions", 0, "kind"), "delete"),
        (("actions", 0, "effect"), "none at all"),
        (("actions", 0, "volume", "read_bytes"), "7"),
        (("actions", 0, "volume", "read_bytes"), True),
        (("actions", 0, "transfer", "scope"), "some"),
        (("actions", 0, "transfer", "columns"), [["id"]]),
        (("actions", 0, "reasons"), {}),
        (("workspace",), None),
    ],
)
def test_a_plan_with_a_wrong_field_is_refused(
    made: Plan, path: tuple[str | int, ...], value: object
) -> None:
    assert _code(_edited(made, *path, value=value)) == "PLN131"


def test_a_missing_field_is_refused(made: Plan) -> None:
    document = json.loads(plan_bytes(made))
    del document["actions"][0]["transfer"]
    assert _code(canonical_bytes(document)) == "PLN131"


def test_the_schema_is_one_and_takes_every_plan_that_core_makes() -> None:
    body = schema()
    jsonschema.Draft202012Validator.check_schema(body)
    validator = jsonschema.Draft202012Validator(body)
    for _, case in cases.load():
        validator.validate(json.loads(plan_bytes(plan(cases.given(case)))))


@pytest.mark.parametrize(
    ("path", "value"),
    [(("actions", 0, "kind"), "explode"), (("workspace",), None), (("extra",), 1)],
)
def test_the_schema_refuses_what_the_reader_refuses(
    made: Plan, path: tuple[str | int, ...], value: object
) -> None:
    document = json.loads(_edited(made, *path, value=value))
    assert not jsonschema.Draft202012Validator(schema()).is_valid(document)


def test_a_plan_holds_no_clock_and_no_free_space(made: Plan) -> None:
    text = json.dumps(plan_to_document(made))
    assert "free_bytes" not in text
    assert "created_at" not in text
