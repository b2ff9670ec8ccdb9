"""The resolved documents, with where each value comes from: what `batuta render` shows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from batuta.manifest.document import Path, Value, spell
from batuta.manifest.resolve import Resolution, Resolved
from batuta.manifest.shorthand import literal
from batuta.manifest.write import document_text
from batuta.model.resource import Dataset, EgressPolicy, Platform, Workspace

_DEFAULT = "default"
_SECOND_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True)
class RenderedField:
    """A value that is not a map or a list (unless empty), its spelled path, and its origin."""

    path: str
    value: Value
    origin: str


@dataclass(frozen=True, slots=True)
class RenderedDocument:
    """One resolved document. `origins` has an entry for each place where a value stands."""

    kind: str
    name: str
    value: Value
    origins: Mapping[Path, str]

    @property
    def fields(self) -> tuple[RenderedField, ...]:
        """All values in the order of writing, those that were left out after them."""
        return tuple(
            RenderedField(spell(path), value, self.origins[path])
            for path, value in _leaves((), self.value)
        )


def render(resolution: Resolution) -> tuple[RenderedDocument, ...]:
    """Return every document, in the order of files, with defaults where the state is whole."""
    defaults = _defaults(resolution)
    return tuple(
        _rendered(one, defaults.get((one.document.kind, _name(one)), {}), resolution)
        for one in resolution.documents
        if isinstance(one.value, dict)
    )


def rendered_text(documents: tuple[RenderedDocument, ...]) -> str:
    """Return documents as YAML whose comments are the origins; it resolves to the same state."""
    return "---\n".join(document_text(_literal(d.value), d.origins) for d in documents)


def _rendered(
    one: Resolved, defaults: Mapping[Path, tuple[Value, str]], resolution: Resolution
) -> RenderedDocument:
    value = one.value
    origins: dict[Path, str] = {}
    for path, spot in one.document.walk():
        names = one.used.get(path, ())
        given = "; ".join(f"var.{n} ({resolution.variables[n].origin})" for n in names)
        origins[path] = f"{spot.value}, {given}" if names else str(spot.value)
    for path, (default, origin) in defaults.items():
        value, origins = _with(value, origins, path, default, origin)
    leaves = {path: origins[path] for path, _ in _leaves((), value)}
    return RenderedDocument(one.document.kind, _name(one), value, leaves)


def _with(
    value: Value, origins: dict[Path, str], path: Path, default: Value, origin: str
) -> tuple[Value, dict[Path, str]]:
    """Add a default at `path`, where nothing is; an end that was written short becomes a map."""
    if not path:
        return (value, origins)
    root = dict(value) if isinstance(value, dict) else {}
    current: dict[str, Value] = root
    for depth, part in enumerate(path[:-1]):
        inner = current.get(str(part))
        here = path[: depth + 1]
        if isinstance(inner, str):
            origins[(*here, "address")] = origins[here]
            inner = {"address": inner}
        current[str(part)] = dict(inner) if isinstance(inner, dict) else {}
        current = current[str(part)]  # type: ignore[assignment]  # set to a map one line above
    if str(path[-1]) not in current:
        current[str(path[-1])] = default
        origins[path] = origin
    return root, origins


def _leaves(path: Path, value: Value) -> Iterator[tuple[Path, Value]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves((*path, key), child)
    elif isinstance(value, list) and value:
        for i, child in enumerate(value):
            yield from _leaves((*path, i), child)
    else:
        yield path, value


def _literal(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _literal(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_literal(child) for child in value]
    return literal(value) if isinstance(value, str) else value


def _name(one: Resolved) -> str:
    metadata = one.value.get("metadata") if isinstance(one.value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return str(name) if name is not None else ""


_Defaults = dict[Path, tuple[Value, str]]


def _defaults(resolution: Resolution) -> dict[tuple[str, str], _Defaults]:
    desired = resolution.desired
    if desired is None:
        return {}
    workspace = desired.workspace
    result: dict[tuple[str, str], _Defaults] = {
        ("Dataset", dataset.name): _of_dataset(dataset, workspace) for dataset in desired.datasets
    }
    for platform in desired.platforms:
        result["Platform", platform.name] = _of_platform(platform)
    for policy in desired.egress_policies:
        result["EgressPolicy", policy.name] = _of_policy(policy)
    for one in resolution.documents:
        if one.document.kind == "Workspace":
            result["Workspace", _name(one)] = _of_workspace(workspace)
    return result


def _of_dataset(dataset: Dataset, workspace: Workspace) -> _Defaults:
    drift = dataset.on_drift
    result: _Defaults = {
        ("spec", "format"): (dataset.format, _DEFAULT),
        ("spec", "mode"): (dataset.mode.value, _DEFAULT),
        ("spec", "onSourceDelete"): (dataset.on_source_delete.value, _DEFAULT),
        ("spec", "onDrift", "additive"): (drift.additive.value, _DEFAULT),
        ("spec", "onDrift", "widening"): (drift.widening.value, _DEFAULT),
        ("spec", "onDrift", "breaking"): (drift.breaking.value, _DEFAULT),
        ("spec", "onDrift", "semantic"): (drift.semantic.value, _DEFAULT),
        ("spec", "history", "keep"): (_duration(dataset.history.keep_s), _DEFAULT),
        ("spec", "deletionPolicy"): (dataset.deletion_policy.value, _DEFAULT),
        ("spec", "protect"): (dataset.protect, _DEFAULT),
    }
    if dataset.tier is not None:
        place = workspace.places.get("spec.defaultTier")
        origin = f"{place}, the Workspace's defaultTier" if place else _DEFAULT
        result["spec", "tier"] = (dataset.tier.value, origin)
    for end, name in (
        ("source", dataset.source.platform),
        ("destination", dataset.destination_platform),
    ):
        if name is not None:
            result["spec", end, "platform"] = (name, "the only Platform of this type")
    for field, limit in (
        ("perRun", dataset.budget.per_run),
        ("perMonth", dataset.budget.per_month),
        ("maxBytes", dataset.budget.max_bytes),
    ):
        if limit is not None:
            result["spec", "budget", field] = (limit, "budget of a Platform or the Workspace")
    return result


def _duration(seconds: int) -> str:
    for unit_s, letter in _SECOND_UNITS:
        if seconds % unit_s == 0:
            return f"{seconds // unit_s}{letter}"
    raise AssertionError("every number of seconds is a multiple of one second")


def _of_platform(platform: Platform) -> _Defaults:
    return {("spec", "network"): (platform.network.value, _DEFAULT)}


def _of_policy(policy: EgressPolicy) -> _Defaults:
    return {
        ("spec", "requireTls"): (policy.require_tls, _DEFAULT),
        ("spec", "logAllRequests"): (True, _DEFAULT),
        ("spec", "onViolation"): (policy.on_violation.value, _DEFAULT),
    }


def _of_workspace(workspace: Workspace) -> _Defaults:
    return {
        ("spec", "state"): (workspace.state, _DEFAULT),
        ("spec", "enforcement"): (workspace.enforcement, _DEFAULT),
        ("spec", "limits", "deletes"): (workspace.limits.deletes, _DEFAULT),
        ("spec", "limits", "files"): (workspace.limits.files, _DEFAULT),
    }
