"""Runs cases in forked children, so that Python and Arrow are imported once and not per case.

    python -m tests.acceptance.crash.launcher

One JSON object a line comes in, one goes out. A case is a workspace; a disturbed `apply` in it is
killed at one point, then another child, undisturbed, runs a command of any kind, applies, and
looks at everything. Each child is forked before any thread exists and is killed for good by its
own alarm, never by the launcher. Their workers are forked too (`nursery`) and have no walls; in a
case with `walls` the disturbed run starts its workers as the product does.
"""

import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from batuta.cli.app import App
from batuta.cli.main import main
from batuta.cli.views.screen import screen_of
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import finding
from batuta.runtime.worker.pool import WorkerPool
from tests.acceptance.crash import points
from tests.acceptance.crash.inspection import look, switch
from tests.acceptance.engines import set_sizes
from tests.acceptance.nursery import Nursery, prepare, without_walls

Case = dict[str, Any]
ALARM_S = 90
GONE_S = 5.0


class KeptPool(WorkerPool):
    """A pool that outlives the commands of one child; its worker ends with the child."""

    def close(self) -> None:
        """Keep the worker for the next command."""


def run(arguments: list[str]) -> int:
    """Run one command in the current folder, as a process of its own would."""
    app = App(out=screen_of(sys.stdout), err=screen_of(sys.stderr), folder=Path.cwd())
    return main(arguments, app)


def forked(
    nursery: Nursery, case: Case, name: str, work: Callable[[Case, socket.socket], int]
) -> int:
    """Run `work` in a child that writes to `<name>.log`; return its exit code, or -signal.

    Its arguments are the case and the way to the nursery.
    """
    folder = Path(case["folder"])
    sys.stdout.flush()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child:
        theirs.close()
        with ours:
            return nursery.tend(child, ours)
    code = 99
    try:
        signal.alarm(ALARM_S)
        ours.close()
        os.environ.update(case["environment"])
        os.chdir(folder)
        log = os.open(folder.parent / f"{folder.name}.{name}.log", os.O_WRONLY | os.O_CREAT, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = work(case, theirs)
    except BaseException:  # noqa: BLE001 - the child ends here whatever happened, and says so
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def behind_walls(case: Case) -> list[int]:
    """Return the workers of a case that were started behind walls and still run after a while."""
    deadline = time.monotonic() + GONE_S
    while (left := workers_of(case["id"])) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def workers_of(case: str) -> list[int]:
    """Return the exec'ed workers of a case that still run."""
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


def disturbed(case: Case, asked: socket.socket) -> int:
    """Apply, counting the points and dying at one of them. One worker: the order is the same."""
    if not case["walls"]:
        without_walls(asked)
    set_sizes(KeptPool(size=1))
    for arguments in case["first"]:
        if (code := run(arguments)) != 0:
            return code
    switch(case["switch"])
    return armed(case["spec"], ["apply", "--yes"], driver=0 if case["walls"] else os.getpid())


def disturbed_again(case: Case, asked: socket.socket) -> int:
    """Run the command that follows a death, and perhaps die in it."""
    without_walls(asked)
    spec, arguments = case["again"]
    return armed(spec, arguments, driver=os.getpid())


def recovered(case: Case, asked: socket.socket) -> int:
    """Look at what the disturbed run left."""
    without_walls(asked)
    set_sizes(KeptPool(size=1))
    return look(case, run)


def armed(spec: str, arguments: list[str], *, driver: int) -> int:
    """Run a command that counts its points and may die at one of them."""
    points.arm_driver(replace(points.Spec.parse(spec), driver=driver))
    set_sizes(WorkerPool(size=1))
    return run(arguments)


def serve(case: Case) -> dict[str, Any]:
    """Run one case from its prepared folder to the answer that the test judges."""
    folder = Path(case["folder"])
    began = time.monotonic()
    nursery = Nursery()
    code = forked(nursery, case, "disturbed", disturbed)
    if case["again"] is not None:
        code = forked(nursery, case, "disturbed again", disturbed_again)
    left = behind_walls(case) if case["walls"] else nursery.left(GONE_S)
    after = forked(nursery, case, "recovered", recovered)
    nursery.end()
    seen = folder.parent / f"{folder.name}.seen.json"
    answer = json.loads(seen.read_text()) if seen.exists() else {"problems": ["no answer"]}
    answer |= {"code": code, "after": after, "workers_left": left}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = round(used.ru_utime + used.ru_stime, 2)
    return answer | {"seconds": round(time.monotonic() - began, 2), "cpu_s": cpu_s}


if __name__ == "__main__":
    prepare()
    finding(Level.ISOLATED)
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), flush=True)
