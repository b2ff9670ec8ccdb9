"""manifests/examples/bring-home: its README, typed as it stands, and what it says of the way back."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batuta.runtime.engine import Engine, WorkspaceOptions

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
