"""Starting a worker behind walls: what it may see, which level, and the process that comes of it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.sandbox import landlock, places, request
from batuta.runtime.sandbox.filtered import ConnectSupervisor, Dial
from batuta.runtime.sandbox.request import HelperRequest

GATEWAY_PORT = 3128

_HELPER = (
    "import sys; sys.path.append(sys.argv.pop(1)); sys.dont_write_bytecode = True; "
    "from batuta.runtime.sandbox.launcher import main; main()"
)
_SETUP_WAIT_S = 30.0
_KILL_WAIT_S = 2.0


class Level(StrEnum):
    """How strongly a worker is confined, strongest first."""

    ISOLATED = "isolated"
    SEALED = "sealed"
    FILTERED = "filtered"
    ADVISORY = "advisory"

    @property
    def enforced(self) -> bool:
        """True where the operating system, and not the worker's good will, holds the line."""
        return self is not Level.ADVISORY


LAYERS_OF = {
    Level.ISOLATED: frozenset(request.LAYERS),
    Level.SEALED: frozenset({request.LANDLOCK, request.SECCOMP}),
    Level.FILTERED: frozenset({request.LANDLOCK, request.SECCOMP}),
    Level.ADVISORY: frozenset[str](),
}
# Layers that make a level what it is. The others are put up where the machine has them.
REQUIRED_OF = {
    Level.ISOLATED: LAYERS_OF[Level.ISOLATED]
    - {request.NO_MORE_NAMESPACES, request.NFTABLES, request.PROC, request.LANDLOCK},
    Level.SEALED: LAYERS_OF[Level.SEALED],
    Level.FILTERED: LAYERS_OF[Level.FILTERED],
    Level.ADVISORY: LAYERS_OF[Level.ADVISORY],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayHandle:
    """The one way out.

    Isolated: a listener on 127.0.0.1:`port` is made inside and handed back. Filtered: every
    connect of the worker gets what `dial` returns; without it every connect is refused.
    """

    port: int = GATEWAY_PORT
    dial: Dial | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a worker may use. Paths are absolute, may be links, and exist.

    `env` is the worker's whole environment; TMPDIR is added. `gateway` None: no way out.
    `layers` None: all that the level has and this machine gave to the probe.
    """

    level: Level
    read_paths: tuple[str, ...] = ()
    write_paths: tuple[str, ...] = ()
    gateway: GatewayHandle | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    layers: frozenset[str] | None = None


class SetupFailed(BatutaError):
    """A step of putting up the walls failed; the worker was never started."""

    def __init__(self, level: Level, step: str, error: int, text: str) -> None:
        super().__init__(
            Diagnostic(
                code="EGR202",
                summary="A worker could not be confined",
                detail=f"Level {level}: the step `{step}` failed ({text}). Nothing was started.",
                fix="`batuta doctor` tries every level and says which setting would help.",
            )
        )
        self.level, self.step, self.errno, self.text = level, step, error, text


@dataclass
class Confined:
    """A confined worker, to be waited for and ended like a process.

    `returncode` is the worker's own: negative for a signal, as with `subprocess`. `listener`
    accepts what the worker connects to (isolated with a gateway), else None; it is the caller's
    to close.
    """

    level: Level
    layers: frozenset[str]
    keeper: "subprocess.Popen[bytes]"
    listener: socket.socket | None = None
    _lifeline: socket.socket | None = None
    _connects: ConnectSupervisor | None = None
    _scratch: Path | None = None

    @property
    def pid(self) -> int:
        """The process that keeps the worker; the worker is below it."""
        return self.keeper.pid

    @property
    def returncode(self) -> int | None:
        """How the worker ended, None while it was not seen to have ended."""
        return self.keeper.returncode

    def poll(self) -> int | None:
        """Return how the worker ended, None while it runs."""
        code = self.keeper.poll()
        if code is not None:
            self._release()
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self.keeper.wait(timeout)
        self._release()
        return code

    def kill(self) -> None:
        """End the worker and everything that it started. Does not wait for the end."""
        # Let go of the lifeline: the keeper then also ends what has left the worker.
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.keeper.wait(_KILL_WAIT_S)
        self.keeper.kill()

    def _release(self) -> None:
        for each in (self._lifeline, self._connects):
            if each is not None:
                each.close()
        self._lifeline = self._connects = None
        _remove(self._scratch)


def launch(argv: Sequence[str], channel_fd: int, confinement: Confinement) -> Confined:
    """Start `argv` behind the walls of a confinement, with one descriptor: `channel_fd`.

    Returns when every step has succeeded and the worker is about to run.

    Raises:
        SetupFailed: EGR202, a step failed; nothing runs.
        BatutaError: EGR203, a path is not there, or root could read it only by its privileges,
            which no worker has.
    """
    assert confinement.level.enforced, "an advisory worker has no walls to put up"
    asked = _request(argv, channel_fd, confinement)
    ours, theirs = socket.socketpair()
    command = [
        sys.executable, "-I", "-S", "-c", _HELPER, places.PACKAGE_ROOT, str(theirs.fileno()),
    ]  # fmt: skip
    with theirs:
        keeper = subprocess.Popen(
            command, pass_fds=(theirs.fileno(), channel_fd), env={"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    try:
        ours.settimeout(_SETUP_WAIT_S)
        passed = _converse(ours, asked, confinement.level)
        return _confined(confinement, asked, keeper, (ours, passed))
    except BaseException:
        ours.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(_KILL_WAIT_S)
        keeper.kill()
        keeper.wait()
        _remove(_scratch_of(asked))
        raise


def _scratch_of(asked: HelperRequest) -> Path | None:
    return None if request.MOUNT in asked.layers else Path(asked.env["TMPDIR"])


def _remove(scratch: Path | None) -> None:
    """Remove a worker's scratch folder; the keeper does it first, unless it was killed."""
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _request(argv: Sequence[str], channel_fd: int, confinement: Confinement) -> HelperRequest:
    level, gateway = confinement.level, confinement.gateway
    layers = confinement.layers
    if layers is None:
        from batuta.runtime.sandbox.probe import layers_here

        layers = layers_here(level)
    isolated = request.MOUNT in layers
    places.check((*confinement.read_paths, *confinement.write_paths))
    binds, links = places.binds(
        confinement.read_paths, confinement.write_paths, network=gateway is not None
    )
    scratch = "/tmp"  # noqa: S108 - inside, a file system of the worker's own
    if not isolated:
        scratch = os.path.realpath(tempfile.mkdtemp(prefix="batuta-worker-"))
    return HelperRequest(
        level=level.value,
        layers=tuple(layer for layer in request.LAYERS if layer in layers),
        argv=tuple(argv),
        env={**confinement.env, "TMPDIR": scratch},
        channel=channel_fd,
        binds=binds,
        links=links if isolated else (),
        files=places.small_files() if isolated else {},
        port=gateway.port if gateway is not None else 0,
        network=gateway is not None,
        landlock=landlock.abi() if request.LANDLOCK in layers else 0,
        nft=nft_program() or "",
    )


def nft_program() -> str | None:
    """Return where the system keeps `nft`; None where it does not."""
    folders = ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin")
    found = (f"{folder}/nft" for folder in folders)
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _converse(ours: socket.socket, asked: HelperRequest, level: Level) -> list[int]:
    try:
        ours.sendall(request.encode(asked))
        body, passed, _, _ = socket.recv_fds(ours, 4096, 4)
    except (BrokenPipeError, ConnectionResetError, TimeoutError) as error:
        raise SetupFailed(level, "helper", error.errno or 0, "the helper did not answer") from error
    if body.startswith(b"R"):
        return passed
    if not body:
        raise SetupFailed(level, "helper", 0, "the helper ended without a word")
    step, error_number, text = body[1:].decode().split("\n", 2)
    raise SetupFailed(level, step, int(error_number), text)


def _confined(
    confinement: Confinement,
    asked: HelperRequest,
    keeper: "subprocess.Popen[bytes]",
    opened: tuple[socket.socket, list[int]],
) -> Confined:
    lifeline, passed = opened
    lifeline.settimeout(None)
    made = Confined(
        level=confinement.level,
        layers=frozenset(asked.layers),
        keeper=keeper,
        _lifeline=lifeline,
        _scratch=_scratch_of(asked),
    )
    if confinement.level is Level.FILTERED and request.SECCOMP in asked.layers:
        gateway = confinement.gateway
        made._connects = ConnectSupervisor(passed.pop(), gateway.dial if gateway else None)
    if passed:
        made.listener = socket.socket(fileno=passed.pop())
        made.listener.setblocking(True)
    return made
