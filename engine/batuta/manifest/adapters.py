"""Compiled validators of the kinds; the open parts of a Platform get theirs from declarations."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal

import typing_extensions
from pydantic import Field, StrictBool, StrictInt, TypeAdapter, with_config

from batuta.manifest import kinds
from batuta.model.format import OptionSpec

# The functional form with fields that are known only at run time; type checkers refuse it.
_typed_dict: Any = typing_extensions.TypedDict

_TYPES: dict[str, Any] = {
    "bool": StrictBool,
    "boolean": StrictBool,
    "int": StrictInt,
    "integer": StrictInt,
    "duration": kinds.Duration,
    "size": kinds.Size,
    "strings": list[kinds.Text],
    "list": list[kinds.Text],
}


@cache
def adapter(kind: str) -> TypeAdapter[object]:
    """Return the validator of a kind that is in `kinds.KINDS`."""
    return TypeAdapter(kinds.KINDS[kind])


@cache
def options_adapter(options: tuple[OptionSpec, ...]) -> TypeAdapter[object]:
    """Return the validator of the block that is named after a Platform's type."""
    return _closed("Options", options, _option_type)


@cache
def credentials_adapter(credentials: tuple[OptionSpec, ...]) -> TypeAdapter[object]:
    """Return the validator of a Platform's `credentials`."""
    return _closed("Credentials", credentials, lambda _: kinds.Reference)


def _closed(
    name: str, specs: tuple[OptionSpec, ...], type_of: Callable[[OptionSpec], Any]
) -> TypeAdapter[object]:
    fields = {}
    for spec in specs:
        field: Any = Annotated[type_of(spec), Field(description=spec.help)]
        marker: Any = typing_extensions.Required if spec.required else typing_extensions.NotRequired
        fields[spec.name] = marker[field]
    return TypeAdapter(with_config(kinds.CLOSED)(_typed_dict(name, fields)))


def _option_type(spec: OptionSpec) -> Any:
    if spec.secret:
        return kinds.Reference
    if spec.choices:
        return Literal[spec.choices]
    return _TYPES.get(spec.type, kinds.Text)
