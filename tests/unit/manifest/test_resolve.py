"""Resolving: defaults, references, rules between fields, overlays, variables, environments."""

import pytest

from batuta.manifest.load import load_documents
from batuta.manifest.resolve import Request, resolve
from batuta.model.address import Address
from batuta.model.resource import (
    BudgetSpec,
    DriftChoice,
    DriftPolicy,
    EgressRule,
    HistorySpec,
    IncrementalSpec,
    Limits,
    MergeConflict,
    Mode,
    Platform,
    SourceSpec,
)
from batuta.model.tier import Network, Tier
from tests.unit.manifest.cases import (
    DECLARATIONS,
    ENDS,
    WORKSPACE,
    codes,
    dataset,
    dataset_text,
    desired,
    run,
)

LAKE = """apiVersion: batuta.dev/v1
kind: Platform
metadata: {name: lake}
spec: {type: aws, region: eu-central-1, network: OnPrem, cidrs: [10.0.0.0/8],
  endpoints: ["http://s3.lake.test:8333"], residency: [eu],
  credentials: {accessKeyId: "env:ID"}, aws: {pathStyle: true}, budget: {maxBytes: 1Ki}}
"""
PARQUET = "  format: parquet\n  formatOptions: {{parquet: {{compression: {}}}}}\n"
ALD = "  format: ald\n  formatOptions: {{ald: {{compression: {}}}}}\n"
S3 = "  source: s3://bucket/a/\n  destination: out/a/\n"


def test_what_is_left_out_has_the_defaults_of_the_language() -> None:
    found = dataset(ENDS)
    assert found.source == SourceSpec(address=Address("delta", "data/a"))
    assert found.destination == Address("file", "out/a/")
    assert (found.format, found.mode, found.tier) == ("ald", Mode.SNAPSHOT, None)
    assert found.history == HistorySpec(keep_s=7 * 86400, versions=0)
    assert found.on_drift == DriftPolicy()
    assert found.protect is False
    assert len(found.manifest_digest) == 64


@pytest.mark.parametrize(
    ("source", "written", "format_name", "mode"),
    [
        ("delta+data/a", "", "ald", Mode.SNAPSHOT),
        ("delta+data/a", "format: arrow", "arrow", Mode.SNAPSHOT),
        ("data/a/", "", "files", Mode.MIRROR),
        ("data/a.csv", "", "files", Mode.MIRROR),
        ("data/a.csv", "format: parquet", "parquet", Mode.SNAPSHOT),
        ("file:data/a/", "format: ald", "ald", Mode.SNAPSHOT),
    ],
)
def test_tables_are_ald_and_folders_are_files_where_nothing_is_said(
    source: str, written: str, format_name: str, mode: Mode
) -> None:
    found = dataset(f"  source: {source}\n  destination: out/a/\n  {written}\n")
    assert (found.format, found.mode) == (format_name, mode)


def test_every_field_arrives_in_the_model() -> None:
    found = dataset(
        """  source:
    address: data/a.csv
    version: 7
    files: ["*.csv"]
    columns: {include: [A, B], exclude: [C], rename: {A: a}}
    where: "A > 0"
    options: {delimiter: ";", header: true, encoding: utf-8, null: [""], timestampFormat: "%d"}
    schema: {A: int64, B: "decimal128(12,2)"}
    origin: {tier: FullySovereign, region: eu}
  destination: {address: out/a/}
  format: parquet
  mode: Incremental
  incremental: {cursor: A, key: [B], lookback: 2h}
  onSourceDelete: Keep
  formatOptions: {parquet: {compression: zstd, level: 3}}
  tier: PrivateCloud
  onDrift: {additive: Apply, semantic: Force}
  budget: {perRun: "20 USD", perMonth: "30.50 EUR", maxBytes: 5Ti}
  history: {keep: 30d, versions: 20}
  residency: [eu]
  deletionPolicy: Delete
  protect: true
"""
    )
    assert found.source == SourceSpec(
        address=Address("file", "data/a.csv"),
        version="7",
        files=("*.csv",),
        include=("A", "B"),
        exclude=("C",),
        rename=(("A", "a"),),
        where="A > 0",
        options=(
            ("delimiter", ";"),
            ("header", True),
            ("encoding", "utf-8"),
            ("null", [""]),
            ("timestampFormat", "%d"),
        ),
        types=(("A", "int64"), ("B", "decimal128(12,2)")),
        origin_tier=Tier.FULLY_SOVEREIGN,
        origin_region="eu",
    )
    assert found.incremental == IncrementalSpec(cursor="A", key=("B",), lookback_s=7200)
    assert found.format_options == (("compression", "zstd"), ("level", 3))
    assert found.on_drift == DriftPolicy(additive=DriftChoice.APPLY, semantic=DriftChoice.FORCE)
    assert found.budget == BudgetSpec(per_run="20 USD", per_month="30.50 EUR", max_bytes=5 * 2**40)
    assert found.history == HistorySpec(keep_s=30 * 86400, versions=20)
    assert (found.tier, found.residency) == (Tier.PRIVATE_CLOUD, ("eu",))
    assert (found.on_source_delete, found.deletion_policy) == ("Keep", "Delete")
    assert found.protect


