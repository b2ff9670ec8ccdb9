"""What a run has used up, counted before a byte goes on; `core.egress` says when it is too much."""

import threading
from dataclasses import dataclass, field

from batuta.core.egress import verdict
from batuta.core.egress.codes import Refused
from batuta.core.egress.hosts import Host
from batuta.core.egress.policy import Policy
from batuta.core.egress.rules import MAX_CONNECTION_S, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the gateway itself: seconds, and connections that one worker may hold at once."""

    head_s: float = verdict.HEAD_TIMEOUT_S
    hello_s: float = 10.0
    resolve_s: float = 10.0
    connect_s: float = 10.0
    idle_s: float = 600.0
    duration_s: float = float(MAX_CONNECTION_S)
    connections: int = 64


class OverBudget(Exception):
    """A budget is used up; `refused` says which. Nothing of the bytes at hand may go on."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


@dataclass(slots=True)
class _Account:
    uploaded: int = 0
    connections: int = 0
    names: set[str] = field(default_factory=set)


class Caps:
    """What documents cap for a whole run, whichever workers use it up.

    A policy is narrowed for each worker, so that its own ledger sees a part only. Here bytes are
    counted by the documents that took part, and uploads by the line of the rule.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._moved: dict[tuple[str, ...], int] = {}
        self._uploaded: dict[tuple[str, ...], int] = {}

    def up(self, whole: Policy, rule: Rule, count: int) -> None:
        """Take `count` bytes that a worker wants to send under a rule narrowed from `whole`.

        Raises:
            OverBudget: They must not be sent; nothing was taken.
        """
        line = _line(rule)
        stated = next((each for each in whole.allow if _line(each) == line), rule)
        with self._guard:
            spent = verdict.Spent(
                moved_bytes=self._moved.get(whole.documents, 0),
                uploaded_bytes=self._uploaded.get(line, 0),
            )
            _check(verdict.may_send(whole, stated, spent, count))
            self._moved[whole.documents] = spent.moved_bytes + count
            self._uploaded[line] = spent.uploaded_bytes + count

    def down(self, whole: Policy, count: int) -> None:
        """Take `count` bytes that came for a worker.

        Raises:
            OverBudget: They must not be handed on; nothing was taken.
        """
        with self._guard:
            moved = self._moved.get(whole.documents, 0)
            _check(verdict.may_move(whole, verdict.Spent(moved_bytes=moved), count))
            self._moved[whole.documents] = moved + count


def _line(rule: Rule) -> tuple[str, ...]:
    """Name the line of a document that a rule comes from, whatever it was narrowed to."""
    return (rule.origin, *map(str, rule.locations)) if rule.locations else (rule.name,)


def _check(refused: Refused | None) -> None:
    if refused is not None:
        raise OverBudget(refused)


class Ledger:
    """The accounts of one worker's policy; any number of threads may use it.

    Args:
        shared: The caps that hold for the whole run, with the policy that states them.
    """

    def __init__(self, policy: Policy, shared: tuple[Caps, Policy] | None = None) -> None:
        self._policy = policy
        self._shared = shared
        self._guard = threading.Lock()
        self._moved = 0
        self._accounts: dict[str, _Account] = {}

    def open(self, rule: Rule, host: Host) -> Refused | None:
        """Count a connection to `host`; or say why it would be one too many, counting nothing."""
        with self._guard:
            account = self._account(rule)
            refused = verdict.may_open(rule, host, self._spent(account, names=True))
            if refused is None:
                account.connections += 1
                if rule.wildcard:
                    account.names.add(host.name)
            return refused

    def up(self, rule: Rule, count: int) -> None:
        """Take `count` bytes that a worker wants to send.

        Raises:
            OverBudget: They must not be sent; nothing was taken.
        """
        with self._guard:
            account = self._account(rule)
            _check(verdict.may_send(self._policy, rule, self._spent(account), count))
            if self._shared is not None:
                self._shared[0].up(self._shared[1], rule, count)
            self._moved += count
            account.uploaded += count

    def down(self, rule: Rule, count: int) -> None:
        """Take `count` bytes that came for a worker.

        Raises:
            OverBudget: They must not be handed on; nothing was taken.
        """
        with self._guard:
            spent = self._spent(self._account(rule))
            _check(verdict.may_move(self._policy, spent, count))
            if self._shared is not None:
                self._shared[0].down(self._shared[1], count)
            self._moved += count

    def _account(self, rule: Rule) -> _Account:
        return self._accounts.setdefault(rule.name, _Account())

    def _spent(self, account: _Account, *, names: bool = False) -> verdict.Spent:
        return verdict.Spent(
            moved_bytes=self._moved,
            uploaded_bytes=account.uploaded,
            connections=account.connections,
            names=frozenset(account.names) if names else frozenset(),
        )


class Meter:
    """Counts one connection's bytes and takes them from the run's budgets."""

    def __init__(self, ledger: Ledger, rule: Rule) -> None:
        self._ledger = ledger
        self.rule = rule
        self.sent = 0
        self.received = 0

    def up(self, count: int) -> None:
        """Take bytes that the worker wants to send.

        Raises:
            OverBudget: They must not be sent.
        """
        self._ledger.up(self.rule, count)
        self.sent += count

    def down(self, count: int) -> None:
        """Take bytes that the other side sent.

        Raises:
            OverBudget: They must not be handed on.
        """
        self._ledger.down(self.rule, count)
        self.received += count
