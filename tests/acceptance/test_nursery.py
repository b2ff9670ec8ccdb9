"""The nursery tells of workers that outlive their driver; else nothing could be wrong with them."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CASE = """
import os, socket, sys
from tests.acceptance.nursery import Forked, Nursery

nursery, (ours, theirs) = Nursery(), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
child = os.fork()
if child == 0:
    ours.close()
    channel, inside = socket.socketpair()
    argv = ["python", "-I", "-c", sys.argv[1], str(inside.fileno())]
    worker = Forked(theirs, argv, pass_fds=[inside.fileno()], env={"ONLY": "this"})
    inside.close()
    told = channel.recv(4096)
    os.write(1, told + b"\\n")
    if told == b"ending":
        os.write(1, str(worker.wait()).encode() + b"\\n")
    os._exit(0)
theirs.close()
nursery.tend(child, ours)
print(len(nursery.left(float(sys.argv[2]))))
nursery.end()
print(len(nursery.left(0)))
"""
BEGIN = "import os, socket, sys; channel = socket.socket(fileno=int(sys.argv[1])); "


def answers(worker: str, wait_s: float = 30.0) -> list[str]:
    """Return what a driver hears of a worker, then how many are left of it before and after `end`."""
    command = [sys.executable, "-c", CASE, BEGIN + worker, str(wait_s)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_worker_that_outlives_its_driver_is_left_until_it_is_ended() -> None:
    stays = "channel.send(b'here'); import time; time.sleep(60)"
    assert answers(stays, wait_s=0.2) == ["here", "1", "0"]


def test_a_worker_that_ends_with_its_driver_is_not_left() -> None:
    assert answers("channel.send(b'here'); channel.recv(1)") == ["here", "0", "0"]


def test_a_driver_hears_how_its_worker_ended() -> None:
    dies = "channel.send(b'ending'); os.kill(os.getpid(), 9)"
    assert answers(dies) == ["ending", "-9", "0", "0"]
    assert answers("channel.send(b'ending'); os._exit(7)") == ["ending", "7", "0", "0"]


def test_a_worker_has_its_channel_and_its_environment_and_nothing_else() -> None:
    seen = "import json; found = [len(os.listdir('/proc/self/fd')), dict(os.environ)]; "
    heard, *_ = answers(seen + "channel.send(json.dumps(found).encode())")
    # Three that lead nowhere, the channel, and the one by which it looks.
    assert json.loads(heard) == [5, {"ONLY": "this"}]
