"""The JSON Schemas say what the models say, and the stored ones are current."""

import copy
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from batuta.manifest import kinds
from batuta.manifest.check import problems
from batuta.manifest.compose import compose
from batuta.manifest.document import Document, Path, Spot, Value
from batuta.manifest.schema import schema_bytes, schemas
from batuta.model.resource import DeletionPolicy, DriftChoice, Mode, OnSourceDelete
from batuta.model.tier import Network, Tier
from tests.unit.manifest.cases import DATA, DECLARATIONS, ROOT

SCHEMAS = schemas(DECLARATIONS)
FULL = DATA / "full.yaml"


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[f"v1/{kind.lower()}.schema.json"])


def full_documents() -> list[Document]:
    return list(compose("full.yaml", FULL.read_bytes()).documents)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_itself_valid(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("name", sorted(n for n in SCHEMAS if "platform" not in n))
def test_the_stored_schema_is_current(name: str) -> None:
    assert (ROOT / "schemas" / name).read_bytes() == schema_bytes(SCHEMAS[name])


@pytest.mark.parametrize(
    ("written", "model"),
    [
        (kinds.TierName, Tier), (kinds.DriftName, DriftChoice),
        (kinds.DatasetSpec.__annotations__["mode"], Mode),
        (kinds.DatasetSpec.__annotations__["onSourceDelete"], OnSourceDelete),
        (kinds.DatasetSpec.__annotations__["deletionPolicy"], DeletionPolicy),
    ],
)  # fmt: skip
def test_the_words_of_a_closed_list_are_those_of_the_model(written: Any, model: Any) -> None:
    assert sorted(get_args(written)) == sorted(model)


def test_every_network_but_the_local_one_can_be_written() -> None:
    assert set(get_args(kinds.NetworkName)) == set(Network) - {Network.LOCAL}


def mutations(value: Value) -> list[Value]:
    """The document with each of its values in turn replaced, removed or joined by a stranger."""
    result: list[Value] = []
    odd: list[Value] = [None, True, 3, -1, "", "x", "x\n", "5d", "5d\n", [], ["x"], {}, {"x": 1}]

    def visit(make: Any, current: Value) -> None:
        result.extend(make(other) for other in odd)
        if isinstance(current, dict):
            result.append(make({**current, "stranger": 1}))
            for key, child in current.items():
                result.append(make({k: v for k, v in current.items() if k != key}))
                visit(lambda other, key=key: make({**current, key: other}), child)
        elif isinstance(current, list):
            for i, child in enumerate(current):
                visit(lambda other, i=i: make([*current[:i], other, *current[i + 1 :]]), child)

    visit(lambda other: other, copy.deepcopy(value))
    return result


@pytest.mark.parametrize("document", full_documents(), ids=lambda d: d.kind)
def test_models_and_schema_accept_and_reject_the_same_documents(document: Document) -> None:
    check = validator(document.kind)
    tried = mutations(document.value)
    accepted = 0
    for value in [document.value, *tried]:
        if not isinstance(value, dict) or value.get("kind") != document.kind:
            continue
        whole = Document(
            "m.yaml", value, document.marks, spots=Everywhere(document.spot(()), value)
        )
        fits = not problems(whole, DECLARATIONS)
        assert check.is_valid(value) is fits, value
        accepted += fits
    assert check.is_valid(document.value)
    assert 0 < accepted < len(tried)


class Everywhere(dict[Path, Spot]):
    """One place for every path: where an error is does not matter here."""

    def __init__(self, spot: Spot, value: Value) -> None:
        super().__init__()
        stack: list[tuple[tuple[str | int, ...], Value]] = [((), value)]
        while stack:
            path, current = stack.pop()
            self[path] = spot
            if isinstance(current, dict):
                stack += [((*path, k), v) for k, v in current.items()]
            elif isinstance(current, list):
                stack += [((*path, i), v) for i, v in enumerate(current)]


def test_a_schema_takes_variables_where_a_value_is_expected() -> None:
    text = b"""apiVersion: batuta.dev/v1
kind: Dataset
metadata: {name: "${var.name}"}
spec: {source: "${var.s}", destination: out/a/, tier: "${var.t}", protect: "${var.p}",
  history: {keep: "${var.k}", versions: "${var.n}"}, budget: {maxBytes: "${var.b}"}}
"""
    (document,) = compose("a.yaml", text).documents
    assert validator("Dataset").is_valid(document.value)
    assert not validator("Dataset").is_valid({**document.value, "kind": "${var.kind}"})  # type: ignore[dict-item]
