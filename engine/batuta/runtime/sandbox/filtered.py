"""The supervisor's side of the level *filtered*: every `connect` of a worker ends at the gateway.

The kernel stops the caller and tells the supervisor. That opens a connection of its own to the
gateway and puts it in the place of the caller's socket. The address that was asked for is never
read from the caller's memory, so it cannot change under the check: there is no check.

Source: seccomp_unotify(2); linux/seccomp.h.
"""

import ctypes
import errno
import fcntl
import os
import select
import socket
import threading
from collections.abc import Callable

Address = str | tuple[str, int]


class _Call(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("number", ctypes.c_int32),
        ("arch", ctypes.c_uint32),
        ("pointer", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


class _Answer(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("value", ctypes.c_int64),
        ("error", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


class _Descriptor(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("source", ctypes.c_uint32),
        ("target", ctypes.c_uint32),
        ("target_flags", ctypes.c_uint32),
    )


_RECEIVE, _SEND, _ADD = 0xC0502100, 0xC0182101, 0x40182103
_AT_TARGET = 1
_GATEWAY_WAIT_S = 5.0


Dial = Callable[[], socket.socket]
"""Returns a new connection to the gateway; raises OSError where it does not answer."""


def dial_to(address: Address) -> Dial:
    """Return a Dial to a unix path or a (host, port) of the supervisor's side."""

    def dial() -> socket.socket:
        match address:
            case str() as path:
                opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                opened.settimeout(_GATEWAY_WAIT_S)
                try:
                    opened.connect(path)
                except OSError:
                    opened.close()
                    raise
            case host, port:
                opened = socket.create_connection((host, port), _GATEWAY_WAIT_S)
        return opened

    return dial


class ConnectSupervisor:
    """Answers the connects of one worker on a thread, until the worker is gone or `close`.

    Nothing answers after `close`: the kernel then refuses every connect (ENOSYS).
    """

    def __init__(self, notifications: int, dial: Dial | None) -> None:
        self._notifications = notifications
        self._dial = dial
        self._bell, self._ring = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="connects", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; waits for the thread. A second call does nothing."""
        if self._ring >= 0:
            os.close(self._ring)
            self._ring = -1
            self._thread.join()

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._notifications, select.POLLIN)
        poll.register(self._bell, 0)
        try:
            while True:
                events = dict(poll.poll())
                if self._bell in events or not events[self._notifications] & select.POLLIN:
                    return
                self._one()
        finally:
            os.close(self._notifications)
            os.close(self._bell)

    def _one(self) -> None:
        call = _Call()
        try:
            fcntl.ioctl(self._notifications, _RECEIVE, call)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # the caller is gone already
                return
            raise
        refused = self._replace(call)
        answer = _Answer(id=call.id, value=0, error=-refused, flags=0)
        try:
            fcntl.ioctl(self._notifications, _SEND, answer)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def _replace(self, call: _Call) -> int:
        """Put a connection to the gateway over the caller's socket; return the error, or 0."""
        if self._dial is None:
            return errno.EACCES
        number = int(call.arguments[0]) & 0xFFFFFFFF
        flags = _open_flags(call.pid, number)
        if flags is None:
            return errno.EBADF
        try:
            with self._dial() as opened:
                if opened.family != socket.AF_UNIX:
                    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # The status flags belong to the new socket now, and the caller set them on the old.
                opened.setblocking(not flags & os.O_NONBLOCK)
                placed = _Descriptor(
                    id=call.id, flags=_AT_TARGET, source=opened.fileno(), target=number,
                    target_flags=flags & os.O_CLOEXEC,
                )  # fmt: skip
                fcntl.ioctl(self._notifications, _ADD, placed)
        except OSError as error:
            # The gateway is away, or the caller is: either way nobody is connected.
            return error.errno if error.errno == errno.EMFILE else errno.ECONNREFUSED
        return 0


def _open_flags(thread: int, number: int) -> int | None:
    """Return the flags of a descriptor of a thread; None where it is no socket or is gone."""
    try:
        if not os.readlink(f"/proc/{thread}/fd/{number}").startswith("socket:"):
            return None
        with open(f"/proc/{thread}/fdinfo/{number}", encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name == "flags":
                    return int(value, 8)
    except OSError:
        return None
    return None
