"""manifests/examples/bring-home: its README, typed as it stands, and what it says of the way back."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.engine import Engine, WorkspaceOptions
from tests.kernel import requires_kernel

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "bring-home"
LINES = re.search(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "bring-home"
    shutil.copytree(EXAMPLE, copy)
    return copy


def typed(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run lines in a shell that stops at the first command that fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": path, "BATUTA_ACTOR": "maria"},
        capture_output=True,
        text=True,
        check=False,
    )


def labels(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Confidentiality, integrity and tier of each dataset that is there."""
    engine = Engine.open(WorkspaceOptions(folder=folder))
    try:
        found = {}
        for where in ("landing/orders", "home/orders", "landing/rates", "home/rates"):
            if (folder / where).exists():
                entry = engine.dataset_log(where)[-1]
                label = entry.label
                found[where] = (label.confidentiality, label.integrity, entry.facts.tier)
        return found
    finally:
        engine.close()


def test_the_readme_brings_both_home_and_neither_goes_out_again(folder: Path) -> None:
    assert LINES is not None
    done = typed(folder, LINES[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error[SOV106]" in done.stdout
    assert "No changes: 4 datasets as wanted" in done.stdout
    assert labels(folder) == {
        "landing/orders": ("PrivateCloud", "PrivateCloud", "PrivateCloud"),
        "home/orders": ("PrivateCloud", "PrivateCloud", "FullySovereign"),
        "landing/rates": ("Standard", "Standard", "Standard"),
        "home/rates": ("Standard", "PrivateCloud", "FullySovereign"),
    }

    (folder / "again").mkdir()
    (part,) = (folder / "home" / "orders").glob("part-*")
    shutil.copy(part, folder / "again" / "harmless.parquet")
    with (folder / "batuta.yaml").open("a") as manifest:
        for name, source in (("leak", "home/orders/"), ("copied", "again/")):
            manifest.write(
                "---\napiVersion: batuta.dev/v1\nkind: Dataset\n"
                f"metadata: {{name: {name}}}\n"
                f"spec: {{source: {source}, destination: out/{name}/, format: parquet,"
                " tier: Standard}\n"
            )
    done = typed(folder, "batuta plan")
    assert done.returncode == 14
    assert done.stdout.count("error[SOV105]") == 2, done.stdout


@requires_kernel("user namespaces")
def test_an_audit_tells_no_gap_where_nothing_could_be_tried_and_one_where_the_log_is_gone(
    folder: Path,
) -> None:
    assert LINES is not None
    audit = "batuta audit orders --out audit.json"
    done = typed(folder, f"{LINES[1]}\n{audit}")
    assert done.returncode == 0, done.stdout + done.stderr
    body = audited(folder)
    assert {run["egress_head"]["n"] for run in body["runs"]} == {0}
    assert body["gaps"] == []

    log = AuditLog(folder / ".batuta" / "egress" / "audit.jsonl")
    log.append(Row(event="refused", dataset="Dataset/orders", host="h.test"))
    log.close()
    with (folder / "data" / "orders.csv").open("a") as orders:
        orders.write(orders_line(folder))
    done = typed(folder, f"batuta apply --yes --select orders-cloud --select orders\n{audit}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert audited(folder)["gaps"] == []
    log.path.unlink()
    assert typed(folder, audit).returncode == 0
    assert any("no egress log here" in gap for gap in audited(folder)["gaps"])


def audited(folder: Path) -> dict[str, Any]:
    envelope = json.loads((folder / "audit.json").read_bytes())
    body: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return body


def orders_line(folder: Path) -> str:
    """One more order, with the values of the last one."""
    return (folder / "data" / "orders.csv").read_text().splitlines()[-1] + "\n"


def test_public_data_stays_outside_until_it_is_endorsed_and_again_once_it_changed(
    folder: Path,
) -> None:
    assert LINES is not None
    unreviewed = "\n".join(line for line in LINES[1].splitlines() if "label approve" not in line)
    assert typed(folder, unreviewed).returncode == 14
    assert "home/rates" not in labels(folder)
    assert labels(folder)["home/orders"][0] == "PrivateCloud"

    approve = next(line for line in LINES[1].splitlines() if "label approve" in line)
    done = typed(folder, f"{approve}\nbatuta apply --yes\nbatuta plan")
    assert done.returncode == 0, done.stdout + done.stderr
    with (folder / "data" / "rates.csv").open("a") as rates:
        rates.write("NOK,11.70\n")
    done = typed(folder, "batuta apply --yes --select rates-public && batuta plan")
    assert done.returncode == 14
    assert "error[SOV106]" in done.stdout
