"""JSON Schemas of the kinds, generated from the models: what editors and reviewers use.

A schema speaks of the text a person writes, so wherever a value is expected it also takes a
`${var.NAME}` that stands for it.
"""

import json
from functools import cache
from typing import Any

from batuta.manifest.adapters import adapter, credentials_adapter, options_adapter
from batuta.manifest.declarations import PLATFORM_FIELDS, DeclarationsByType
from batuta.manifest.document import Path
from batuta.manifest.kinds import KINDS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {"type": "string", "pattern": r"\$\{var\.[A-Za-z_][A-Za-z0-9_]*\}"}
_SCALARS = frozenset({"string", "integer", "boolean"})
_NARROWS = frozenset({"pattern", "enum", "const", "maxLength"})
Schema = dict[str, Any]


def schemas(declarations: DeclarationsByType) -> dict[str, Schema]:
    """Return the schema of each kind by its file name below `schemas/`, `v1/<kind>.schema.json`."""
    result = {}
    for kind in sorted(KINDS):
        body = _finished(adapter(kind).json_schema(ref_template="#/$defs/{model}"))
        if kind == "Platform":
            _add_declarations(body, declarations)
        head = {
            "$schema": _DIALECT,
            "$id": f"https://batuta.dev/schemas/v1/{kind.lower()}.schema.json",
        }
        result[f"v1/{kind.lower()}.schema.json"] = {**head, **body}
    return result


def schema_bytes(schema: Schema) -> bytes:
    """Return the text of a schema as it is stored: sorted keys, two spaces, a final newline."""
    return (json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _finished(schema: Schema) -> Schema:
    """Close patterns at the very end of the text, and let variables stand for scalars."""
    for name, definition in schema.get("$defs", {}).items():
        schema["$defs"][name] = _templated(definition)
    result = _templated(schema)
    result.setdefault("$defs", {})["VariableUse"] = dict(_VARIABLE)
    return result


def _templated(schema: Schema) -> Schema:
    result = _named_keys(schema)
    result.pop("title", None)
    if "properties" in result:
        result["properties"] = {k: _value(v) for k, v in result["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _value(result[key])
    for key in ("oneOf", "anyOf"):
        if key in result:
            result[key] = [_templated(branch) for branch in result[key]]
    if "pattern" in result:
        # `$` also matches before a final newline in some engines.
        result["pattern"] = result["pattern"].removesuffix("$") + r"(?![\s\S])"
    if "propertyNames" in result:
        result["propertyNames"] = _templated(result["propertyNames"])
    return result


def _named_keys(schema: Schema) -> Schema:
    """Say of a map with patterned keys that all its keys fit, not only that some do."""
    result = dict(schema)
    for pattern, value in result.pop("patternProperties", {}).items():
        result["propertyNames"] = {"pattern": pattern}
        result["additionalProperties"] = value
    return result


def _value(schema: Schema) -> Schema:
    """A place where a value stands: the value itself, or a variable."""
    body = _templated(schema)
    free_text = body.get("type") == "string" and not _NARROWS & set(body)
    branches: list[Schema] = body.get("oneOf") or body.get("anyOf") or [body]
    scalar = any(b.get("type") in _SCALARS or "enum" in b for b in branches)
    if free_text or "const" in body or not scalar:
        return body
    description = {"description": body.pop("description")} if "description" in body else {}
    return {**description, "anyOf": [body, {"$ref": "#/$defs/VariableUse"}]}


def _add_declarations(schema: Schema, declarations: DeclarationsByType) -> None:
    """Close the Platform's schema over the declared types, each with its own block."""
    spec = schema["$defs"]["PlatformSpec"]
    spec.pop("additionalProperties", None)
    spec["properties"]["type"]["enum"] = sorted(declarations)
    spec["allOf"] = []
    for name, declared in sorted(declarations.items()):
        block = _inlined(_finished(options_adapter(declared.options).json_schema()))
        keys = _inlined(_finished(credentials_adapter(declared.credentials).json_schema()))
        needs = [name] if any(option.required for option in declared.options) else []
        needs += ["credentials"] if any(key.required for key in declared.credentials) else []
        then: Schema = {
            "properties": {
                **dict.fromkeys(PLATFORM_FIELDS, True),
                name: block,
                "credentials": keys,
            },
            "additionalProperties": False,
        }
        if needs:
            then["required"] = needs
        spec["allOf"].append({"if": {"properties": {"type": {"const": name}}}, "then": then})


def _inlined(schema: Schema) -> Schema:
    schema.pop("$defs", None)
    return schema


@cache
def _plain_schema(kind: str) -> Schema:
    return adapter(kind).json_schema(ref_template="#/$defs/{model}")


def fields_at(kind: str, path: Path) -> tuple[str, ...]:
    """Return the names of the fields that a map at `path` may have; empty for an open map."""
    root = _plain_schema(kind)
    branches = [root]
    for part in path:
        branches = [step for b in branches for step in _steps(_opened(root, b), part)]
    names = {name for b in branches for o in _opened(root, b) for name in o.get("properties", {})}
    return tuple(sorted(names))


def _opened(root: Schema, schema: Schema) -> list[Schema]:
    if "$ref" in schema:
        return _opened(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    branches = schema.get("oneOf", schema.get("anyOf"))
    return [o for b in branches for o in _opened(root, b)] if branches else [schema]


def _steps(found: list[Schema], part: str | int) -> list[Schema]:
    schemas_here = [_named_keys(schema) for schema in found]
    if isinstance(part, int):
        return [s["items"] for s in schemas_here if "items" in s]
    named = [s["properties"][part] for s in schemas_here if part in s.get("properties", {})]
    return named or [
        s["additionalProperties"]
        for s in schemas_here
        if isinstance(s.get("additionalProperties"), dict)
    ]
