"""`batuta egress`: each answer names what decided, with its line, and the way out."""

import json
from pathlib import Path

import pytest
import yaml

from batuta.cli.app import App
from batuta.cli.main import main as run
from batuta.cli.views import egress
from batuta.cli.views.page import Page, plain
from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.egress_view import Own, Status
from tests.unit.cli import golden
from tests.unit.cli.terminal import app_in, written
from tests.unit.runtime.border_workspace import (
    AT_CLOUD,
    AT_LAKE,
    CLOUD,
    LAKE,
    PLAIN,
    dataset,
    engine,
)

STATUS = (
    Status(
        dataset="plain", tier="FullySovereign", derived=True, policy="13f15a567291ddea" * 4,
        hosts=("127.0.0.1:8333",), level="isolated", enforced=True, allowed=1200, refused=3,
        failed=2,
    ),
    Status(
        dataset="far", tier="Standard", derived=False, policy="6ab42af4b5a7e366" * 4,
        hosts=("good.s3.eu-central-1.amazonaws.com:443",), level="advisory", enforced=False,
        allowed=0, refused=0,
    ),
    Status(
        dataset="refused", tier="HybridSovereign", derived=False, policy="e5f6aa12750d0553" * 4,
        hosts=(), level="isolated", enforced=True, allowed=0, refused=0, closed=("SOV101",),
    ),
    Status(
        dataset="too-poor", tier="HybridSovereign", derived=False, policy="e5f6aa12750d0553" * 4,
        hosts=("x.lake.test:443",), level="", enforced=False, allowed=0, refused=0,
    ),
)  # fmt: skip
OWN = Own(allowed=7, refused=1)
FEW = """kind: EgressPolicy
metadata: {name: few}
spec:
  appliesTo: {tiers: [Standard]}
  allow: [{host: "*.s3.eu-central-1.amazonaws.com"}]
  deny: [{host: bad.s3.eu-central-1.amazonaws.com}]
"""
DATASETS = [
    dataset("plain", AT_LAKE, "out/plain/", "egress: lake-plain"),
    dataset("unsaid", AT_LAKE, "out/unsaid/"),
    dataset("cloudy", AT_CLOUD, "out/cloudy/"),
    dataset("bad", '{address: "s3://bad/a/", platform: cloud}', "out/bad/"),
    dataset("tiered", AT_CLOUD, "out/tiered/", "tier: HybridSovereign"),
    dataset("home", "data/", "out/home/", "tier: FullySovereign"),
]
ASKED = {
    "open-plain": ("127.0.0.1:8333", "plain", 0),
    "open-by-wildcard": ("good.s3.eu-central-1.amazonaws.com", "cloudy", 0),
    "not-needed": ("other.s3.eu-central-1.amazonaws.com", "cloudy", 14),
    "denied": ("bad.s3.eu-central-1.amazonaws.com", "bad", 14),
    "plain-unsaid": ("127.0.0.1:8333", "unsaid", 14),
    "tier-forbids": ("good.s3.eu-central-1.amazonaws.com", "tiered", 14),
    "blocked-by-the-tier": ("huggingface.co", "home", 14),
    "no-host": ("0x7f.1", "home", 14),
}


@pytest.fixture
def app(tmp_path: Path) -> App:
    engine(tmp_path, [LAKE, CLOUD, PLAIN, FEW, *DATASETS]).close()
    return app_in(tmp_path)


@pytest.mark.parametrize("name", ASKED)
def test_explain_says_which_rule_decides_and_where_it_stands(app: App, name: str) -> None:
    host, asked, code = ASKED[name]

    assert run(["egress", "explain", host, "--dataset", asked], app) == code
    golden.check(f"egress-explain-{name}.txt", written(app.out))


