"""`batuta egress`: each answer names what decided, with its line, and the way out."""

import json
from pathlib import Path

import pytest

from batuta.cli.app import App
from batuta.cli.main import main as run
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


def test_explain_as_json_holds_the_same(app: App) -> None:
    host = "127.0.0.1:8333"
    code = run(["egress", "explain", host, "--dataset", "unsaid", "--format", "json"], app)
    found = json.loads(written(app.out))

    assert code == 14
    assert (found["host"], found["port"], found["allowed"]) == ("127.0.0.1", 8333, False)
    assert [each["code"] for each in found["refused"]] == ["EGR103"]


def test_a_dataset_that_is_not_there_is_said(app: App) -> None:
    assert run(["egress", "explain", "x.test", "--dataset", "nobody"], app) == 1
    assert "DAT101" in written(app.err)
