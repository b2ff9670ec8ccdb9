"""Drafts to what is wanted: references between documents, platforms, defaults, circles.

Pure bookkeeping over names. A name that refers to a document which is itself broken is not
reported a second time.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from batuta.manifest.declarations import DeclarationsByType, type_of_scheme
from batuta.manifest.document import Document, Path
from batuta.manifest.drafts import NOWHERE, default_mode
from batuta.manifest.findings import quoted, suggest
from batuta.manifest.reporter import Reporter
from batuta.manifest.shapes import check_shape
from batuta.model.address import Address
from batuta.model.diagnostic import Diagnostic
from batuta.model.egress import written_host
from batuta.model.resource import (
    BudgetSpec,
    Dataset,
    EgressPolicy,
    Mode,
    Platform,
    SourcePart,
    SourceSpec,
    Workspace,
)
from batuta.model.tier import Network

LATER_SCHEMES = frozenset(
    {"abfs", "databricks", "glue", "hf", "iceberg", "mlflow", "pacha", "sagemaker", "snowflake"}
)
_FALLBACK_FORMAT = "ald"
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|\[::1\]|localhost")
_NO_BUDGET = BudgetSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All that a dataset can refer to. `names` also holds the names of broken documents."""

    workspace: Workspace
    platforms: Mapping[str, Platform]
    platform_budgets: Mapping[str, BudgetSpec]
    implicit: Mapping[str, Platform]
    names: Mapping[str, frozenset[str]]
    declarations: DeclarationsByType


Drafts = Mapping[str, tuple[Document, Dataset]]


def link(
    drafts: Drafts, around: Surroundings
) -> tuple[dict[str, Dataset], list[str], list[Diagnostic]]:
    """Return datasets by name with all defaults filled in, implicit types used, and findings."""
    findings, broken = _circles(drafts)
    linked: dict[str, Dataset] = {}
    used: set[str] = set()
    for name in _order(drafts):
        document, draft = drafts[name]
        one = _Linker(document, draft, around)
        linked[name] = one.dataset(None if name in broken else linked)
        used |= one.implicit_types
        findings += one.report.diagnostics
    findings += _shared_destinations(drafts, linked)
    return linked, sorted(used), findings


def _upstream(dataset: Dataset, drafts: Drafts) -> list[str]:
    return [name for name in dataset.depends_on if name in drafts]


def _order(drafts: Drafts) -> list[str]:
    """Names so that a dataset follows what it depends on; members of circles come as they may."""
    order: list[str] = []
    seen: set[str] = set()
    for start in drafts:
        stack = [(start, False)]
        while stack:
            name, ready = stack.pop()
            if ready:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack.extend((n, False) for n in _upstream(drafts[name][1], drafts))
    return order


def _circles(drafts: Drafts) -> tuple[list[Diagnostic], set[str]]:
    """Report each circle once, at a place where it is written."""
    waiting = {n: set(_upstream(d, drafts)) for n, (_, d) in drafts.items() if d.depends_on}
    # Drop what depends on nothing that waits, again and again; what is left has circles.
    below: dict[str, list[str]] = {}
    for name, needs in waiting.items():
        for need in needs:
            below.setdefault(need, []).append(name)
    ready = [n for needs in waiting.values() for n in needs if n not in waiting]
    ready += [n for n, needs in waiting.items() if not needs]
    while ready:
        for name in below.pop(need := ready.pop(), ()):
            waiting[name].discard(need)
            if not waiting[name]:
                ready.append(name)
    left = {name for name, needs in waiting.items() if needs}
    return [d for circle in _walked(waiting, left) for d in _circle(circle, drafts)], left


def _walked(waiting: Mapping[str, set[str]], left: set[str]) -> list[list[str]]:
    circles: list[list[str]] = []
    seen: set[str] = set()
    for start in sorted(left):
        path: list[str] = []
        name = start
        while name not in seen:
            seen.add(name)
            path.append(name)
            name = min(waiting[name] & left)
        if name in path:
            circles.append(path[path.index(name) :])
    return circles


def _circle(circle: Sequence[str], drafts: Drafts) -> list[Diagnostic]:
    document, dataset = drafts[circle[0]]
    reads = not dataset.source.merge and bool(set(dataset.source.upstreams) & set(circle))
    path: Path = ("spec", "source", "dataset") if reads else ("spec", "dependsOn")
    report = Reporter(document)
    shown = [*circle[:10], "…"] if len(circle) > 10 else [*circle, circle[0]]
    detail = "Each waits for the next: " + " → ".join(f"`{name}`" for name in shown) + "."
    report.add("MAN121", path, detail, "Remove one of these dependencies.")
    return report.diagnostics


