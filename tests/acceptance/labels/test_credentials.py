"""The group `credential` of the attack table: canaries go in, and come out nowhere."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import yaml

from batuta.runtime.planning import PlanRequest
from batuta.runtime.worker.pool import WorkerPool
from tests.acceptance.labels.shell import PUBLIC, Shell
from tests.acceptance.laws.bench import document
from tests.plain import plain_policy

ATTACKS = Path(__file__).parents[2] / "data" / "egress" / "attacks.yaml"
CANARIES = [f"canary{n:02d}/secret+value" for n in range(12)]
HF = "hf_" + "CANARY" * 6
ARGUMENTS = {
    "EG-211": [[f"--token={HF}"], ["--token", HF], ["--password=CANARY"]],
    "EG-214": [["-p", "CANARY"], ["-pCANARY"]],
    "EG-217": [
        ["AKIA" + "CANARYCANARY1234"], ["ASIA" + "CANARYCANARY1234"], ["dapi" + "0a" * 16],
        ["ghp_" + "CANARY" * 6], ["-----BEGIN " + "PRIVATE KEY-----CANARY"],
        ["eyJ" + "CANARY" * 3 + ".eyJ" + "CANARY" * 3 + ".x"],
        ["--var", "x=" + HF],
    ],
}  # fmt: skip


def test_every_row_of_the_group_has_a_test_here_or_beside_the_code() -> None:
    rows = {row["id"] for row in yaml.safe_load(ATTACKS.read_text())["attacks"]
            if row["group"] == "credential"}  # fmt: skip
    beside = {"EG-226", "EG-232"}  # tests/unit/runtime/test_secrets.py
    here = {*ARGUMENTS, "EG-220", "EG-223", "EG-229"}
    assert rows == here | beside


@pytest.mark.parametrize(
    "arguments", [row for rows in ARGUMENTS.values() for row in rows], ids=lambda row: row[0][:12]
)
def test_a_secret_in_the_arguments_is_refused_and_not_repeated(
    shell: Shell, arguments: list[str]
) -> None:
    assert shell("data", "sync", *arguments, "out/") == 3
    assert "CANARY" not in shell.said
    assert not (shell.folder / ".batuta").exists()


def test_a_secret_in_a_manifest_is_refused_and_not_repeated(shell: Shell) -> None:
    """EG-220."""
    lake = document("Platform", "lake", {
        "type": "aws", "credentials": {"secretAccessKey": CANARIES[0]},
    })  # fmt: skip
    (shell.folder / "batuta.yaml").write_text(
        json.dumps(document("Workspace", "w", {})) + "\n---\n" + json.dumps(lake) + "\n"
    )
    assert shell("plan") == 3
    assert "MAN125" in shell.said
    assert CANARIES[0] not in shell.said


def _spellings() -> list[bytes]:
    found: set[str] = set()
    for canary in CANARIES:
        found |= {canary, quote(canary, safe=""), base64.b64encode(canary.encode()).decode()[:-3]}
    return [text.encode() for text in found]


NOBODY = "http://127.0.0.1:9"


def _lake(number: int, credentials: dict[str, str]) -> list[dict[str, Any]]:
    """A store where nobody listens, for the way of a failure is where secrets spill; and its reader."""
    endpoint = NOBODY
    platform = {
        "type": "aws", "network": "OnPrem", "region": "r", "cidrs": ["127.0.0.0/8"],
        "endpoints": [endpoint], "credentials": credentials,
        "aws": {"endpoint": endpoint, "pathStyle": True},
    }  # fmt: skip
    reader = {
        "source": {"address": "s3://bucket/x/", "platform": f"lake{number}"},
        "destination": f"out{number}/", "format": "files",
    }  # fmt: skip
    return [
        document("Platform", f"lake{number}", platform),
        document("Dataset", f"d{number}", reader),
    ]


def _write_canaries(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_ID", CANARIES[0])
    monkeypatch.setenv("CANARY_TOKEN", CANARIES[1])
    for number in (2, 3):
        path = shell.folder / f"secret{number}"
        path.write_text(CANARIES[number])
        path.chmod(0o600)
    command = f"command:cat {shell.folder}/secret3"
    shell.table("here", PUBLIC)
    documents = [
        document("Workspace", "w", {}),
        plain_policy(NOBODY),
        *_lake(0, {"accessKeyId": "env:CANARY_ID", "secretAccessKey": "file:secret2"}),
        *_lake(1, {"accessKeyId": "env:CANARY_TOKEN", "secretAccessKey": command}),
        document("Dataset", "local", {"source": "here/", "destination": "kept/", "format": "ald"}),
    ]
    text = "---\n".join(json.dumps(each) + "\n" for each in documents)
    (shell.folder / "batuta.yaml").write_text(text)


def test_no_artefact_holds_a_canary_of_any_kind_in_any_spelling(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EG-223: plan, state, cache, logs, reports and all that is said, where a store refuses."""
    _write_canaries(shell, monkeypatch)
    said = ""
    shell.well("keys", "generate")
    for words in (
        ("plan", "--out", "saved.json"), ("plan", "--format", "json"), ("apply", "--yes"),
        ("render",), ("runs",), ("state", "list"), ("audit", "local", "--out", "audit.json"),
        ("label", "history", "local"),
    ):  # fmt: skip
        shell(*words)
        said += shell.out + shell.err
    assert (shell.folder / "kept").exists(), said

    artefacts = {
        path.relative_to(shell.folder).as_posix(): path.read_bytes()
        for path in shell.folder.rglob("*")
        if path.is_file() and not path.name.startswith("secret")
    }
    assert {"saved.json", "audit.json", ".batuta/state.db"} <= artefacts.keys()
    found = [
        (name, text)
        for text in _spellings()
        for name, content in {**artefacts, "said": said.encode()}.items()
        if text in content
    ]
    assert found == []


def test_a_workers_environment_and_arguments_hold_no_credential(
    monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    """EG-229."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARIES[4])
    shell.table("here", PUBLIC)
    pool = WorkerPool(size=1)
    before = set(psutil.Process().children(recursive=True))
    with shell.open() as engine:
        engine.pool = pool
        dataset = engine.loader.single(
            "apiVersion: batuta.dev/v1\nkind: Dataset\nmetadata: {name: x}\n"
            "spec: {source: here/, destination: out/, format: ald}\n"
        )
        engine.plan(PlanRequest(single=dataset), lambda _event: None)
        fresh = set(psutil.Process().children(recursive=True)) - before
        arguments = [_seen(process.pid, "cmdline") for process in fresh]
        environments = [_seen(process.pid, "environ") for process in fresh]
    assert any(arguments)
    assert any(environments)
    assert not any(CANARIES[4].encode() in each for each in (*arguments, *environments))


def _seen(pid: int, name: str) -> bytes:
    """What an onlooker with the rights of this process sees of another; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
    except PermissionError:
        return b"not to be seen, but by a root that may trace"
