"""The program on poorer machines: what it says was lost, and that the quickstart's demo passes.

Each machine takes the better levels away, so that each level is once the best that there is.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.attacks.harness import ROOT
from tests.attacks.imitation import MACHINES
from tests.kernel import requires_kernel

pytestmark = requires_kernel("user namespaces", "network namespaces", "seccomp", "landlock")

BIN = Path(sys.executable).parent
DEMO = ROOT / "manifests" / "quickstart" / "demo.sh"


class Given(NamedTuple):
    """What a machine gives: to a declared FullySovereign tier between local folders, and to a
    PrivateCloud one with an end on the network; and what is said of what it lacks."""

    local: str | None
    network: str | None
    lost: str = ""
    step: str = ""


TABLE = {
    "no root": Given("isolated", "isolated"),
    "root of a namespace": Given("isolated", "isolated"),
    "no nftables": Given(
        "isolated", "isolated", "nft refused its rules", "modprobe nf_tables   # on the host"
    ),
    "no landlock": Given(
        "isolated", "isolated", "the kernel has no Landlock", "--security-opt seccomp=unconfined"
    ),
    "no listener": Given("isolated", "isolated", "Device or resource busy", "lxc config unset"),
    "no user namespaces": Given(
        "sealed", "filtered", "No space left on device", "sysctl -w user.max_user_namespaces=16384"
    ),
    "default container": Given(
        "sealed", "filtered", "Operation not permitted", "--security-opt seccomp=unconfined"
    ),
    "strict container": Given("sealed", None, "Device or resource busy", "lxc config unset"),
    "neither": Given(None, None, "the kernel has no Landlock", "--security-opt seccomp=unconfined"),
}  # fmt: skip
DEMO_MACHINES = ("no root", "default container", "neither")
SYNC_MACHINES = ("no user namespaces", "no nftables", "no landlock")


def imitate(
    machine: str, *command: str, folder: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command on a poorer machine, with the program in its path."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}
    return subprocess.run(
        [sys.executable, "-m", "tests.attacks.imitation", machine, *command],
        cwd=ROOT if folder is None else folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def doctor(machine: str) -> dict[str, Any]:
    done = imitate(machine, "batuta", "doctor", "--format", "json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_table_has_every_machine() -> None:
    assert set(TABLE) == set(MACHINES)


@requires_kernel("nftables")
@pytest.mark.parametrize("machine", TABLE)
def test_doctor_says_what_is_given_what_was_lost_and_what_would_help(machine: str) -> None:
    told, given = doctor(machine), TABLE[machine]

    tiers = {each["tier"]: each for each in told["tiers"]}
    assert tiers["FullySovereign"]["local"] == given.local
    assert tiers["PrivateCloud"]["network"] == given.network
    levels = told["levels"]
    reasons = [each["reason"] for each in levels] + [why for e in levels for _, why in e["lost"]]
    assert any(given.lost in reason for reason in reasons)
    steps = [line for each in levels for step in each["steps"] for line in step["lines"]]
    if given.step:
        assert any(given.step in line for line in steps), steps
    else:
        assert (steps, [reason for reason in reasons if reason]) == ([], [])


@pytest.mark.parametrize("machine", DEMO_MACHINES)
def test_the_demo_passes(machine: str, tmp_path: Path) -> None:
    done = imitate(machine, "sh", str(DEMO), BATUTA_DEMO_FOLDER=str(tmp_path / "demo"))

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # The demo's datasets have derived tiers and two local ends.
    level, lost = TABLE[machine].local, TABLE[machine].lost
    kept = f"workers: enforced, {level}\n" if level else "workers: not enforced, advisory\n"
    assert kept in done.stdout
    assert level or lost in done.stdout
    assert "No changes: 3 datasets as wanted" in done.stdout
    assert "stopped by drift, nothing was touched" in done.stdout


@pytest.mark.parametrize("machine", SYNC_MACHINES)
def test_a_folder_is_synced(machine: str, tmp_path: Path) -> None:
    """One run says what the demo would: it has the same workers."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id\n1\n")
    command = ("batuta", "data", "sync", "in/", "out/", "--format", "parquet", "--yes")
    done = imitate(machine, *command, folder=tmp_path, HOME=str(tmp_path))

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"workers: enforced, {TABLE[machine].local}" in done.stdout
    assert list((tmp_path / "out").glob("*.parquet"))


def test_a_command_runs_inside_and_its_exit_code_comes_back() -> None:
    done = imitate("default container", "sh", "-c", "unshare --user true; echo $?; exit 7")
    assert done.returncode == 7
    assert done.stdout.strip() != "0"
    assert "Operation not permitted" in done.stderr


def test_a_machine_that_is_not_known_is_said() -> None:
    done = imitate("better machine", "true")
    assert done.returncode == 1
    assert "'default container'" in done.stderr
