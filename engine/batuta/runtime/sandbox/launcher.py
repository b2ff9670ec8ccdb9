"""The helper that puts up the walls and becomes the worker's keeper; a process of its own.

It is exec'ed, never forked from the supervisor: a process with a second thread cannot enter a
user namespace, and a fork of a threaded process is unsafe. It reads one request from a socket,
puts up one layer after the other, and answers with the name of the step that failed or with
what the supervisor needs. Nothing of the worker runs unless every step has succeeded. That
socket is also the lifeline: when the supervisor is gone, it ends, and everything with it.
"""

import array  # noqa: F401 - `send_fds` imports it, and then it would be too late
import errno
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence

from batuta.runtime.sandbox import kernel, landlock, namespaces, request, seccomp
from batuta.runtime.sandbox.request import HelperRequest

_STATUS = struct.Struct("<i")
_SCRATCH = "/tmp"  # noqa: S108 - inside, a file system of the worker's own
FAILED, READY = b"F", b"R"


class _StepError(Exception):
    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step)
        self.step, self.error = step, error


class _step:  # noqa: N801 - read as a verb in a `with`
    """Give an OSError the name of the step it happened in."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise _StepError(self._name, error) from error


def main() -> None:
    """Serve the request on the socket whose number stands in argv; never returns."""
    control = socket.socket(fileno=int(sys.argv[1]))
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    try:
        asked = request.receive(control)
    except EOFError:
        os._exit(125)
    os.set_inheritable(asked.channel, True)
    keeper = _Keeper(control)
    try:
        child = _start(asked, control)
    except _StepError as error:
        _report(control, error)
        os._exit(125)
    os.close(asked.channel)  # else the supervisor would not see the worker's end close
    keeper.keep(child, reaps=request.PID not in asked.layers)


def _report(control: socket.socket, failure: _StepError) -> None:
    text = f"{failure.step}\n{failure.error.errno or 0}\n{failure.error.strerror}"
    control.sendall(FAILED + text.encode())


def _start(asked: HelperRequest, control: socket.socket) -> "_Child":
    layers = asked.layers
    passed: list[int] = []
    if request.USER in layers:
        with _step("namespaces"):
            namespaces.enter(layers)
        if request.NO_MORE_NAMESPACES in layers:
            with _step(request.NO_MORE_NAMESPACES):
                namespaces.forbid_more()
    if asked.port and request.NETWORK in layers:
        with _step("listener"):
            passed.append(namespaces.listen_inside(asked.port).detach())
    if request.NFTABLES in layers:
        with _step(request.NFTABLES):
            namespaces.load_rules(asked.nft, asked.port)
    if request.MOUNT in layers:
        with _step("root"):
            namespaces.build_root(asked)
    if request.PID in layers:
        with _step("pid"):
            namespaces.enter_pid()
    else:
        with _step("subreaper"):
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    child = _fork(asked, control, passed)
    for each in passed:
        os.close(each)
    child.scratch = None if request.MOUNT in layers else asked.env["TMPDIR"]
    return child


class _Child:
    """The helper's only child: the worker, or the init of its pid namespace."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self.status = pid, status
        self.scratch: str | None = None


def _fork(asked: HelperRequest, control: socket.socket, passed: list[int]) -> _Child:
    given, told = os.pipe()
    with _step("fork"):
        pid = os.fork()
    if pid:
        os.close(told)
        return _Child(pid, given)
    os.close(given)
    try:
        # Asked for anew: a change of credentials clears it, and so does a fork.
        with _step("die-with-parent"):
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if not _reader_lives(told):
            os._exit(125)
        if request.PID in asked.layers:
            _be_init(asked, control, passed, told)
        _become_worker(asked, control, passed)
    except _StepError as error:
        _report(control, error)
    os._exit(125)


