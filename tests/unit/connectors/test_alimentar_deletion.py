"""Deleting a dataset: announced in the log first, and finished by whoever comes after a death."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from batuta.connectors.alimentar.store import AlimentarStore
from batuta.model.diagnostic import CommitConflict
from batuta.model.log import LogEntry, Snapshot
from tests.unit.connectors.alimentar_bench import MemoryStore
from tests.unit.connectors.test_alimentar_rows import table_store


def test_deleting_leaves_strangers_and_nothing_else() -> None:
    files, store = table_store()
    files.create("mine.csv", b"1")
    files.create("_history/notes.txt", b"2")
    snapshot = store.snapshot()
    assert snapshot is not None

    store.delete(last_words(snapshot), snapshot.head)

    assert set(files.objects) == {"mine.csv", "_history/notes.txt"}


def last_words(snapshot: Snapshot) -> LogEntry:
    """The entry that announces the end of a dataset."""
    return replace(snapshot.entry, action="delete", added=(), removed=(), plan="f" * 64)


class Cut(Exception):
    """The process died."""


class Mortal(MemoryStore):
    """Dies after `left` files were deleted."""

    def __init__(self, left: int) -> None:
        super().__init__(moves=True)
        self.left = left

    def delete(self, paths: Sequence[str]) -> None:
        """Delete one by one."""
        for path in paths:
            if self.left == 0:
                raise Cut
            self.left -= 1
            super().delete([path])


@pytest.mark.parametrize("left", range(12))
def test_a_deletion_cut_short_anywhere_is_whole_or_can_be_finished(left: int) -> None:
    """Once it is announced anybody can end it, whatever is gone already."""
    whole, store = table_store()
    snapshot = store.snapshot()
    assert snapshot is not None
    files = Mortal(left)
    files.objects.update(whole.objects)
    files.times.update(whole.times)
    store = AlimentarStore(files)
    with contextlib.suppress(Cut):
        store.delete(last_words(snapshot), snapshot.head)
    files.left = 99
    found = store.deletion()

    if found is not None:
        assert store.observe().snapshot is not None
        store.delete(found.entry, found.head)

    assert files.objects == {}


def test_a_deletion_that_another_run_was_faster_than_deletes_nothing() -> None:
    files, store = table_store()
    snapshot = store.snapshot()
    assert snapshot is not None
    store.commit(replace(snapshot.entry, added=(), removed=(), plan="e" * 64), snapshot.head, ())
    before = dict(files.objects)

    with pytest.raises(CommitConflict) as caught:
        store.delete(last_words(snapshot), snapshot.head)

    assert caught.value.diagnostics[0].code == "LOG106"
    assert files.objects == before
