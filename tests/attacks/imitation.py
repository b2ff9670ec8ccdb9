"""Imitations of poorer machines: what this process, and all that it starts, may not do any more.

    python -m tests.attacks.imitation 'default container' make test

Each is made of what a process may do to itself for good: filters, namespaces, capabilities given
up. Nothing of the machine itself is changed, and no root is needed for any of them.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from batuta.runtime.sandbox import kernel, seccomp
from batuta.runtime.sandbox.seccomp import Rule, When

_NEW_USER = 0x10000000
_NETLINK, _NETFILTER = 16, 12
_NEW_LISTENER = 1 << 3
_EPERM = seccomp.refuse(errno.EPERM)

# What a default container's root keeps: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
# setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
_CONTAINER_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31})


def no_root() -> None:
    """Be an ordinary user, who owns what belonged to whoever started this."""
    enter_user_namespace(os.geteuid() or 1000, os.getegid() or 1000)
    kernel.drop_capabilities()


def no_user_namespaces() -> None:
    """Be in a user namespace that allows no further ones, as an ordinary user of it."""
    enter_user_namespace(os.geteuid() or 1000, os.getegid() or 1000)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    kernel.drop_capabilities()


def root_of_a_namespace() -> None:
    """Be root of a user namespace that forbids groups to be set, as `unshare -r` makes it."""
    enter_user_namespace(0, 0)


def enter_user_namespace(uid: int, gid: int) -> None:
    """Be this user and group of a new user namespace, in which groups may not be set."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    kernel.call("unshare", _NEW_USER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text)


def default_container() -> None:
    """Be under a filter that denies what the profile of a default container denies."""
    _keep_capabilities(_CONTAINER_CAPABILITIES)
    new = When(0, 0, mask=0x7E020080, equal=False)
    names = ("unshare", "setns", "mount", "umount2", "pivot_root", "mount_setattr", "bpf", "keyctl")
    more = ("move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "fspick", "add_key",
            "request_key", "userfaultfd", "perf_event_open", "io_uring_setup")  # fmt: skip
    install(
        *(Rule(name, _EPERM) for name in (*names, *more)),
        Rule("clone", _EPERM, (new,)),
        Rule("clone3", seccomp.refuse(errno.ENOSYS)),
    )


def no_nftables() -> None:
    """Be on a kernel without nf_tables: its tool cannot talk to it."""
    install(
        Rule(
            "socket", seccomp.refuse(errno.EPROTONOSUPPORT), (When(0, _NETLINK), When(2, _NETFILTER))
        )
    )  # fmt: skip


def no_landlock() -> None:
    """Be on a kernel without Landlock."""
    install(Rule("landlock_create_ruleset", seccomp.refuse(errno.ENOSYS)))


def no_listener() -> None:
    """Be where the container's manager holds the one listener for system calls, as LXD does."""
    install(Rule("seccomp", seccomp.refuse(errno.EBUSY), (When(1, _NEW_LISTENER, _NEW_LISTENER),)))


def strict_container() -> None:
    """Be in a default container whose manager holds the listener for system calls."""
    no_listener()
    default_container()


def neither() -> None:
    """Be in a default container on a kernel without Landlock: nothing can be enforced."""
    no_landlock()
    default_container()


def install(*rules: Rule) -> None:
    """Put this process, and all that it starts, under a filter."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(list(rules))


def _keep_capabilities(kept: frozenset[int]) -> None:
    if not kernel.effective_capabilities() >> kernel.CAP_SETPCAP & 1:
        return  # an ordinary user has none
    for capability in range(64):
        try:
            if capability not in kept:
                kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the last one that this kernel knows


MACHINES: dict[str, Callable[[], None]] = {
    "no root": no_root,
    "no user namespaces": no_user_namespaces,
    "root of a namespace": root_of_a_namespace,
    "no nftables": no_nftables,
    "no landlock": no_landlock,
    "no listener": no_listener,
    "default container": default_container,
    "strict container": strict_container,
    "neither": neither,
}


def main() -> None:
    """Become a poorer machine and run a command there."""
    if len(sys.argv) < 3 or sys.argv[1] not in MACHINES:
        names = ", ".join(repr(name) for name in MACHINES)
        sys.exit(f"usage: python -m tests.attacks.imitation MACHINE COMMAND...\nMACHINE: {names}")
    MACHINES[sys.argv[1]]()
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
