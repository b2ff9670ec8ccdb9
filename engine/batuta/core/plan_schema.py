"""The JSON Schema of the plan document, generated from the same types that read it."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from batuta.core.codec import is_json, members, required
from batuta.model.canonical import Json
from batuta.model.plan import PLAN_FORMAT_VERSION, Plan

_ROOT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN: dict[object, str] = {str: "string", int: "integer", bool: "boolean", NoneType: "null"}


def schema() -> dict[str, Json]:
    """Return the JSON Schema (draft 2020-12) of plan documents of the current version."""
    return document_schema(Plan, f"batuta plan, format version {PLAN_FORMAT_VERSION}")


def document_schema(root: type, title: str) -> dict[str, Json]:
    """Return the JSON Schema of documents that spell a `root`, all types under `$defs`.

    A document is written whole, so every field is required and no other key is allowed.
    """
    definitions: dict[str, Json] = {}
    reference = _schema(root, definitions)
    ordered: dict[str, Json] = {name: definitions[name] for name in sorted(definitions)}
    return {"$schema": _ROOT, "title": title, **reference, "$defs": ordered}


def _schema(type_: Any, definitions: dict[str, Json]) -> dict[str, Json]:
    origin, args = get_origin(type_), get_args(type_)
    if is_json(type_):
        return {"description": "JSON without fractions"}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return _array(args, definitions)
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(args[1], definitions)}
    if len(members(type_)) > 1:
        return {"anyOf": [_schema(member, definitions) for member in members(type_)]}
    if isinstance(type_, type) and issubclass(type_, StrEnum):
        return {"enum": [member.value for member in type_]}
    if is_dataclass(type_) and isinstance(type_, type):
        return _object(type_, definitions)
    return {"type": _PLAIN[type_]}


def _array(args: tuple[Any, ...], definitions: dict[str, Json]) -> dict[str, Json]:
    if args[-1] is Ellipsis:
        return {"type": "array", "items": _schema(args[0], definitions)}
    items = [_schema(arg, definitions) for arg in args]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _object(type_: type, definitions: dict[str, Json]) -> dict[str, Json]:
    name = type_.__name__
    if name not in definitions:
        definitions[name] = None  # holds the place, should a type name itself
        definitions[name] = {
            "type": "object",
            "description": " ".join((type_.__doc__ or "").split()),
            "properties": {f.name: _property(f, definitions) for f in fields(type_)},
            "required": [f.name for f in fields(type_)],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


def _property(field: Any, definitions: dict[str, Json]) -> dict[str, Json]:
    if field.name == "kind" and not required(field):
        return {"const": field.default}
    return _schema(field.type, definitions)
