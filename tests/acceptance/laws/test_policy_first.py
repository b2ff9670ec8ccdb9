"""What a tier or an egress policy forbids is refused before anything is contacted for it."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batuta.model.diagnostic import StalePlan
from batuta.model.plan import Blocked
from tests.acceptance.laws.bench import Bench, Json, codes, document, lake, lake_environment
from tests.acceptance.laws.sources import on_s3, opaque, parquet
from tests.conftest import Place
from tests.plain import plain_policy


class Ear:
    """Listens on loopback, counts who connects, and answers nobody."""

    def __init__(self) -> None:
        self.heard = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                made, _ = self._socket.accept()
            except OSError:
                return
            self.heard += 1
            made.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.close()


def _platform(ear: Ear, **more: Any) -> Json:
    spec = {
        "type": "aws", "region": "r", "network": "OnPrem", "endpoints": [ear.endpoint],
        "cidrs": ["127.0.0.0/8"], "aws": {"endpoint": ear.endpoint, "pathStyle": True},
        "credentials": {"accessKeyId": "env:EAR_ID", "secretAccessKey": "env:EAR_KEY"},
    }  # fmt: skip
    return document("Platform", "lake", {**spec, **more})


@contextmanager
def _keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EAR_ID", "id")
    monkeypatch.setenv("EAR_KEY", "key")
    yield


IN = {"source": "s3://bucket/in/", "destination": "out/"}
OUT = {"source": "data/", "destination": "s3://bucket/out/"}
DENYING = document("EgressPolicy", "no", {
    "appliesTo": {"datasets": ["*"]}, "allow": [{"host": "127.0.0.1", "ports": [1]}],
    "deny": [{"host": "127.0.0.1"}],
})  # fmt: skip
REFUSED = {
    "plain endpoint": ({}, [], {}, "EGR103"),
    "tier": ({"network": "Public", "cidrs": None}, [], {"tier": "PrivateCloud"}, "SOV101"),
    "plain beyond the site": ({"network": "Vpc", "cidrs": None}, [], {}, "EGR104"),
    "denied host": ({}, [DENYING], {}, "EGR102"),
}


@pytest.mark.parametrize("ends", [IN, OUT], ids=["in", "out"])
@pytest.mark.parametrize("why", REFUSED)
def test_what_is_forbidden_is_never_contacted(
    tmp_path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch, why: str, ends: Json
) -> None:
    platform, others, fields, code = REFUSED[why]
    made = _platform(ear, **platform)
    made["spec"] = {k: v for k, v in made["spec"].items() if v is not None}
    opaque(tmp_path / "data", None)
    bench = Bench(tmp_path, others=[made, *others])
    bench.write({"d": {**ends, **fields}})
    with _keys(monkeypatch):
        found = bench.plan()
        drift = bench.run("drift", timeout_s=60)
        apply = bench.run("apply", "--yes", timeout_s=60)
        beside = f"{ends['destination'].rstrip('/')}-sync/"
        sync = bench.run("data", "sync", ends["source"], beside, timeout_s=60)

    assert code in codes(found)["d"]
    (action,) = found.plan.actions
    assert isinstance(action, Blocked)
    assert action.diagnostics[0].locations
    assert [drift.returncode, apply.returncode] == [14, 14], drift.stderr + apply.stderr
    assert sync.returncode == 14, sync.stderr
    assert ear.heard == 0


def test_the_ear_hears_what_is_allowed(
    tmp_path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this, silence would prove nothing."""
    bench = Bench(tmp_path, others=[_platform(ear), plain_policy(ear.endpoint)])
    bench.write({"d": IN})
    with _keys(monkeypatch):
        bench.plan()

    assert ear.heard > 0


