"""Keeps one server running for a whole test run, and ends it with the run.

    python -m tests.servers._base.keeper NAME FOLDER PID

Test workers come and go, so none of them can own a server that the others use. This process owns
it: it writes the server's settings to FOLDER/NAME.json once the server answers, and stops the server
when it is told to (SIGTERM) or when process PID, the test run itself, is no more, however it ended.
"""

import contextlib
import fcntl
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers._base.process import STOP_TIMEOUT_S, ServerFailedError

START_TIMEOUT_S = 180.0  # the first start of all installs the server too


def shared(name: str, folder: Path, run_pid: int) -> dict[str, str]:
    """Return the settings of the server that the run in `folder` shares, starting it if needed."""
    settings, log = folder / f"{name}.json", folder / f"{name}.keeper.log"
    with _gate(folder / f"{name}.gate"):
        if not settings.exists():
            command = [sys.executable, "-m", __name__, name, str(folder), str(run_pid)]
            root = Path(__file__).resolve().parents[3]
            with log.open("ab") as out:
                keeper = subprocess.Popen(
                    command,
                    cwd=root,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            (folder / f"{name}.pid").write_text(str(keeper.pid))
            _await(settings, keeper, log)
            keeper.returncode = 0  # not this process's to wait for: the run stops it, see stop_all
    answer: dict[str, str] = json.loads(settings.read_text())
    return answer


def stop_all(folder: Path) -> None:
    """Stop every server of the run and wait until they have ended."""
    for file in folder.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            keeper = os.pidfd_open(int(file.read_text()))
            try:
                signal.pidfd_send_signal(keeper, signal.SIGTERM)
                _has_ended(keeper, timeout_s=STOP_TIMEOUT_S + 5)
            finally:
                os.close(keeper)
        file.unlink()


def keep(name: str, folder: Path, run_pid: int) -> None:
    """Run the server until SIGTERM comes or the test run ends."""
    told_to_stop, wake = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(wake, b"x") and None)
    try:
        run = os.pidfd_open(run_pid)
    except ProcessLookupError:
        return
    server_class = importlib.import_module(f"tests.servers.{name}").SERVER
    home = folder / name
    home.mkdir(exist_ok=True)
    with server_class.start(home) as server:
        draft = folder / f"{name}.draft"
        draft.write_text(json.dumps(server.settings()))
        draft.rename(folder / f"{name}.json")
        select.select([run, told_to_stop], [], [])


def _await(settings: Path, keeper: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not settings.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.kill()
            raise ServerFailedError(log.read_text(errors="replace")[-4000:])
        time.sleep(0.05)


def _has_ended(pidfd: int, *, timeout_s: float) -> bool:
    return bool(select.select([pidfd], [], [], timeout_s)[0])


@contextlib.contextmanager
def _gate(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
