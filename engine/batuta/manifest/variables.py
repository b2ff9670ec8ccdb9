"""Variables: declared in the Workspace, given a value once, replaced in one pass.

A value comes from the chosen environment, else from the caller (`--var`, then
`BATUTA_VAR_NAME`), else from the default. A text that is one variable and nothing else takes
its type; elsewhere the value is written into the text. `$${` is a literal `${`. Values are
never scanned again, so a value cannot smuggle in a variable.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from batuta.manifest.document import Document, Path, Value
from batuta.manifest.findings import found, quoted, suggest
from batuta.manifest.reporter import Reporter
from batuta.model.diagnostic import Diagnostic, Location, Severity

if TYPE_CHECKING:
    from batuta.manifest import kinds

Scalar = str | int | bool
_USE = re.compile(r"\$\$\{|\$\{([^{}]*)\}?")
_NAME = re.compile(r"var\.([A-Za-z_][A-Za-z0-9_]*)\Z")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_TYPE_WORDS = {"string": "text", "integer": "a whole number", "boolean": "`true` or `false`"}


@dataclass(frozen=True, slots=True)
class VariableValue:
    """The value of a variable (None: it has none) and where it was given, in words."""

    value: Scalar | None
    origin: str


def declared(workspace: Document | None) -> tuple[str, ...]:
    """Return the names that the Workspace declares, sorted; empty without a Workspace."""
    return tuple(sorted(_section(workspace, ("spec", "variables"))))


def _section(workspace: Document | None, path: Path) -> dict[str, Value]:
    current: Value = workspace.value if workspace else None
    for part in path:
        current = current.get(str(part)) if isinstance(current, dict) else None
    return current if isinstance(current, dict) else {}


def values(
    workspace: Document | None, environment: str | None, given: Mapping[str, str]
) -> tuple[dict[str, VariableValue], list[Diagnostic]]:
    """Return every declared variable with its value, and what is wrong with the values.

    The Workspace's own shape is checked elsewhere: entries that do not fit it are skipped.
    """
    names = _section(workspace, ("spec", "variables"))
    result: dict[str, VariableValue] = {}
    findings = [_undeclared(name, names) for name in given if name not in names]
    if workspace is None:
        return result, findings
    report = Reporter(workspace)
    base: Path = ("spec", "environments", environment or "", "variables")
    chosen = _section(workspace, base) if environment else {}
    for name in chosen:
        if name not in names:
            detail = f"The Workspace declares no variable {quoted(name)}."
            report.add("MAN122", (*base, name), detail, suggest(name, names, "Variables"))
    for name, declaration in names.items():
        if isinstance(declaration, dict) and declaration.get("type") in _TYPE_WORDS:
            entry = cast("kinds.Variable", declaration)
            result[name] = _value(name, entry, chosen, given, _Places(report, base))
    return result, findings + report.diagnostics


@dataclass(frozen=True, slots=True)
class _Places:
    report: Reporter
    environment: Path

    def at(self, path: Path) -> Location:
        return self.report.place(path)


def _value(
    name: str,
    declaration: "kinds.Variable",
    chosen: Mapping[str, Value],
    given: Mapping[str, str],
    places: _Places,
) -> VariableValue:
    kind, path = declaration["type"], ("spec", "variables", name, "default")
    if name in chosen:
        path_chosen = (*places.environment, name)
        if name in given and _typed(given[name], kind) != chosen[name]:
            places.report.add(
                "MAN133", path_chosen,
                f"The environment sets `{name}`; the value given on the command line or in "
                f"`BATUTA_VAR_{name}` is not used.",
                "Remove one of the two.", Severity.WARNING,
            )  # fmt: skip
        value = _checked(name, chosen[name], kind, path_chosen, places)
        return VariableValue(value, f"environment, {places.at(path_chosen)}")
    if name in given:
        value = _typed(given[name], kind)
        if value is None:
            detail = f"The value given for `{name}` is not {_TYPE_WORDS[kind]}."
            fix = f"Give {_TYPE_WORDS[kind]}."
            places.report.add("MAN123", ("spec", "variables", name), detail, fix)
        return VariableValue(value, "given by the caller")
    if "default" in declaration:
        value = _checked(name, declaration["default"], kind, path, places)
        return VariableValue(value, f"default, {places.at(path)}")
    return VariableValue(None, "")


def _typed(text: str, kind: str) -> Scalar | None:
    match kind:
        case "integer":
            return int(text) if _INTEGER.match(text) else None
        case "boolean":
            return {"true": True, "false": False}.get(text)
        case _:
            return text


def _checked(name: str, value: Value, kind: str, path: Path, places: _Places) -> Scalar | None:
    if isinstance(value, str) and "${" in value:
        detail = f"The value of `{name}` holds `${{`; variables are not made from variables."
        places.report.add("MAN123", path, detail, "Write the value out.")
        return None
    fits = {
        "string": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
    }[kind]
    if fits and isinstance(value, str | int):
        return value
    detail = f"The value of `{name}` is not {_TYPE_WORDS[kind]}."
    places.report.add("MAN123", path, detail, f"Write {_TYPE_WORDS[kind]}.")
    return None


def _undeclared(name: str, names: Mapping[str, Value]) -> Diagnostic:
    detail = f"A value is given for {quoted(name)}, which the Workspace does not declare."
    place = Location("<command line>", 1, 1)
    return found("MAN122", detail, suggest(name, names, "Variables"), place)


class Substitution:
    """Replaces variables in a document. `used` maps each path to the variables in it."""

    def __init__(self, document: Document, known: Mapping[str, VariableValue]) -> None:
        self._known = known
        self._report = Reporter(document)
        self.used: dict[Path, tuple[str, ...]] = {}
        self.value = self._replaced(document.value, (), document.kind == "Workspace")

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What could not be replaced, each at its place."""
        return self._report.diagnostics

    def _replaced(self, value: Value, path: Path, workspace: bool) -> Value:
        if workspace and path in (("spec", "variables"), ("spec", "environments")):
            return value  # where values come from; checked by `values`
        if isinstance(value, dict):
            return {k: self._replaced(v, (*path, k), workspace) for k, v in value.items()}
        if isinstance(value, list):
            return [self._replaced(v, (*path, i), workspace) for i, v in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, path)
        return value

    def _text(self, text: str, path: Path) -> Value:
        whole = _USE.fullmatch(text)
        if whole and whole[1] is not None:
            return self._one(whole, path)
        return _USE.sub(
            lambda use: "${" if use[1] is None else _written(self._one(use, path)), text
        )

    def _one(self, use: re.Match[str], path: Path) -> Scalar:
        name = _NAME.match(use[1])
        if not name or not use[0].endswith("}"):
            detail = f"{quoted(use[0])} is not a variable."
            fix = "Write `${var.NAME}`, or `$${` for a literal `${`."
            if use[1].startswith("env."):
                fix = "Declare a variable and set `BATUTA_VAR_NAME`; `${env.…}` does not exist."
            self._report.add("MAN123", path, detail, fix)
            return use[0]
        known = self._known.get(name[1])
        if known is None:
            detail = f"The Workspace declares no variable {quoted(name[1])}."
            self._report.add("MAN122", path, detail, suggest(name[1], self._known, "Variables"))
            return use[0]
        if known.value is None and known.origin:
            return use[0]  # its value is wrong, and reported where it stands
        if known.value is None:
            detail = f"`{name[1]}` has no value."
            fix = f"Give `--var {name[1]}=…`, set it in the environment, or add a default."
            self._report.add("MAN122", path, detail, fix)
            return use[0]
        self.used[path] = (*self.used.get(path, ()), name[1])
        return known.value


def _written(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
