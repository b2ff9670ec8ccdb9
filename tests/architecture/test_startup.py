"""`batuta --version` answers without loading what only real work needs."""

import subprocess
import sys

import batuta

HEAVY = {"httpx", "numpy", "pyarrow", "pydantic", "rich"}


def test_the_version_needs_no_heavy_library() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "batuta", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}

    assert done.returncode == 0, done.stderr[-2000:]
    assert batuta.__version__ in done.stdout
    assert "batuta" in loaded
    assert sorted(loaded & HEAVY) == []
