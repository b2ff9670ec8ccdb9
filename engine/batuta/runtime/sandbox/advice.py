"""What would raise a level: the sysctl, the container flag or the profile, by what was found."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from batuta.runtime.sandbox import request
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import NO_NFT, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the machine says of itself; only used to word advice, never to decide.

    Settings are None where the kernel has none of the name.
    """

    system: str
    container: str | None = None
    max_user_namespaces: int | None = None
    unprivileged_userns_clone: int | None = None
    apparmor_restricts: int | None = None
    security_modules: tuple[str, ...] = ()
    package_tool: str | None = None
    root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do: why it helps, and lines to copy (a command, a flag, a file)."""

    why: str
    lines: tuple[str, ...]

    def line(self) -> str:
        """Return it as one sentence."""
        return f"{self.why}: {' && '.join(self.lines)}" if len(self.lines) < 3 else self.why


def gather() -> Facts:
    """Read the facts of this machine; what cannot be read is None."""
    names = os.uname()
    return Facts(
        system=names.sysname,
        container=_container(),
        max_user_namespaces=_setting("user/max_user_namespaces"),
        unprivileged_userns_clone=_setting("kernel/unprivileged_userns_clone"),
        apparmor_restricts=_setting("kernel/apparmor_restrict_unprivileged_userns"),
        security_modules=tuple(filter(None, _text("/sys/kernel/security/lsm").split(","))),
        package_tool=next((t for t in ("apt-get", "dnf", "apk") if _program(t)), None),
        root=os.geteuid() == 0,
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _setting(name: str) -> int | None:
    text = _text(f"/proc/sys/{name}")
    return int(text) if text.isdecimal() else None


def _program(name: str) -> bool:
    return any(os.access(f"{folder}/{name}", os.X_OK) for folder in ("/usr/bin", "/sbin", "/bin"))


def _container() -> str | None:
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    manager = _text("/run/systemd/container")
    return manager or os.environ.get("container")  # noqa: SIM112 - the name that LXC gives it


def raising(level: Level, found: Finding, facts: Facts) -> list[Step]:
    """Return what would give a level, or a part that it lacks; empty where nothing is missing.

    The first is the narrowest setting that helps.
    """
    if facts.system != "Linux":
        return []
    if found.given:
        return _parts(found, facts)
    match level:
        case Level.ISOLATED:
            return _isolated(found, facts)
        case Level.SEALED | Level.FILTERED:
            return _filters(found, facts)
        case Level.ADVISORY:
            return []
        case _:
            assert_never(level)


def _isolated(found: Finding, facts: Facts) -> list[Step]:
    if facts.max_user_namespaces == 0:
        return [
            Step(
                why="allow user namespaces",
                lines=("sysctl -w user.max_user_namespaces=16384",),
            )
        ]
    if facts.unprivileged_userns_clone == 0 and not facts.root:
        return [
            Step(
                why="allow user namespaces without root",
                lines=("sysctl -w kernel.unprivileged_userns_clone=1",),
            )
        ]
    if facts.container is not None:
        flags = _container_flags(facts.container)
        on_host = (_HOST_SYSCTL,) if facts.apparmor_restricts else ()
        return [Step(why=flags.why, lines=(*flags.lines, *on_host))]
    if facts.apparmor_restricts and not facts.root:
        return [_apparmor()]
    if found.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        return [
            Step(
                why="a filter or security module around this process refuses "
                f"`{found.step}`; start it without that, as in a container with",
                lines=("--security-opt seccomp=unconfined",),
            )
        ]
    return []


# A container shares the host's setting, and a profile of its own does not lift it.
_HOST_SYSCTL = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0   # on the host"


def _container_flags(container: str) -> Step:
    if container == "kubernetes":
        return Step(
            why="let the pod use user namespaces",
            lines=(
                "securityContext:",
                "  seccompProfile: {type: Unconfined}",
                "  appArmorProfile: {type: Unconfined}",
                "  procMount: Unmasked",
            ),
        )
    if container in {"docker", "podman"}:
        flags = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"
        unmask = "systempaths=unconfined" if container == "docker" else "unmask=ALL"
        return Step(
            why="let the container make user namespaces",
            lines=(f"{container} run {flags} --security-opt {unmask}",),
        )
    return Step(
        why="let the container nest",
        lines=("lxc config set CONTAINER security.nesting=true",),
    )


def _apparmor() -> Step:
    import sys

    program = os.path.realpath(sys.executable)
    return Step(
        why="give this Python an AppArmor profile that lets it make user namespaces",
        lines=(
            "# /etc/apparmor.d/batuta, then: apparmor_parser -r /etc/apparmor.d/batuta",
            "abi <abi/4.0>,",
            f"profile batuta {program} flags=(unconfined) {{",
            "  userns,",
            "}",
        ),
    )


def _filters(found: Finding, facts: Facts) -> list[Step]:
    if found.step == request.LANDLOCK:
        return [_landlock(facts)]
    if found.step == request.SECCOMP and found.errno == errno.EBUSY:
        return [
            Step(
                why="the container's manager holds the one listener for system calls; give it up",
                lines=("lxc config unset CONTAINER security.syscalls.intercept.mknod",),
            )
        ]
    return [
        Step(
            why=f"a filter around this process refuses `{found.step}`; in a container use",
            lines=("--security-opt seccomp=unconfined",),
        )
    ]


def _landlock(facts: Facts) -> Step:
    modules = ",".join(facts.security_modules or ("capability",))
    if facts.security_modules and "landlock" not in facts.security_modules:
        return Step(
            why="switch Landlock on at boot (kernel parameter)",
            lines=(f"lsm=landlock,{modules}",),
        )
    return Step(
        why="Landlock needs Linux 5.13 or newer, and a container must allow its calls",
        lines=("--security-opt seccomp=unconfined",),
    )


def _parts(found: Finding, facts: Facts) -> list[Step]:
    steps = []
    if request.NFTABLES in found.lost:
        tool = facts.package_tool or "apt-get"
        # Where the tool is there it is the kernel that lacks a part, and that is the host's.
        here = found.lost[request.NFTABLES] != NO_NFT
        line = "modprobe nf_tables   # on the host" if here else f"{tool} install nftables"
        steps.append(Step(why="add the nftables layer", lines=(line,)))
    if request.LANDLOCK in found.lost:
        steps.append(_landlock(facts))
    if request.PROC in found.lost and facts.container in {"docker", "podman"}:
        unmask = "systempaths=unconfined" if facts.container == "docker" else "unmask=ALL"
        steps.append(
            Step(why="let workers have a /proc of their own", lines=(f"--security-opt {unmask}",))
        )
    return steps
