"""The way out of one run, its own and its workers', made when the first of them needs one.

It tells what was refused, and ends the worker at once where its policy says so.
"""

import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batuta.core.egress.codes import Code
from batuta.model.connector import WayOut
from batuta.model.diagnostic import Diagnostic
from batuta.model.egress import LogHead
from batuta.runtime.mover_http import IDLE
from batuta.runtime.worker.posting import Way

if TYPE_CHECKING:
    from batuta.runtime.egress.audit import Row
    from batuta.runtime.egress.session import GatewayRun

REFUSED = "EGR306"
SUPERVISOR = "supervisor"
"""Who is behind what the process itself asks: its connections serve all datasets of a place."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that was refused: its line in the log, and what that means."""

    row: "Row"
    diagnostic: Diagnostic


@dataclass
class Gate:
    """One run's gateway. `told` hears of each refusal as it happens, from any thread.

    `proxy` is the house's; `ca_files` are authorities to trust beside the system's.
    """

    run: str
    audit: Path
    told: Callable[[Refusal], None] = lambda _refusal: None
    proxy: str | None = None
    ca_files: Sequence[Path] = ()
    refusals: list[Refusal] = field(default_factory=list)
    _watch: dict[str, Callable[[Refusal], None]] = field(default_factory=dict)
    _cut: set[tuple[str, int]] = field(default_factory=set)
    _gateway: "GatewayRun | None" = None
    _before: LogHead | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _own: dict[str, WayOut] = field(default_factory=dict)
    _own_guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def gateway(self) -> "GatewayRun":
        """The gateway; it is opened at the first use.

        Raises:
            BatutaError: EGR301, EGR302 or EGR305: it cannot be.
        """
        # What serves ways out is slow to import, and many runs have none.
        from batuta.runtime.egress.session import GatewayRun, proxy_of

        with self._guard:
            if self._gateway is None:
                self._gateway = GatewayRun(
                    run_id=self.run, audit_path=self.audit, ca_files=self.ca_files,
                    upstream_proxy=None if self.proxy is None else proxy_of(self.proxy),
                    on_row=self._see,
                )  # fmt: skip
            return self._gateway

    def own(self, way: Way) -> WayOut:
        """Return a way out for this process itself; there is one for each policy.

        Any process of the machine reaches a port on loopback, so this one asks for a password.
        """
        from batuta.runtime.egress.gateway import LOOPBACK
        from batuta.runtime.egress.station import WorkerIdentity

        digest = way.policy.digest
        with self._own_guard:
            if digest not in self._own:
                password = secrets.token_urlsafe(24)
                door = self.gateway.serve(
                    socket.create_server((LOOPBACK, 0), backlog=128),
                    worker=WorkerIdentity(
                        action="", dataset="", worker=SUPERVISOR, budget=SUPERVISOR
                    ),
                    policy=way.policy, whole=way.whole, keeps=way.keeps, password=password,
                )  # fmt: skip
                ca_file = str(self.gateway.ca_file)
                self._own[digest] = WayOut(*door.address, ca_file, password)
            return self._own[digest]

    @contextmanager
    def beside(self, host: str, port: int) -> Iterator[None]:
        """Write that this process asks its own machine's metadata, which no gateway leads to.

        Raises:
            BatutaError: EGR301, it cannot be written; then nothing may be asked.
        """
        with self.gateway.beside(SUPERVISOR, host, port):
            yield

    def head(self) -> LogHead:
        """Return the last line of the egress log, on disk, to be kept elsewhere.

        As long as nothing goes out it is the one at the first call: other runs may write on.

        Raises:
            BatutaError: EGR301, it cannot be read, or made durable.
        """
        from batuta.runtime.egress.audit_read import head_of

        try:
            with self._guard:
                gateway = self._gateway
                if gateway is None and self._before is None:
                    self._before = head_of(self.audit)
                before = self._before
            if gateway is not None:
                return gateway.audit_head
        except OSError as error:
            from batuta.runtime.egress.session import unwritable

            raise unwritable(self.audit, error.strerror or str(error)) from error
        assert before is not None
        return before

    def watch(self, worker: str, told: Callable[[Refusal], None]) -> None:
        """Tell `told` of what is refused to a worker from now on."""
        self._watch[worker] = told

    def close(self) -> None:
        """End every way out; all that was tried is in the log then. Twice is fine."""
        with self._guard:
            gateway = self._gateway
        if gateway is not None:
            IDLE.clear()  # this process's own: nobody reads through a gateway that is gone
            gateway.close()

    def _see(self, row: "Row") -> None:
        from batuta.runtime.egress.refusal import diagnostic_of

        meaning = diagnostic_of(row)
        if meaning is None or meaning.code != REFUSED:
            return
        if row.worker == SUPERVISOR and (row.code == Code.HTTP_STRANGER or not row.host):
            return  # somebody knocked at this process's own port; it stands in the log
        # A connection that is cut for a request has a line for that and one for its end.
        spoken = (row.worker, row.connection)
        if row.event == "end" and spoken in self._cut:
            return
        self._cut.add(spoken)
        refusal = Refusal(row, meaning)
        self.refusals.append(refusal)
        self.told(refusal)
        watching = self._watch.get(row.worker)
        if watching is not None:
            watching(refusal)
