"""Server processes end with their block, and with the process that started them."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers._base import keeper
from tests.servers._base.process import ServerFailedError, free_ports, running, wait_until

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]

STARTER = """
import sys, time
from pathlib import Path
from tests.servers._base.process import running
folder = Path(sys.argv[1])
with running([sys.executable, "-c", "import time; time.sleep(600)"], folder=folder,
             log=folder / "log", env={}) as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""


def _ends(pid: int, timeout_s: float = 10) -> bool:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], timeout_s)[0])
    finally:
        os.close(watched)


def test_a_process_has_ended_when_its_block_has(tmp_path: Path) -> None:
    with running(SLEEPER, folder=tmp_path, log=tmp_path / "log", env={}) as process:
        assert process.poll() is None

    assert process.poll() is not None


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()

    assert _ends(pid)


def test_a_server_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    broken = [sys.executable, "-c", "print('no disk left'); raise SystemExit(3)"]

    with (
        running(broken, folder=tmp_path, log=log, env={}) as process,
        pytest.raises(ServerFailedError, match=r"exit code 3\nno disk left"),
    ):
        wait_until(lambda: False, process, log=log, timeout_s=30)


def test_a_kept_server_ends_with_the_run_even_when_that_is_killed(tmp_path: Path) -> None:
    run = subprocess.Popen(SLEEPER)
    settings = keeper.shared("seaweedfs", tmp_path, run.pid)
    assert settings["endpoint"].startswith("http://127.0.0.1:")
    kept = int((tmp_path / "seaweedfs.pid").read_text())

    run.kill()
    run.wait()

    assert _ends(kept, timeout_s=30)


def test_ports_are_distinct() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
