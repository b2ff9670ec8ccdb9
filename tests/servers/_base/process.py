"""Server processes that cannot outlive the process that started them, and ports for them."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")
LOOPBACK = "127.0.0.1"
STOP_TIMEOUT_S = 20.0
# Below the range from which Linux takes ports for outgoing connections, so that neither a port
# nor its twin 10000 higher can be taken by a client between the check and the bind.
FIRST_PORT, LAST_PORT = 11_000, 21_000
TWIN = 10_000


class ServerFailedError(RuntimeError):
    """The server ended, or did not answer in time. The message holds the end of its log."""


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    env: Mapping[str, str],
    stop_timeout_s: float = STOP_TIMEOUT_S,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `command` inside the block; afterwards terminate it and wait until it has ended.

    The kernel also kills it when the calling thread ends, so enter this from a thread that lives
    as long as the server must: in practice, the main thread.
    """
    tether: list[str | Path] = [sys.executable, "-I", "-S", TETHER, str(os.getpid())]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*tether, *command],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process, stop_timeout_s)


def stop(process: "subprocess.Popen[bytes]", timeout_s: float = STOP_TIMEOUT_S) -> None:
    """End the process: SIGTERM, then SIGKILL if it has not ended within `timeout_s`."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    ready: Callable[[], bool], process: "subprocess.Popen[bytes]", *, log: Path, timeout_s: float
) -> None:
    """Return once `ready()` is true.

    Raises:
        ServerFailedError: the process ended first, or the time is up.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None:
            raise ServerFailedError(f"exit code {process.returncode}\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ServerFailedError(f"not ready after {timeout_s:g} s\n{tail(log)}")
        time.sleep(0.05)


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_ports(count: int) -> list[int]:
    """Return `count` ports that are free on loopback, each with its twin 10000 higher."""
    found: list[int] = []
    choices = random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT), 2000)
    for port in choices:
        if _is_free(port) and _is_free(port + TWIN):
            found.append(port)
        if len(found) == count:
            return found
    raise ServerFailedError(f"fewer than {count} free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
