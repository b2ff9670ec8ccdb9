"""One document, alone, to its typed value: defaults and rules that need no other document.

A draft reads a document that fits its kind. What depends on others (platforms, default tier,
a format taken from the dataset that is read) is filled in by `link`.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from batuta.manifest.document import Document, Path, Value
from batuta.manifest.findings import quoted
from batuta.manifest.places import Places
from batuta.manifest.reporter import Reporter
from batuta.manifest.scalars import duration_s, size_bytes
from batuta.manifest.shapes import check_shape
from batuta.model.address import Address, parse_address
from batuta.model.canonical import Json, digest
from batuta.model.diagnostic import Diagnostic, Severity
from batuta.model.egress import written_host
from batuta.model.resource import (
    BudgetSpec,
    Dataset,
    DeletionPolicy,
    DriftChoice,
    DriftPolicy,
    EgressPolicy,
    EgressRule,
    HistorySpec,
    IncrementalSpec,
    Limits,
    MergeConflict,
    Mode,
    OnSourceDelete,
    OnViolation,
    Platform,
    SourcePart,
    SourceSpec,
    Workspace,
)
from batuta.model.tier import Network, Tier

if TYPE_CHECKING:
    from batuta.manifest import kinds

# A user and a password before the host, or a signature behind the path.
_SECRET_IN_URL = re.compile(
    r"://[^/@\s]*:[^/@\s]*@|[?&](sig|signature|token|password|x-amz-signature)=", re.IGNORECASE
)
_TEMPLATE = re.compile(r"\{(schema|table)\}")
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7",
                 "::1/128")
)  # fmt: skip
_NO_BUDGET, _NO_HISTORY, _NO_DRIFT = BudgetSpec(), HistorySpec(), DriftPolicy()
NOWHERE = Address("file", "")


class DatasetDraft(NamedTuple):
    """A Dataset whose format is empty where it follows from the dataset that it reads."""

    dataset: Dataset
    diagnostics: list[Diagnostic]


def dataset(document: Document, value: Value) -> DatasetDraft:
    """Return the Dataset of a document whose `value`, variables replaced, fits the kind."""
    whole = cast("kinds.DatasetDocument", value)
    spec, metadata = whole["spec"], whole["metadata"]
    report = Reporter(document)
    source = _source(spec["source"], report)
    end = spec["destination"]
    written = end if isinstance(end, str) else end["address"]
    path: Path = (
        ("spec", "destination") if isinstance(end, str) else ("spec", "destination", "address")
    )
    destination = address(written, path, report)
    _check_destination(written, destination, path, report)
    format_name = spec.get("format") or _default_format(source)
    depends_on = tuple(spec.get("dependsOn", ()))
    read = tuple(name for name in source.upstreams if name not in depends_on)
    depends_on = (*read, *depends_on)
    result = Dataset(
        name=metadata["name"],
        source=source,
        destination=destination,
        destination_platform=None if isinstance(end, str) else end.get("platform"),
        format=format_name,
        mode=_mode(spec, format_name),
        on_source_delete=OnSourceDelete(spec.get("onSourceDelete", "Remove")),
        format_options=_format_options(spec, format_name, report),
        incremental=_incremental(spec.get("incremental")),
        tier=Tier(spec["tier"]) if "tier" in spec else None,
        egress=spec.get("egress"),
        on_drift=_drift(spec["onDrift"]) if "onDrift" in spec else _NO_DRIFT,
        budget=budget(spec["budget"]) if "budget" in spec else _NO_BUDGET,
        freshness=spec.get("freshness"),
        history=_history(spec["history"]) if "history" in spec else _NO_HISTORY,
        residency=tuple(spec.get("residency", ())),
        deletion_policy=DeletionPolicy(spec.get("deletionPolicy", "Retain")),
        protect=spec.get("protect", False),
        depends_on=depends_on,
        tags=tuple(metadata.get("tags", {}).items()),
        manifest_digest=digest(cast("Json", value)),
        places=Places.of(document),
    )
    if format_name:
        check_shape(result, report)
    if "freshness" in spec:
        _later("freshness", "Nothing is planned by the age of data yet.", report)
    return DatasetDraft(result, report.diagnostics)


def address(text: str, path: Path, report: Reporter) -> Address:
    """Return the address that `text` spells; a bad one is reported and gives an empty path."""
    if _SECRET_IN_URL.search(text):
        report.add(
            "MAN125", path, "The address holds a password or a signature; it is not repeated here.",
            "Take it out, replace the secret by a new one, and give a reference in the Platform.",
        )  # fmt: skip
        return NOWHERE
    try:
        return parse_address(text)
    except ValueError as error:
        report.add(
            "MAN129", path, f"{quoted(text)} is not an address: {error}.",
            "Write a path, or a URL such as `s3://bucket/prefix/`.",
        )  # fmt: skip
        return NOWHERE


def _source(end: "str | kinds.SourceEnd", report: Reporter) -> SourceSpec:
    path: Path = ("spec", "source")
    if isinstance(end, str) or not {"merge", "on", "conflict"} & end.keys():
        return _part(end, path, report).spec
    _check_merge(end, path, report)
    return SourceSpec(
        merge=tuple(
            _part(each, (*path, "merge", i), report) for i, each in enumerate(end.get("merge", ()))
        ),
        on=tuple(end.get("on", ())),
        conflict=MergeConflict(end.get("conflict", "Fail")),
    )


def _check_merge(end: "kinds.SourceEnd", path: Path, report: Reporter) -> None:
    """Report what a merge cannot have: fields of one source, and a choice without a key."""
    for name in sorted(end.keys() - {"merge", "on", "conflict"} if "merge" in end else ()):
        report.add(
            "MAN120", (*path, name), f"`{name}` has no meaning for a merge as a whole.",
            "Write it at the sources under `merge`.",
        )  # fmt: skip
    for name in ("on", "conflict"):
        if name in end and "merge" not in end:
            report.add(
                "MAN120", (*path, name), f"`{name}` has no effect without `merge`.",
                f"Remove `{name}`, or list the sources under `merge`.",
            )  # fmt: skip
    if "conflict" in end and "on" not in end and "merge" in end:
        report.add(
            "MAN120", (*path, "conflict"), "`conflict` has no effect without a key.",
            "Name the key: `on: [COLUMN]`.",
        )  # fmt: skip


def _part(end: "str | kinds.MergeEnd", path: Path, report: Reporter) -> SourcePart:
    if isinstance(end, str):
        return SourcePart(address=_source_address(end, path, report))
    if ("address" in end) == ("dataset" in end):
        both = "both" if "address" in end else "neither"
        report.add(
            "MAN120", path, f"A source has `address` or `dataset`; this one has {both}.",
            "Keep exactly one of the two.",
        )  # fmt: skip
    if "dataset" in end and "platform" in end:
        report.add(
            "MAN120", (*path, "platform"),
            "What another Dataset keeps is read where that one keeps it; `platform` has no use.",
            "Remove `platform`.",
        )  # fmt: skip
    columns, origin = end.get("columns", {}), end.get("origin", {})
    has_address = "address" in end
    return SourcePart(
        address=_source_address(end["address"], (*path, "address"), report)
        if has_address
        else None,
        dataset=end.get("dataset"),
        platform=end.get("platform"),
        version=str(end["version"]) if "version" in end else None,
        files=tuple(end.get("files", ())),
        include=tuple(columns.get("include", ())),
        exclude=tuple(columns.get("exclude", ())),
        rename=tuple(columns.get("rename", {}).items()),
        where=end.get("where"),
        options=tuple(cast("Mapping[str, Json]", end.get("options", {})).items()),
        types=tuple(end.get("schema", {}).items()),
        origin_tier=Tier(origin["tier"]) if "tier" in origin else None,
        origin_region=origin.get("region"),
    )


def _source_address(text: str, path: Path, report: Reporter) -> Address:
    result = address(text, path, report)
    if result.is_table and result.scheme != "delta" and "*" in result.path:
        report.add(
            "MAN112", path, "A wildcard over tables comes later.", "Write one Dataset a table."
        )
    return result


def _check_destination(written: str, end: Address, path: Path, report: Reporter) -> None:
    if written.startswith("stdout:"):
        report.add(
            "MAN129", path, "`stdout:` is a destination of one-line commands only.",
            "Write a folder, or look at the rows with `batuta data cat DATASET`.",
        )  # fmt: skip
    elif end.is_table:
        report.add(
            "MAN129", path, f"{quoted(written)} names a table; a dataset is kept in a folder.",
            "Write a path or a prefix such as `out/orders/`.",
        )  # fmt: skip
    elif _TEMPLATE.search(written):
        report.add(
            "MAN112", path, "`{schema}` and `{table}` come later, with wildcards.",
            "Write one Dataset a table.",
        )  # fmt: skip


def _default_format(source: SourceSpec) -> str:
    if source.merge:
        return "ald"
    if source.address is None:
        return ""
    return "ald" if source.address.is_table else "files"


def default_mode(format_name: str) -> Mode:
    """Return the mode of a dataset that names none."""
    return Mode.MIRROR if format_name == "files" else Mode.SNAPSHOT


def _mode(spec: "kinds.DatasetSpec", format_name: str) -> Mode:
    return Mode(spec["mode"]) if "mode" in spec else default_mode(format_name)


def _format_options(
    spec: "kinds.DatasetSpec", format_name: str, report: Reporter
) -> tuple[tuple[str, Json], ...]:
    written = cast("Mapping[str, Mapping[str, Json]]", spec.get("formatOptions", {}))
    for name in written:
        if name != format_name:
            report.add(
                "MAN120", ("spec", "formatOptions", name),
                f"Options of `{name}` have no effect on the format `{format_name or 'left out'}`.",
                f"Remove them, or write `format: {name}`.",
            )  # fmt: skip
    return tuple(written.get(format_name, {}).items())


def _incremental(spec: "kinds.Incremental | None") -> IncrementalSpec | None:
    if spec is None:
        return None
    return IncrementalSpec(
        cursor=spec.get("cursor"),
        key=tuple(spec.get("key", ())),
        lookback_s=duration_s(spec["lookback"]) if "lookback" in spec else 0,
    )


def _drift(spec: "kinds.OnDrift") -> DriftPolicy:
    return DriftPolicy(
        additive=DriftChoice(spec.get("additive", "Stop")),
        widening=DriftChoice(spec.get("widening", "Stop")),
        breaking=DriftChoice(spec.get("breaking", "Stop")),
        semantic=DriftChoice(spec.get("semantic", "Stop")),
    )


def budget(spec: "kinds.Budget") -> BudgetSpec:
    """Return a budget; what is not limited is None."""
    return BudgetSpec(
        per_run=spec.get("perRun"),
        per_month=spec.get("perMonth"),
        max_bytes=size_bytes(spec["maxBytes"]) if "maxBytes" in spec else None,
    )


def _history(spec: "kinds.History") -> HistorySpec:
    default = _NO_HISTORY
    return HistorySpec(
        keep_s=duration_s(spec["keep"]) if "keep" in spec else default.keep_s,
        versions=spec.get("versions", default.versions),
    )


def platform(document: Document, value: Value) -> tuple[Platform, BudgetSpec, list[Diagnostic]]:
    """Return the Platform of a document that fits, its budget, and what is unsafe in it."""
    whole = cast("kinds.PlatformDocument", value)
    spec, report = whole["spec"], Reporter(document)
    network = Network(spec.get("network", "Public"))
    _check_ranges(spec.get("cidrs", []), network, report)
    for i, endpoint in enumerate(spec.get("endpoints", [])):
        if _SECRET_IN_URL.search(endpoint):
            report.add(
                "MAN125", ("spec", "endpoints", i), "The endpoint holds a password.",
                "Take it out, replace it by a new one, and write a reference in `credentials`.",
            )  # fmt: skip
    if "pacing" in spec:
        _later("pacing", "Requests are not paced by a Platform's limits yet.", report)
    block = cast("Mapping[str, Mapping[str, Json]]", spec).get(spec["type"], {})
    _check_profiles(spec.get("credentials", {}), spec["type"], block, report)
    result = Platform(
        name=whole["metadata"]["name"],
        type=spec["type"],
        network=network,
        region=spec.get("region"),
        endpoints=tuple(spec.get("endpoints", ())),
        cidrs=tuple(spec.get("cidrs", ())),
        residency=tuple(spec.get("residency", ())),
        credentials=tuple(spec.get("credentials", {}).items()),
        max_concurrent=spec.get("pacing", {}).get("maxConcurrent"),
        options=tuple(block.items()),
        places=Places.of(document),
    )
    return result, budget(spec["budget"]) if "budget" in spec else _NO_BUDGET, report.diagnostics


def _check_profiles(
    credentials: Mapping[str, str], kind: str, block: Mapping[str, Json], report: Reporter
) -> None:
    """Report a profile beside other credentials: the vendor's tools read it whole."""
    places = {f"profile:{block['profile']}"} if "profile" in block else set[str]()
    places |= set(credentials.values())
    for key, reference in credentials.items():
        if reference.startswith("profile:") and len(places) > 1:
            name = reference.partition(":")[2]
            report.add(
                "MAN120", ("spec", "credentials", key),
                "A profile gives all the credentials of a Platform; here others are named too.",
                f"Write `profile:{name}` for each, or `{kind}: {{profile: {name}}}` and no "
                "`credentials`.",
            )  # fmt: skip
            return


