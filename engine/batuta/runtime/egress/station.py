"""What one listener's connections share: whose they are, what they may do, how the world is met."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from batuta.core.egress.policy import Policy
from batuta.model.request_signing import HttpRequest
from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.egress.authority import RunAuthority
from batuta.runtime.egress.budget import Ledger, Limits
from batuta.runtime.egress.resolve import Resolver
from batuta.runtime.egress.upstream import Dialer, UpstreamProxy


class AuditFailed(Exception):
    """The egress log cannot be written, so nothing may go out any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerIdentity:
    """Whose connections come from a listener, as the log names them.

    `budget` says whose budgets are used: workers with the same text share them, and the empty
    text is that of the run.
    """

    action: str
    dataset: str
    worker: str
    budget: str = ""


CredentialHook: TypeAlias = Callable[[HttpRequest], HttpRequest]
"""Returns a request that was allowed as it goes on: with a bearer token, or signed anew.

Method and host stay, and so does the path. What the worker gave for a credential in a header may
be looked at, and goes on in no case.
"""


@dataclass(slots=True)
class World:
    """What all listeners of one run share."""

    run: str
    audit: AuditLog
    resolver: Resolver
    dialer: Dialer
    limits: Limits
    authority: RunAuthority
    trust: Callable[[], ssl.SSLContext]
    proxy: UpstreamProxy | None
    on_row: Callable[[Row], None] | None
    on_failure: Callable[[], None]
    referrers: dict[str, str] = field(default_factory=dict)
    failed: str = ""
    _count: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Go on only where the log could be written so far.

        Raises:
            AuditFailed: It could not.
        """
        if self.failed:
            raise AuditFailed(self.failed)

    def number(self) -> int:
        """Return the number of the next connection, from 1."""
        with self._guard:
            self._count += 1
            return self._count

    def refer(self, to: str, by: str) -> None:
        """Note that `by` redirected to `to`; the first one is kept, and 1000 hosts at most."""
        with self._guard:
            if len(self.referrers) < 1000:
                self.referrers.setdefault(to, by)

    def record(self, row: Row) -> None:
        """Write a line of the log.

        Raises:
            AuditFailed: It cannot be written, or an earlier one could not.
        """
        self.check()
        try:
            stored = self.audit.append(row)
        except OSError as error:
            self.failed = error.strerror or str(error)
            raise AuditFailed(self.failed) from error
        if self.on_row is not None:
            self.on_row(stored)


@dataclass(slots=True)
class Station:
    """One listener's side of it. `worker` may change between actions; `policy` never does.

    `keeps`: the worker was given keys of its own, which go out with what it asks in inspect mode.
    `password`: whoever asks has to know it; empty where nobody else reaches the listener.
    """

    world: World
    policy: Policy
    worker: WorkerIdentity
    ledger_of: Callable[[WorkerIdentity], Ledger]
    credentials: CredentialHook | None = None
    keeps: bool = False
    password: str = field(default="", repr=False)
