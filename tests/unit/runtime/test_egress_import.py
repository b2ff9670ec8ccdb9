"""Lists of hosts as platforms print them become policies; what is something else is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batuta.cli.egress.import_ import FORMS as OFFERED
from batuta.cli.main import main
from batuta.core.egress.stated import FORMS
from batuta.manifest.format import format_text
from batuta.manifest.load import load_documents
from batuta.manifest.resolve import Request, resolve
from batuta.model.diagnostic import BatutaError
from batuta.model.resource import EgressPolicy
from batuta.runtime.egress_import import Naming, imported
from tests.unit.cli.terminal import app_in, written
from tests.unit.manifest.cases import DECLARATIONS

SNOWFLAKE = """[
  {"type": "SNOWFLAKE_DEPLOYMENT", "host": "xy12345.eu-central-1.snowflakecomputing.com", "port": 443},
  {"type": "SNOWFLAKE_DEPLOYMENT_REGIONLESS", "host": "ACME-Prod.snowflakecomputing.com", "port": 443},
  {"type": "STAGE", "host": "sfc-eu-ds1-7-customer-stage.s3.eu-central-1.amazonaws.com", "port": 443},
  {"type": "STAGE", "host": "sfc-eu-ds1-7-customer-stage.s3.eu-central-1.amazonaws.com", "port": 443},
  {"type": "SNOWSQL_REPO", "host": "sfc-repo.snowflakecomputing.com", "port": 443},
  {"type": "OUT_OF_BAND_TELEMETRY", "host": "client-telemetry.snowflakecomputing.com", "port": "443"},
  {"type": "OCSP_CACHE", "host": "ocsp.snowflakecomputing.com", "port": 80}
]
"""
AWS = """{
\t"VpcEndpoints": [
\t\t{"VpcEndpointId": "vpce-1a2b", "VpcEndpointType": "Gateway",
\t\t "ServiceName": "com.amazonaws.eu-central-1.s3", "DnsEntries": []},
\t\t{"VpcEndpointId": "vpce-3c4d", "VpcEndpointType": "Interface",
\t\t "ServiceName": "com.amazonaws.eu-central-1.s3", "DnsEntries": [
\t\t\t{"DnsName": "*.vpce-3c4d-5e6f.s3.eu-central-1.vpce.amazonaws.com", "HostedZoneId": "Z7HUB22UULQXV"}
\t\t]}
\t]
}
"""
AZURE = """{"name": "acmelake", "primaryEndpoints": {
  "blob": "https://acmelake.blob.core.windows.net/", "dfs": "https://acmelake.dfs.core.windows.net/",
  "queue": "https://acmelake.queue.core.windows.net/", "internetEndpoints": null},
 "secondaryEndpoints": null}
"""
HUGGINGFACE = """{"lfsDomains": ["cdn-lfs.hf.co", "transfer.xethub-eu.hf.co"],
 "cdnDomains": ["us.gcp.cdn.hf.co", "*.cdn.hf.co"], "other": 1}
