"""One virtual environment for each server, from its hashed lock, made when first needed.

python -m tests.servers._base.venv seaweedfs peers
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

SERVERS = Path(__file__).resolve().parent.parent
CACHE = SERVERS.parent.parent / ".cache" / "servers"
STAMP = "installed"


def program(server: str, name: str) -> Path:
    """Return the path of a program in the server's environment, installing that first if needed."""
    return ensure(server) / "bin" / name


def ensure(server: str) -> Path:
    """Return the server's environment, made anew when its lock or the interpreter changed.

    Processes that ask at the same time wait for the one that installs.
    """
    lock = SERVERS / server / "requirements.lock"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    environment = CACHE / server
    stamp = environment / STAMP
    if _is(stamp, wanted):
        return environment  # also for who may not write here
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{server}.lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not _is(stamp, wanted):
            _install(environment, lock)
            stamp.write_text(wanted)
    return environment


def _is(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


def _install(environment: Path, lock: Path) -> None:
    print(f"installing {lock.parent.name} into {environment}", file=sys.stderr)
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    hashed = ["--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]
    subprocess.run([*pip, "install", *hashed], check=True)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print(ensure(each))
