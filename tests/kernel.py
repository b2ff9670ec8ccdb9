"""Tests that need what only the kernel, or root, can give.

    @requires_kernel("user namespaces")
    def test_a_worker_has_no_network() -> None: ...

Where the part is missing the test is skipped by name, and the run says at its end how many were.
`BATUTA_TESTS_NO_SKIP=1` makes it fail instead: a run that is meant to prove the sandbox must not
pass because it could not try.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import pytest

MISSING = "missing kernel part: "
NO_SKIP = "BATUTA_TESTS_NO_SKIP"

SYS_LANDLOCK_CREATE_RULESET = 444
LANDLOCK_CREATE_RULESET_VERSION = 1
PR_GET_SECCOMP = 21

_libc = ctypes.CDLL(None, use_errno=True)


def requires_kernel(*names: str) -> pytest.MarkDecorator:
    """Mark a test, or with `pytestmark` a module, as needing these parts of the kernel."""
    unknown = set(names) - set(PROBES)
    if unknown:
        raise KeyError(f"no probe for {sorted(unknown)}; tests/kernel.py has {sorted(PROBES)}")
    return pytest.mark.kernel(*names)


def missing(names: tuple[str, ...]) -> str | None:
    """Return the first of the parts that this machine does not give, or None."""
    return next((name for name in names if not has(name)), None)


@cache
def has(name: str) -> bool:
    """Try the part, once for a process."""
    return PROBES[name]()


def _unshare(*flags: str) -> bool:
    command = ["unshare", *flags, "--", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _landlock() -> bool:
    # With no attributes and this flag the call answers the version of the interface.
    flags = LANDLOCK_CREATE_RULESET_VERSION
    return int(_libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None, 0, flags)) >= 1


_LISTENS = """
import ctypes, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
allow = (ctypes.c_ubyte * 8)(6, 0, 0, 0, 0, 0, 0xFF, 0x7F)  # return SECCOMP_RET_ALLOW
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(1, ctypes.addressof(allow))
no_new_privileges, set_mode_filter, new_listener = 38, 1, 8
libc.prctl(no_new_privileges, 1, 0, 0, 0)
number = 317 if platform.machine() == "x86_64" else 277
listener = libc.syscall(number, set_mode_filter, new_listener, ctypes.byref(program))
sys.exit(listener < 0)
"""


def _seccomp_notification() -> bool:
    # Another process tries it: a filter is for good, and a process can have one listener only.
    command = [sys.executable, "-c", _LISTENS]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _nftables() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--net", "--", "nft", "list", "ruleset"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


PROBES: dict[str, Callable[[], bool]] = {
    "linux": lambda: sys.platform == "linux",
    "user namespaces": lambda: _unshare("--user", "--map-root-user"),
    "network namespaces": lambda: _unshare("--user", "--map-root-user", "--net"),
    "seccomp": lambda: int(_libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0)) >= 0,
    "seccomp notification": _seccomp_notification,
    "landlock": _landlock,
    "nftables": _nftables,
    "squid": lambda: shutil.which("squid") is not None,
    "root": lambda: os.geteuid() == 0,
}
