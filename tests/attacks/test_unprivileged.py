"""The core of the table of attacks where nothing is root's: neither the workers, nor pytest."""

import os
import subprocess
import sys

import pytest

from tests.attacks.harness import ROOT
from tests.kernel import requires_kernel

CORE = (
    "test_without_walls_the_attempts_reach_the_sinks",
    "test_nothing_gets_out",
    "test_nothing_of_the_host_is_reached",
    "test_the_way_out_leads_to_the_gateway",
)
GATEWAY = ("names", "addresses", "tls")


@requires_kernel("user namespaces", "network namespaces", "seccomp", "landlock", "nftables")
@pytest.mark.skipif(os.geteuid() != 0, reason="the whole run is an ordinary user's")
@pytest.mark.xdist_group("internet")
def test_the_core_of_the_table_holds_where_pytest_itself_is_not_root() -> None:
    walls = [f"tests/attacks/test_walls.py::{name}" for name in CORE]
    gateway = [f"tests/attacks/test_gateway_{name}.py" for name in GATEWAY]

    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.unprivileged", "-q", "-rs", *walls, *gateway],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout, done.stdout[-4000:]
