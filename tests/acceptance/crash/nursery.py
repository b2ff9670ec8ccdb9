"""Forks workers from the launcher, which has imported everything, instead of starting Python anew.

A case starts half a dozen workers, and a worker that is exec'ed spends seconds of two slow cores on
imports. Only `subprocess.Popen` of the warden is replaced: what is forked runs the code that stands
in the same argv, with the same environment and the channel as its only descriptor, in a session of
its own. It has no walls, so its level must be *advisory*; one scenario keeps workers behind walls.

The launcher has no threads, is the parent of all workers, and hears of their end; it never ends
one that a case has left, before it has said so.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from batuta.runtime.worker import warden

_MOST_BYTES = 1 << 16
_CODE = 4
"""Where the code stands in the argv of a worker: after the interpreter and its two options."""
_NUMBER = struct.Struct("<i")


@dataclass
class Nursery:
    """The launcher's side: the workers that it forked and that have not ended yet."""

    _ends: dict[int, tuple[int, socket.socket]] = field(default_factory=dict)
    """Of each worker, by the descriptor of its process: its number, and who hears of its end."""

    def tend(self, child: int, asked: socket.socket) -> int:
        """Fork what a child asks for until the child ends; return its exit code, or -signal."""
        ended = os.pidfd_open(child)
        try:
            while True:
                watched: list[Any] = [ended, asked, *self._ends]
                ready, _, _ = select.select(watched, [], [])
                self._reap(ready)
                if ended in ready:
                    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if asked in ready:
                    self._fork(asked)
        finally:
            os.close(ended)

    def left(self, wait_s: float) -> list[int]:
        """Return the workers that still run after `wait_s` seconds at the most."""
        while self._ends:
            ready, _, _ = select.select([*self._ends], [], [], wait_s)
            if not ready:
                break
            self._reap(ready)
        return [number for number, _ in self._ends.values()]

    def end(self) -> None:
        """End what is left, so that the next case begins with nothing."""
        for process in self._ends:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        self.left(wait_s=10.0)

    def _reap(self, ready: Sequence[Any]) -> None:
        for process in [one for one in ready if one in self._ends]:
            number, told = self._ends.pop(process)
            code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
            with told, contextlib.suppress(OSError):  # a dead driver does not hear it
                told.sendall(_NUMBER.pack(code))
            os.close(process)

    def _fork(self, asked: socket.socket) -> None:
        body, passed, _, _ = socket.recv_fds(asked, _MOST_BYTES, 2)
        if not body:
            return  # the child ends
        channel, told = passed
        number = os.fork()
        if number == 0:
            _become(json.loads(body), channel)
        os.close(channel)
        process = os.pidfd_open(number)
        self._ends[process] = number, socket.socket(fileno=told)
        with contextlib.suppress(OSError):  # the driver may be dead by now
            socket.send_fds(self._ends[process][1], [_NUMBER.pack(number)], [process])


def _become(wanted: Mapping[str, Any], channel: int) -> None:
    """Be a process that was just started: nothing of the launcher's, then the code of its argv."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        os.environ.clear()
        os.environ.update(wanted["env"])
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.dup2(channel, wanted["channel"])
        os.closerange(3, wanted["channel"])
        os.closerange(wanted["channel"] + 1, os.sysconf("SC_OPEN_MAX"))
        sys.argv = ["-c", *wanted["argv"][_CODE:]]
        exec(wanted["argv"][_CODE - 1], {"__name__": "__main__"})
        code = 0
    finally:
        os._exit(code)


class Forked:
    """A forked worker, as the driver knows it: what `subprocess.Popen` is to an exec'ed one."""

    def __init__(
        self, asked: socket.socket, argv: Sequence[str], *, pass_fds: Sequence[int],
        env: Mapping[str, str], **_as_always: object,
    ) -> None:  # fmt: skip
        (channel,) = pass_fds
        body = json.dumps({"argv": argv, "env": dict(env), "channel": channel}).encode()
        self._told, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(asked, [body], [channel, theirs.fileno()])
        number, (self._process,), _, _ = socket.recv_fds(self._told, _NUMBER.size, 1)
        (self.pid,) = _NUMBER.unpack(number)
        self.returncode: int | None = None

    def kill(self) -> None:
        """Send SIGKILL; nothing happens where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def wait(self, _timeout_s: float | None = None) -> int:
        """Wait for the end; return the exit code, or -signal."""
        if self.returncode is None:
            (self.returncode,) = _NUMBER.unpack(self._told.recv(_NUMBER.size))
            self._told.close()
            os.close(self._process)
        return self.returncode


def fork_workers(asked: socket.socket) -> None:
    """Let the launcher fork the workers of this process from now on."""

    def started(argv: Sequence[str], **named: Any) -> Forked:
        return Forked(asked, argv, **named)

    used = SimpleNamespace(Popen=started, DEVNULL=subprocess.DEVNULL)
    setattr(warden, "subprocess", used)  # noqa: B010 - a name that the module only uses
