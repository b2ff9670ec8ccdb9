"""The filters, run by a small interpreter of their own language, on both architectures."""

import errno
import struct

import pytest

from batuta.runtime.sandbox import kernel, seccomp
from batuta.runtime.sandbox.seccomp import ALLOW, KILL, NOTIFY, Rule, When, refuse

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NEW_USER = 0x10000000
LEVELS = [("isolated", False), ("isolated", True), ("sealed", False), ("filtered", True)]
SOCKETS = ("connect", "bind", "listen", "accept", "accept4", "sendmmsg")


def verdict(
    rules: list[Rule], call: str | int, *arguments: int, machine: str = "x86_64", arch: int = 0
) -> int:
    """Run the assembled program on one system call and return its action."""
    number = call if isinstance(call, int) else kernel.number_of(call, machine)
    assert number is not None
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    packed = struct.pack("=IIQ6Q", number, arch or MACHINES[machine], 0, *padded)
    program = list(struct.iter_unpack("=HBBI", seccomp.assemble(rules, machine)))
    at = accumulator = 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", packed, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x15:
            at += yes if accumulator == value else no
        elif code == 0x35:
            at += yes if accumulator >= value else no
        else:
            assert code == 0x06
            return int(value)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("level", "network"), LEVELS)
def test_another_architecture_is_killed(level: str, network: bool, machine: str) -> None:
    rules = seccomp.profile(level, network=network)

    assert verdict(rules, 0, machine=machine, arch=0x40000003) == KILL


def test_x32_calls_are_killed() -> None:
    rules = seccomp.profile("sealed", network=False)

    assert verdict(rules, 0x40000000 | 41) == KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("family", range(46))
def test_without_a_network_no_socket_of_any_family_can_be_made(family: int, machine: str) -> None:
    rules = seccomp.profile("sealed", network=False)

    assert verdict(rules, "socket", family, 1, 0, machine=machine) == refuse(errno.EAFNOSUPPORT)


@pytest.mark.parametrize("machine", MACHINES)
def test_with_a_network_only_tcp_sockets_can_be_made(machine: str) -> None:
    rules = seccomp.profile("isolated", network=True)
    allowed = {
        (family, kind, protocol)
        for family in range(46)
        for kind in range(1, 11)
        for protocol in (0, 1, 6, 17, 132, 255, 262)
        if verdict(rules, "socket", family, kind, protocol, machine=machine) == ALLOW
    }

    assert allowed == {(family, 1, protocol) for family in (2, 10) for protocol in (0, 6)}


def test_flags_of_a_socket_do_not_hide_its_type() -> None:
    rules = seccomp.profile("isolated", network=True)
    close_on_exec_unblocking = 0o2004000

    assert verdict(rules, "socket", 2, close_on_exec_unblocking | 1) == ALLOW
    assert verdict(rules, "socket", 2, close_on_exec_unblocking | 2) != ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", SOCKETS)
def test_without_a_network_calls_on_sockets_are_refused(call: str, machine: str) -> None:
    rules = seccomp.profile("sealed", network=False)

    assert verdict(rules, call, 3, 1, 16, machine=machine) != ALLOW


@pytest.mark.parametrize("address", [1, 0x7FFF_0000_0000, 0x1_0000_0000])
def test_an_address_of_sendto_is_seen_in_either_half(address: int) -> None:
    for level, network in LEVELS:
        rules = seccomp.profile(level, network=network)

        assert verdict(rules, "sendto", 3, 1, 1, 0, address, 16) == refuse(errno.EACCES)
        assert verdict(rules, "sendto", 3, 1, 1, 0x4000, 0, 0) == ALLOW
        assert verdict(rules, "sendto", 3, 1, 1, 0x20004000, 0, 0) == refuse(errno.EOPNOTSUPP)
        assert verdict(rules, "sendmsg", 3, 1, 0x20000000) == refuse(errno.EOPNOTSUPP)


def test_only_filtered_hands_connects_to_the_supervisor() -> None:
    found = {
        (level, network): verdict(seccomp.profile(level, network=network), "connect", 3, 1, 16)
        for level, network in LEVELS
    }

    assert found == {
        ("isolated", False): refuse(errno.EACCES),
        ("isolated", True): ALLOW,
        ("sealed", False): refuse(errno.EACCES),
        ("filtered", True): NOTIFY,
    }


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", [1 << bit for bit in (7, 17, 25, 26, 27, 28, 29, 30)])
def test_no_new_namespace_by_any_call(kind: int, machine: str) -> None:
    rules = seccomp.profile("sealed", network=False)

    assert verdict(rules, "clone", 0x11 | kind, machine=machine) == refuse(errno.EPERM)
    assert verdict(rules, "unshare", kind, machine=machine) == refuse(errno.EPERM)
    assert verdict(rules, "clone3", 1, 88, machine=machine) == refuse(errno.ENOSYS)
    assert verdict(rules, "clone", 0x3D0F00, machine=machine) == ALLOW  # a thread


def test_signals_go_to_the_worker_only_where_landlock_cannot_say_so() -> None:
    rules = seccomp.profile("sealed", network=False, own_pid=77)

    assert verdict(rules, "kill", 77, 9) == ALLOW
    assert verdict(rules, "tgkill", 77, 80, 6) == ALLOW
    for other in (1, 78, 0, -1 & 0xFFFFFFFFFFFFFFFF):
        assert verdict(rules, "kill", other, 9) == refuse(errno.EPERM)
    assert verdict(seccomp.profile("sealed", network=False), "kill", 1, 9) == ALLOW


def test_of_two_rules_the_first_that_holds_decides() -> None:
    rules = [Rule("socket", refuse(1), (When(0, 2), When(1, 3))), Rule("socket", refuse(2))]

    assert verdict(rules, "socket", 2, 3) == refuse(1)
    assert verdict(rules, "socket", 2, 4) == refuse(2)
    assert verdict(rules, "connect") == ALLOW
