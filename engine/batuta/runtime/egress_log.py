"""`batuta egress log`: the lines of the egress log, put together into what was tried.

A connection has several lines: it opens, asks, ends. What a person asks is who wanted to reach
which host, whether that was let through, by which rule, and how many bytes went.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from batuta.core.egress.codes import MEANING
from batuta.runtime.egress.audit import Row
from batuta.runtime.egress.audit_read import follow, rows
from batuta.runtime.egress.refusal import has_failed

Verdict: TypeAlias = Literal["allowed", "refused", "failed", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection that a worker tried to make.

    `time` is when it was tried, RFC 3339. `refused` is what a rule said no to; `failed` is what
    no rule forbade and what came to nothing: no such name, no credential, nobody answered. `open`
    is the verdict of one that was let through and whose end is not in the log: it goes on, or
    batuta was killed. `host` is what was asked for where that is no host. `also` are further ends that one connection was used for. `up` and
    `down` are bytes from and to the worker. `rule` is empty where no rule matched, and `line` is
    where the rule stands. `code` and `why` say the verdict's reason, and `end` how it ended.
    """

    time: str
    run: str
    worker: str
    action: str
    dataset: str
    verdict: Verdict
    code: str
    why: str
    host: str
    port: int
    also: tuple[str, ...] = ()
    peer: str = ""
    referrer: str = ""
    rule: str = ""
    line: str = ""
    policy: str = ""
    requests: int = 0
    up: int = 0
    down: int = 0
    ms: int = 0
    end: str = ""

    @property
    def ended(self) -> bool:
        """True where nothing more will be said of it."""
        return self.verdict != "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which connections are shown. `dataset` is a name or an address, `since` RFC 3339 UTC."""

    dataset: str | None = None
    refused: bool = False
    since: str | None = None

    def keeps(self, attempt: Attempt) -> bool:
        """True where the connection is shown."""
        name = attempt.dataset.partition("/")[2] or attempt.dataset
        return (
            (self.dataset is None or self.dataset in {attempt.dataset, name})
            and (not self.refused or attempt.verdict == "refused")
            and (self.since is None or attempt.time >= self.since)
        )


def tried(path: Path, wanted: Wanted) -> Iterator[Attempt]:
    """Yield what the log at `path` holds, in the order in which it ended; what is open at last."""
    gathered = _Gathered()
    for row in rows(path):
        attempt = gathered.take(row)
        if attempt is not None and attempt.ended and wanted.keeps(attempt):
            yield attempt
    yield from filter(wanted.keeps, gathered.open.values())


def followed(path: Path, wanted: Wanted, stop: Callable[[], bool]) -> Iterator[Attempt]:
    """Yield what the log holds, then what is tried, until `stop` answers True.

    What is let through is yielded twice: when it opens and when it ends.
    """
    gathered = _Gathered()
    for row in follow(path, stop=stop):
        attempt = gathered.take(row)
        if attempt is not None and wanted.keeps(attempt):
            yield attempt


class _Gathered:
    """The connections whose end was not met yet, by run and number."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int], Attempt] = {}

    def take(self, row: Row) -> Attempt | None:
        """Add a line; return its connection where the line opens or ends one."""
        key = (row.run, row.connection)
        match row.event:
            case "open":
                self.open[key] = _attempt(row, "open")
                return self.open[key]
            case "request":
                if (before := self.open.get(key)) is not None:
                    self.open[key] = _asked(before, row)
                return None
            case "refused" | "end":
                return _ended(self.open.pop(key, None), row)
            case _:
                return None


def _attempt(row: Row, verdict: Verdict) -> Attempt:
    return Attempt(
        time=row.time, run=row.run, worker=row.worker, action=row.action, dataset=row.dataset,
        verdict=verdict, code=row.code, why=_why(row), host=row.host or row.target, port=row.port,
        peer=row.peer, referrer=row.referrer, rule=row.rule, line=row.line, policy=row.policy,
        up=row.up, down=row.down, ms=row.ms, end=row.end,
    )  # fmt: skip


def _why(row: Row) -> str:
    if row.verdict not in {"deny", "fail"}:
        return ""
    known = {code.value: text for code, text in MEANING.items()}
    return row.detail or known.get(row.code, "")


def _asked(before: Attempt, row: Row) -> Attempt:
    end = f"{row.host}:{row.port}"
    ends = dict.fromkeys((_place(before), *before.also, end))
    return replace(before, requests=before.requests + 1, also=tuple(ends)[1:])


def _ended(before: Attempt | None, row: Row) -> Attempt:
    verdict: Verdict = "refused" if row.verdict == "deny" else "allowed"
    verdict = "failed" if has_failed(row) else verdict
    last = _attempt(row, verdict)
    if before is None:
        return last
    # One connection may be used for several ends: shown is what it was opened for, or was refused.
    shown, place = (last, _place(last)) if verdict != "allowed" else (before, _place(before))
    ends = dict.fromkeys((_place(before), *before.also, _place(last)))
    return replace(
        last, time=before.time, host=shown.host, port=shown.port, rule=shown.rule, line=shown.line,
        also=tuple(end for end in ends if end != place), requests=before.requests,
    )  # fmt: skip


def _place(attempt: Attempt) -> str:
    return f"{attempt.host}:{attempt.port}" if attempt.port else attempt.host
