"""Scenes of beginning and end: machines that give less, steps that fail, supervisors that die."""

import errno
import os
import signal
import socket
import sys
import tempfile
import time
from typing import Any

from batuta.model.diagnostic import BatutaError
from batuta.model.tier import Tier
from batuta.runtime.sandbox import kernel, seccomp
from batuta.runtime.sandbox.confinement import Level, SetupFailed, launch
from batuta.runtime.sandbox.levels import Need, choose
from batuta.runtime.sandbox.probe import finding
from batuta.runtime.sandbox.report import doctor
from batuta.runtime.sandbox.seccomp import Rule, When
from tests.attacks import scenes
from tests.attacks.harness import run_in_worker
from tests.attacks.imitation import MACHINES, install

_NEW_USER, _NEW_PID = 0x10000000, 0x20000000
_EPERM = seccomp.refuse(errno.EPERM)


def machine(name: str) -> dict[str, Any]:
    """Return what a poorer machine gives: the levels, the tiers' choices, and the advice."""
    MACHINES[name]()
    levels = {level.value: finding(level).given for level in Level if level.enforced}
    chosen = {}
    for tier in Tier:
        for local in (True, False):
            for declared in (True, False):
                key = f"{tier} {'local' if local else 'network'} {'declared' if declared else 'derived'}"
                chosen[key] = _chosen(Need(tier=tier, local_ends=local, declared=declared))
    report = doctor()
    steps = [line for each in report.levels for step in each.steps for line in step.lines]
    reasons = {each.level.value: f"{each.step}: {each.reason}" for each in report.levels}
    return {"levels": levels, "chosen": chosen, "steps": steps, "reasons": reasons}


def _chosen(need: Need) -> str:
    try:
        return choose(need).level.value
    except BatutaError as error:
        return f"{error.diagnostics[0].code}: {error.diagnostics[0].fix}"


def machine_attempts(name: str, level: str, group: str, gateway: bool) -> dict[str, Any]:
    """Run a group of attempts at a level of a poorer machine."""
    MACHINES[name]()
    return scenes.attempts([group], level, gateway)


def _deny(call: str, *when: When) -> list[Rule]:
    return [Rule(call, _EPERM, when)]


# For each step, a filter around the helper under which exactly that step fails.
FAULTS: dict[str, tuple[str, list[Rule]]] = {
    "namespaces": ("isolated", _deny("unshare", When(0, _NEW_USER, mask=_NEW_USER))),
    "listener": ("isolated", _deny("listen")),
    "nftables": ("isolated", _deny("socket", When(0, 16))),
    "root": ("isolated", _deny("mount_setattr")),
    "pid": ("isolated", _deny("unshare", When(0, _NEW_PID))),
    "pivot": ("isolated", _deny("umount2")),
    "die-with-parent": ("isolated", _deny("prctl", When(0, kernel.PR_SET_PDEATHSIG))),
    "subreaper": ("sealed", _deny("prctl", When(0, kernel.PR_SET_CHILD_SUBREAPER))),
    "core-limit": ("sealed", _deny("prlimit64", When(1, 4))),
    "capabilities": ("sealed", _deny("prctl", When(0, kernel.PR_CAP_AMBIENT), When(1, 4))),
    "no-new-privileges": ("sealed", _deny("prctl", When(0, kernel.PR_SET_NO_NEW_PRIVS))),
    "landlock": ("sealed", _deny("landlock_restrict_self")),
    "seccomp": ("filtered", _deny("seccomp")),
    "answer": ("filtered", _deny("sendmsg")),
}


def fault(step: str) -> dict[str, Any]:
    """Start a worker where one step fails; return the step named, and whether anything ran."""
    level, rules = FAULTS[step]
    with scenes.places() as folder:
        walls = scenes.confinement(folder, level, gateway=level != "sealed")
        install(*rules)
        scratch = folder / "scratch"
        scratch.mkdir()
        tempfile.tempdir = str(scratch)  # the machine's own holds those of others as well
        named = None
        try:
            run_in_worker(f"open('{folder}/staging/ran', 'w').write('x')", walls)
        except SetupFailed as failed:
            named = failed.step
        ran = (folder / "staging" / "ran").exists()
        left = os.listdir(scratch)
    return {"named": named, "ran": ran, "left": left}


def program_that_is_not_there() -> int:
    """Start a worker whose program cannot be exec'ed; return how it ended."""
    with scenes.places() as folder:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            argv = ["/nonexistent/program"]
            worker = launch(argv, theirs.fileno(), scenes.confinement(folder, "sealed"))
            return worker.wait(20)


def worker_that_waits(level: str, channel: int) -> None:
    """Start a worker that has children, say its keeper's number on `channel`, and wait for ever.

    Every process of the worker holds `channel`; its other end sees when the last has gone.
    """
    code = (
        "import os, socket, sys, time\n"
        "opened = socket.socket(fileno=int(sys.argv[1]))\n"
        "if os.fork() == 0:\n    os.setsid()\n    os.fork()\n"
        "opened.send(b'w')\ntime.sleep(60)\n"
    )
    with scenes.places() as folder:
        walls = scenes.confinement(folder, level)
        argv = [sys.executable, "-I", "-S", "-c", code, str(channel)]
        worker = launch(argv, channel, walls)
        os.write(channel, f"{worker.pid}\n".encode())
        os.close(channel)
        time.sleep(60)


def ending(level: str, how: str) -> dict[str, Any]:
    """End a worker in one of several ways; return what `wait` said and how long it took."""
    codes = {"exit": "import sys; sys.exit(7)", "abort": "import os; os.abort()"}
    code = codes.get(how, "import time; time.sleep(60)")
    with scenes.places() as folder:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            argv = [sys.executable, "-I", "-S", "-c", code]
            worker = launch(argv, theirs.fileno(), scenes.confinement(folder, level))
            started = time.monotonic()
            if how == "kill":
                time.sleep(0.2)
                worker.kill()
            if how == "keeper":
                time.sleep(0.2)
                os.kill(worker.pid, signal.SIGKILL)
            returned = worker.wait(20)
    return {"returned": returned, "seconds": time.monotonic() - started}