def test_a_platform_may_be_left_out_when_only_one_of_the_type_exists() -> None:
    found = desired(dataset_text(S3), LAKE)
    assert found.datasets[0].source.platform == "lake"
    assert found.datasets[0].destination_platform is None
    assert found.platforms[0] == Platform(
        name="lake",
        type="aws",
        network=Network.ON_PREM,
        region="eu-central-1",
        endpoints=("http://s3.lake.test:8333",),
        cidrs=("10.0.0.0/8",),
        credentials=(("accessKeyId", "env:ID"),),
        residency=("eu",),
        options=(("pathStyle", True),),
    )


def test_a_platform_is_named_where_there_are_two_or_the_type_is_another() -> None:
    other = LAKE.replace("name: lake", "name: pond")
    assert codes(dataset_text(S3), LAKE, other) == ["MAN119"]
    named = S3.replace("s3://bucket/a/", "{address: 's3://b/a/', platform: pond}")
    assert desired(dataset_text(named), LAKE, other).datasets[0].source.platform == "pond"
    needy = LAKE.split("spec:", maxsplit=1)[0] + "spec: {type: needy, needy: {account: x}}\n"
    wrong = S3.replace("s3://bucket/a/", "{address: 's3://b/a/', platform: lake}")
    assert codes(dataset_text(wrong), needy) == ["MAN119"]


def test_a_delta_table_on_s3_needs_the_platform_of_s3() -> None:
    text = dataset_text("  source: delta+s3://b/t\n  destination: out/a/\n")
    assert codes(text) == ["MAN119"]
    assert desired(text, LAKE).datasets[0].source.platform == "lake"


def test_an_implicit_platform_stands_in_and_is_listed_only_when_used() -> None:
    implicit = {"aws": Platform(name="aws", type="aws", implicit=True)}
    for text, used in ((dataset_text(S3), True), (dataset_text(), False)):
        documents, _ = load_documents([("a.yaml", text.encode())])
        request = Request(declarations=DECLARATIONS, implicit=implicit)
        found = resolve(documents, request).desired
        assert found is not None
        assert bool(found.platforms) is used
        assert (found.datasets[0].source.platform == "aws") is used


def test_a_required_option_and_an_unknown_one_are_found_by_the_declaration() -> None:
    head = LAKE.split("spec:", maxsplit=1)[0]
    assert codes(head + "spec: {type: needy}\n") == ["MAN114"]
    assert codes(head + "spec: {type: aws, aws: {pathStile: true}}\n") == ["MAN113"]
    assert codes(head + "spec: {type: aws, gcs: {}}\n") == ["MAN113"]
    assert codes(head + "spec: {type: aws, aws: {retries: many}}\n") == ["MAN115"]
    assert codes(head + "spec: {type: aws, aws: {mode: slow}}\n") == ["MAN116"]
    assert codes(head + "spec: {type: azure}\n") == ["MAN118"]


