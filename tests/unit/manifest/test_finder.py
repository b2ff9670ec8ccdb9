"""Places are found again when one is asked for: all of them, and for what one costs."""

import gc
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from batuta.manifest.document import Document
from batuta.manifest.load import load_documents
from batuta.manifest.resolve import Request, resolve
from batuta.model.resource import Dataset, Desired, EgressPolicy, Platform, Workspace
from tests.unit.manifest.cases import DECLARATIONS, ENDS, Memory, dataset_text, run

FEW, MANY = 25, 100
LINEAR = 1.1 * MANY / FEW


def resolved(
    *texts: str, cache: Memory | None, overlay: str = "", environment: str | None = None
) -> Desired:
    """The desired state of texts without a finding, by way of a cache."""
    documents, found = load_documents(
        [(f"{i}.yaml", text.encode()) for i, text in enumerate(texts)], cache=cache
    )
    laid = [("overlay.yaml", overlay.encode())] if overlay else []
    request = Request(declarations=DECLARATIONS, environment=environment)
    resolution = resolve(documents, request, overlays=laid, cache=cache)
    assert [*found, *resolution.diagnostics] == []
    assert resolution.desired is not None
    return resolution.desired


def calls(work: Callable[[], object]) -> int:
    """How many functions `work` calls: what it costs, the same on every machine."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def numbered_datasets(count: int) -> list[str]:
    return [dataset_text(ENDS.replace("out/a", f"out/{i}"), f"d{i:03}") for i in range(count)]


@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("turn", ["first", "cached"])
def test_a_place_of_each_dataset_costs_the_same_however_many_share_its_file(
    turn: str, files: int
) -> None:
    def cost(count: int) -> int:
        datasets, cache = numbered_datasets(count), Memory()
        texts = ["---\n".join(datasets[start::files]) for start in range(files)]
        desired = resolved(*texts, cache=cache)
        if turn == "cached":
            desired = resolved(*texts, cache=cache)

        def ask() -> None:
            for dataset in desired.datasets:
                assert dataset.place("metadata.name")

        return calls(ask)

    assert cost(MANY) < LINEAR * cost(FEW)


NAMED = """apiVersion: batuta.dev/v1
kind: Workspace
spec:
  variables: {region: {type: string, default: eu}}
  environments: {prod: {variables: {region: us}, overlay: prod}}
---
apiVersion: batuta.dev/v1
kind: Platform
metadata: {name: "lake-${var.region}"}
spec: {type: aws, region: "${var.region}", endpoints: ["http://s3.lake.test"]}
---
apiVersion: batuta.dev/v1
kind: EgressPolicy
metadata: {name: "out-${var.region}"}
spec:
  allow:
  - {host: a.test}
---
apiVersion: batuta.dev/v1
kind: Dataset
metadata: {name: "orders-${var.region}"}
spec: {source: "delta+data/a", destination: out/a/}
"""
LAID = """kind: Platform
metadata: {name: "lake-${var.region}"}
spec: {network: Public}
---
kind: EgressPolicy
metadata: {name: "out-${var.region}"}
spec: {requireTls: true}
---
kind: Workspace
spec: {region: us}
"""


def holders(desired: Desired) -> list[Workspace | Dataset | Platform | EgressPolicy]:
    """All that knows its places."""
    return [
        desired.workspace, *desired.datasets, *desired.platforms, *desired.egress_policies,
    ]  # fmt: skip


@pytest.mark.parametrize("overlay", ["", LAID])
@pytest.mark.parametrize("environment", [None, "prod"])
def test_what_is_named_by_a_variable_keeps_its_places_on_every_run(
    environment: str | None, overlay: str
) -> None:
    cache = Memory()
    plain = resolved(NAMED, cache=None, overlay=overlay, environment=environment)
    for _ in ("first", "cached"):
        found = resolved(NAMED, cache=cache, overlay=overlay, environment=environment)
        for one, other in zip(holders(found), holders(plain), strict=True):
            assert one == other
            assert dict(one.places) == dict(other.places)
        platform, policy = found.platforms[0], found.egress_policies[0]
        assert str(platform.places["spec.endpoints[0]"]) == "0.yaml:10:56"
        assert str(policy.places["spec.allow[0].host"]) == "0.yaml:17:12"
        if overlay:
            assert str(platform.places["spec.network"]) == "overlay.yaml:3:17"
            assert str(policy.places["spec.requireTls"]) == "overlay.yaml:7:20"
            assert str(found.workspace.places["spec.region"]) == "overlay.yaml:10:16"


def alive() -> list[str]:
    """The kinds of the documents that are kept, those of overlays included."""
    gc.collect()
    return sorted(each.kind for each in gc.get_objects() if isinstance(each, Document))


@pytest.mark.parametrize("overlay", ["", LAID])
def test_one_place_keeps_one_document_whatever_is_laid_over_the_others(overlay: str) -> None:
    before = alive()
    cache = Memory()
    for _ in ("first", "cached"):
        desired = resolved(NAMED, cache=cache, overlay=overlay, environment="prod")
        assert alive() == before
        assert desired.datasets[0].place("spec.source")
        assert alive() == sorted([*before, "Dataset"])
        del desired


def test_documents_that_were_looked_at_before_a_cached_run_are_let_go_of() -> None:
    cache = Memory()
    resolved(NAMED, cache=cache)
    documents, _ = load_documents([("0.yaml", NAMED.encode())], cache=cache)
    assert [document.kind for document in documents]
    before = len(alive())
    resolution = resolve(documents, Request(declarations=DECLARATIONS), cache=cache)
    assert resolution.documents == ()
    assert len(alive()) == before - 4


POLICY = "apiVersion: batuta.dev/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  allow:\n"


@pytest.mark.parametrize("overlay", ["", "kind: EgressPolicy\nmetadata: {name: p}\nspec: {}\n"])
@pytest.mark.parametrize("cached", [False, True])
def test_a_place_of_each_rule_costs_the_same_however_many_a_policy_has(
    overlay: str, cached: bool
) -> None:
    def cost(count: int) -> int:
        text = POLICY + "".join(f"  - {{host: h{i}.test}}\n" for i in range(count))
        cache = Memory() if cached else None
        (policy,) = resolved(text, cache=cache, overlay=overlay).egress_policies

        def ask() -> None:
            for i in range(count):
                assert policy.places[f"spec.allow[{i}].host"].line == 6 + i

        return calls(ask)

    assert cost(MANY) < LINEAR * cost(FEW)


def test_a_policy_that_is_asked_for_each_dataset_is_found_and_spelled_once() -> None:
    def cost(rules: int) -> int:
        policy = POLICY + "".join(f"  - {{host: h{i}.test}}\n" for i in range(rules))
        desired = resolved(*numbered_datasets(MANY), policy, cache=Memory())

        def ask() -> None:
            for dataset in desired.datasets:
                assert dataset.place("spec.source")
                last = desired.egress_policies[0].places[f"spec.allow[{rules - 1}].host"]
                assert last.line == 5 + rules

        ask()
        return calls(ask)

    assert cost(MANY) == cost(FEW)


@pytest.mark.parametrize("default", ["default: x", "default: 1"])
def test_a_variable_costs_the_same_however_many_are_declared(default: str) -> None:
    head = "apiVersion: batuta.dev/v1\nkind: Workspace\nspec:\n  variables:\n"

    def cost(count: int) -> int:
        text = head + "".join(f"    v{i}: {{type: string, {default}}}\n" for i in range(count))
        return calls(lambda: run(text))

    assert cost(MANY) < LINEAR * cost(FEW)