def test_import_into_a_folder_that_is_not_there_makes_it(app: App, tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("lake.example.com\n")

    words = ["egress", "import", "hosts", "hosts.txt", "--tier", "PrivateCloud"]
    code = run([*words, "--out", "egress/h.yaml"], app)

    assert code == 0, written(app.err)
    assert "lake.example.com" in (tmp_path / "egress" / "h.yaml").read_text()


def test_explain_as_json_holds_the_same(app: App) -> None:
    host = "127.0.0.1:8333"
    code = run(["egress", "explain", host, "--dataset", "unsaid", "--format", "json"], app)
    found = json.loads(written(app.out))

    assert code == 14
    assert (found["host"], found["port"], found["allowed"]) == ("127.0.0.1", 8333, False)
    assert [each["code"] for each in found["refused"]] == ["EGR103"]


@pytest.mark.parametrize("width", [80, 160])
def test_status_names_what_is_refused_and_what_is_not_kept(width: int) -> None:
    text = plain(egress.status(Page(width=width), STATUS, OWN))
    golden.check(f"egress-status-{width}.txt", text)
    assert max(map(len, text.splitlines())) <= width


def test_status_as_metrics_has_the_figure_to_alert_on() -> None:
    text = egress.status_metrics(STATUS, OWN)
    golden.check("egress-status.prom.txt", text)
    assert 'batuta_egress_refused_total{dataset="plain",tier="FullySovereign"} 3\n' in text


def test_status_counts_the_connections_in_the_log(app: App, tmp_path: Path) -> None:
    opened = app.open(connect=False)
    log = AuditLog(opened.egress.log)
    for event, name in (("open", "plain"), ("end", "plain"), ("refused", "plain"),
                        ("refused", "bad"), ("refused", "bad")):  # fmt: skip
        log.append(Row(event=event, dataset=name))
    # The last one is as older logs have it.
    for verdict, code in (("fail", "dns.nxdomain"), ("fail", "gone"), ("deny", "connect.failed")):
        log.append(Row(event="refused", dataset="plain", verdict=verdict, code=code))
    # Two that were let through: one is cut at its byte budget, one finds no credential.
    for verdict, code in (("deny", "budget.bytes"), ("fail", "http.no_credential")):
        log.append(Row(event="open", dataset="tiered", verdict="allow", code="allow"))
        log.append(Row(event="end", dataset="tiered", verdict=verdict, code=code))
    log.close()
    app.close()

    assert run(["egress", "status", "--format", "json"], app) == 0
    found = {each["dataset"]: each for each in json.loads(written(app.out))["datasets"]}
    counts = ("allowed", "refused", "failed")
    assert [found["plain"][name] for name in counts] == [1, 1, 3]
    assert [found["bad"][name] for name in counts] == [0, 2, 0]
    assert [found["tiered"][name] for name in counts] == [2, 1, 1]
    assert found["plain"]["hosts"] == ["127.0.0.1:8333"]
    assert found["plain"]["tier"] == "FullySovereign"
    assert (found["tiered"]["hosts"], found["tiered"]["closed"]) == ([], ["SOV101"])


def test_render_for_people_names_each_host_with_its_line(app: App) -> None:
    assert run(["egress", "render"], app) == 0
    golden.check("egress-render.txt", written(app.out))


@pytest.mark.parametrize("form", ["nftables", "kubernetes", "squid"])
def test_rules_are_rendered_without_raw_tabs_and_name_their_policy(app: App, form: str) -> None:
    assert run(["egress", "render", "--format", form, "--dataset", "plain"], app) == 0
    text = written(app.out)
    digest = app.open().egress.policies("plain")[0].policy.digest

    assert "\t" not in text
    assert digest in text
    assert "127.0.0.1:8333" in text


def test_rules_for_all_datasets_open_what_any_of_them_may_reach(app: App) -> None:
    assert run(["egress", "render", "--format", "squid"], app) == 0
    text = written(app.out)

    assert "127.0.0.1" in text
    assert "good.s3.eu-central-1.amazonaws.com" in text
    assert "dstdomain -n huggingface.co" not in text  # only some of the tiers deny it


def test_rules_are_for_whom_the_options_say_and_name_every_policy(app: App) -> None:
    assert run(["egress", "render", "--format", "nftables", "--user", "1001"], app) == 0
    text = written(app.out)
    assert "meta skuid 1001-1001 jump workers" in text
    found = app.open().egress.policies()
    assert len(found) > 1
    for shared in found:
        assert f"# Policy {shared.policy.digest}\n" in text
        assert f"#   for {', '.join(shared.datasets)}\n" in text


def test_pods_have_the_labels_that_the_options_say(app: App) -> None:
    words = [
        "--pod-label",
        "app.kubernetes.io/name=etl",
        "--pod-label",
        "role=",
        "--dataset",
        "plain",
    ]
    assert run(["egress", "render", "--format", "kubernetes", *words], app) == 0
    spec = yaml.safe_load(written(app.out))["spec"]
    assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "etl", "role": ""}


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "nftables", "--user", "etl"],
        ["--format", "nftables", "--user", "9-1"],
        ["--format", "nftables", "--user", "4294967295"],
        ["--format", "squid", "--user", "1001"],
        ["--user", "1001"],
        ["--format", "kubernetes", "--pod-label", "app"],
        ["--format", "kubernetes", "--pod-label", "app=a b"],
        ["--format", "kubernetes", "--pod-label", "app=a", "--pod-label", "app=b"],
        ["--format", "kubernetes", "--gateway-pod-label", "a/b/c=d"],
        ["--format", "nftables", "--pod-label", "app=etl"],
    ],
)
def test_what_no_rule_could_be_made_of_is_refused(app: App, words: list[str]) -> None:
    assert run(["egress", "render", *words], app) == 3
    assert written(app.out) == ""


def test_a_dataset_that_is_not_there_is_said(app: App) -> None:
    assert run(["egress", "explain", "x.test", "--dataset", "nobody"], app) == 1
    assert "DAT101" in written(app.err)


@pytest.mark.parametrize("port", ["0", "65536", "99999", "9" * 5000])
def test_what_is_no_port_is_refused(app: App, port: str) -> None:
    assert run(["egress", "explain", f"x.test:{port}", "--dataset", "plain"], app) == 3
    assert "is no port from 1 to 65535" in " ".join(written(app.err).split())


@pytest.mark.parametrize("text", ["https://x.test/", "x.test:https", "a b", ""])
def test_a_question_about_no_host_is_not_answered_as_if_it_were_one(app: App, text: str) -> None:
    assert run(["egress", "explain", text, "--dataset", "home"], app) == 3
    assert "is closed" not in written(app.out)


@pytest.mark.parametrize("words", [["egress", "log"], ["egress", "status"]])
def test_a_folder_in_the_place_of_the_log_is_refused_and_no_bug(
    app: App, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / ".batuta" / "egress" / "audit.jsonl").mkdir(parents=True)
    assert run(words, app) == 1
    assert "error[CLI111]" in written(app.err)


def test_words_of_the_status_are_never_cut() -> None:
    lines = plain(egress.status(Page(width=80), STATUS, OWN))
    for word in ("FullySovereign", "HybridSovereign", "isolated", "13f15a56"):
        assert word in lines
