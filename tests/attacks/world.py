"""The process that makes the two namespaces and keeps them until its input ends.

    python -m tests.attacks.world FOLDER

FOLDER gets `records.jsonl`, one line for each thing that reached a sink, and `authority.pem`. It
prints the number of the process whose network namespace the supervisor belongs into.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from batuta.runtime.sandbox import kernel

NEW_USER, NEW_NET = 0x10000000, 0x40000000
CLIENT_4, CLIENT_6 = "23.20.0.1/24", "2600:1f00::1/64"
SINKS_4 = ("23.20.0.10/24", "23.20.0.12/24", "23.20.0.53/24", "10.9.9.9/32", "169.254.169.254/32")
SINKS_6 = ("2600:1f00::10/64", "2600:1f00::12/64")
OFF_LINK = ("10.9.9.9/32", "169.254.169.254/32")


def main() -> None:
    folder = Path(sys.argv[1])
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.geteuid():
        _own_user_namespace()
    kernel.call("unshare", NEW_NET)
    ready, wired = socket.socketpair(), socket.socketpair()
    sinks = os.fork()
    if sinks == 0:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.call("unshare", NEW_NET)
        ready[1].send(b"x")
        wired[1].recv(1)
        _sink_side()
        from tests.attacks import sinks as listeners

        listeners.serve(folder, lambda: ready[1].send(b"x"))
        os._exit(0)
    ready[0].recv(1)
    _ip("link", "add", "bt0", "type", "veth", "peer", "name", "bt1", "netns", str(sinks))
    _client_side()
    wired[0].send(b"x")
    ready[0].recv(1)
    print(json.dumps({"supervisor": os.getpid(), "sinks": sinks}), flush=True)
    sys.stdin.read()
    os.kill(sinks, signal.SIGKILL)
    os.waitpid(sinks, 0)


def _own_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.call("unshare", NEW_USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _client_side() -> None:
    _ip("link", "set", "lo", "up")
    _ip("address", "add", CLIENT_4, "dev", "bt0")
    _ip("address", "add", CLIENT_6, "dev", "bt0", "nodad")
    _ip("link", "set", "bt0", "up")
    for address in OFF_LINK:
        _ip("route", "add", address, "dev", "bt0")


def _sink_side() -> None:
    _ip("link", "set", "lo", "up")
    for address in SINKS_4:
        _ip("address", "add", address, "dev", "bt1")
    for address in SINKS_6:
        _ip("address", "add", address, "dev", "bt1", "nodad")
    _ip("link", "set", "bt1", "up")


def _ip(*arguments: str) -> None:
    path = "/usr/sbin:/sbin:/usr/bin:/bin"
    subprocess.run(["ip", *arguments], check=True, env={"PATH": path})


if __name__ == "__main__":
    main()