"""
HOSTS = """# the storage of the workspace
acme.cloud.databricks.com
dbstorage-prod.s3.eu-central-1.amazonaws.com:443   # root bucket
lake.acme.test:8443
"""
LISTS = {
    "snowflake-allowlist": SNOWFLAKE, "aws-vpc-endpoints": AWS, "azure-storage-account": AZURE,
    "huggingface-domains": HUGGINGFACE, "hosts": HOSTS,
}  # fmt: skip
ALLOWED = {
    "snowflake-allowlist": [
        ("xy12345.eu-central-1.snowflakecomputing.com", (443,)),
        ("acme-prod.snowflakecomputing.com", (443,)),
        ("sfc-eu-ds1-7-customer-stage.s3.eu-central-1.amazonaws.com", (443,)),
    ],
    "aws-vpc-endpoints": [("*.vpce-3c4d-5e6f.s3.eu-central-1.vpce.amazonaws.com", (443,))],
    "azure-storage-account": [
        ("acmelake.blob.core.windows.net", (443,)),
        ("acmelake.dfs.core.windows.net", (443,)),
    ],
    "huggingface-domains": [
        ("cdn-lfs.hf.co", (443,)), ("transfer.xethub-eu.hf.co", (443,)),
        ("us.gcp.cdn.hf.co", (443,)), ("*.cdn.hf.co", (443,)),
    ],
    "hosts": [
        ("acme.cloud.databricks.com", (443,)),
        ("dbstorage-prod.s3.eu-central-1.amazonaws.com", (443,)),
        ("lake.acme.test", (8443,)),
    ],
}  # fmt: skip
NAMING = Naming(name="imported", tiers=("PrivateCloud",), datasets=("sales*",))


def _policy(text: str) -> EgressPolicy:
    workspace = b"apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n"
    documents, found = load_documents([("batuta.yaml", workspace), ("egress.yaml", text.encode())])
    resolution = resolve(documents, Request(declarations=DECLARATIONS))
    assert [*found, *resolution.diagnostics] == []
    assert resolution.desired is not None
    (policy,) = resolution.desired.egress_policies
    return policy


def _refused(form: str, text: str) -> list[tuple[str, int]]:
    with pytest.raises(BatutaError) as refused:
        imported(form, "list.json", text.encode(), NAMING)
    return [(d.code, d.locations[0].line) for d in refused.value.diagnostics]


def _made(form: str, content: bytes) -> str | BatutaError:
    try:
        return imported(form, "list", content, NAMING)
    except BatutaError as refused:
        return refused


def test_what_the_command_offers_is_what_can_be_read() -> None:
    assert set(OFFERED) == set(FORMS) == set(LISTS)


@pytest.mark.parametrize("form", LISTS)
def test_a_list_becomes_a_policy_with_its_hosts_as_they_are_stated(form: str) -> None:
    policy = _policy(imported(form, "list.json", LISTS[form].encode(), NAMING))
    assert [(rule.host, rule.ports) for rule in policy.allow] == ALLOWED[form]
    assert (policy.name, policy.require_tls) == ("imported", True)
    assert [tier.value for tier in policy.tiers] == ["PrivateCloud"]
    assert policy.datasets == ("sales*",)


@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("naming", [NAMING, Naming(name="named")])
def test_the_document_is_laid_out_as_fmt_does(form: str, naming: Naming) -> None:
    text = imported(form, "list.json", LISTS[form].encode(), naming)
    assert format_text("egress.yaml", text.encode()) == (text.encode(), [])


def test_each_host_says_where_it_comes_from_and_what_was_left_out_why() -> None:
    text = imported("snowflake-allowlist", "list.json", SNOWFLAKE.encode(), NAMING)
    assert "# SNOWFLAKE_DEPLOYMENT, list.json:2\n" in text
    assert "# STAGE, list.json:4\n" in text
    assert "sfc-repo.snowflakecomputing.com:443: workers need it for no data (SNOWSQL_REPO" in text
    assert "ocsp.snowflakecomputing.com:80: plain HTTP, which the gateway lets out" in text


def test_a_wildcard_that_all_customers_share_is_kept_and_marked() -> None:
    text = imported("huggingface-domains", "meta.json", HUGGINGFACE.encode(), NAMING)
    assert '{host: "*.cdn.hf.co"}  # cdnDomains, meta.json:2; any customer of hf.co' in text


def test_the_row_of_a_query_is_taken_as_a_client_prints_it() -> None:
    row = json.dumps([{"SYSTEM$ALLOWLIST()": json.dumps(json.loads(SNOWFLAKE))}])
    policy = _policy(imported("snowflake-allowlist", "row.json", row.encode(), NAMING))
    assert [(r.host, r.ports) for r in policy.allow] == ALLOWED["snowflake-allowlist"]


@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        ("snowflake-allowlist", "", [("EGR401", 1)]),
        ("snowflake-allowlist", "[]", [("EGR401", 1)]),
        ("snowflake-allowlist", "{}", [("EGR401", 1)]),
        ("snowflake-allowlist", SNOWFLAKE[:200], [("EGR401", 3)]),
        ("snowflake-allowlist", '[\n{"type": "STAGE", "port": 443}]', [("EGR401", 2)]),
        ("snowflake-allowlist", '[\n\n{"type": "STAGE", "host": "a.test", "port": true}]', [("EGR401", 3)]),
        ("snowflake-allowlist", '[\n{"type": "STAGE", "host": "a.test", "port": 70000}]', [("EGR401", 2)]),
        ("snowflake-allowlist", '[\n"a.test"]', [("EGR401", 2)]),
        (
            "snowflake-allowlist",
            '[\n{"type": "STAGE", "host": "10.0.0.7", "port": 443},\n'
            '{"type": "STAGE", "host": "a.test", "port": 443},\n'
            '{"type": "STAGE", "host": "a.*.test", "port": 443},\n'
            '{"type": "STAGE", "host": "bücher.test", "port": 443},\n'
            '{"type": "STAGE", "host": "localhost", "port": 443}]',
            [("EGR402", 2), ("EGR402", 4), ("EGR402", 5), ("EGR402", 6)],
        ),
        ("aws-vpc-endpoints", '{"VpcEndpoints": []}', [("EGR401", 1)]),
        ("aws-vpc-endpoints", '{"syncToken": "1", "prefixes": [{"ip_prefix": "3.5.140.0/22"}]}', [("EGR403", 1)]),
        (
            "azure-storage-account",
            '{"values": [{"name": "Storage", "properties": {"addressPrefixes": ["20.38.0.0/17"]}}]}',
            [("EGR403", 1)],
        ),
        ("azure-storage-account", '{"name": "a", "primaryEndpoints":\n {"blob": "a.test"}}', [("EGR401", 2)]),
        ("huggingface-domains", '{"hosts": ["hf.co"]}', [("EGR401", 1)]),
        ("hosts", "\n# nothing\n", [("EGR401", 1)]),
        ("hosts", "a.test\n\nb.test:http\n", [("EGR401", 3)]),
        ("hosts", "a.test\n10.0.0.0/8\n", [("EGR402", 2)]),
        ("hosts", "a.test\nhttps://b.test/\n", [("EGR401", 2)]),
    ],
)  # fmt: skip
def test_what_is_something_else_is_refused_with_its_line(
    form: str, text: str, found: list[tuple[str, int]]
) -> None:
    assert _refused(form, text) == found


def test_nothing_in_a_list_can_add_a_line_to_the_policy() -> None:
    evil = "STAGE\n    - {host: evil.test}"
    text = json.dumps([{"type": evil, "host": "a.test", "port": 443},
                       {"type": "STAGE", "host": "b.test", "port": 443}])  # fmt: skip
    policy = _policy(imported("snowflake-allowlist", "x\n- y", text.encode(), NAMING))
    assert [rule.host for rule in policy.allow] == ["b.test"]


@given(st.sampled_from(sorted(LISTS)), st.binary(max_size=80))
def test_any_bytes_are_a_policy_or_refused(form: str, content: bytes) -> None:
    made = _made(form, content)
    if isinstance(made, BatutaError):
        assert {d.code for d in made.diagnostics} <= {"EGR401", "EGR402", "EGR403"}
    else:
        assert _policy(made).name == "imported"


@given(st.sampled_from(sorted(LISTS)), st.data())
def test_an_edited_list_is_a_policy_of_its_own_hosts_or_refused(
    form: str, data: st.DataObject
) -> None:
    text = LISTS[form]
    at = data.draw(st.integers(0, len(text) - 1))
    edited = (
        text[:at]
        + data.draw(st.sampled_from(["", "x", '"', "{", "[", "\n", "*", ":"]))
        + text[at + 1 :]
    )
    made = _made(form, edited.encode())
    if isinstance(made, BatutaError):
        assert made.diagnostics[0].locations[0].line <= edited.count("\n") + 1
    else:
        assert _policy(made).name == "imported"


def test_the_command_writes_a_file_once_and_again_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(SNOWFLAKE, encoding="utf-8")
    arguments = ["egress", "import", "snowflake-allowlist", "list.json", "-o", "egress.yaml"]
    app = app_in(tmp_path)
    assert main(arguments, app) == 0
    assert "Wrote egress.yaml" in written(app.err)
    first = (tmp_path / "egress.yaml").read_text()
    assert _policy(first).name == "snowflake-allowlist"
    (tmp_path / "egress.yaml").write_text("mine\n")
    app = app_in(tmp_path)
    assert main(arguments, app) == 1
    assert "CLI112" in written(app.err)
    assert (tmp_path / "egress.yaml").read_text() == "mine\n"
    app = app_in(tmp_path)
    assert main([*arguments, "--replace"], app) == 0
    assert "Replaced egress.yaml" in written(app.err)
    assert (tmp_path / "egress.yaml").read_text() == first


def test_the_command_shows_the_line_of_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('[\n{"type": "STAGE", "host": "10.0.0.7", "port": 443}]')
    app = app_in(tmp_path)
    assert main(["egress", "import", "snowflake-allowlist", "list.json"], app) == 3
    assert "error[EGR402]" in written(app.err)
    assert "list.json:2:" in written(app.err)


@pytest.mark.parametrize("file", ["nofile", "folder"])
def test_a_list_that_cannot_be_read_is_no_bug(tmp_path: Path, file: str) -> None:
    (tmp_path / "folder").mkdir()
    app = app_in(tmp_path)
    assert main(["egress", "import", "hosts", file], app) == 3
    assert "error[CLI102]" in written(app.err)
    assert "cannot be read" in " ".join(written(app.err).split())


def test_a_list_by_hand_is_asked_for_as_such(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("lake.acme.test\nlake.acme.test:port\n")
    app = app_in(tmp_path)
    assert main(["egress", "import", "hosts", "hosts.txt"], app) == 3
    assert "hosts.txt:2:" in written(app.err)
    assert "Give a text with a host, or host:port, in each line." in written(app.err)
    assert "output" not in written(app.err)
