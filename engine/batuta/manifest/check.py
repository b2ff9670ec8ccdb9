"""Does a document fit its kind? Errors of the models become diagnostics at the exact place."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from batuta.manifest.declarations import (
    PLATFORM_FIELDS,
    DeclarationsByType,
    credentials_written,
)
from batuta.manifest.document import Document, Path, Spot, Value, spell
from batuta.manifest.findings import found, quoted, suggest
from batuta.model.diagnostic import Diagnostic, Location

API_VERSION = "batuta.dev/v1"
KIND_NAMES = ("Dataset", "EgressPolicy", "Platform", "Workspace")
LATER_KINDS = ("Catalog", "Experiment", "Function", "Model", "Policy", "Waiver", "Workflow")

# What the language has and this version has not: refused by name, never ignored.
_CREDENTIALS = {"credentials", "credential", "accesskeyid", "secretaccesskey", "privatekey", "pat"}
LATER_FIELDS = {
    "spec.source.query": "A `query` source",
    "spec.source.tables": "A source of many tables (`tables`)",
    "spec.formatOptions.ald.encryptTo": "Encryption of `.ald` files (`encryptTo`)",
    "spec.formatOptions.ald.passwordFile": "Encryption of `.ald` files (`passwordFile`)",
    "spec.formatOptions.ald.signWith": "Signing of `.ald` files (`signWith`)",
}
LATER_VALUES = {
    ("spec.format", "delta"): "The output format `delta`",
    ("spec.format", "iceberg"): "The output format `iceberg`",
}
_CREDENTIALS_PATH: Path = ("spec", "credentials")
_LATER_FIX = "Remove it until a later version of batuta supports it."

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a map",
}
_YAML_1_1_WORDS = frozenset({"yes", "no", "on", "off", "y", "n"})


def fits(value: Value, kind: str) -> bool:
    """Return whether a value fits the models of its kind (False for kinds without one)."""
    from pydantic import ValidationError

    from batuta.manifest.adapters import adapter

    if kind not in KIND_NAMES:
        return False
    try:
        adapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def problems(document: Document, declarations: DeclarationsByType) -> list[Diagnostic]:
    """Return all that keeps `document` from fitting its kind; empty where it fits.

    A Platform's own block and credentials are checked by the declarations of its type.
    """
    if wrong := _identity(document):
        return wrong
    from batuta.manifest.adapters import adapter

    errors = [] if document.valid else _errors(adapter(document.kind), document.value, ())
    result = _converted(document, errors, declarations)
    if document.kind == "Platform" and not result:
        return _platform(document, declarations)
    return result


def _identity(document: Document) -> list[Diagnostic]:
    value, spots = document.value, document.spot(())
    if not isinstance(value, dict):
        detail = "A document is a map of `apiVersion`, `kind`, `metadata` and `spec`."
        return [found("MAN110", detail, "Write these four fields.", spots.value)]
    if value.get("apiVersion") != API_VERSION:
        has = "apiVersion" in value
        detail = f"`apiVersion` {'has another value' if has else 'is missing'}."
        place = document.spot(("apiVersion",)).value
        return [found("MAN110", detail, f"Write `apiVersion: {API_VERSION}`.", place)]
    kind, place = document.kind, document.spot(("kind",)).value
    if not kind:
        detail = "`kind` is missing or is not text."
        return [found("MAN110", detail, f"Write one of: {', '.join(KIND_NAMES)}.", place)]
    if kind in LATER_KINDS:
        return [found("MAN112", f"The kind `{kind}` comes later.", _LATER_FIX, place)]
    if kind not in KIND_NAMES:
        detail = f"There is no kind {quoted(kind)}."
        return [found("MAN111", detail, suggest(kind, KIND_NAMES, "kinds"), place)]
    return []


def _platform(document: Document, declarations: DeclarationsByType) -> list[Diagnostic]:
    from batuta.manifest.adapters import credentials_adapter, options_adapter

    spec: Any = document.value["spec"]  # type: ignore[index, call-overload]  # it fits its kind
    kind = spec["type"]
    if kind not in declarations:
        detail = f"There is no platform type {quoted(kind)}."
        place = document.spot(("spec", "type")).value
        return [found("MAN118", detail, suggest(kind, declarations, "platform types"), place)]
    declared = declarations[kind]
    errors = _errors(
        credentials_adapter(declared.credentials), spec.get("credentials", {}),
        ("spec", "credentials"),
    )  # fmt: skip
    errors += _errors(options_adapter(declared.options), spec.get(kind, {}), ("spec", kind))
    errors += [
        (("spec", key), "extra_forbidden", {})
        for key in spec
        if key != kind and key not in PLATFORM_FIELDS
    ]
    known = {
        ("spec",): (*PLATFORM_FIELDS, kind),
        ("spec", kind): tuple(option.name for option in declared.options),
        ("spec", "credentials"): tuple(option.name for option in declared.credentials),
    }
    return _converted(document, errors, declarations, known)


_Error = tuple[Path, str, Mapping[str, Any]]


def _errors(adapter: Any, value: object, prefix: Path) -> list[_Error]:
    from pydantic import ValidationError

    try:
        adapter.validate_python(value)
    except ValidationError as error:
        listed = error.errors(include_url=False, include_input=False)
        return [((*prefix, *e["loc"]), e["type"], e.get("ctx", {})) for e in listed]
    return []


def _converted(
    document: Document,
    errors: Iterable[_Error],
    declarations: DeclarationsByType,
    known: Mapping[Path, tuple[str, ...]] | None = None,
) -> list[Diagnostic]:
    places = dict(document.walk())
    merged: dict[Path, tuple[str, Mapping[str, Any], list[str]]] = {}
    for raw, kind, context in errors:
        path = _real_path(raw, document.value, missing=kind in ("missing", "extra_forbidden"))
        expected = _EXPECTED.get(kind)
        if path not in merged or (merged[path][0] in _EXPECTED and expected is None):
            merged[path] = (kind, context, [])
        # In a union of text and something else the models name the other branch alone.
        union = ("text",) if expected and raw[-1] == "other" else ()
        for word in (*union, expected):
            if word and word not in merged[path][2]:
                merged[path][2].append(word)
    address = f"{document.kind}/{document.name}" if document.name else None
    translate = _Translation(document, places, declarations, known or {}, address)
    listed = [
        translate.one(path, kind, context, expected)
        for path, (kind, context, expected) in merged.items()
    ]
    return sorted(listed, key=lambda diagnostic: diagnostic.locations)


def _real_path(raw: Path, value: Value, *, missing: bool) -> Path:
    """Drop the parts of a model's path that name a branch of a union, not a field."""
    path: list[str | int] = []
    current: Value = value
    for i, part in enumerate(raw):
        if isinstance(current, dict) and isinstance(part, str) and part in current:
            current = current[part]
        elif isinstance(current, list) and isinstance(part, int) and part < len(current):
            current = current[part]  # joined, the type of the index is lost
        elif not (missing and i == len(raw) - 1):
            continue
        path.append(part)
    return tuple(path)


