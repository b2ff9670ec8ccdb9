"""The attack suite as an ordinary user, from a shell of root.

    python -m tests.attacks.unprivileged
    python -m tests.attacks.unprivileged tests/acceptance/egress tests/unit/runtime -q

Pytest itself, and all that it starts, runs as a user that no account of the machine has, with no
capability, with a HOME and a TMPDIR of its own, and without a right to write in the project.
Arguments are those of pytest; left out, it is the attack suite. Where the shell is not root's,
the suite runs as whoever that is.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.attacks.driver import become
from tests.attacks.harness import ROOT, SOMEBODY, _environment
from tests.kernel import NO_SKIP


def main() -> None:
    """Run pytest as somebody else and end as it ends."""
    arguments = sys.argv[1:] or ["tests/attacks", "-q"]
    home = Path(tempfile.mkdtemp(prefix="batuta-somebody-"))
    child = os.fork()
    if child == 0:
        _run(home, arguments)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(home, ignore_errors=True)
    sys.exit(os.waitstatus_to_exitcode(status))


def _run(home: Path, arguments: list[str]) -> None:
    temporary = home / "tmp"
    temporary.mkdir()
    if os.geteuid() == 0:
        for each in (home, temporary):
            os.chown(each, SOMEBODY, SOMEBODY)
        become(SOMEBODY)
    os.chdir(ROOT)
    kept = {name: os.environ[name] for name in (NO_SKIP,) if name in os.environ}
    environment = _environment() | kept | {"HOME": str(home), "TMPDIR": str(temporary)}
    # Nothing is written in the project, which is somebody else's.
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={home}/cache", *arguments]
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    main()
