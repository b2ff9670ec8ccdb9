"""The namespaces of the level *isolated*, step by step, without root.

The order matters: pid comes last, because the first child of a new pid namespace is its init
and everything dies with it; nftables is loaded before the new root, which holds no programs for
it; the uid is mapped to itself, and where it is 0 to another, because uid 0 of a user namespace
gets capabilities back with every exec.
"""

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import suppress

from batuta.runtime.sandbox import kernel
from batuta.runtime.sandbox.request import Bind, HelperRequest

_NEW = {
    "user": 0x10000000,
    "network": 0x40000000,
    "mount": 0x00020000 | 0x02000000,  # with it the view of control groups
    "ipc": 0x08000000 | 0x04000000,  # with it the host's name
}
_NEW_PID = 0x20000000

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH = 2
_AT_RECURSIVE = 0x8000
_AT_FDCWD = -100

# What uid and gid 0 become inside.
STAND_IN = 1000

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_NFT_CLOSED = """
table inet batuta {
  chain out { type filter hook output priority 0; policy drop; }
  chain in { type filter hook input priority 0; policy drop; }
}
"""
_NFT_GATEWAY = """
table inet batuta {
  chain out {
    type filter hook output priority 0; policy drop;
    oifname "lo" ip daddr 127.0.0.1 tcp dport PORT accept
    oifname "lo" ip saddr 127.0.0.1 tcp sport PORT accept
  }
  chain in {
    type filter hook input priority 0; policy drop;
    iifname "lo" ip daddr 127.0.0.1 tcp dport PORT accept
    iifname "lo" ip saddr 127.0.0.1 tcp sport PORT accept
  }
}
"""


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def enter(layers: tuple[str, ...]) -> None:
    """Enter new namespaces of the wanted kinds, all but pid, and map the ids."""
    uid, gid = os.geteuid(), os.getegid()
    if kernel.effective_capabilities() >> kernel.CAP_SETGID & 1 and _may_set_groups():
        os.setgroups([])
    kernel.call("unshare", sum(flag for name, flag in _NEW.items() if name in layers))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid or STAND_IN} {uid} 1"),
        ("gid_map", f"{gid or STAND_IN} {gid} 1"),
    ):
        _write(f"/proc/self/{name}", text)


def _may_set_groups() -> bool:
    # Root of a user namespace that an ordinary user made has the capability and may not use it.
    with open("/proc/self/setgroups", encoding="ascii") as file:
        return file.read().strip() == "allow"


def forbid_more() -> None:
    """Set this user namespace's own limit of further ones to none."""
    _write("/proc/sys/user/max_user_namespaces", "0")


def _write(path: str, text: str) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(opened, text.encode())
    finally:
        os.close(opened)


def listen_inside(port: int) -> socket.socket:
    """Bring loopback up and return a listener on it; it keeps belonging to this namespace."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    name = struct.pack("16sH14x", b"lo", 0)
    flags = struct.unpack("16sH14x", fcntl.ioctl(listener, _SIOCGIFFLAGS, name))[1]
    fcntl.ioctl(listener, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    return listener


def load_rules(nft: str, port: int) -> None:
    """Load the rules of this network namespace; raises OSError where nft does not take them."""
    rules = _NFT_GATEWAY.replace("PORT", str(port)) if port else _NFT_CLOSED
    held = kernel.effective_capabilities()
    kernel.set_capabilities(held, inheritable=1 << kernel.CAP_NET_ADMIN)
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, kernel.CAP_NET_ADMIN)
    taken, given = os.pipe()
    try:
        child = os.posix_spawn(
            nft, [nft, "-f", "-"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, taken, 0)]
        )
        os.close(taken)
        with suppress(BrokenPipeError):  # it was quick to refuse; its status says so
            os.write(given, rules.encode())
    finally:
        os.close(given)
    _, status = os.waitpid(child, 0)
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.set_capabilities(held)
    if status != 0:
        raise OSError(1, f"nft refused its rules (status {os.waitstatus_to_exitcode(status)})")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount; raises OSError."""
    kernel.call(
        "mount", source.encode(), target.encode(), kind.encode(), flags, options.encode() or None
    )


def build_root(request: HelperRequest) -> None:
    """Make a root of its own that holds what the request names and nothing else.

    The old root ends below `/old`, the new one below `/new`; `enter_root` goes into it.
    """
    mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    quiet = _MS_NOSUID | _MS_NODEV
    mount("tmpfs", "/tmp", "tmpfs", quiet, "mode=0755,size=1m")  # noqa: S108 - hidden at once
    os.mkdir("/tmp/new")  # noqa: S108
    os.mkdir("/tmp/old")  # noqa: S108
    kernel.call("pivot_root", b"/tmp", b"/tmp/old")
    os.chdir("/")
    mount("tmpfs", "/new", "tmpfs", quiet, "mode=0755,size=4m")
    for folder in ("proc", "tmp", "dev", "etc"):
        os.mkdir(f"/new/{folder}")
    mount("tmpfs", "/new/tmp", "tmpfs", quiet | _MS_NOEXEC, "mode=0700,size=256m")
    for path, text in request.files.items():
        with open(f"/new{path}", "w", encoding="utf-8") as file:
            file.write(text)
    # Parents before what lies in them, so that a nested path is mounted over its parent's.
    for bind in sorted(request.binds):
        _bind(bind)
    for link, target in request.links:
        if not os.path.lexists(f"/new{link}"):
            os.makedirs(os.path.dirname(f"/new{link}"), exist_ok=True)
            os.symlink(target, f"/new{link}")


def _bind(bind: Bind) -> None:
    source, target = f"/old{bind.path}", f"/new{bind.path}"
    if not os.path.lexists(target):
        if os.path.isdir(source):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    mount(source, target, "", _MS_BIND | _MS_REC)
    wanted = {
        "run": _MS_RDONLY | _MS_NOSUID | _MS_NODEV,
        "read": _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC,
        "write": _MS_NOSUID | _MS_NODEV | _MS_NOEXEC,
        "device": _MS_NOSUID | _MS_NOEXEC,
    }[bind.kind]
    # MOUNT_ATTR_* of these four have the values of MS_*; old flags of the mount are kept.
    attributes = _MountAttributes(attr_set=wanted)
    kernel.call(
        "mount_setattr", _AT_FDCWD, target.encode(), _AT_RECURSIVE, ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )  # fmt: skip


def enter_pid() -> None:
    """Make the next child the init of a new pid namespace."""
    kernel.call("unshare", _NEW_PID)


def mount_proc() -> None:
    """Mount the new pid namespace's own proc, read-only.

    Where the outer proc is partly covered, as in most containers, the kernel refuses (EPERM).
    """
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    mount("proc", "/new/proc", "proc", flags)


def enter_root() -> None:
    """Go into the new root and let go of the old one."""
    os.chdir("/new")
    kernel.call("pivot_root", b".", b".")
    kernel.call("umount2", b".", _DETACH)
    os.chdir("/")
    mount("none", "/", "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
