"""Every manifest that the project ships is right for models and schemas, and laid out by `fmt`."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from batuta.manifest.compose import compose
from batuta.manifest.format import format_text
from batuta.manifest.load import load_documents
from batuta.manifest.resolve import Request, environments, resolve
from batuta.manifest.schema import schemas
from tests.unit.manifest.cases import DECLARATIONS, ROOT

MANIFESTS = ROOT / "manifests"


def environments_of(folder: Path) -> list[tuple[Path, str | None, str | None]]:
    """A workspace without an environment, and with each of its own and the overlay's path."""
    documents, _ = load_documents([("batuta.yaml", (folder / "batuta.yaml").read_bytes())])
    workspace = next(d for d in documents if d.kind == "Workspace")
    return [(folder, None, None), *((folder, n, o) for n, o in environments(workspace).items())]


CASES = [
    case for path in sorted(MANIFESTS.rglob("batuta.yaml")) for case in environments_of(path.parent)
]
FILES = sorted(MANIFESTS.rglob("*.yaml"))
SCHEMAS = schemas(DECLARATIONS)


@pytest.mark.parametrize(
    ("folder", "environment", "overlay"), CASES, ids=lambda v: v.name if isinstance(v, Path) else v
)
def test_a_workspace_resolves_in_every_environment(
    folder: Path, environment: str | None, overlay: str | None
) -> None:
    aside = folder / "environments"
    texts = [
        (p.relative_to(folder).as_posix(), p.read_bytes())
        for p in sorted(folder.rglob("*.yaml"))
        if aside not in p.parents
    ]
    laid = [
        (p.relative_to(folder).as_posix(), p.read_bytes())
        for p in (sorted((folder / overlay).rglob("*.yaml")) if overlay else [])
    ]
    documents, found = load_documents(texts)
    request = Request(declarations=DECLARATIONS, environment=environment)
    resolution = resolve(documents, request, overlays=laid)
    assert [*found, *resolution.diagnostics] == []
    assert resolution.desired is not None
    assert resolution.desired.datasets


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(MANIFESTS).as_posix())
def test_a_manifest_fits_its_schema_and_its_layout(path: Path) -> None:
    content = path.read_bytes()
    for document in compose(path.name, content).documents:
        if isinstance(document.value, dict) and "apiVersion" in document.value:  # no overlay
            schema = SCHEMAS[f"v1/{document.kind.lower()}.schema.json"]
            Draft202012Validator(schema).validate(document.value)
    assert format_text(path.name, content) == (content, [])


def test_the_quickstart_has_the_three_datasets_of_the_tutorial() -> None:
    folder = MANIFESTS / "quickstart" / "datasets"
    texts = [(p.name, p.read_bytes()) for p in sorted(folder.glob("*.yaml"))]
    documents, _ = load_documents(texts)
    found = resolve(documents, Request(declarations=DECLARATIONS)).desired
    assert found is not None
    assert [(d.name, d.format, str(d.destination)) for d in found.datasets] == [
        ("customers", "arrow", "out/customers/"),
        ("events", "parquet", "out/events/"),
        ("orders", "ald", "out/orders/"),
    ]
