"""Laws of a dataset on disk, at every point at which a process can die.

A state that a killed process leaves is a state that a reader can meet, so one check stands
for both: what is there is a whole snapshot, the one before or the one after.
"""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.history import expire
from batuta.connectors.alimentar.log import open_log
from batuta.connectors.alimentar.names import STAGING
from batuta.connectors.alimentar.observe import observe
from batuta.connectors.alimentar.recover import recover
from batuta.connectors.alimentar.snapshot import snapshot_at
from batuta.connectors.alimentar.verify import verify
from batuta.model.log import LogEntry
from batuta.model.resource import HistorySpec
from tests.unit.connectors.alimentar_bench import (
    Bench,
    Died,
    Fuse,
    MemoryStore,
    MortalFolder,
    content_of,
    draft,
    part_path,
    stage_all,
)

# Contents of few sizes, so that one cannot be told from another by its size.
CONTENTS = st.sampled_from([b"", b"a", b"b", b"aa", b"ab", b"ba"])
KEYS = st.sampled_from(["a.csv", "b.csv", "d/a.csv", "d/e/b.csv", "é.csv"])
MOMENTS = st.none() | st.integers(min_value=0, max_value=40)

Content = dict[str, bytes]


class Dataset(RuleBasedStateMachine):
    """Commits, deaths, recoveries and restores; `versions` is what each version must hold."""

    files: Bench

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[Content] = []
        self.oldest = 0
        self.pending: tuple[LogEntry, Content, list[tuple[str, str]]] | None = None

    @initialize(kind=st.sampled_from(["folder", "store"]))
    def begin(self, kind: str) -> None:
        self.open_store(kind)

    def open_store(self, kind: str) -> None:
        self.files = MemoryStore(moves=kind == "folder")

    # -- what happens ---------------------------------------------------------------------

    @precondition(lambda self: self.pending is None)
    @rule(contents=st.lists(CONTENTS, max_size=3), keep=st.booleans(), moments=MOMENTS)
    def write_parts(self, contents: list[bytes], keep: bool, moments: int | None) -> None:
        """Parts whose names stand for their content; earlier parts stay or go."""
        added = {part_path(content): content for content in contents}
        before = self.versions[-1] if self.versions else {}
        removed = [] if keep else [path for path in before if path not in added]
        self.commit(added, removed, moments)

    @precondition(lambda self: self.pending is None)
    @rule(added=st.dictionaries(KEYS, CONTENTS, max_size=3), moments=MOMENTS, data=st.data())
    def write_keys(self, added: Content, moments: int | None, data: st.DataObject) -> None:
        """Files under their own names: new ones, new contents of old ones, removed ones."""
        before = sorted(self.versions[-1]) if self.versions else []
        removed = data.draw(
            st.lists(st.sampled_from(before), unique=True) if before else st.just([])
        )
        self.commit(added, [path for path in removed if path not in added], moments)

    @precondition(lambda self: self.pending is None and len(self.versions) > 1)
    @rule(data=st.data(), moments=MOMENTS)
    def restore(self, data: st.DataObject, moments: int | None) -> None:
        """An earlier version becomes the newest; its files come out of history."""
        numbers = st.integers(min_value=self.oldest, max_value=len(self.versions) - 1)
        wanted = self.versions[data.draw(numbers)]
        removed = [path for path in self.versions[-1] if path not in wanted]
        self.commit(wanted, removed, moments, stage=False)

    @precondition(lambda self: self.pending is None and bool(self.versions))
    @rule(moments=MOMENTS)
    def relabel(self, moments: int | None) -> None:
        """An entry without files."""
        self.commit({}, [], moments)

    @precondition(lambda self: self.pending is None and bool(self.versions))
    @rule(keep=st.integers(min_value=0, max_value=3))
    def forget(self, keep: int) -> None:
        """Old versions are let go; the newer ones stay readable."""
        expire(self.files, HistorySpec(keep_s=0, versions=keep), 4e9)
        self.oldest = max(self.oldest, len(self.versions) - 1 - keep)

    @precondition(lambda self: self.pending is not None)
    @rule(moments=MOMENTS)
    def resume(self, moments: int | None) -> None:
        """The same work is taken up again, without a recovery before it."""
        assert self.pending is not None
        entry, after, staged = self.pending
        self.run(entry, after, staged, moments)

    @precondition(lambda self: self.pending is not None)
    @rule(deaths=st.lists(st.integers(min_value=0, max_value=20), max_size=3))
    def recover(self, deaths: list[int]) -> None:
        """Another command cleans up, dying itself some times on the way."""
        for moments in deaths:
            self.files.moment = Fuse(moments)
            try:
                recover(self.files, frozenset())
            except Died:
                pass
            finally:
                self.files.moment = lambda: None
            self.versions_are_whole()
        recover(self.files, frozenset())
        assert recover(self.files, frozenset()) == ()
        assert self.pending is not None
        log = open_log(self.files)
        if log is not None and log.head.version == len(self.versions):
            self.versions.append(self.pending[1])
        self.pending = None
        self.is_in_order()

    @precondition(lambda self: self.pending is not None)
    @rule()
    def spare(self) -> None:
        """A recovery that knows the work to be alive changes nothing of it."""
        recover(self.files, frozenset({"run-1", self.work()}))

    # -- what must hold -------------------------------------------------------------------

    @invariant()
    def versions_are_whole(self) -> None:
        log = open_log(self.files)
        if log is None:
            assert not self.versions
            return
        if log.head.version == len(self.versions):
            assert self.pending is not None, "a version that nobody wrote"
            assert content_of(self.files, log.snapshot) == self.pending[1]
        else:
            assert log.head.version == len(self.versions) - 1
        for version in range(self.oldest, len(self.versions)):
            found = content_of(self.files, snapshot_at(self.files, log, version))
            assert found == self.versions[version], version

    def is_in_order(self) -> None:
        report = verify(self.files, None, lambda _files, _bytes: None)
        assert report.ok, report.problems
        log = open_log(self.files)
        current = {} if log is None else dict(log.folded.parts)
        root = {i.path for i in self.files.list() if not i.path.startswith("_")}
        assert root == set(current)
        assert list(self.files.list(STAGING)) == []
        state = observe(self.files)
        assert state.condition == ("dataset" if log else state.condition), state.problems
        assert state.strangers == ()

    # -- how ------------------------------------------------------------------------------

    def commit(
        self, added: Content, removed: list[str], moments: int | None, *, stage: bool = True
    ) -> None:
        before = self.versions[-1] if self.versions else {}
        gone = set(removed) | set(added)
        after = {path: content for path, content in before.items() if path not in gone} | added
        staged = stage_all(self.files, added) if stage else []
        self.run(draft(added, removed), after, staged, moments)

    def run(
        self,
        entry: LogEntry,
        after: Content,
        staged: list[tuple[str, str]],
        moments: int | None,
    ) -> None:
        self.pending = (entry, after, staged)
        log = open_log(self.files)
        if log is not None and log.head.version == len(self.versions):
            return  # it was committed before it died; only a recovery is left to do
        if moments is not None:
            self.files.moment = Fuse(moments)
        try:
            commit(self.files, log, entry, log.head if log else None, staged)
        except Died:
            return
        finally:
            self.files.moment = lambda: None
        self.pending = None
        self.versions.append(after)
        self.is_settled()

    def is_settled(self) -> None:
        if self.files.moves:
            # Staged copies of parts that were there already are the runtime's to remove.
            recover(self.files, frozenset())
        self.is_in_order()

    def work(self) -> str:
        found = [i.path for i in self.files.list(STAGING) if i.path.endswith(".intent.json")]
        return found[0].removeprefix(STAGING).removesuffix(".intent.json") if found else ""


class DatasetInAFolder(Dataset):
    """The same laws on a real folder, with links, renames and fsync."""

    def open_store(self, kind: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="batuta-law-")
        self.files = MortalFolder(Path(self.folder.name) / "orders")

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestDataset = Dataset.TestCase
TestDataset.settings = settings(max_examples=60, stateful_step_count=20)
TestDatasetInAFolder = DatasetInAFolder.TestCase
TestDatasetInAFolder.settings = settings(max_examples=15, stateful_step_count=12)