def _later(field: str, detail: str, report: Reporter) -> None:
    """Refuse a field that would have no effect: who writes it relies on it."""
    fix = f"Remove `{field}` until a later version supports it."
    report.add("MAN112", ("spec", field), detail, fix)


def _check_ranges(ranges: list[str], network: Network, report: Reporter) -> None:
    if network is Network.ON_PREM and not ranges:
        report.add(
            "MAN130", ("spec", "network"), "`OnPrem` needs the address ranges of the site.",
            "Add `cidrs:` with private or loopback ranges, such as `[10.0.0.0/8]`.",
        )  # fmt: skip
    for i, text in enumerate(ranges):
        path = ("spec", "cidrs", i)
        try:
            parsed = ipaddress.ip_network(text)
        except ValueError:
            detail = f"{quoted(text)} is not an address range (host bits have to be zero)."
            report.add("MAN116", path, detail, "Write a range such as `10.0.0.0/8`.")
            continue
        if network is Network.ON_PREM and not any(_within(parsed, p) for p in _PRIVATE):
            detail = f"{quoted(text)} is neither private nor loopback, so it is not `OnPrem`."
            report.add("MAN130", path, detail, "Name private ranges only, or change `network`.")


def _within(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network,
    outer: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    # `is_private` would also admit link-local ranges, where clouds serve credentials.
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def egress_policy(document: Document, value: Value) -> tuple[EgressPolicy, list[Diagnostic]]:
    """Return the EgressPolicy of a document that fits, and what is unsafe in it."""
    whole = cast("kinds.EgressPolicyDocument", value)
    spec, report = whole["spec"], Reporter(document)
    if not spec.get("logAllRequests", True):
        report.add(
            "MAN130", ("spec", "logAllRequests"), "Requests are always logged.",
            "Write `logAllRequests: true`, or leave it out.",
        )  # fmt: skip
    _check_hosts(spec, report)
    applies = spec.get("appliesTo", {})
    result = EgressPolicy(
        name=whole["metadata"]["name"],
        tiers=tuple(Tier(tier) for tier in applies.get("tiers", ())),
        datasets=tuple(applies.get("datasets", ())),
        allow=tuple(
            EgressRule(
                host=written_host(rule["host"]),
                ports=tuple(rule.get("ports", (443,))),
                max_upload_bytes=size_bytes(rule["maxUpload"]) if "maxUpload" in rule else None,
            )
            for rule in spec.get("allow", ())
        ),
        deny=tuple(
            EgressRule(host=written_host(rule["host"]), ports=()) for rule in spec.get("deny", ())
        ),
        require_tls=spec.get("requireTls", True),
        max_bytes=size_bytes(spec["maxBytes"]) if "maxBytes" in spec else None,
        filtered="weakestLevel" in spec,
        on_violation=OnViolation(spec.get("onViolation", OnViolation.CONTINUE)),
        places=Places.of(document),
    )
    return result, report.diagnostics


def _check_hosts(spec: "kinds.EgressPolicySpec", report: Reporter) -> None:
    for field, rules in (("allow", spec.get("allow", ())), ("deny", spec.get("deny", ()))):
        for i, rule in enumerate(rules):
            if ":" in rule["host"] and not _is_address(rule["host"].strip("[]")):
                detail = f"{quoted(rule['host'])} is not an address."
                fix = 'Write it as in `"[fd00::5]"`; ports stand in `ports`.'
                report.add("MAN116", ("spec", field, i, "host"), detail, fix)


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def workspace(
    document: Document, value: Value, environment: str | None
) -> tuple[Workspace, list[Diagnostic]]:
    """Return the Workspace with `environment`, which it declares, chosen."""
    whole = cast("kinds.WorkspaceDocument", value)
    spec, report = whole["spec"], Reporter(document)
    if "prices" in spec:
        report.add(
            "MAN132", ("spec", "prices"), "`prices` is kept and shown; nothing uses it yet.",
            "Remove it if you count on it.", Severity.WARNING,
        )  # fmt: skip
    if _SECRET_IN_URL.search(spec.get("network", {}).get("proxy", "")):
        report.add(
            "MAN125", ("spec", "network", "proxy"), "The proxy's address holds a password.",
            "Take it out, and replace it by a new one.",
        )  # fmt: skip
    chosen = spec.get("environments", {}).get(environment, {}) if environment else {}
    caps, default = spec.get("limits", {}), Limits()
    result = Workspace(
        name=whole.get("metadata", {}).get("name", "default"),
        environment=environment,
        default_tier=Tier(spec["defaultTier"]) if "defaultTier" in spec else None,
        weakest_tier=Tier(chosen["weakestTier"]) if "weakestTier" in chosen else None,
        enforcement=spec.get("enforcement", "Declared"),
        proxy=spec.get("network", {}).get("proxy"),
        ca_file=spec.get("network", {}).get("caFile"),
        region=spec.get("region"),
        state=spec.get("state", "local"),
        limits=Limits(
            deletes=caps.get("deletes", default.deletes),
            files=caps.get("files", default.files),
            replaces=caps.get("replaces", default.replaces),
            datasets=caps.get("datasets", default.datasets),
        ),
        budget=budget(spec["budget"]) if "budget" in spec else _NO_BUDGET,
        places=Places.of(document),
    )
    return result, report.diagnostics
