"""The setting that would help is the one of the machine at hand."""

import errno
from types import MappingProxyType

import pytest

from batuta.runtime.sandbox.advice import Facts, raising
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import Finding

REFUSED = Finding(given=False, step="namespaces", errno=errno.EPERM, reason="not permitted")
NO_LANDLOCK = Finding(given=False, step="landlock", reason="no Landlock")
BUSY = Finding(given=False, step="seccomp", errno=errno.EBUSY, reason="busy")


@pytest.mark.parametrize(
    ("level", "found", "facts", "says"),
    [
        (Level.ISOLATED, REFUSED, {"max_user_namespaces": 0}, "user.max_user_namespaces=16384"),
        (Level.ISOLATED, REFUSED, {"unprivileged_userns_clone": 0}, "userns_clone=1"),
        (Level.ISOLATED, REFUSED, {"container": "docker"}, "docker run --security-opt seccomp="),
        (Level.ISOLATED, REFUSED, {"container": "podman"}, "unmask=ALL"),
        (Level.ISOLATED, REFUSED, {"container": "kubernetes"}, "seccompProfile"),
        (Level.ISOLATED, REFUSED, {"container": "lxc"}, "security.nesting=true"),
        (Level.ISOLATED, REFUSED, {"apparmor_restricts": 1}, "  userns,"),
        (Level.ISOLATED, REFUSED, {}, "seccomp=unconfined"),
        (Level.SEALED, NO_LANDLOCK, {"security_modules": ("capability",)}, "lsm=landlock,"),
        (Level.FILTERED, BUSY, {}, "security.syscalls.intercept"),
    ],
)
def test_the_line_to_copy(
    level: Level, found: Finding, facts: dict[str, object], says: str
) -> None:
    steps = raising(level, found, Facts(system="Linux", **facts))  # type: ignore[arg-type]

    assert says in "\n".join(line for step in steps for line in step.lines)


def test_a_container_on_a_restricting_host_needs_both() -> None:
    facts = Facts(system="Linux", container="docker", apparmor_restricts=1)

    (step,) = raising(Level.ISOLATED, REFUSED, facts)

    assert "docker run" in step.lines[0]
    assert "apparmor_restrict_unprivileged_userns=0" in step.lines[1]


def test_a_missing_layer_of_a_given_level_is_named() -> None:
    lost = MappingProxyType({"nftables": "nft is not installed"})
    found = Finding(given=True, lost=lost)

    (step,) = raising(Level.ISOLATED, found, Facts(system="Linux", package_tool="dnf"))

    assert step.lines == ("dnf install nftables",)


def test_a_kernel_without_nf_tables_is_not_helped_by_installing_its_tool() -> None:
    lost = MappingProxyType({"nftables": "nft refused its rules (status 3)"})
    found = Finding(given=True, layers=frozenset({"seccomp"}), lost=lost)

    (step,) = raising(Level.ISOLATED, found, Facts(system="Linux"))

    assert step.lines == ("modprobe nf_tables   # on the host",)


def test_nothing_is_said_where_nothing_is_missing_or_nothing_helps() -> None:
    assert raising(Level.SEALED, Finding(given=True), Facts(system="Linux")) == []
    assert raising(Level.SEALED, NO_LANDLOCK, Facts(system="Darwin")) == []
