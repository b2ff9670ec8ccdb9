"""Signatures beside the log: death at every moment, and what can be done to them afterwards.

The signer here is a stand-in with a shared key: the room of connectors knows nothing of keys.
"""

import contextlib
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace

import pytest

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.log import open_log
from batuta.connectors.alimentar.names import STAGING, entry_name, seal_name
from batuta.connectors.alimentar.observe import observe
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.store import AlimentarStore
from batuta.connectors.alimentar.verify import verify
from batuta.model.dataset import Verification
from batuta.model.diagnostic import CommitConflict, Severity
from batuta.model.log import Head, LogEntry
from batuta.model.resource import SourceSpec
from batuta.model.seal import Seal, SealFinding
from tests.unit.connectors.alimentar_bench import (
    Died,
    Fuse,
    MemoryStore,
    draft,
    part_path,
    stage_all,
)

KEY = b"of the test"
AFTER = "2026-02-01T00:00:00Z"
BEFORE = "2025-01-01T00:00:00Z"


def sign(head: Head, _entry: LogEntry) -> bytes:
    return hmac.new(KEY, head.digest.encode(), hashlib.sha256).hexdigest().encode()


def check(head: Head, entry: LogEntry, content: bytes | None) -> SealFinding:
    required = entry.written_at >= AFTER
    if content is None:
        return SealFinding(state="absent", detail="no signature.", required=required)
    good = hmac.compare_digest(content, sign(head, entry))
    return SealFinding(state="good" if good else "broken", detail="bad.", required=required)


SEAL = Seal(sign=sign, check=check)


def grown(files: MemoryStore, count: int = 3, *, signed: bool = True, at: str = AFTER) -> None:
    for number in range(count):
        content = {part_path(b"%d" % number): b"%d" % number}
        log = open_log(files)
        commit(
            files, log, draft(content, written_at=at), log.head if log else None,
            stage_all(files, content), sign=sign if signed else None,
        )  # fmt: skip


def verified(files: MemoryStore, anchor: Head | None = None) -> Verification:
    return verify(files, anchor, lambda _files, _bytes: None, check)


def codes(found: Verification) -> list[str]:
    return [p.code for p in found.problems if p.severity is Severity.ERROR]


def head_of(files: MemoryStore) -> Head:
    log = open_log(files)
    assert log is not None
    return log.head


@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("kind", ["files", "a label"])
def test_after_any_death_the_entry_that_is_there_gets_the_signature_that_was_made(
    moves: bool, kind: str
) -> None:
    moments = 0
    while True:
        files = MemoryStore(moves=moves)
        grown(files)
        content = {part_path(b"new"): b"new"} if kind == "files" else {}
        entry = draft(content, action="relabel", tier="Standard", written_at=AFTER)
        fuse = Fuse(moments)
        log, staged = open_log(files), stage_all(files, content)
        files.moment = fuse
        with contextlib.suppress(Died):
            commit(files, log, entry, log.head if log else None, staged, sign=sign)
        files.moment = lambda: None
        recover(files, frozenset())
        found = verified(files)
        assert found.ok, found.problems
        assert found.signed == found.entries
        assert [info.path for info in files.list(STAGING)] == []
        assert recover(files, frozenset()) == ()
        if not fuse.blown:
            assert moments > 3
            return
        moments += 1


def test_a_signature_does_not_change_the_entry_or_the_chain() -> None:
    one, other = MemoryStore(moves=True), MemoryStore(moves=True)
    grown(one, signed=True)
    grown(other, signed=False)

    assert head_of(one) == head_of(other)
    for version in range(3):
        assert one.objects[entry_name(version)] == other.objects[entry_name(version)]


def test_a_lost_race_leaves_no_signature_and_no_staged_one() -> None:
    files = MemoryStore(moves=True)
    grown(files, 1)
    stale = open_log(files)
    assert stale is not None
    grown(files, 1)
    entry = draft({}, action="relabel", tier="Standard", written_at=AFTER)
    with pytest.raises(CommitConflict):
        commit(files, stale, entry, stale.head, (), sign=sign)

    assert [info.path for info in files.list(STAGING)] == []
    assert verified(files).ok


