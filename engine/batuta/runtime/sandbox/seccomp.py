"""Seccomp filters: what a worker may not ask of the kernel, assembled without a library.

A filter checks the architecture word first, so that 32-bit entries cannot mean other calls, and
refuses x32 by its bit. `clone3` answers ENOSYS because its flags lie in memory, where a filter
cannot look; libraries then use `clone`. Nothing here reads memory, so there is no race.

Source: linux/seccomp.h, linux/audit.h and linux/filter.h of the Linux headers.
"""

import ctypes
import errno
import os
import struct
from typing import NamedTuple

from batuta.runtime.sandbox import kernel

KILL = 0x80000000
NOTIFY = 0x7FC00000
ALLOW = 0x7FFF0000
_ERRNO = 0x00050000

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER = 1 << 3
_FLAG_WAIT_KILLABLE = 1 << 5

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_STREAM, _TYPE_MASK, _TCP = 1, 0xF, 6
_MSG_FASTOPEN = 0x20000000
_FAST_OPEN_OPTIONS = (23, 30, 31)  # TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_ULP
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag, CLONE_NEWTIME included


class When(NamedTuple):
    """A condition on one argument: its low word under `mask` is `value`, or is not."""

    argument: int
    value: int
    mask: int = 0xFFFFFFFF
    equal: bool = True
    high: bool = False


class Rule(NamedTuple):
    """What one system call gets where all conditions hold; rules are tried in order."""

    call: str
    action: int
    when: tuple[When, ...] = ()


Instruction = tuple[int, int, int, int]


def refuse(error: int) -> int:
    """Return the action that answers with an error number (0: does nothing, says success)."""
    return _ERRNO | error


def assemble(rules: list[Rule], machine: str) -> bytes:
    """Return the program for these rules on a machine; what no rule names is allowed."""
    program: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, 0),
    ]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, KILL)]
    bodies: dict[str, list[Instruction]] = {}
    for rule in rules:
        bodies.setdefault(rule.call, []).extend(_alternative(rule))
    for name, body in bodies.items():
        number = kernel.number_of(name, machine)
        if number is not None:
            whole = [*body, (_RETURN, 0, 0, ALLOW)]
            program += [(_EQUAL, 0, len(whole), number), *whole]
    program.append((_RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *each) for each in program)


def _alternative(rule: Rule) -> list[Instruction]:
    steps: list[Instruction] = [(_RETURN, 0, 0, rule.action)]
    for when in reversed(rule.when):
        # A failed condition jumps past the rest of this alternative.
        rest = len(steps)
        jumps = (0, rest) if when.equal else (rest, 0)
        masked = [] if when.mask == 0xFFFFFFFF else [(_AND, 0, 0, when.mask)]
        offset = 16 + 8 * when.argument + (4 if when.high else 0)
        steps = [(_LOAD, 0, 0, offset), *masked, (_EQUAL, *jumps, when.value), *steps]
    return steps


