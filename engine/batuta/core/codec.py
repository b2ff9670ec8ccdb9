"""Stored documents back into the model's values, strictly and by the declared types alone.

A union of dataclasses is told apart by its literal `kind`; without one, a `DropColumn` would
come back as an `AddColumn`, which has the same fields. Unknown keys, missing fields and wrong
types are errors that name the place, so that a damaged document never becomes a plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
Decoder = Callable[[object, str], object]
"""Takes a decoded JSON value and its path; returns the model's value or raises ValueError."""

_TAG = "kind"


def decode(type_: type[T], value: object, path: str = "") -> T:
    """Return `value`, as JSON gives it, as a `type_`.

    Raises:
        ValueError: the value does not fit; the message names the place and what was expected.
    """
    found = decoder(type_)(value, path)
    if not isinstance(found, type_):
        raise ValueError(f"{path or 'the document'} is no {type_.__name__}")
    return found


_MADE: dict[object, Decoder] = {}


def decoder(type_: Any) -> Decoder:
    """Return the decoder for an annotation, made once for each."""
    if type_ not in _MADE:
        _MADE[type_] = _make(type_)
    return _MADE[type_]


def _make(type_: Any) -> Decoder:
    if is_json(type_):
        return _json
    origin, args = get_origin(type_), get_args(type_)
    if origin is Literal:
        return _literal(args)
    if origin is tuple:
        return _tuple(args)
    if origin is Mapping:
        return _mapping(args[1])
    if origin in {Union, UnionType}:
        return _union(args)
    if is_dataclass(type_) and isinstance(type_, type):
        return _dataclass(type_)
    if isinstance(type_, type) and issubclass(type_, StrEnum):
        return _enum(type_)
    return _plain(type_)


def is_json(type_: object) -> bool:
    """True for the annotation `Json`, which no tool can resolve because it names itself."""
    return type_ is Any


def members(type_: Any) -> tuple[Any, ...]:
    """Return the members of a union; of another annotation itself."""
    return get_args(type_) if get_origin(type_) in {Union, UnionType} else (type_,)


def required(field: "Field[Any]") -> bool:
    """True where a document must hold the field."""
    return field.default is MISSING and field.default_factory is MISSING


def _wrong(path: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{path or 'the document'}: {wanted} expected, not {type(value).__name__}")


def _json(value: object, path: str) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case list():
            return [_json(each, f"{path}[{i}]") for i, each in enumerate(value)]
        case dict():
            return {str(key): _json(each, f"{path}.{key}") for key, each in value.items()}
        case _:
            raise _wrong(path, "a number without a fraction, a text, a list or a map", value)


def _literal(allowed: tuple[object, ...]) -> Decoder:
    def decode_literal(value: object, path: str) -> object:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{path}: one of {', '.join(map(str, allowed))} expected")
        return value

    return decode_literal


def _tuple(args: tuple[Any, ...]) -> Decoder:
    repeated = len(args) == 2 and args[1] is Ellipsis
    one = decoder(args[0]) if repeated else None
    each = [] if repeated else [decoder(arg) for arg in args]

    def decode_tuple(value: object, path: str) -> object:
        if not isinstance(value, list):
            raise _wrong(path, "a list", value)
        if one is not None:
            return tuple(one(v, f"{path}[{i}]") for i, v in enumerate(value))
        if len(value) != len(each):
            raise ValueError(f"{path}: a list of {len(each)} expected, not of {len(value)}")
        pairs = zip(each, value, strict=True)
        return tuple(d(v, f"{path}[{i}]") for i, (d, v) in enumerate(pairs))

    return decode_tuple


def _mapping(inner: Any) -> Decoder:
    each = decoder(inner)

    def decode_mapping(value: object, path: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(path, "a map", value)
        return {str(name): each(v, f"{path}.{name}") for name, v in value.items()}

    return decode_mapping


def _union(args: tuple[Any, ...]) -> Decoder:
    optional = NoneType in args
    rest = [arg for arg in args if arg is not NoneType]
    if len(rest) == 1:
        inner = decoder(rest[0])
    else:
        inner = _tagged({_tag_of(arg): decoder(arg) for arg in rest})

    def decode_union(value: object, path: str) -> object:
        return None if value is None and optional else inner(value, path)

    return decode_union


def _tag_of(type_: Any) -> str:
    tag = next(field for field in fields(type_) if field.name == _TAG)
    return str(tag.default)


def _tagged(decoders: Mapping[str, Decoder]) -> Decoder:
    def decode_tagged(value: object, path: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(path, "a map", value)
        tag = value.get(_TAG)
        if not isinstance(tag, str) or tag not in decoders:
            raise ValueError(f"{path}.{_TAG}: one of {', '.join(sorted(decoders))} expected")
        return decoders[tag](value, path)

    return decode_tagged


def _dataclass(type_: type) -> Decoder:
    known = {field.name: decoder(field.type) for field in fields(type_)}
    needed = [field.name for field in fields(type_) if required(field)]

    def decode_fields(value: object, path: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(path, "a map", value)
        for name in value:
            if name not in known:
                raise ValueError(f"{path}.{name} is not known")
        for name in needed:
            if name not in value:
                raise ValueError(f"{path}.{name} is missing")
        return type_(**{name: known[name](each, f"{path}.{name}") for name, each in value.items()})

    return decode_fields


def _enum(type_: type[StrEnum]) -> Decoder:
    allowed = {member.value: member for member in type_}

    def decode_enum(value: object, path: str) -> object:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{path}: one of {', '.join(allowed)} expected")
        return allowed[value]

    return decode_enum


def _plain(type_: Any) -> Decoder:
    if type_ not in {str, int, bool}:
        raise TypeError(f"no stored document holds a {type_!r}")

    def decode_plain(value: object, path: str) -> object:
        # `True` is an int to Python and never to a document.
        if type(value) is not type_:
            raise _wrong(path, f"a {type_.__name__}", value)
        return value

    return decode_plain
