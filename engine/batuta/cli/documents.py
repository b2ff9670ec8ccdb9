"""The generated documents: JSON Schemas, and the reference pages made from code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from batuta.cli import explain
from batuta.cli.exit import MEANING
from batuta.cli.root import root
from batuta.model.event import Event
from batuta.model.state import Lease, ResourceRecord, RunRecord, StepRecord

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MADE = "<!-- Made by `make docs`; edit what it is made from. -->\n\n"


def schemas() -> dict[str, str]:
    """Return the text of every schema by its path below `schemas/`."""
    from batuta.core.plan_schema import document_schema, schema
    from batuta.manifest.schema import schema_bytes
    from batuta.manifest.schema import schemas as kinds
    from batuta.runtime.engine import Engine, WorkspaceOptions

    engine = Engine.open(WorkspaceOptions(folder=Path()), connect=False)
    found: dict[str, dict[str, Any]] = dict(kinds(engine.loader.declarations))
    found["v1/plan.schema.json"] = dict(schema())
    found["v1/state.schema.json"] = dict(document_schema(StateDocument, "batuta state"))
    found["v1/event.schema.json"] = dict(event_schema())
    return {name: schema_bytes(body).decode() for name, body in sorted(found.items())}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDocument:
    """All that a state holds."""

    resources: tuple[ResourceRecord, ...]
    runs: tuple[RunRecord, ...]
    steps: tuple[StepRecord, ...]
    lease: Lease | None


def event_schema() -> dict[str, Any]:
    """Return the schema of one line of `apply --events`."""
    bodies, parts = msgspec.json.schema_components(get_args(Event), ref_template="#/$defs/{name}")
    for part in parts.values():
        # The tag has a default in Python, but every line that is written has it.
        if "kind" in part.get("properties", {}):
            part["required"] = [*part.get("required", []), "kind"]
    return {"$schema": _DIALECT, "title": "batuta event", "anyOf": list(bodies), "$defs": parts}


def pages() -> dict[str, str]:
    """Return the text of every generated page by its path below `docs/reference/`."""
    from batuta.cli import tiers_page

    return {
        "commands.md": commands_page(),
        "diagnostics.md": diagnostics_page(),
        "exit-codes.md": exit_codes_page(),
        "tiers.md": tiers_page.page(_MADE),
    }


def diagnostics_page() -> str:
    """Return all explain pages as one, with an index by code."""
    found = explain.pages()
    index = "".join(f"* [{p.code}](#{p.code.lower()}): {p.summary}\n" for p in found)
    bodies = "\n".join(
        f'<a id="{p.code.lower()}"></a>\n\n## {p.code}\n\n**{p.summary}**\n\n{p.body}'
        for p in found
    )
    return f"# Diagnostics\n\n{_MADE}`batuta explain CODE` shows one.\n\n{index}\n{bodies}"


def exit_codes_page() -> str:
    """Return the table of exit codes."""
    rows = "".join(f"| {code.value} | {text} |\n" for code, text in MEANING.items())
    return f"# Exit codes\n\n{_MADE}| code | meaning |\n|---|---|\n{rows}"


def commands_page() -> str:
    """Return usage, options and an example of every command."""
    parts = ["# Commands\n\n", _MADE]
    with click.Context(root, info_name="batuta") as context:
        for made in walk(context):
            parts.append(_command(made))
    return "".join(parts)


def walk(context: click.Context) -> list[click.Context]:
    """Return a context for the command and for everything below it, in the order of help."""
    found = [context]
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                found += walk(click.Context(child, parent=context, info_name=name))
    return found


def _command(context: click.Context) -> str:
    command = context.command
    usage = command.collect_usage_pieces(context)
    help_text, example = split_help(command)
    lines = [f"## `{context.command_path}`\n", help_text + "\n"]
    lines.append(f"```\n{' '.join([context.command_path, *usage])}\n```\n")
    records = [r for p in command.get_params(context) if (r := p.get_help_record(context))]
    records = [(name, text) for name, text in records if text and name != "--help"]
    if records:
        rows = "\n".join(f"| `{_cell(name)}` | {_cell(text)} |" for name, text in records)
        lines.append(f"| option | effect |\n|---|---|\n{rows}\n")
    if example:
        lines.append(f"```sh\n{example}\n```\n")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def split_help(command: click.Command) -> tuple[str, str]:
    """Return the help text and, without its heading, the example; empty where there is none."""
    before, _, after = (command.help or "").partition("\b")
    _, _, example = after.partition("Example:")
    rows = [row.strip() for row in example.splitlines() if row.strip()]
    return "\n\n".join(" ".join(p.split()) for p in before.split("\n\n")).strip(), "\n".join(rows)
