"""Fail closed: on machines that give less, when a step fails, and when somebody dies."""

import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batuta.model.diagnostic import BatutaError
from batuta.model.tier import Tier
from batuta.runtime.sandbox.levels import Need, choose
from batuta.runtime.sandbox.probe import Finding
from tests.attacks import lifecycle
from tests.attacks.harness import ROOT, _environment, call_here
from tests.kernel import requires_kernel

pytestmark = requires_kernel("user namespaces", "network namespaces", "seccomp", "landlock")

LEVELS = ["isolated", "sealed", "filtered"]
SEALED_AND_FILTERED = {"isolated": False, "sealed": True, "filtered": True}


def _machine(name: str) -> dict[str, Any]:
    told: dict[str, Any] = call_here("tests.attacks.lifecycle:machine", name=name)
    return told


@pytest.mark.parametrize("name", ["no user namespaces", "default container"])
def test_without_user_namespaces_sealed_and_filtered_are_given(name: str) -> None:
    told = _machine(name)

    assert told["levels"] == SEALED_AND_FILTERED
    assert told["reasons"]["isolated"].startswith("namespaces: ")
    chosen = told["chosen"]
    assert chosen["FullySovereign local declared"] == "sealed"
    assert chosen["PrivateCloud network declared"] == "filtered"
    assert chosen["Standard network derived"] == "filtered"
    # Through the gateway these two need a namespace, or a policy that says otherwise.
    assert chosen["FullySovereign network declared"].startswith("EGR201: ")
    assert chosen["HybridSovereign network declared"].startswith("EGR201: ")
    assert chosen["HybridSovereign network derived"] == "advisory"


def test_what_would_help_is_said_where_user_namespaces_are_switched_off() -> None:
    assert "sysctl -w user.max_user_namespaces=16384" in _machine("no user namespaces")["steps"]


def test_without_landlock_isolated_goes_on_and_the_others_do_not() -> None:
    told = _machine("no landlock")

    assert told["levels"] == {"isolated": True, "sealed": False, "filtered": False}


def test_root_of_a_user_namespace_gets_every_level() -> None:
    told = _machine("root of a namespace")

    assert set(told["levels"].values()) == {True}


def test_where_nothing_can_be_enforced_declared_tiers_are_refused() -> None:
    told = _machine("neither")

    assert set(told["levels"].values()) == {False}
    refused = {key for key, choice in told["chosen"].items() if choice.startswith("EGR201")}
    assert refused == {
        f"{tier} {ends} declared"
        for tier in Tier
        for ends in ("local", "network")
        if tier is not Tier.STANDARD
    }
    rest = {choice for key, choice in told["chosen"].items() if key not in refused}
    assert rest == {"advisory"}


@pytest.mark.parametrize(("level", "gateway"), [("sealed", False), ("filtered", True)])
@pytest.mark.parametrize("name", ["no user namespaces", "default container"])
@pytest.mark.parametrize("group", ["escapes", "files"])
def test_the_levels_of_a_container_hold(name: str, level: str, gateway: bool, group: str) -> None:
    done = call_here(
        "tests.attacks.lifecycle:machine_attempts", name=name, level=level, group=group,
        gateway=gateway,
    )  # fmt: skip

    assert [each["name"] for each in done["outcomes"] if each["done"]] == []
    assert done["reached"] == []


@pytest.mark.parametrize(("level", "gateway"), [("sealed", False), ("filtered", True)])
def test_work_goes_on_in_a_container(level: str, gateway: bool) -> None:
    done = call_here(
        "tests.attacks.lifecycle:machine_attempts", name="default container", level=level,
        group="works", gateway=gateway,
    )  # fmt: skip

    assert [each for each in done["outcomes"] if not each["done"]] == []


@pytest.mark.parametrize("tier", [t for t in Tier if t is not Tier.STANDARD])
def test_another_system_than_linux_refuses_declared_tiers(tier: Tier) -> None:
    nothing = Finding(given=False, step="system", reason="this is darwin on arm64")

    with pytest.raises(BatutaError) as refused:
        choose(Need(tier=tier, local_ends=True), lambda _: nothing)

    assert refused.value.diagnostics[0].code == "EGR201"
    assert "darwin" in refused.value.diagnostics[0].detail


@requires_kernel("nftables")
@pytest.mark.parametrize("step", lifecycle.FAULTS)
def test_when_a_step_fails_the_worker_never_runs(step: str) -> None:
    told = call_here("tests.attacks.lifecycle:fault", step=step)

    assert told == {"named": step, "ran": False, "left": []}


def test_a_program_that_is_not_there_ends_as_such() -> None:
    assert call_here("tests.attacks.lifecycle:program_that_is_not_there") == 126


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("how", "returned"), [("exit", 7), ("abort", -6), ("kill", -9), ("keeper", -9)]
)
def test_a_worker_ends_as_it_ended(level: str, how: str, returned: int) -> None:
    told = call_here("tests.attacks.lifecycle:ending", level=level, how=how)

    assert told["returned"] == returned
    assert told["seconds"] < 5


@pytest.mark.parametrize("level", LEVELS)
def test_when_the_supervisor_is_killed_every_process_of_the_worker_goes(
    level: str, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            code = (
                "from tests.attacks.lifecycle import worker_that_waits; "
                f"worker_that_waits({level!r}, {theirs.fileno()})"
            )
            supervisor = subprocess.Popen(
                [sys.executable, "-c", code], pass_fds=(theirs.fileno(),),
                cwd=ROOT, env={**_environment(), "TMPDIR": str(tmp_path)},
            )  # fmt: skip
        ours.settimeout(20)
        told = b""
        while told.count(b"w") < 3:  # the worker and two children hold the other end now
            told += ours.recv(100)
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()

        # The end is seen when the last process that holds the other one has gone.
        assert select.select([ours], [], [], 5)[0]
        assert ours.recv(100) == b""