class _Translation:
    """Turns one error of the models into a diagnostic of this room."""

    def __init__(
        self,
        document: Document,
        places: Mapping[Path, Spot],
        declarations: DeclarationsByType,
        known: Mapping[Path, tuple[str, ...]],
        address: str | None,
    ) -> None:
        self._document = document
        self._places = places
        self._declarations = declarations
        self._known = known
        self._address = address

    def one(
        self, path: Path, kind: str, context: Mapping[str, Any], expected: list[str]
    ) -> Diagnostic:
        """Return the diagnostic of an error at `path`."""
        match kind:
            case "extra_forbidden":
                return self._unknown(path)
            case "missing":
                return self._missing(path)
            case "string_pattern_mismatch":
                return self._form(path, str(context["pattern"]))
            case "literal_error":
                return self._choice(path, re.findall(r"'([^']*)'", str(context["expected"])))
            case _ if expected:
                return self._type(path, expected)
            case _:
                return self._bound(path, kind, context)

    def _unknown(self, path: Path) -> Diagnostic:
        plain = spell(tuple(part for part in path if isinstance(part, str)))
        key, place = str(path[-1]), self._places[path].key
        if what := LATER_FIELDS.get(plain):
            return self._found("MAN112", f"{what} comes later.", _LATER_FIX, place)
        parent = path[:-1]
        if _names_secret(key) and not (parent == _CREDENTIALS_PATH and self._is_reference(path)):
            return self._misplaced(path)
        valid = self._known.get(parent) or self._fields(parent)
        where = f" in `{spell(parent)}`" if parent else ""
        detail = f"There is no field {quoted(key)}{where}."
        fix = suggest(key, valid, "Fields here")
        kind = self._type_name()
        if parent == _CREDENTIALS_PATH and key in self._known.get(("spec", kind), ()):
            fix = f"It is no credential but an option of the type: `{kind}: {{{key}: …}}`."
        return self._found("MAN113", detail, fix, place)

    def _misplaced(self, path: Path) -> Diagnostic:
        """A secret where none can be: its text is hidden, whatever it is."""
        detail = (
            f"`{spell(path)}` is no place for a secret. Its text is not repeated here; if it is a "
            "secret, it is now in a file and has to be replaced by a new one."
        )
        of_platform = self._document.kind == "Platform"
        kind = self._type_name() if of_platform else None
        written = credentials_written(self._declarations, kind)
        fix = "Remove it: a Platform of this type has no credentials."
        if written:
            fix = "Put references into a Platform, into those of its fields that you have"
            fix += ":\n" if of_platform else ", and name it in the Dataset (`platform: NAME`):\n"
        return self._found("MAN125", detail, fix + written, self._places[path].value)

    def _is_reference(self, path: Path) -> bool:
        from batuta.manifest.scalars import REFERENCE

        value = self._value(path)
        return isinstance(value, str) and re.match(REFERENCE.pattern, value) is not None

    def _type_name(self) -> str:
        """The type that a Platform states; empty for other documents."""
        stated = ("spec", "type") in self._places and self._document.kind == "Platform"
        return str(self._value(("spec", "type"))) if stated else ""

    def _fields(self, parent: Path) -> tuple[str, ...]:
        from batuta.manifest.schema import fields_at

        return fields_at(self._document.kind, parent)

    def _missing(self, path: Path) -> Diagnostic:
        where = f" in `{spell(path[:-1])}`" if path[:-1] else ""
        detail = f"`{path[-1]}`{where} is required."
        place = self._places[path[:-1]].key
        return self._found("MAN114", detail, f"Add `{path[-1]}:` here.", place)

    def _form(self, path: Path, pattern: str) -> Diagnostic:
        from batuta.manifest.scalars import FORMS, HOST, REFERENCE

        if pattern == REFERENCE.pattern:
            return self._secret(path)
        form, value = FORMS[pattern], self._value(path)
        written = path[-1] if not isinstance(value, str) else value
        detail = f"{quoted(str(written))} is not {form.name}."
        fix = f"Write {form.examples}."
        if form is HOST and (encoded := _a_labels(str(written))):
            fix = f"Write `{encoded}`: names that look alike must not pass for each other."
        return self._found("MAN116", detail, fix, self._places[path].value)

    def _secret(self, path: Path) -> Diagnostic:
        from batuta.manifest.scalars import REFERENCE

        declared = self._declarations.get(self._type_name())
        names = {key.name for key in declared.credentials} if declared else {path[-1]}
        if path[:2] == _CREDENTIALS_PATH and path[-1] not in names:
            return self._misplaced(path)
        detail = (
            f"`{spell(path)}` is not a reference to a secret. Its text is not repeated here; if it "
            "is a secret, it is now in a file and has to be replaced by a new one."
        )
        fix = f"Write {REFERENCE.examples}."
        return self._found("MAN125", detail, fix, self._places[path].value)

    def _choice(self, path: Path, valid: list[str]) -> Diagnostic:
        value = self._value(path)
        if not isinstance(value, str):
            return self._type(path, ["one of " + ", ".join(f"`{v}`" for v in valid)])
        place = self._places[path].value
        if what := LATER_VALUES.get((spell(path), value)):
            return self._found("MAN112", f"{what} comes later.", _LATER_FIX, place)
        if path == ("spec", "state"):
            return self._found("MAN112", "A remote state comes later.", _LATER_FIX, place)
        detail = f"`{spell(path)}` cannot be {quoted(value)}."
        return self._found("MAN116", detail, suggest(value, valid, "Values here"), place)

    def _type(self, path: Path, expected: list[str]) -> Diagnostic:
        value = self._value(path)
        if path[:2] == ("spec", "credentials") and len(path) > 2:
            return self._secret(path)
        detail = f"`{spell(path)}` is {_described(value)}; it should be {' or '.join(expected)}."
        fix = f"Write {' or '.join(expected)}."
        if isinstance(value, str) and value.lower() in _YAML_1_1_WORDS and "`true`" in fix:
            fix = f"Write `true` or `false`: {quoted(value)} is text in YAML 1.2."
        elif expected == ["text"] and isinstance(value, bool | int | float):
            fix = "Put it in quotes."
        return self._found("MAN115", detail, fix, self._places[path].value)

    def _bound(self, path: Path, kind: str, context: Mapping[str, Any]) -> Diagnostic:
        match kind:
            case "greater_than_equal":
                limit = f"at least {context['ge']}"
            case "less_than_equal":
                limit = f"at most {context['le']}"
            case "string_too_short":
                limit = "text that is not empty"
            case "string_too_long":
                limit = f"at most {context['max_length']} character(s) long"
            case "too_short":
                limit = "a list that is not empty"
            case _:
                limit = "another value"
        detail = f"`{spell(path)}` should be {limit}."
        return self._found("MAN116", detail, f"Write {limit}.", self._places[path].value)

    def _value(self, path: Path) -> Value:
        current: Any = self._document.value
        for part in path:
            current = current[part]
        return current  # type: ignore[no-any-return]  # any value of a document

    def _found(self, code: str, detail: str, fix: str, place: Location) -> Diagnostic:
        return found(code, detail, fix, place, address=self._address)


def _names_secret(key: str) -> bool:
    folded = key.lower().replace("_", "").replace("-", "")
    return folded in _CREDENTIALS or folded.endswith(("password", "secret", "token", "apikey"))


def _a_labels(host: str) -> str:
    """Return a name of another script in its `xn--` form; empty where that is not one form alone.

    The standard library knows the IDNA of 2003, which takes some letters for others.
    """
    try:
        encoded = host.encode("idna").decode("ascii")
        same = encoded.encode("ascii").decode("idna") == host
    except UnicodeError:
        return ""
    return encoded if same and not host.isascii() else ""


def _described(value: Value) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a map"
