"""The generated files: current, valid, and true of what batuta writes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from batuta.cli import documents, generate
from batuta.cli.views import plan_json
from tests.unit.cli import plans
from tests.unit.cli.test_progress import EVENTS
from tests.unit.cli.test_views import RECORD, RUN


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    return {name: json.loads(text) for name, text in documents.schemas().items()}


def test_every_schema_is_a_schema(schemas: dict[str, Any]) -> None:
    assert {"v1/dataset.schema.json", "v1/plan.schema.json", "v1/event.schema.json"} <= set(schemas)
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_plan_with_every_action_fits_its_schema(schemas: dict[str, Any]) -> None:
    schema = schemas["v1/plan.schema.json"]
    document = json.loads(plan_json.view(plans.everything()))["plan"]
    jsonschema.validate(document, schema)
    document["actions"][0]["kind"] = "no-such-action"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_every_event_fits_its_schema_and_an_unknown_kind_does_not(schemas: dict[str, Any]) -> None:
    schema = schemas["v1/event.schema.json"]
    for event in EVENTS:
        jsonschema.validate(json.loads(msgspec.json.encode(event)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"kind": "nothing", "run": "x"}, schema)


def test_the_state_fits_its_schema(schemas: dict[str, Any]) -> None:
    state = documents.StateDocument(resources=(RECORD,), runs=(RUN,), steps=(), lease=None)
    jsonschema.validate(json.loads(msgspec.json.encode(state)), schemas["v1/state.schema.json"])


def test_the_pages_speak_of_every_command_and_every_code() -> None:
    pages = documents.pages()
    assert "## `batuta data sync`" in pages["commands.md"]
    assert "## CLI101" in pages["diagnostics.md"]
    assert "| 70 |" in pages["exit-codes.md"]


def test_check_finds_what_is_missing_edited_or_left_over(tmp_path: Path) -> None:
    files = {Path("schemas/v1/a.json"): "a", Path("docs/reference/b.md"): "b"}
    assert generate.stale(tmp_path, files) == sorted(files)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    assert generate.stale(tmp_path, files) == []
    (tmp_path / "docs/reference/b.md").write_text("edited")
    (tmp_path / "schemas/v1/old.json").write_text("{}")
    assert generate.stale(tmp_path, files) == [
        Path("docs/reference/b.md"),
        Path("schemas/v1/old.json"),
    ]


def test_written_files_are_current_at_once(tmp_path: Path) -> None:
    run = generate.command.main
    assert run(["docs", "--root", str(tmp_path)], standalone_mode=False) == 0
    assert run(["docs", "--check", "--root", str(tmp_path)], standalone_mode=False) == 0
    (tmp_path / "docs/reference/commands.md").write_text("")
    assert run(["docs", "--check", "--root", str(tmp_path)], standalone_mode=False) == 1
