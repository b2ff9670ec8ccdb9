"""Documents to the desired state: overlays, variables, checks, drafts, links, in this order.

Everything that is wrong in any document is found in one run. `Resolution.desired` is None as
soon as there is one error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from batuta import __version__
from batuta.manifest import drafts, variables
from batuta.manifest.cache import Damaged, ParseCache, pack_desired, set_key, unpack_desired
from batuta.manifest.check import problems
from batuta.manifest.declarations import DeclarationsByType
from batuta.manifest.document import Document, Number, Value
from batuta.manifest.finder import Finder, holders, let_find
from batuta.manifest.findings import found, quoted, suggest
from batuta.manifest.link import Drafts, Surroundings, check_egress, link
from batuta.manifest.load import Documents, Text, load_documents
from batuta.manifest.overlay import Overlays
from batuta.manifest.scalars import satisfies
from batuta.manifest.variables import Substitution, VariableValue
from batuta.model.diagnostic import Diagnostic, Location, Severity
from batuta.model.resource import BudgetSpec, Dataset, Desired, EgressPolicy, Platform, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What decides how documents are resolved, beside the documents.

    `variables` are given by name and have to be declared; `ambient` ones (`BATUTA_VAR_NAME`)
    count where they are declared and `variables` has none. `implicit` holds, for one-line
    commands, the Platform to use for a type of which the workspace has none.
    """

    declarations: DeclarationsByType
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    ambient: Mapping[str, str] = field(default_factory=dict)
    implicit: Mapping[str, Platform] = field(default_factory=dict)
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Resolved:
    """One document with its overlays, and its value with all variables replaced."""

    number: Number
    document: Document
    value: Value
    used: Mapping[tuple[str | int, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome: the desired state (None where there is an error), and all findings.

    `documents` and `variables` explain where each value is from; they are empty where the
    desired state came from the cache (`render` resolves without it).
    """

    desired: Desired | None
    diagnostics: tuple[Diagnostic, ...]
    documents: tuple[Resolved, ...] = ()
    variables: Mapping[str, VariableValue] = field(default_factory=dict)


def resolve(
    documents: Documents,
    request: Request,
    *,
    overlays: Sequence[tuple[str, bytes] | Text] = (),
    cache: ParseCache | None = None,
) -> Resolution:
    """Return the desired state of `documents`.

    `overlays` are the files of the environment's overlay. Findings come in the order of files
    and lines. With `cache`, a set that was resolved before without any finding is not
    resolved again.
    """
    laid, findings = load_documents(overlays, cache=cache)
    key = _key(documents, laid, request) if cache is not None else ""
    if cache is not None and (kept := _kept(cache, key, documents, laid)) is not None:
        return Resolution(kept, ())
    work = _Resolver(documents, laid, request, findings)
    work.run()
    ordered = sorted(work.findings, key=lambda d: (d.locations, d.code, d.detail))
    failed = not documents.complete or any(d.severity is Severity.ERROR for d in ordered)
    desired = None if failed else work.desired()
    if desired is not None and cache is not None:
        numbers = [work.number_of(holder) for holder in holders(desired)]
        if not ordered:
            cache.put(key, pack_desired(desired, numbers))
        let_find(desired, numbers, Finder(documents, laid))
    return Resolution(desired, tuple(ordered), tuple(work.resolved), work.variables)


def _key(documents: Documents, laid: Documents, request: Request) -> str:
    plain = msgspec.json.encode(
        (
            request.declarations, request.environment, request.variables, request.ambient, request.version,
            {kind: (p.name, p.type) for kind, p in request.implicit.items()},
        ),
        order="deterministic",
    )  # fmt: skip
    return set_key((plain.decode(), *documents.stamps(), "overlays", *laid.stamps()))


def _kept(cache: ParseCache, key: str, documents: Documents, laid: Documents) -> Desired | None:
    if (content := cache.get(key)) is None:
        return None
    try:
        desired, numbers = unpack_desired(content)
    except Damaged:
        return None
    let_find(desired, numbers, Finder(documents, laid))
    return desired


class _Resolver:
    """Holds what one run finds on its way from documents to the desired state."""

    def __init__(
        self, documents: Documents, laid: Documents, request: Request, findings: list[Diagnostic]
    ) -> None:
        self._documents = documents
        self._laid = laid
        self._request = request
        self.findings = findings
        self.resolved: list[Resolved] = []
        self.variables: dict[str, VariableValue] = {}
        self._numbers: dict[tuple[str, str], Number] = {}
        self._workspace = Workspace(environment=request.environment)
        self._datasets: dict[str, tuple[Document, Dataset]] = {}
        self._platforms: dict[str, Platform] = {}
        self._budgets: dict[str, BudgetSpec] = {}
        self._policies: dict[str, tuple[Document, EgressPolicy]] = {}
        self._linked: dict[str, Dataset] = {}
        self._used_types: list[str] = []

    def run(self) -> None:
        """Do every step; findings pile up."""
        self._prepare()
        names: dict[str, dict[str, Document]] = {"Dataset": {}, "Platform": {}, "EgressPolicy": {}}
        for one in self.resolved:
            same_kind, name = names.get(one.document.kind, {}), _name(one.value)
            if name in same_kind:
                self._duplicate(one, name, same_kind[name])
            else:
                same_kind[name] = one.document
                self._numbers[one.document.kind, name] = one.number
                self._draft(one)
        self._link({kind: frozenset(known) for kind, known in names.items()})

    def _prepare(self) -> None:
        base = list(self._documents.numbered())
        overlays = Overlays(self._laid)
        self.findings += overlays.strays(document for _, document in base)
        merged = [(number, overlays.over(document)) for number, document in base]
        workspaces = [document for _, document in merged if document.kind == "Workspace"]
        self._check_workspaces(workspaces)
        first = workspaces[0] if workspaces else None
        known = variables.declared(first)
        ambient = {k: v for k, v in self._request.ambient.items() if k in known}
        self.variables, wrong = variables.values(
            first, self._request.environment, {**ambient, **self._request.variables}
        )
        self.findings += wrong
        for number, document in merged:
            if not document.templated:
                self.resolved.append(Resolved(number, document, document.value, {}))
                continue
            done = Substitution(document, self.variables)
            self.findings += done.diagnostics
            self.resolved.append(Resolved(number, document, done.value, done.used))

    def _check_workspaces(self, workspaces: list[Document]) -> None:
        for extra in workspaces[1:]:
            detail = f"The first Workspace is in {workspaces[0].spot(()).value}."
            fix = "Keep one document of `kind: Workspace`."
            self.findings.append(found("MAN127", detail, fix, extra.spot(("kind",)).value))
        name = self._request.environment
        if name is None:
            return
        known = environments(workspaces[0]) if workspaces else {}
        if name not in known:
            detail = f"The Workspace has no environment {quoted(name)}."
            place = (
                workspaces[0].spot(("spec", "environments")).value
                if workspaces
                else Location("<command line>", 1, 1)
            )
            self.findings.append(
                found("MAN118", detail, suggest(name, known, "Environments"), place)
            )

    def _duplicate(self, one: Resolved, name: str, first: Document) -> None:
        kind = one.document.kind
        detail = f"{kind} {quoted(name)} is also in {first.spot(('metadata', 'name')).value}."
        place = one.document.spot(("metadata", "name")).value
        self.findings.append(
            found("MAN117", detail, "Rename one of the two.", place, address=f"{kind}/{name}")
        )

    def _draft(self, one: Resolved) -> None:
        document = one.document
        if document.valid and document.kind != "Platform":
            wrong: list[Diagnostic] = []
        else:
            wrong = problems(replace(document, value=one.value), self._request.declarations)
        if wrong:
            self.findings += wrong
            return
        match document.kind:
            case "Dataset":
                draft, wrong = drafts.dataset(document, one.value)
                self._datasets[draft.name] = (document, draft)
            case "Platform":
                platform, budget, wrong = drafts.platform(document, one.value)
                self._platforms[platform.name] = platform
                self._budgets[platform.name] = budget
            case "EgressPolicy":
                policy, wrong = drafts.egress_policy(document, one.value)
                self._policies[policy.name] = (document, policy)
            case _:
                wrong = self._draft_workspace(one)
        self.findings += wrong

    def _draft_workspace(self, one: Resolved) -> list[Diagnostic]:
        self._numbers["Workspace", ""] = one.number
        self._workspace, wrong = drafts.workspace(
            one.document, one.value, self._request.environment
        )
        requires = _requires(one.value)
        if requires and not satisfies(self._request.version, requires):
            detail = f"It requires {quoted(requires)}; this is {self._request.version}."
            place = one.document.spot(("spec", "requires")).value
            wrong.append(found("MAN131", detail, "Install a version that fits.", place))
        return wrong

    def _link(self, names: dict[str, frozenset[str]]) -> None:
        known: Drafts = self._datasets
        around = Surroundings(
            workspace=self._workspace,
            platforms=self._platforms,
            platform_budgets=self._budgets,
            implicit=self._request.implicit,
            names=names,
            declarations=self._request.declarations,
        )
        self._linked, self._used_types, wrong = link(known, around)
        self.findings += wrong
        self.findings += check_egress(self._policies, self._platforms.values(), names["Dataset"])

    def number_of(self, holder: Workspace | Dataset | Platform | EgressPolicy) -> Number | None:
        """Return the number of the document that says `holder`; None where nobody wrote it."""
        match holder:
            case Dataset():
                return self._numbers["Dataset", holder.name]
            case EgressPolicy():
                return self._numbers["EgressPolicy", holder.name]
            case Platform():
                return None if holder.implicit else self._numbers["Platform", holder.name]
            case Workspace():
                return self._numbers.get(("Workspace", ""))

    def desired(self) -> Desired:
        """Return the desired state; only after a run without errors."""
        implicit = [self._request.implicit[kind] for kind in self._used_types]
        platforms = [*self._platforms.values(), *implicit]
        return Desired(
            workspace=self._workspace,
            datasets=tuple(self._linked[name] for name in sorted(self._linked)),
            platforms=tuple(sorted(platforms, key=lambda platform: platform.name)),
            egress_policies=tuple(self._policies[name][1] for name in sorted(self._policies)),
        )


def _name(value: Value) -> str:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _requires(value: Value) -> str:
    spec = value.get("spec") if isinstance(value, dict) else None
    requires = spec.get("requires") if isinstance(spec, dict) else None
    return requires if isinstance(requires, str) else ""


def environments(workspace: Document) -> dict[str, str | None]:
    """Return the names of a Workspace's environments and the path of each one's overlay."""
    spec = workspace.value.get("spec") if isinstance(workspace.value, dict) else None
    written = spec.get("environments") if isinstance(spec, dict) else None
    result: dict[str, str | None] = {}
    for name, environment in written.items() if isinstance(written, dict) else ():
        overlay = environment.get("overlay") if isinstance(environment, dict) else None
        result[name] = overlay if isinstance(overlay, str) else None
    return result
