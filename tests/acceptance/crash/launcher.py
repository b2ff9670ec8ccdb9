"""Runs cases in forked children, so that Python and Arrow are imported once and not per case.

    python -m tests.acceptance.crash.launcher

One JSON object a line comes in, one goes out. A case is a workspace; a disturbed `apply` in it is
killed at one point, then another child, undisturbed, runs a command of any kind, applies, and
looks at everything. Each child is forked before any thread exists and is killed for good by its
own alarm, never by the launcher.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet  # noqa: F401 - imported here once for all children
import s3fs  # noqa: F401 - likewise

from batuta.cli.app import App
from batuta.cli.main import main
from batuta.cli.views.screen import screen_of
from batuta.connectors.alimentar import store  # noqa: F401 - likewise
from batuta.connectors.aws import files as aws_files  # noqa: F401
from batuta.connectors.local import files as local_files  # noqa: F401
from batuta.runtime.sandbox import levels
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Choice
from batuta.runtime.sandbox.probe import finding
from batuta.runtime.worker.pool import WorkerPool
from batuta.runtime.worker.posting import Errand
from batuta.runtime.worker.warden import Worker
from tests.acceptance.crash import points
from tests.acceptance.crash.inspection import look, switch
from tests.acceptance.engines import set_sizes

ALARM_S = 90
GONE_S = 5.0


class KeptPool(WorkerPool):
    """A pool that outlives the commands of one child; its worker ends with the child."""

    def close(self) -> None:
        """Keep the worker for the next command."""


class OpenPool(KeptPool):
    """The pool of a child that only looks: one worker without walls does all that is local.

    Walls are around the workers of the run that dies. A look at what it left is hundreds of
    launches shorter without them.
    """

    def _fitting(self, errand: Errand) -> Worker | None:
        local = [w for w in self._idle if w.posting.way is None and errand.posting.way is None]
        if local:
            self._idle.remove(local[0])
            return local[0]
        return super()._fitting(errand)


def run(arguments: list[str]) -> int:
    """Run one command in the current folder, as a process of its own would."""
    app = App(out=screen_of(sys.stdout), err=screen_of(sys.stderr), folder=Path.cwd())
    return main(arguments, app)


def forked(folder: Path, name: str, work: Callable[[], int]) -> int:
    """Run `work` in a child that writes to `<name>.log`; return its exit code, or -signal."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        signal.alarm(ALARM_S)
        os.chdir(folder)
        log = os.open(folder.parent / f"{folder.name}.{name}.log", os.O_WRONLY | os.O_CREAT, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = work()
    except BaseException:  # noqa: BLE001 - the child ends here whatever happened, and says so
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def workers_of(case: str) -> list[int]:
    """Return the worker processes that were started for a case and still run."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            command = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue
        if case.encode() in command and b"arm_worker" in command:
            found.append(int(entry))
    return found


def disturbed(case: dict[str, Any]) -> int:
    """Apply, counting the points and dying at one of them. One worker: the order is the same."""
    set_sizes(KeptPool(size=1))
    for arguments in case["first"]:
        if (code := run(arguments)) != 0:
            return code
    switch(case["switch"])
    return armed(case["spec"], ["apply", "--yes"])


def armed(spec: str, arguments: list[str]) -> int:
    """Run a command that counts its points and may die at one of them."""
    points.arm_driver(points.Spec.parse(spec))
    set_sizes(WorkerPool(size=1))
    return run(arguments)


def recovered(case: dict[str, Any]) -> int:
    """Look at what the disturbed run left."""
    levels.choose = lambda *_need: Choice(level=Level.ADVISORY)
    set_sizes(OpenPool(size=1))
    return look(case, run)


def serve(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case from its prepared folder to the answer that the test judges."""
    folder = Path(case["folder"])
    began = time.monotonic()
    code = forked(folder, "disturbed", lambda: disturbed(case))
    if case["again"] is not None:
        spec, arguments = case["again"]
        code = forked(folder, "disturbed again", lambda: armed(spec, arguments))
    deadline = time.monotonic() + GONE_S
    while (left := workers_of(case["id"])) and time.monotonic() < deadline:
        time.sleep(0.01)
    after = forked(folder, "recovered", lambda: recovered(case))
    seen = folder.parent / f"{folder.name}.seen.json"
    answer = json.loads(seen.read_text()) if seen.exists() else {"problems": ["no answer"]}
    answer |= {"code": code, "after": after, "workers_left": left}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = round(used.ru_utime + used.ru_stime, 2)
    return answer | {"seconds": round(time.monotonic() - began, 2), "cpu_s": cpu_s}


if __name__ == "__main__":
    finding(Level.ISOLATED)  # tried once for all children
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), flush=True)
