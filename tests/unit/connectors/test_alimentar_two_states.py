"""A recovery beside a run that is alive, whose state it does not know: each step between each two.

The run stops before one of its steps, the recovery does some of its own, the run goes on to its
end, then the recovery does the rest. Whatever the two agree on, a committed version is whole.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.log import open_log
from batuta.connectors.alimentar.names import STAGING
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.verify import verify
from batuta.connectors.local.files import LocalFiles
from batuta.model.address import Address
from batuta.model.connector import Connection, Files
from batuta.model.diagnostic import BatutaError
from tests.unit.connectors.alimentar_bench import (
    MemoryStore,
    content_of,
    digest,
    draft,
    part_path,
)

ONE, TWO, NEW = part_path(b"one"), part_path(b"two"), part_path(b"new")
Content = Mapping[str, bytes]
STEPS = {"list", "read", "open", "create", "publish", "move", "delete"}
LONG_S = 20

# What is there, what the run adds, and what it removes.
KINDS: dict[str, tuple[Content, Content, list[str]]] = {
    "parts for parts": ({ONE: b"one", TWO: b"two"}, {NEW: b"new"}, [ONE]),
    "a key's content of the same size": ({"k": b"old", "z": b"z"}, {"k": b"new"}, []),
    "the first parts": ({}, {NEW: b"new"}, []),
}


class Stepping:
    """The port around a store. Before each step, and between a draft and its name, it says so."""

    def __init__(self, inner: Files, step: Callable[[], None]) -> None:
        self._inner = inner
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in STEPS:
            return found

        def stepped(*args: Any, **named: Any) -> Any:
            self._step()
            check = named.get("check")
            if check is not None and self._inner.moves:
                named["check"] = lambda: (check(), self._step())
            return found(*args, **named)

        return stepped


class Turn:
    """Counts steps; before the one with the number `at` it waits for `go`, once."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.reached.set()
            assert self.go.wait(LONG_S)


def store_at(kind: str, folder: Path) -> tuple[Files, Callable[[Content], list[tuple[str, str]]]]:
    """Return a store, and what stages contents for a run that is not known to the recovery."""
    if kind == "store":
        memory = MemoryStore(moves=False)
        return memory, lambda content: [
            (memory.stage(digest(each)[:16], each), path) for path, each in content.items()
        ]
    files = LocalFiles(Connection(), Address("file", str(folder)))

    def stage(content: Content) -> list[tuple[str, str]]:
        beside = folder / STAGING / "run-1"
        beside.mkdir(parents=True, exist_ok=True)
        staged = []
        for path, each in content.items():
            local = beside / digest(path.encode() + each)[:16]
            local.write_bytes(each)
            staged.append((str(local), path))
        return staged

    return files, stage


def interleaved(files: Files, stage: Any, kind: str, run_at: int, recovery_at: int) -> bool:
    """Let both take their turns; return whether the run came to where it was to stop."""
    before, added, removed = KINDS[kind]
    log = commit(files, None, draft(before), None, stage(before)) if before else None
    run, recovery = Turn(run_at), Turn(recovery_at)
    staged = stage(added)

    def work() -> None:
        with suppress(BatutaError, OSError, AssertionError):
            head = log.head if log else None
            commit(Stepping(files, run), log, draft(added, removed), head, staged)
        run.reached.set()

    def clean() -> None:
        with suppress(BatutaError, OSError):
            recover(Stepping(files, recovery), frozenset())
        recovery.reached.set()

    writer, cleaner = threading.Thread(target=work), threading.Thread(target=clean)
    writer.start()
    assert run.reached.wait(LONG_S)
    hit = run.left <= 0
    cleaner.start()
    assert recovery.reached.wait(LONG_S)
    run.go.set()
    writer.join(LONG_S)
    recovery.go.set()
    cleaner.join(LONG_S)
    assert not writer.is_alive()
    assert not cleaner.is_alive()
    return hit


def check_whole(files: Files, kind: str) -> None:
    before, added, removed = KINDS[kind]
    log = open_log(files)
    now = content_of(files, log.snapshot) if log is not None else {}
    after = {path: each for path, each in {**before, **added}.items() if path not in removed}
    assert now in (dict(before), after)
    recover(files, frozenset())
    assert (content_of(files, log.snapshot) if log is not None else {}) == now
    assert verify(files, None, lambda _files, _bytes: None).ok or log is None
    assert {info.path for info in files.list() if not info.path.startswith("_")} == set(now)
    assert [info.path for info in files.list(STAGING)] == []


def turns(where: str) -> Iterator[tuple[int, int]]:
    """Yield where each of the two stops. A disk is slow, so only some are tried there."""
    for run_at in range(1, 80):
        for recovery_at in range(1, 40, 3 if where == "folder" else 1):
            yield run_at, recovery_at


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["folder", "store"])
def test_a_recovery_never_takes_back_what_another_run_commits_meanwhile(
    tmp_path: Path, where: str, kind: str
) -> None:
    wrong, last = [], 0
    for run_at, recovery_at in turns(where):
        if last and run_at > last:
            break
        files, stage = store_at(where, tmp_path / f"{run_at}-{recovery_at}")
        if not interleaved(files, stage, kind, run_at, recovery_at):
            last = run_at
        try:
            check_whole(files, kind)
        except Exception as error:  # noqa: BLE001 - all of them together say more than the first
            wrong.append(f"run {run_at}, recovery {recovery_at}: {error!r}"[:200])
    assert last > 8
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])