ATTACKS: dict[str, tuple[Callable[[MemoryStore], object], str]] = {
    "a signature gone": (lambda f: f.objects.pop(seal_name(1)), "LOG133"),
    "the newest signature gone": (lambda f: f.objects.pop(seal_name(2)), "LOG133"),
    "all signatures gone": (
        lambda f: [f.objects.pop(seal_name(v)) for v in range(3)],
        "LOG133",
    ),
    "signatures swapped": (
        lambda f: f.objects.update(
            {seal_name(0): f.objects[seal_name(1)], seal_name(1): f.objects[seal_name(0)]}
        ),
        "LOG134",
    ),
    "a signature edited": (lambda f: f.objects.update({seal_name(2): b"x"}), "LOG134"),
    "the newest entry gone, its signature forgotten": (
        lambda f: f.objects.pop(entry_name(2)),
        "LOG103",
    ),
    "an entry edited": (
        lambda f: f.objects.update(
            {entry_name(2): f.objects[entry_name(2)].replace(b"PrivateCloud", b"Standard")}
        ),
        "LOG134",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_is_done_to_signatures_is_found(attack: str) -> None:
    files = MemoryStore(moves=True)
    grown(files)
    assert verified(files).ok
    done, code = ATTACKS[attack]
    done(files)

    found = verified(files)

    assert not found.ok
    assert code in codes(found)


def test_an_unsigned_entry_on_top_of_a_signed_one_is_found_whatever_time_it_claims() -> None:
    files = MemoryStore(moves=True)
    grown(files)
    log = open_log(files)
    assert log is not None
    commit(files, log, draft({}, tier="Standard", written_at=BEFORE), log.head)

    assert codes(verified(files)) == ["LOG133"]


def test_entries_from_before_there_was_a_key_are_counted_and_no_fault() -> None:
    files = MemoryStore(moves=True)
    grown(files, 2, signed=False, at=BEFORE)
    alone = verified(files)
    assert alone.ok
    (note,) = [p for p in alone.problems if p.code == "LOG133"]
    assert note.severity is Severity.NOTE
    assert "--sign-head" in note.detail
    grown(files, 1)

    found = verified(files)

    assert found.ok
    assert (found.signed, found.entries) == (1, 3)
    assert "LOG133" not in {p.code for p in found.problems}, "a signed entry vouches for them"


def test_a_newest_entry_that_went_with_its_signature_is_found_by_the_head_that_was_kept() -> None:
    files = MemoryStore(moves=True)
    grown(files)
    kept = head_of(files)
    for name in (entry_name(2), seal_name(2)):
        del files.objects[name]

    assert verified(files).ok, "the folder alone cannot show it"
    assert codes(verified(files, kept)) == ["LOG131"]


def test_a_head_that_nobody_with_the_key_wrote_makes_the_dataset_damaged_and_its_label_top() -> (
    None
):
    files = MemoryStore(moves=True)
    grown(files)
    store = AlimentarStore(files, SEAL)
    assert observe(files, check).condition == "dataset"
    before = store.source({}).observe(SourceSpec(), None).label
    assert before is not None
    assert before.confidentiality == "PrivateCloud"
    files.objects[seal_name(2)] = b"x"

    assert store.observe().condition == "damaged"
    label = store.source({}).observe(SourceSpec(), None).label
    assert label is not None
    assert label.confidentiality == "broken"


def test_the_head_can_be_signed_anew_and_the_dataset_deleted_with_its_signatures() -> None:
    files = MemoryStore(moves=True)
    grown(files)
    store = AlimentarStore(files, SEAL)
    del files.objects[seal_name(2)]
    assert store.seal_head() == head_of(files)
    assert verified(files).ok

    snapshot = store.snapshot()
    assert snapshot is not None
    last = replace(snapshot.entry, action="delete", added=(), removed=())
    store.delete(last, snapshot.head)

    assert files.objects == {}


def test_a_staged_signature_of_another_entry_is_swept_and_never_put_in_place() -> None:
    files = MemoryStore(moves=True)
    grown(files, signed=False, at=BEFORE)
    files.create(f"{STAGING}run-9~{2:020d}~{'0' * 64}.sig", b"forged")

    recover(files, frozenset())

    assert seal_name(2) not in files.objects
    assert [info.path for info in files.list(STAGING)] == []
