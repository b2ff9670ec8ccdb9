"""Limits a worker puts on itself before it sees any data."""

import ctypes
import os
import select
import signal
import socket
import sys
import threading

_PR_SET_DUMPABLE = 4


def confine(memory_bytes: int) -> None:
    """Bound memory, forbid core dumps, and die with the driver.

    The bound is on data segments (Linux), so that a file that expands without end gets a
    failed allocation in this process and not the machine's out-of-memory killer.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0)
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        used = _data_bytes()
        resource.setrlimit(resource.RLIMIT_DATA, (used + memory_bytes, used + memory_bytes))


def watch_driver(channel: socket.socket) -> None:
    """End this process at once when the driver's end of the channel is closed."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLRDHUP if hasattr(select, "POLLRDHUP") else 0)

    def wait() -> None:
        while not any(flags & _GONE for _, flags in poll.poll()):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


_GONE = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


def _data_bytes() -> int:
    """Return how many bytes of data segments this process has."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmData:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return _tried_data_bytes()  # in many containers a worker has no /proc
    return 0


def _tried_data_bytes() -> int:
    """Find the same by trying: the lowest limit under which a page more is given."""
    import mmap
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    low, high = 0, 1 << 36
    try:
        while high - low > mmap.PAGESIZE:
            middle = (low + high) // 2
            resource.setrlimit(resource.RLIMIT_DATA, (middle, before[1]))
            try:
                mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
                high = middle
            except (OSError, MemoryError):
                low = middle
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    return high