_EPERM = refuse(errno.EPERM)
_NEVER = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"),
    *("pidfd_getfd", "pidfd_send_signal", "kcmp", "bpf", "perf_event_open", "userfaultfd"),
    *("keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter"),
    *("io_uring_register", "unshare", "setns", "mount", "umount2", "pivot_root", "chroot"),
    *("move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("mount_setattr", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load"),
    *("init_module", "finit_module", "delete_module", "acct", "quotactl", "quotactl_fd"),
    *("open_by_handle_at", "name_to_handle_at", "mknod", "mknodat", "modify_ldt", "iopl"),
    *("ioperm", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex"),
    *("sethostname", "setdomainname", "fanotify_init", "lookup_dcookie", "uselib", "vhangup"),
    *("migrate_pages", "move_pages", "memfd_secret", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    *("mq_open", "msgget", "semget", "shmget"),
)
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX


def profile(level: str, *, network: bool, own_pid: int = 0) -> list[Rule]:
    """Return the rules of a level: `isolated`, `sealed` or `filtered`.

    Args:
        network: TCP sockets can be made; without it no socket of any family but stream pairs.
        own_pid: where it is not 0, signals go to this process only (Landlock cannot say so
            before its version 6).
    """
    rules = [Rule(name, _EPERM) for name in _NEVER]
    rules += [Rule("ioctl", _EPERM, (When(1, each),)) for each in _TERMINAL_INJECTION]
    rules += [
        Rule("clone3", refuse(errno.ENOSYS)),
        Rule("clone", _EPERM, (When(0, 0, mask=_NEW_NAMESPACES, equal=False),)),
        Rule("prlimit64", ALLOW, (When(0, 0),)),
    ]
    if own_pid:
        rules += [Rule(name, ALLOW, (When(0, own_pid),)) for name in _SIGNALS]
        rules += [Rule(name, _EPERM) for name in _SIGNALS]
        rules += [Rule("prlimit64", ALLOW, (When(0, own_pid),))]
    rules.append(Rule("prlimit64", _EPERM))
    rules += _sockets(network=network)
    if level == "filtered":
        rules += [
            Rule("connect", NOTIFY),
            # The supervisor must go on seeing whether a socket blocks, so the worker stays
            # dumpable: the request is answered with success and not carried out.
            Rule("prctl", refuse(0), (When(0, kernel.PR_SET_DUMPABLE),)),
        ]
    elif not network:
        rules.append(Rule("connect", refuse(errno.EACCES)))
    return rules


_SIGNALS = ("kill", "tkill", "tgkill")


def _sockets(*, network: bool) -> list[Rule]:
    no_family, no_access = refuse(errno.EAFNOSUPPORT), refuse(errno.EACCES)
    rules: list[Rule] = []
    if network:
        for family in (_AF_INET, _AF_INET6):
            stream = (When(0, family), When(1, _STREAM, mask=_TYPE_MASK))
            rules += [Rule("socket", ALLOW, (*stream, When(2, proto))) for proto in (0, _TCP)]
            # MPTCP, SCTP, UDP and raw sockets: each goes round one of the other layers.
            rules.append(Rule("socket", refuse(errno.EPROTONOSUPPORT), (When(0, family),)))
        rules += [
            Rule("setsockopt", refuse(errno.EOPNOTSUPP), (When(1, _TCP), When(2, option)))
            for option in _FAST_OPEN_OPTIONS
        ]
    rules.append(Rule("socket", no_family))
    # A datagram pair could still `sendto` a path such as a log socket.
    pair = (When(0, _AF_UNIX), When(1, _STREAM, mask=_TYPE_MASK))
    rules += [Rule("socketpair", ALLOW, pair), Rule("socketpair", no_family)]
    fast_open = When(3, 0, mask=_MSG_FASTOPEN, equal=False)
    rules += [
        Rule("sendto", refuse(errno.EOPNOTSUPP), (fast_open,)),
        Rule("sendto", no_access, (When(4, 0, equal=False),)),
        Rule("sendto", no_access, (When(4, 0, equal=False, high=True),)),
        Rule("sendmsg", refuse(errno.EOPNOTSUPP), (fast_open._replace(argument=2),)),
        Rule("sendmmsg", refuse(errno.ENOSYS)),
    ]
    rules += [Rule(name, no_access) for name in ("bind", "listen", "accept", "accept4")]
    return rules


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(rules: list[Rule]) -> int:
    """Put the filter on this thread for good; return the listener of a NOTIFY rule, or -1.

    `no_new_privs` must be set.

    Raises:
        OSError: the kernel refused; EBUSY where the chain of filters has a listener already.
    """
    code = assemble(rules, os.uname().machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    if not any(rule.action == NOTIFY for rule in rules):
        kernel.call("seccomp", _SET_MODE_FILTER, 0, ctypes.byref(program))
        return -1
    # With the second flag a signal does not interrupt a connect that is being answered (5.19).
    flags = _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE
    try:
        return kernel.call("seccomp", _SET_MODE_FILTER, flags, ctypes.byref(program))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return kernel.call("seccomp", _SET_MODE_FILTER, _FLAG_NEW_LISTENER, ctypes.byref(program))