def test_a_field_that_would_have_no_effect_is_refused_by_name() -> None:
    head = LAKE.split("spec:", maxsplit=1)[0]
    assert codes(head + "spec: {type: aws, pacing: {maxConcurrent: 8}}\n") == ["MAN112"]


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        (ENDS + "  format: files\n", ["MAN120"]),
        (ENDS + "  mode: Mirror\n", ["MAN120"]),
        ("  source: data/a/\n  destination: out/a/\n  mode: Snapshot\n", ["MAN120"]),
        ("  source: data/a/\n  destination: out/a/\n  mode: Incremental\n", ["MAN120"]),
        (ENDS + "  incremental: {cursor: A}\n", ["MAN120"]),
        (ENDS + "  formatOptions: {parquet: {level: 3}}\n", ["MAN120"]),
        (ENDS + PARQUET.format("brotli, level: 11"), []),
        (ENDS + PARQUET.format("brotli, level: 12"), ["MAN120"]),
        (ENDS + PARQUET.format("gzip, level: 10"), ["MAN120"]),
        (ENDS + PARQUET.format("lz4, level: 1"), ["MAN120"]),
        (ENDS + ALD.format("zstd19"), []),
        (ENDS + ALD.format("lz4"), []),
        (ENDS + ALD.format("lz4, layout: B"), ["MAN120"]),
        (ENDS + "  freshness: 24h\n", ["MAN112"]),
        ("  source: {address: data/a/, columns: {include: [A]}}\n  destination: o/\n", ["MAN120"]),
        ("  source: {address: delta+d, files: ['*']}\n  destination: o/\n", ["MAN120"]),
        ("  source: {address: delta+d, schema: {A: int8}}\n  destination: o/\n", ["MAN120"]),
        ("  source: {}\n  destination: o/\n", ["MAN120"]),
        ("  source: {address: delta+d, dataset: a}\n  destination: o/\n", ["MAN120", "MAN121"]),
        ("  source: delta+d\n  destination: 'stdout:'\n", ["MAN129"]),
        ("  source: delta+d\n  destination: delta+out/a\n", ["MAN129"]),
        ("  source: delta+d\n  destination: 'out/{table}/'\n", ["MAN112"]),
        ("  source: s3://b/../c\n  destination: o/\n", ["MAN129"]),
        ("  source: snowflake://DB.S.T\n  destination: o/\n", ["MAN112"]),
        ("  source: s3://user:pass@b/c\n  destination: o/\n", ["MAN125"]),
        ("  source: {merge: [delta+a]}\n  destination: o/\n", ["MAN116"]),
        (
            "  source: {merge: [delta+a, {merge: [delta+b, delta+c]}]}\n  destination: o/\n",
            ["MAN113"],
        ),
        ("  source: {merge: [delta+a, {}]}\n  destination: o/\n", ["MAN120"]),
        ("  source: {merge: [delta+a, delta+b], address: c/}\n  destination: o/\n", ["MAN120"]),
        ("  source: {merge: [delta+a, delta+b], where: 'A > 0'}\n  destination: o/\n", ["MAN120"]),
        ("  source: {address: delta+a, on: [K]}\n  destination: o/\n", ["MAN120"]),
        ("  source: {merge: [delta+a, delta+b], conflict: Last}\n  destination: o/\n", ["MAN120"]),
        (
            "  source: {merge: [delta+a, {address: delta+b, files: ['*']}]}\n  destination: o/\n",
            ["MAN120"],
        ),
        ("  source: {merge: [a/, b/]}\n  destination: o/\n  format: files\n", ["MAN120"]),
        ("  source: {merge: [delta+a, {dataset: nobody}]}\n  destination: o/\n", ["MAN118"]),
        ("  source: {merge: [delta+a, {dataset: a}]}\n  destination: o/\n", ["MAN121"]),
    ],
)
def test_fields_that_contradict_or_cannot_be_used_are_refused(spec: str, wrong: list[str]) -> None:
    found = codes(dataset_text(spec))
    assert found == wrong or found == wrong[:1]


@pytest.mark.parametrize("kind", ["Model", "Experiment", "Workflow", "Function", "Policy",
                                  "Waiver", "Catalog"])  # fmt: skip