def test_a_dataset_that_may_be_contacted_is_planned_beside_one_that_may_not(
    tmp_path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet(tmp_path / "data", None)
    bench = Bench(tmp_path, others=[_platform(ear)])
    bench.write({"far": IN, "near": {"source": "data/", "destination": "near/"}})
    with _keys(monkeypatch):
        found = bench.plan()

    assert codes(found) == {"far": ["EGR103"]}
    assert found.plan.has_changes
    assert found.plan.read == ("local",)
    assert ear.heard == 0


def test_data_cat_of_a_closed_place_is_refused(
    tmp_path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, others=[_platform(ear)])
    bench.write({"d": OUT})
    with _keys(monkeypatch):
        said = [bench.run("data", "cat", where) for where in ("d", "s3://bucket/other/")]

    assert [each.returncode for each in said] == [14, 14], said[0].stderr
    assert ear.heard == 0


@pytest.mark.server
def test_a_plan_carries_the_policies_that_apply_and_is_applied_without_manifests(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    made = on_s3(opaque)(tmp_path / "t", bucket)
    other = plain_policy("http://127.0.0.9:9", name="other")
    other["spec"]["appliesTo"] = {"datasets": ["nobody*"]}
    bench = Bench(tmp_path / "ws", others=[*lake(bucket), other])
    bench.workspace = {"enforcement": "Declared"}
    bench.write({"d": {"source": made.spec, "destination": "out/"}})
    saved = bench.run("plan", "--out", "plan.json")
    assert saved.returncode == 0, saved.stderr
    plan = json.loads((tmp_path / "ws/plan.json").read_text())["plan"]

    assert [each["name"] for each in plan["egress"]] == ["plain"]
    assert plan["egress"][0]["places"] == {}
    assert plan["site"] == {"proxy": None, "ca_file": None, "required": False}

    (tmp_path / "ws/batuta.yaml").write_text(
        "apiVersion: batuta.dev/v1\nkind: Workspace\nmetadata: {name: laws}\nspec: {}\n"
    )
    applied = bench.run("apply", "--yes", "plan.json")
    assert applied.returncode == 0, applied.stderr + applied.stdout


@pytest.mark.server
def test_a_policy_that_was_edited_makes_the_saved_plan_stale(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake_environment(bucket).items():
        monkeypatch.setenv(name, value)
    made = on_s3(opaque)(tmp_path / "t", bucket)
    platform, policy = lake(bucket)
    bench = Bench(tmp_path / "ws", others=[platform, policy])
    wanted = {"d": {"source": made.spec, "destination": "out/"}}
    bench.write(wanted)
    envelope = bench.plan()
    edited = {**policy, "spec": {**policy["spec"], "maxBytes": "1Ki"}}
    bench.others = [platform, edited]
    bench.write(wanted)

    with pytest.raises(StalePlan) as caught:
        bench.apply_saved(envelope)
    assert [d.code for d in caught.value.diagnostics] == ["PLN125"]


@pytest.mark.server
def test_a_sync_from_a_store_on_this_machine_needs_one_document(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder it is refused with the document to write; with it the same line works."""
    made = on_s3(opaque)(tmp_path / "t", bucket)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bench = Bench(folder)
    environment = {**os.environ, **bucket.server.environment()}
    refused = bench.run("data", "sync", made.spec, "./out/", environment=environment)
    assert refused.returncode == 14, refused.stderr + refused.stdout
    lines = [each.strip() for each in refused.stdout.splitlines()]
    start = lines.index("apiVersion: batuta.dev/v1")
    workspace = "apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n---\n"
    (folder / "batuta.yaml").write_text(workspace + "\n".join(lines[start : start + 4]) + "\n")

    words = ("data", "sync", made.spec, "./out/", "--egress", "aws-plain")
    synced = bench.run(*words, environment=environment)
    assert synced.returncode == 0, synced.stderr + synced.stdout
    assert (folder / "out/a.bin").is_file()
    assert bench.run("validate", environment=environment).returncode == 0

    shown = bench.run(*words, "--print-manifest", environment=environment)
    assert "network: OnPrem" in shown.stdout
    assert "egress: aws-plain" in shown.stdout


@pytest.mark.server
def test_a_store_on_this_machine_has_one_tier_by_command_and_by_what_it_prints(
    tmp_path: Path, bucket: Place
) -> None:
    """Nothing leaves the machine, so that the most sovereign tier admits it, either way."""
    made = on_s3(opaque)(tmp_path / "t", bucket)
    bench = Bench(tmp_path / "home")
    bench.folder.mkdir()
    environment = {**os.environ, **bucket.server.environment()}
    port = bucket.server.environment()["AWS_ENDPOINT_URL"].rpartition(":")[2]
    allowed = f"[{{host: 127.0.0.1, ports: [{port}]}}]"
    (bench.folder / "batuta.yaml").write_text(
        "apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n---\n"
        "apiVersion: batuta.dev/v1\nkind: EgressPolicy\nmetadata: {name: aws-plain}\n"
        f"spec: {{requireTls: false, allow: {allowed}}}\n"
    )
    words = ("data", "sync", made.spec, "./out/", "--egress", "aws-plain")
    typed = bench.run(*words, "--dry-run", environment=environment)
    shown = bench.run(*words, "--print-manifest", environment=environment)
    (bench.folder / "x.yaml").write_text(shown.stdout)
    declared = bench.run("plan", environment=environment)
    tiers = [
        [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("tier:")]
        for done in (typed, declared)
    ]
    assert tiers[0] == tiers[1]
    assert tiers[0][0].startswith("tier: FullySovereign (derived)")
