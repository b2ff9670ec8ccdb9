"""Landlock: which files and TCP ports a worker may use, and whom it may signal.

Never a level of its own: UDP, fast open, MPTCP, vsock and path sockets all pass it. It is the
layer that still holds where the mount namespace or the filter fails.

Source: linux/landlock.h of the Linux headers.
"""

import ctypes
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from batuta.runtime.sandbox import kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_FIRST_13 = (1 << 13) - 1
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15

READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE
# No links, sockets, pipes or devices: the supervisor would meet them later, outside.
WRITE = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
DEVICE = _READ_FILE | _WRITE_FILE

_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
_RULE_PATH, _RULE_PORT = 1, 2

ABI_NETWORK = 4
ABI_SCOPES = 6


class PathRule(NamedTuple):
    """What may be done at and below a path. A missing optional path is passed over."""

    path: str
    rights: int
    optional: bool = True


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("rights", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """Return the version of the interface, 0 where the kernel has none or it is switched off."""
    try:
        return kernel.call("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def handled(version: int) -> int:
    """Return the file rights that a ruleset of this version takes away unless it gives them."""
    rights = _FIRST_13
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, 1 << 15)):
        rights |= right if version >= since else 0
    return rights


def restrict(rules: Sequence[PathRule], ports: Sequence[int], version: int) -> None:
    """Take from this thread every file and port that the rules do not give. For good.

    Raises:
        OSError: a path that is not optional is missing, or the kernel refused.
    """
    files = handled(version)
    ruleset = _Ruleset(files, 0, 0)
    size = 8
    if version >= ABI_NETWORK:
        ruleset.network, size = _BIND_TCP | _CONNECT_TCP, 16
    if version >= ABI_SCOPES:
        ruleset.scopes, size = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS, 24
    made = kernel.call("landlock_create_ruleset", ctypes.byref(ruleset), size, 0)
    for rule in rules:
        _add_path(made, rule, files)
    if version >= ABI_NETWORK:
        for port in ports:
            opened = _Port(_CONNECT_TCP, port)
            kernel.call("landlock_add_rule", made, _RULE_PORT, ctypes.byref(opened), 0)
    kernel.call("landlock_restrict_self", made, 0)
    os.close(made)


def _add_path(ruleset: int, rule: PathRule, known: int) -> None:
    try:
        place = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        if rule.optional:
            return
        raise
    rights = rule.rights & known
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= _ON_FILES
    beneath = _Beneath(rights, place)
    try:
        kernel.call("landlock_add_rule", ruleset, _RULE_PATH, ctypes.byref(beneath), 0)
    finally:
        os.close(place)