def test_the_kinds_of_later_versions_are_refused_by_name(kind: str) -> None:
    _, (found,) = run(f"apiVersion: batuta.dev/v1\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert found.code == "MAN112"
    assert f"`{kind}`" in found.detail


def test_a_dataset_that_reads_another_takes_its_kind_of_format_and_waits_for_it() -> None:
    files = dataset_text("  source: data/f/\n  destination: out/f/\n", "files")
    table = dataset_text(ENDS, "table")
    below = [
        dataset_text(f"  source: {{dataset: {n}}}\n  destination: out/{n}2/\n", f"b-{n}")
        for n in ("files", "table")
    ]
    found = {d.name: d for d in desired(*below, files, table).datasets}
    assert (found["b-files"].format, found["b-files"].mode) == ("files", Mode.MIRROR)
    assert (found["b-table"].format, found["b-table"].mode) == ("ald", Mode.SNAPSHOT)
    assert found["b-table"].depends_on == ("table",)


def test_names_are_unique_for_a_kind_and_in_order() -> None:
    other = "  source: delta+b\n  destination: out/b/\n"
    policy = "apiVersion: batuta.dev/v1\nkind: EgressPolicy\nmetadata: {name: a}\nspec: {}\n"
    found = desired(dataset_text(other, "b"), dataset_text(), policy)
    assert [d.name for d in found.datasets] == ["a", "b"]
    assert codes(dataset_text(), dataset_text(other)) == ["MAN117"]


@pytest.mark.parametrize(
    ("ranges", "wrong"),
    [
        ("[10.0.0.0/8, 127.0.0.1/32, 'fd00::/8']", []), ("[]", ["MAN130"]),
        ("[169.254.0.0/16]", ["MAN130"]), ("[8.8.8.0/24]", ["MAN130"]), ("['::/0']", ["MAN130"]),
        ("[10.0.0.1/8]", ["MAN116"]), ("[10.0.0.0/40]", ["MAN116"]),
    ],
)  # fmt: skip
def test_on_prem_means_private_or_loopback_ranges(ranges: str, wrong: list[str]) -> None:
    assert codes(LAKE.replace("[10.0.0.0/8]", ranges)) == wrong


def test_a_reference_to_a_broken_document_is_not_reported_again() -> None:
    broken = "apiVersion: batuta.dev/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: {x: 1}\n"
    assert codes(dataset_text(ENDS + "  egress: p\n"), broken) == ["MAN113"]


def test_all_errors_of_all_files_come_in_one_run_in_order_of_place() -> None:
    _, found = run(
        dataset_text(ENDS + "  tier: Public\n  egress: q\n"),
        "a: [\n",
        dataset_text("  source: delta+b\n  destination: out/b/\n  egress: q\n", "b"),
        "kind: Dataset\n",
    )
    assert sorted(d.code for d in found) == ["MAN104", "MAN110", "MAN116", "MAN118"]
    assert all(d.locations for d in found)


def test_a_circle_of_many_is_reported_once_and_chains_into_it_are_not() -> None:
    texts = [
        dataset_text(f"  source: delta+{n}\n  destination: out/{n}/\n  dependsOn: [{on}]\n", n)
        for n, on in (("a", "b"), ("b", "c"), ("c", "a"), ("x", "a"), ("self", "self"))
    ]
    _, found = run(*texts)
    assert [d.code for d in found] == ["MAN121", "MAN121"]
    assert "`a` → `b` → `c` → `a`" in found[0].detail


def test_a_long_chain_needs_no_stack() -> None:
    texts = [
        dataset_text(f"  source: {{dataset: d{i + 1}}}\n  destination: out/d{i}/\n", f"d{i}")
        for i in range(1500)
    ]
    texts.append(dataset_text(ENDS, "d1500"))
    assert len(desired(*texts).datasets) == 1501


def test_a_budget_comes_from_the_dataset_then_its_platform_then_the_workspace() -> None:
    workspace = WORKSPACE.replace("{}", "{budget: {perRun: '9 USD', maxBytes: 9Ki}}")
    found = desired(dataset_text(S3 + "  budget: {perMonth: 5 USD}\n"), LAKE, workspace).datasets[0]
    assert found.budget == BudgetSpec(per_run="9 USD", per_month="5 USD", max_bytes=1024)


def test_the_workspace_gives_the_default_tier_and_the_environment_the_weakest() -> None:
    workspace = WORKSPACE.replace(
        "{}",
        "{defaultTier: PrivateCloud, limits: {deletes: 2}, environments: "
        "{prod: {weakestTier: HybridSovereign}, dev: {}}}",
    )
    found = desired(dataset_text(), workspace, environment="dev")
    assert found.datasets[0].tier is Tier.PRIVATE_CLOUD
    assert (found.workspace.environment, found.workspace.limits) == ("dev", Limits(deletes=2))
    assert codes(dataset_text(), workspace, environment="prod") == ["MAN126"]
    assert codes(dataset_text(), workspace, environment="produ") == ["MAN118"]
    assert codes(dataset_text(), environment="prod") == ["MAN118"]


def test_an_egress_policy_arrives_with_its_defaults_and_unsafe_ones_are_refused() -> None:
    head = "apiVersion: batuta.dev/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: "
    text = head + "{allow: [{host: s3.lake.test, maxUpload: 64Ki}], deny: [{host: '*.x.test'}]}\n"
    (found,) = desired(text).egress_policies
    assert found.allow == (EgressRule(host="s3.lake.test", ports=(443,), max_upload_bytes=65536),)
    assert found.require_tls
    assert codes(head + "{logAllRequests: false}\n") == ["MAN130"]
    plain = head + "{allow: [{host: s3.lake.test}], requireTls: false}\n"
    assert codes(plain) == ["MAN130"]
    assert codes(plain, LAKE) == []
    assert codes(head + "{appliesTo: {datasets: [sales]}}\n") == ["MAN118"]
    assert codes(head + "{appliesTo: {datasets: ['sales*']}}\n") == []


VARIABLES = WORKSPACE.replace(
    "{}",
    "{variables: {region: {type: string, default: eu}, keep: {type: integer},"
    " safe: {type: boolean, default: false}}, environments: {prod: {variables: {keep: 9}}}}",
)
USING = ENDS.replace("out/a/", "out/${var.region}/$${x}/") + (
    "  history: {versions: '${var.keep}'}\n  protect: ${var.safe}\n"
)


def test_a_variable_is_typed_as_a_whole_value_and_text_inside_one() -> None:
    resolution, found = run(
        dataset_text(USING), VARIABLES, variables={"keep": "3", "safe": "true", "region": "us"}
    )
    assert found == []
    assert resolution.desired is not None
    (one,) = resolution.desired.datasets
    assert one.destination.path == "out/us/${x}/"
    assert one.history.versions == 3
    assert one.protect is True


def test_the_environment_outranks_the_caller_who_outranks_the_default() -> None:
    resolution, found = run(
        dataset_text(USING), VARIABLES, environment="prod", variables={"keep": "3"}
    )
    assert [(d.code, d.severity) for d in found] == [("MAN133", "warning")]
    assert resolution.desired is not None
    assert resolution.desired.datasets[0].history.versions == 9
    assert resolution.desired.datasets[0].destination.path == "out/eu/${x}/"


def test_ambient_variables_count_only_where_they_are_declared() -> None:
    documents, _ = load_documents([("w", VARIABLES.encode()), ("a", dataset_text(USING).encode())])
    request = Request(declarations=DECLARATIONS, ambient={"keep": "4", "stray": "x"})
    found = resolve(documents, request)
    assert found.diagnostics == ()
    assert found.desired is not None
    assert found.desired.datasets[0].history.versions == 4


@pytest.mark.parametrize(
    ("use", "code"),
    [
        ("${var.nope}", "MAN122"), ("${var.keep}", "MAN122"), ("${env.HOME}", "MAN123"),
        ("${var.region", "MAN123"), ("${}", "MAN123"), ("${var.region }", "MAN123"),
    ],
)  # fmt: skip
def test_what_is_no_variable_is_refused_at_its_place(use: str, code: str) -> None:
    _, (found,) = run(dataset_text(ENDS.replace("out/a/", f"'out/{use}/'")), VARIABLES)
    assert (found.code, str(found.locations[0])) == (code, "0.yaml:6:16")


@pytest.mark.parametrize("value", ["${var.keep}", "$${var.keep}", "x"])
def test_the_value_of_a_variable_is_never_scanned_again(value: str) -> None:
    resolution, found = run(
        dataset_text(ENDS.replace("a/\n", "${var.region}/\n")),
        VARIABLES,
        variables={"region": value},
    )
    assert found == []
    assert resolution.desired is not None
    assert resolution.desired.datasets[0].destination.path == f"out/{value}/"


def test_a_value_of_the_wrong_type_or_without_a_declaration_is_refused() -> None:
    for variables, code in (({"keep": "many"}, "MAN123"), ({"kep": "1"}, "MAN122")):
        _, found = run(VARIABLES, variables=variables)
        assert [d.code for d in found] == [code]


OVERLAY = """kind: Dataset
metadata: {name: a}
spec:
  history: {keep: 90d}
  residency: [us]
  protect: null
"""


def test_a_merge_reads_its_sources_in_order_and_comes_after_the_datasets_among_them() -> None:
    spec = """  source:
    merge: [delta+data/a, {dataset: b, columns: {rename: {ID: id}}}, {address: s3://l/c/}]
    on: [id]
    conflict: Last
  destination: out/a/
"""
    dataset = desired(
        dataset_text(spec), dataset_text("  source: delta+d\n  destination: out/b/\n", "b"), LAKE
    ).datasets[0]
    source = dataset.source

    assert [str(part.address or part.dataset) for part in source.merge] == [
        "delta+data/a", "b", "s3://l/c/",
    ]  # fmt: skip
    assert source.merge[1].rename == (("ID", "id"),)
    assert source.merge[2].platform == "lake"
    assert (source.address, source.dataset, source.platform) == (None, None, None)
    assert (source.on, source.conflict) == (("id",), MergeConflict.LAST)
    assert (dataset.depends_on, dataset.format, dataset.mode) == (("b",), "ald", Mode.SNAPSHOT)


def test_an_overlay_merges_maps_replaces_lists_and_removes_with_null() -> None:
    base = ENDS + "  history: {keep: 30d, versions: 4}\n  residency: [eu, de]\n  protect: true\n"
    (found,) = desired(dataset_text(base), overlay=OVERLAY).datasets
    assert found.history == HistorySpec(keep_s=90 * 86400, versions=4)
    assert found.residency == ("us",)
    assert found.protect is False
    assert str(found.places["spec.history.keep"]) == "overlay.yaml:4:19"
    assert str(found.places["spec.history.versions"]) == "0.yaml:7:34"
    assert str(found.places["spec.history"]) == "0.yaml:7:12"
    assert str(found.places["spec.residency[0]"]) == "overlay.yaml:5:15"
    assert "spec.protect" not in found.places


def test_an_overlay_can_complete_a_document_and_an_error_in_it_has_its_place() -> None:
    half = "  source: delta+data/a\n"
    whole = OVERLAY + "  destination: out/a/\n"
    assert codes(dataset_text(half)) == ["MAN114"]
    assert codes(dataset_text(half), overlay=whole) == []
    _, (found,) = run(dataset_text(half), overlay=whole.replace("90d", "ninety"))
    assert (found.code, str(found.locations[0])) == ("MAN116", "overlay.yaml:4:19")


def test_variables_work_in_overlays_and_overlays_on_the_workspace() -> None:
    laid = "kind: Workspace\nspec: {region: '${var.region}'}\n"
    found = desired(VARIABLES, overlay=laid)
    assert found.workspace.region == "eu"


def test_the_required_version_is_compared_number_by_number() -> None:
    text = WORKSPACE.replace("{}", '{requires: ">=1.9, <2"}')
    assert run(text, version="1.10.0")[1] == []
    for version in ("1.8.9", "2.0"):
        assert [d.code for d in run(text, version=version)[1]] == ["MAN131"]
