"""Rendering shows every value with its origin, and means what the documents mean."""

from dataclasses import replace

from batuta.manifest.render import render, rendered_text
from batuta.model.resource import Desired
from tests.unit.manifest.cases import WORKSPACE, dataset_text, desired, run

BASE = dataset_text(
    """  source: s3://bucket/${var.region}/
  destination: out/$${x}/
  history: {versions: 3}
"""
)
LAKE = """apiVersion: batuta.dev/v1
kind: Platform
metadata: {name: lake}
spec: {type: aws, credentials: {accessKeyId: "env:ID"}}
"""
SPACE = WORKSPACE.replace(
    "{}", "{defaultTier: Standard, variables: {region: {type: string, default: eu}},"
    " budget: {maxBytes: 5Gi}}"
)  # fmt: skip
OVERLAY = "kind: Dataset\nmetadata: {name: a}\nspec: {history: {keep: 2h}}\n"


def without_digests(state: Desired) -> Desired:
    return replace(state, datasets=tuple(replace(d, manifest_digest="") for d in state.datasets))


def test_each_value_has_the_place_the_variable_or_the_default_it_is_from() -> None:
    resolution, found = run(BASE, LAKE, SPACE, overlay=OVERLAY)
    assert found == []
    fields = {f.path: (f.value, f.origin) for f in render(resolution)[0].fields}
    variable = "var.region (default, 2.yaml:3:75)"
    assert fields["spec.source.address"] == ("s3://bucket/eu/", f"0.yaml:5:11, {variable}")
    assert fields["spec.source.platform"] == ("lake", "the only Platform of this type")
    assert fields["spec.destination"] == ("out/${x}/", "0.yaml:6:16")
    assert fields["spec.history.keep"] == ("2h", "overlay.yaml:3:24")
    assert fields["spec.history.versions"] == (3, "0.yaml:7:23")
    assert fields["spec.format"] == ("files", "default")
    assert fields["spec.tier"] == ("Standard", "2.yaml:3:21, the Workspace's defaultTier")
    assert fields["spec.budget.maxBytes"][0] == 5 * 2**30


def test_the_rendered_text_resolves_to_the_same_state() -> None:
    resolution, _ = run(BASE, LAKE, SPACE, overlay=OVERLAY)
    assert resolution.desired is not None
    again = desired(rendered_text(render(resolution)))
    assert without_digests(again) == without_digests(resolution.desired)


def test_documents_with_errors_are_rendered_without_defaults() -> None:
    resolution, found = run(dataset_text("  source: delta+a\n"))
    assert [d.code for d in found] == ["MAN114"]
    (document,) = render(resolution)
    assert [f.path for f in document.fields] == [
        "apiVersion", "kind", "metadata.name", "spec.source"
    ]  # fmt: skip
