"""Runs a function as a supervisor in the world of an `Internet`, as root or as somebody else.

    python -m tests.attacks.driver PID UID MODULE:FUNCTION ARGUMENTS

UID is `-` for whoever runs the tests. What the function returns is printed as JSON.
"""

import importlib
import json
import os
import stat
import sys
import tempfile
from pathlib import Path

from batuta.runtime.sandbox import kernel, namespaces

ROOT = Path(__file__).resolve().parents[2]
_NEW_MOUNT, _PRIVATE = 0x00020000, 16384 | 1 << 18
_BIND = 4096 | 16384


def main() -> None:
    pid, uid, target, arguments = sys.argv[1:5]
    if pid != "-":
        _join(pid)
    if uid != "-":
        become(int(uid))
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    print(json.dumps(function(**json.loads(arguments))), flush=True)


def _join(pid: str) -> None:
    kinds = ("net",) if os.geteuid() == 0 else ("user", "net")
    for kind in kinds:
        opened = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        kernel.call("setns", opened, 0)
        os.close(opened)


def become(uid: int) -> None:
    """Become an ordinary user who can read this Python and the project, wherever they are."""
    kernel.call("unshare", _NEW_MOUNT)
    namespaces.mount("none", "/", "", _PRIVATE)
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix), ROOT, Path(__file__).parents[2]}
    for blocked in sorted({top for path in needed if (top := _blocked(path))}):
        _open_up(blocked, [path for path in sorted(needed) if path.is_relative_to(blocked)])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    os.environ["HOME"] = "/nonexistent"
    os.environ.pop("TMPDIR", None)
    tempfile.tempdir = None
    os.chdir("/")


def _blocked(path: Path) -> Path | None:
    """Return the topmost folder above `path` through which only its owner may pass."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & stat.S_IXOTH), None)


def _open_up(folder: Path, kept: list[Path]) -> None:
    """Cover a folder with an empty one that holds only the paths to keep; in this process's view."""
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in kept}
    namespaces.mount("tmpfs", str(folder), "tmpfs", 0, "mode=0755,size=1m")
    for path, number in opened.items():
        path.mkdir(parents=True, exist_ok=True)
        namespaces.mount(f"/proc/self/fd/{number}", str(path), "", _BIND)
        os.close(number)


if __name__ == "__main__":
    main()