def _reader_lives(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return not poll.poll(0)


def _be_init(asked: HelperRequest, control: socket.socket, passed: list[int], told: int) -> None:
    """Be pid 1: put the worker below, reap, and tell the helper how the worker ended."""
    if request.MOUNT in asked.layers:
        if request.PROC in asked.layers:
            with _step(request.PROC):
                namespaces.mount_proc()
        with _step("pivot"):
            namespaces.enter_root()
    with _step("fork"):
        worker = os.fork()
    if worker == 0:
        os.close(told)
        _become_worker(asked, control, passed)
    control.close()
    os.close(asked.channel)
    for each in passed:
        os.close(each)
    while True:
        pid, status = os.wait()
        if pid == worker:
            os.write(told, _STATUS.pack(os.waitstatus_to_exitcode(status)))
            os._exit(0)


def _become_worker(asked: HelperRequest, control: socket.socket, passed: list[int]) -> None:
    try:
        _last_layers(asked, control, passed)
    except _StepError as error:
        _report(control, error)
    os._exit(126)


def _last_layers(asked: HelperRequest, control: socket.socket, passed: list[int]) -> None:
    with _step("die-with-parent"):
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    with _step("core-limit"):
        _forbid_core_dumps()
    with _step("capabilities"):
        kernel.drop_capabilities()
    with _step("no-new-privileges"):
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    _close_all_but(asked.channel, control.fileno(), *passed)
    if request.LANDLOCK in asked.layers:
        with _step(request.LANDLOCK):
            landlock.restrict(
                _path_rules(asked), [asked.port] if asked.port else [], asked.landlock
            )
    if request.SECCOMP in asked.layers:
        scoped = request.LANDLOCK in asked.layers and asked.landlock >= landlock.ABI_SCOPES
        own_pid = 0 if scoped or request.PID in asked.layers else os.getpid()
        rules = seccomp.profile(asked.level, network=asked.network, own_pid=own_pid)
        with _step(request.SECCOMP):
            notifications = seccomp.install(rules)
        if notifications >= 0:
            passed = [*passed, notifications]
    with _step("answer"):
        if passed:
            socket.send_fds(control, [READY], passed)
        else:
            control.sendall(READY)
    for each in passed:
        os.close(each)
    with _step("exec"):
        os.execve(asked.argv[0], asked.argv, asked.env)  # noqa: S606 - the worker itself


def _forbid_core_dumps() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except ValueError as error:  # so `resource` words a refusal
        raise OSError(errno.EPERM, str(error)) from error


def _close_all_but(*kept: int) -> None:
    first = 3
    for number in sorted({each for each in kept if each >= first}):
        os.closerange(first, number)
        first = number + 1
    with _step("close"):
        kernel.call("close_range", first, 0xFFFFFFFF, 0)
    for number in kept:
        if number != kept[0]:
            os.set_inheritable(number, False)


def _path_rules(asked: HelperRequest) -> list[landlock.PathRule]:
    rights = {
        "run": landlock.RUN,
        "read": landlock.READ,
        "write": landlock.WRITE,
        "device": landlock.DEVICE,
    }
    rules = [landlock.PathRule(b.path, rights[b.kind], optional=False) for b in asked.binds]
    own = _SCRATCH if request.MOUNT in asked.layers else asked.env["TMPDIR"]
    rules.append(landlock.PathRule(own, landlock.WRITE, optional=False))
    # Opened here, so `self` is the worker and nobody else.
    seen = _PROC if request.MOUNT in asked.layers else (*_PROC, *_LIMITS)
    rules += [landlock.PathRule(path, landlock.READ) for path in seen]
    rules += [landlock.PathRule(path, landlock.READ) for path in asked.files]
    return rules


_PROC = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo")
# Where libraries look for the limits on memory and processors; DuckDB fails if it may not.
_LIMITS = ("/sys/fs/cgroup",)


class _Keeper:
    """Waits for the worker's end or the supervisor's, and leaves nothing behind."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._woken, bell = os.pipe()
        os.set_blocking(bell, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)

    def keep(self, child: _Child, *, reaps: bool) -> None:
        """Wait, clean up, and end as the worker ended; never returns."""
        poll = select.poll()
        poll.register(self._control, select.POLLRDHUP)
        poll.register(self._woken, select.POLLIN)
        code = None
        while code is None:
            events = dict(poll.poll())
            code = self._reaped(child)
            if self._control.fileno() in events and code is None:
                os.kill(child.pid, signal.SIGKILL)
                poll.unregister(self._control)
            if self._woken in events:
                os.read(self._woken, 512)
        if reaps:
            _end_orphans()
        if child.scratch is not None:
            import shutil

            shutil.rmtree(child.scratch, ignore_errors=True)
        _end_as(code)

    def _reaped(self, child: _Child) -> int | None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 125
            if pid == 0:
                return None
            if pid == child.pid:
                told = os.read(child.status, _STATUS.size)
                whole = len(told) == _STATUS.size
                return int(_STATUS.unpack(told)[0]) if whole else os.waitstatus_to_exitcode(status)


def _end_orphans() -> None:
    """Kill what the worker left running: without a pid namespace it comes to this process."""
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def _children() -> Sequence[int]:
    found = []
    me = str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ESRCH):
                    continue
                raise
            if fields[1].decode() == me:
                found.append(int(name))
    return found


def _end_as(code: int) -> None:
    if code < 0:
        signal.set_wakeup_fd(-1)
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        _forbid_core_dumps()
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)