def _shared_destinations(drafts: Drafts, linked: Mapping[str, Dataset]) -> list[Diagnostic]:
    first: dict[tuple[str | None, str], str] = {}
    findings: list[Diagnostic] = []
    for name in sorted(linked):
        dataset = linked[name]
        if dataset.destination is NOWHERE:
            continue
        key = (dataset.destination_platform, str(dataset.destination).rstrip("/"))
        if (other := first.setdefault(key, name)) != name:
            report = Reporter(drafts[name][0])
            detail = f"{quoted(str(dataset.destination))} is also the destination of `{other}`."
            fix = "Give each Dataset a folder of its own."
            report.add("MAN128", ("spec", "destination"), detail, fix)
            findings += report.diagnostics
    return findings


_SOURCE: Path = ("spec", "source")
_Part = TypeVar("_Part", bound=SourcePart)


def _parts(source: SourceSpec) -> Sequence[tuple[Path, SourcePart]]:
    """The places that a source reads, each with where it is written."""
    if source.merge:
        return [((*_SOURCE, "merge", i), part) for i, part in enumerate(source.merge)]
    return [(_SOURCE, source)]


class _Linker:
    """Links one dataset."""

    def __init__(self, document: Document, draft: Dataset, around: Surroundings) -> None:
        self._draft = draft
        self._around = around
        self.report = Reporter(document)
        self.implicit_types: set[str] = set()

    def dataset(self, linked: Mapping[str, Dataset] | None) -> Dataset:
        """Return the dataset; `linked` holds those it depends on (None: it is in a circle)."""
        draft, around = self._draft, self._around
        self._names()
        source = self._source(draft.source)
        destination_platform = self._platform(
            draft.destination, draft.destination_platform, ("spec", "destination")
        )
        changes: dict[str, object] = {}
        if source is not draft.source:
            changes["source"] = source
        if destination_platform != draft.destination_platform:
            changes["destination_platform"] = destination_platform
        if draft.tier is None and around.workspace.default_tier is not None:
            changes["tier"] = around.workspace.default_tier
        if not draft.format:
            changes |= self._inherited(linked)
        platforms = (part.platform for _, part in _parts(source))
        limits = self._budget(*platforms, destination_platform)
        if limits != draft.budget:
            changes["budget"] = limits
        # The names and types of the fields are those of this class: `changes` is built above.
        result = replace(draft, **changes) if changes else draft  # type: ignore[arg-type]
        self._tier(result)
        if not draft.format:
            check_shape(result, self.report)
        return result

    def _inherited(self, linked: Mapping[str, Dataset] | None) -> dict[str, object]:
        above = (linked or {}).get(self._draft.source.dataset or "")
        format_name = above.format if above is not None else _FALLBACK_FORMAT
        chosen = self._draft.mode
        format_name = "files" if format_name == "files" and not self._draft.source.reshapes else (
            _FALLBACK_FORMAT
        )  # fmt: skip
        if "spec.mode" not in self._draft.places and chosen is not Mode.INCREMENTAL:
            chosen = default_mode(format_name)
        return {"format": format_name, "mode": chosen}

    def _names(self) -> None:
        draft, names = self._draft, self._around.names
        if draft.egress is not None and draft.egress not in names["EgressPolicy"]:
            self._unknown("EgressPolicy", draft.egress, ("spec", "egress"))
        read = draft.source.upstreams
        for path, part in _parts(draft.source):
            if part.dataset is not None and part.dataset not in names["Dataset"]:
                self._unknown("Dataset", part.dataset, (*path, "dataset"))
        for name in draft.depends_on:
            if name not in read and name not in names["Dataset"]:
                self._unknown("Dataset", name, ("spec", "dependsOn"))

    def _unknown(self, kind: str, name: str, path: Path) -> None:
        detail = f"There is no {kind} named {quoted(name)}."
        known = self._around.names[kind]
        fix = suggest(name, known, f"{kind} names") if known else f"Add a {kind} with this name."
        self.report.add("MAN118", path, detail, fix)

    def _source(self, source: SourceSpec) -> SourceSpec:
        if source.merge:
            linked = tuple(self._part(part, path) for path, part in _parts(source))
            return source if linked == source.merge else replace(source, merge=linked)
        return self._part(source, _SOURCE)

    def _part(self, source: _Part, path: Path) -> _Part:
        if source.address is None:
            return source
        name = self._platform(source.address, source.platform, path)
        return source if name == source.platform else replace(source, platform=name)

    def _platform(self, address: Address, named: str | None, path: Path) -> str | None:
        if address is NOWHERE:
            return named
        scheme = address.inner.scheme
        kind = type_of_scheme(self._around.declarations, scheme)
        if kind is None:
            self._no_connector(address, path)
            return named
        if named is not None:
            return self._named(named, kind, path)
        if not self._around.declarations[kind].needs_platform:
            return None
        fitting = [p.name for p in self._around.platforms.values() if p.type == kind]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting and kind in self._around.implicit:
            self.implicit_types.add(kind)
            return self._around.implicit[kind].name
        if fitting:
            detail = (
                f"{quoted(str(address))} can be read through several Platforms of type `{kind}`."
            )
            fix = f"Add `platform:` with one of: {', '.join(sorted(fitting))}."
        else:
            detail = f"{quoted(str(address))} needs a Platform of type `{kind}`; there is none."
            fix = f"Add a document of `kind: Platform` with `spec: {{type: {kind}}}`."
        self.report.add("MAN119", path, detail, fix)
        return None

    def _named(self, name: str, kind: str, path: Path) -> str:
        platform = self._around.platforms.get(name)
        if platform is None:
            if name not in self._around.names["Platform"]:
                self._unknown("Platform", name, (*path, "platform"))
        elif platform.type != kind:
            detail = (
                f"The Platform `{name}` is of type `{platform.type}`; this address needs `{kind}`."
            )
            self.report.add("MAN119", (*path, "platform"), detail, "Name another Platform.")
        return name

    def _no_connector(self, address: Address, path: Path) -> None:
        scheme = address.inner.scheme
        if scheme in LATER_SCHEMES:
            detail = f"Addresses of `{scheme}` come later."
            self.report.add("MAN112", path, detail, "Remove this document until then.")
            return
        declared = self._around.declarations
        schemes = {s for name, d in declared.items() for s in (d.schemes or (name,))} - {"file"}
        detail = f"No connector serves the scheme `{scheme}`."
        self.report.add("MAN129", path, detail, suggest(scheme, schemes, "schemes"))

    def _budget(self, *platforms: str | None) -> BudgetSpec:
        """What the dataset leaves open is limited by its Platforms, then by the Workspace."""
        chain = [self._draft.budget]
        known = self._around.platform_budgets
        chain += [known[name] for name in platforms if name is not None and name in known]
        chain.append(self._around.workspace.budget)
        return first_limits(chain)

    def _tier(self, dataset: Dataset) -> None:
        workspace = self._around.workspace
        tier, weakest = dataset.tier, workspace.weakest_tier
        if tier is not None and weakest is not None and tier.rank > weakest.rank:
            where = f"the environment `{workspace.environment}`"
            detail = f"`{tier}` is less sovereign than `{weakest}`, the weakest tier of {where}."
            fix = f"Use `tier: {weakest}` or stronger."
            self.report.add("MAN126", ("spec", "tier"), detail, fix)


