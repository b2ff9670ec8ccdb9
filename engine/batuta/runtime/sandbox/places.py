"""Which paths of the host a worker sees: the interpreter, the packages, and what its action names."""

import os
import site
import stat
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import batuta
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.sandbox.request import Bind

PACKAGE_ROOT = str(Path(batuta.__file__).resolve().parent.parent)

# Programs and libraries of the system. Nothing of a person's is in them.
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store")
_LOADER = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/sys/devices/system/cpu")
_AUTHORITIES = ("/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

# Names resolve to nothing inside; the gateway is the one that asks.
_NO_NAMES = {
    "/etc/resolv.conf": "",
    "/etc/hosts": "",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


@cache
def interpreter() -> tuple[str, ...]:
    """Return what this Python runs from: its prefixes, the package, and linked packages.

    The latter are the folders that `.pth` files name, as an editable installation has them.
    """
    packages = [*site.getsitepackages(), PACKAGE_ROOT]
    named = {line.strip() for folder in packages for line in _pth_lines(Path(folder))}
    linked = [entry for entry in sys.path if entry in named]
    return (sys.prefix, sys.base_prefix, sys.exec_prefix, *packages, *linked)


def _pth_lines(folder: Path) -> Iterable[str]:
    for file in sorted(folder.glob("*.pth")):
        yield from file.read_text(encoding="utf-8", errors="replace").splitlines()


def binds(
    read: Iterable[str], write: Iterable[str], *, network: bool
) -> tuple[tuple[Bind, ...], tuple[tuple[str, str], ...]]:
    """Return what the worker sees, and the symbolic links through which it may be named.

    Paths that are wanted by a caller must exist; of the system's, those that do are taken.

    A path to read or write that is not there is the caller's mistake; see `check`.
    """
    system = [*_SYSTEM, *_LOADER, *interpreter(), *(_AUTHORITIES if network else ())]
    kinds: dict[str, str] = {}
    links: dict[str, str] = {}
    for kind, paths in (("run", system), ("device", _DEVICES), ("read", read), ("write", write)):
        for path in paths:
            real = _follow(path, links)
            if os.path.exists(real):
                kinds[real] = _stronger(kinds.get(real), kind)
    _follow(sys.executable, links)
    return tuple(Bind(p, k) for p, k in sorted(kinds.items()) if not _within(p, k, kinds)), tuple(
        sorted(links.items())
    )


def _stronger(before: str | None, kind: str) -> str:
    order = ("read", "run", "device", "write")
    return kind if before is None or order.index(kind) > order.index(before) else before


def _within(path: str, kind: str, kinds: dict[str, str]) -> bool:
    """True where a parent gives the same already, so that no mount of its own is needed."""
    parents = [str(parent) for parent in Path(path).parents]
    above = next((kinds[parent] for parent in parents if parent in kinds), None)
    return above is not None and (above == kind or (above == "run" and kind == "read"))


def _follow(path: str, links: dict[str, str]) -> str:
    """Return the real path, adding each symbolic link on the way to `links`."""
    left = [part for part in os.path.abspath(path).split("/") if part]
    at = "/"
    for _ in range(4096):
        if not left:
            break
        part = left.pop(0)
        if part == "..":
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, part)
        if os.path.islink(here):
            target = os.readlink(here)
            links[here] = target
            left = [piece for piece in target.split("/") if piece and piece != "."] + left
            at = "/" if target.startswith("/") else at
        else:
            at = here
    return at


def check(paths: Iterable[str]) -> None:
    """Check that a worker, which has no privileges, will be able to open these paths.

    Root reads what belongs to others by a capability that its workers do not have; such a path
    is refused here by name, where the message can still say so.

    Raises:
        BatutaError: EGR203, a path is not there or cannot be opened without privileges.
    """
    for path in paths:
        if not os.path.exists(path):
            raise _closed(path, "it is not there")
        if os.geteuid() != 0:
            continue
        real = Path(os.path.realpath(path))
        for each in (real, *real.parents):
            about = each.stat()
            # Folders on the way need only be passed through.
            wanted = (stat.S_IROTH if each == real else 0) | (
                stat.S_IXOTH if stat.S_ISDIR(about.st_mode) else 0
            )
            own = about.st_uid == 0 or (about.st_gid == 0 and about.st_mode & stat.S_IRGRP)
            if not own and about.st_mode & wanted != wanted:
                raise _closed(path, f"only the user {about.st_uid} may open {each}")


def _closed(path: str, why: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="EGR203",
            summary="A worker could not open a path that it needs",
            detail=f"{path}: {why}. Workers have no privileges, also when root runs batuta.",
            fix="Run batuta as the user who owns the files, or let others read them (chmod o+rX).",
        )
    )


def small_files() -> dict[str, str]:
    """Return the files that a worker's own root holds, by path."""
    from batuta.runtime.sandbox.namespaces import STAND_IN

    uid, gid = os.geteuid() or STAND_IN, os.getegid() or STAND_IN
    names = {
        "/etc/passwd": f"worker:x:{uid}:{gid}::/tmp:/bin/false\n",
        "/etc/group": f"worker:x:{gid}:\n",
    }
    return {**_NO_NAMES, **names}
