"""`requires_kernel` skips by name, counts, and fails where skipping is forbidden."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import kernel

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
import pytest
from tests import kernel
from tests.conftest import *
from tests.conftest import pytest_configure, pytest_runtest_setup, pytest_terminal_summary
from tests.conftest import pytest_unconfigure

kernel.PROBES["moon phase"] = lambda: False
kernel.PROBES["gravity"] = lambda: True
"""
CASES = """
from tests.kernel import requires_kernel

@requires_kernel("gravity", "moon phase")
def test_one() -> None: ...

@requires_kernel("moon phase")
def test_two() -> None: ...

@requires_kernel("gravity")
def test_three() -> None: ...
"""


def _run(folder: Path, **env: str) -> str:
    (folder / "conftest.py").write_text(SUITE)
    (folder / "test_cases.py").write_text(CASES)
    options = ["-o", f"cache_dir={folder}/cache", "-c", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(folder)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "BATUTA"))}
    environment = inherited | {"PYTHONPATH": str(ROOT)} | env
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_what_is_missing_is_named_and_counted(tmp_path: Path) -> None:
    said = _run(tmp_path)

    assert "2 skipped for missing kernel parts: moon phase (2)" in said
    assert "1 passed, 2 skipped" in said


def test_skips_become_failures_when_none_are_allowed(tmp_path: Path) -> None:
    said = _run(tmp_path, BATUTA_TESTS_NO_SKIP="1")

    assert "missing kernel part: moon phase" in said
    assert "1 passed, 2 errors" in said


def test_a_part_without_a_probe_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="no probe for"):
        kernel.requires_kernel("good weather")


@pytest.mark.parametrize(
    ("machine", "name"), [("no listener", "seccomp notification"), ("no landlock", "landlock")]
)
@kernel.requires_kernel("landlock", "seccomp notification")
def test_a_poorer_machine_is_seen_to_lack_the_part(machine: str, name: str) -> None:
    asked = f"from tests import kernel; print(kernel.has({name!r}))"
    imitated = [sys.executable, "-m", "tests.attacks.imitation", machine]
    command = [*imitated, sys.executable, "-c", asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_a_test_that_needs_a_part_of_the_kernel_asks_for_it_by_its_name_and_not_by_itself() -> None:
    """One that skips by itself would not be counted, and would not fail in a run that must not skip."""
    own = re.compile(r"pytest\.skip\([^)]*" + kernel.MISSING)
    found = [p.name for p in (ROOT / "tests").rglob("*.py") if own.search(p.read_text())]
    assert found == []