def first_limits(chain: Iterable[BudgetSpec]) -> BudgetSpec:
    """Return for each limit the first that is set."""
    result = _NO_BUDGET
    for one in chain:
        if one == _NO_BUDGET:
            continue
        result = BudgetSpec(
            per_run=result.per_run or one.per_run,
            per_month=result.per_month or one.per_month,
            max_bytes=one.max_bytes if result.max_bytes is None else result.max_bytes,
        )
    return result


def check_egress(
    policies: Mapping[str, tuple[Document, EgressPolicy]],
    platforms: Iterable[Platform],
    dataset_names: frozenset[str],
) -> list[Diagnostic]:
    """Report policies that switch TLS off beyond the site, or that name no dataset."""
    hosts = {_host(e) for p in platforms if p.network is Network.ON_PREM for e in _endpoints(p)}
    findings: list[Diagnostic] = []
    for _, (document, policy) in sorted(policies.items()):
        report = Reporter(document)
        outside = [rule.host for rule in policy.allow if not _inside(rule.host, hosts)]
        if not policy.require_tls and (outside or not policy.allow):
            named = quoted(outside[0]) if outside else "any host"
            detail = f"`requireTls: false` is for endpoints of OnPrem Platforms; {named} is none."
            fix = "Remove it, or move OnPrem endpoints into a policy of their own."
            report.add("MAN130", ("spec", "requireTls"), detail, fix)
        for i, pattern in enumerate(policy.datasets):
            plain = not any(c in pattern for c in "*?[")
            if plain and not fnmatch.filter(dataset_names, pattern):
                path: Path = ("spec", "appliesTo", "datasets", i)
                detail = f"There is no Dataset named {quoted(pattern)}."
                report.add("MAN118", path, detail, suggest(pattern, dataset_names, "Dataset names"))
        findings += report.diagnostics
    return findings


def _endpoints(platform: Platform) -> list[str]:
    """The endpoints of a Platform, those among its own options too."""
    own = [text for _, text in platform.options if isinstance(text, str) and "://" in text]
    return [*platform.endpoints, *own]


def _inside(host: str, endpoints: set[str]) -> bool:
    """True for this machine, for an endpoint in the house, and for a bucket's name before one."""
    return (
        _LOOPBACK.fullmatch(host) is not None
        or host in endpoints
        or host.partition(".")[2] in endpoints
    )


def _host(endpoint: str) -> str:
    bare = re.sub(r"^[A-Za-z]+://", "", endpoint).partition("/")[0].rpartition("@")[2]
    host = bare.partition("]")[0] + "]" if bare.startswith("[") else bare.split(":")[0]
    return written_host(host)
