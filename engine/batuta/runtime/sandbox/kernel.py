"""System calls by name, through libc's `syscall`, with the error as an OSError.

The helper that starts a worker imports this before anything else, so it imports little.
"""

import ctypes
import os

# Numbers on x86_64 and aarch64; None where the architecture has no such call.
# Source: asm/unistd_64.h and asm-generic/unistd.h of the Linux headers.
CALLS: dict[str, tuple[int | None, int | None]] = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bind": (49, 200),
    "bpf": (321, 280),
    "capget": (125, 90),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "connect": (42, 203),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "listen": (50, 201),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "seccomp": (317, 277),
    "semget": (64, 190),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setsockopt": (54, 208),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}

MACHINES = ("x86_64", "aarch64")
_MACHINE = os.uname().machine

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

CAP_SETGID = 6
CAP_SETPCAP = 8
CAP_NET_ADMIN = 12
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def number_of(name: str, machine: str | None = None) -> int | None:
    """Return the number of a system call, None where `machine` (this one) has none."""
    return CALLS[name][MACHINES.index(machine or _MACHINE)]


def supported() -> bool:
    """True where the tables of this package know the processor."""
    return _MACHINE in MACHINES


def call(name: str, *arguments: object) -> int:
    """Make a system call and return what it returns.

    Integers are passed as 64 bits, bytes and ctypes objects as pointers.

    Raises:
        OSError: the call failed, or this architecture has none of that name (ENOSYS).
    """
    number = number_of(name)
    if number is None:
        raise OSError(38, os.strerror(38), name)
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *passed))
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)
    return result


def prctl(option: int, *arguments: int) -> int:
    """Make a `prctl` call; raises OSError where it fails."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return call("prctl", option, *padded)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


_CapabilitySets = ctypes.c_uint32 * 6


def effective_capabilities() -> int:
    """Return the effective capabilities of this thread as a bit set."""
    header, sets = _CapabilityHeader(_CAPABILITY_VERSION, 0), _CapabilitySets()
    call("capget", ctypes.byref(header), ctypes.byref(sets))
    return int(sets[0]) | int(sets[3]) << 32


def set_capabilities(held: int, inheritable: int = 0) -> None:
    """Set the effective and permitted capabilities, and the inheritable ones."""
    header = _CapabilityHeader(_CAPABILITY_VERSION, 0)
    low = [held & 0xFFFFFFFF, held & 0xFFFFFFFF, inheritable & 0xFFFFFFFF]
    high = [held >> 32, held >> 32, inheritable >> 32]
    call("capset", ctypes.byref(header), ctypes.byref(_CapabilitySets(*low, *high)))


def drop_capabilities() -> None:
    """Give up every capability for good, the bounding set too where this process may.

    Without CAP_SETPCAP the bounding set stays; `no_new_privs`, which follows, then keeps an
    exec from giving back what lies in it.
    """
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    if effective_capabilities() >> CAP_SETPCAP & 1:
        for capability in range(64):
            try:
                prctl(PR_CAPBSET_DROP, capability)
            except OSError as error:
                if error.errno == 22:  # past the last one that this kernel knows
                    break
                raise
    set_capabilities(0)
