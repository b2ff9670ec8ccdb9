"""Looking at the world for a plan: sources in control workers, destinations here.

One question per dataset, several at once. What was found at a source is remembered in the
cache, so that an unchanged unit is not opened again.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from batuta.core.uniting import united
from batuta.model.address import Address, parse_address
from batuta.model.canonical import digest
from batuta.model.connector import KeysOut, WayOut
from batuta.model.dataset import DatasetStore
from batuta.model.diagnostic import BatutaError, Diagnostic, typed_again
from batuta.model.event import Event, Observing
from batuta.model.observed import DestinationState, SourceState
from batuta.model.resource import Dataset, Mode, SourcePart, SourceSpec
from batuta.model.seal import NO_SEAL
from batuta.model.transfer import Partition
from batuta.runtime.at_rest import AtRest
from batuta.runtime.cache import Cache
from batuta.runtime.connections import Connections
from batuta.runtime.errands import Errands
from batuta.runtime.folder_batches import BATCH_DATASETS
from batuta.runtime.interning import Interner
from batuta.runtime.registry import connectors, formats
from batuta.runtime.retried import RetriedFiles
from batuta.runtime.retry import retrying
from batuta.runtime.seals import Seals
from batuta.runtime.uniting import Opened
from batuta.runtime.worker.gate import Gate
from batuta.runtime.worker.pool import WorkerPool, answer_of, decoded
from batuta.runtime.worker.posting import CLOSED, Way
from batuta.runtime.worker.wire import ObserveRequest, PartitionsRequest, Reply, Request

_T = TypeVar("_T")
Listen = Callable[[Event], None]
_THREADS = 4  # more of them wait for each other, not for the two ends
_MOST_KEYS = 20
_CHANGES: Any = tuple[Partition, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found for one dataset. A side that cannot be read carries its diagnostics.

    `feed_bytes` is the size of what the source says changed since the committed version; None
    where it cannot say.
    """

    source: SourceState | None
    source_problems: tuple[Diagnostic, ...] = ()
    destination: DestinationState | None
    destination_problems: tuple[Diagnostic, ...] = ()
    feed_bytes: int | None = None


@dataclass
class Observer:
    """Looks at datasets through one set of connections, workers and cache."""

    connections: Connections
    pool: WorkerPool
    cache: Cache
    errands: Errands
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    seals: Seals | None = None
    at_rest: AtRest | None = None
    in_workspace: bool = True

    def __post_init__(self) -> None:
        self.connections.keys_out = self._keys_out

    def look(self, wanted: Sequence[Dataset], listen: Listen) -> dict[str, Seen]:
        """Return what was found, by dataset name; failures are values, not exceptions."""
        self.errands.gather(wanted)
        done = 0
        interner = Interner()
        guard = threading.Lock()
        found: dict[str, Seen] = {}
        fresh: dict[str, bytes] = {}

        def one(dataset: Dataset) -> None:
            nonlocal done
            seen, kept = self._look_at(dataset)
            with guard:
                found[dataset.name] = interner.of(seen)
                fresh.update(kept)
                done += 1
                listen(Observing(done=done, total=len(wanted), what=dataset.name))

        left = iter(wanted)

        def several() -> None:
            while True:
                with guard:
                    dataset = next(left, None)
                if dataset is None:
                    return
                one(dataset)

        with ThreadPoolExecutor(max_workers=_THREADS) as threads:
            for future in [threads.submit(several) for _ in range(min(_THREADS, len(wanted)))]:
                future.result()
        self.cache.put("source", fresh)
        if len(wanted) > BATCH_DATASETS:
            self.pool.close()  # what waits stands where looking ended, not where work begins
        return found

    def _look_at(self, dataset: Dataset) -> tuple[Seen, dict[str, bytes]]:
        source: SourceState | None = None
        destination: DestinationState | None = None
        source_problems: tuple[Diagnostic, ...] = ()
        destination_problems: tuple[Diagnostic, ...] = ()
        kept: dict[str, bytes] = {}
        try:
            source = self.source(dataset, kept)
        except BatutaError as error:
            source_problems = self._relative(error.diagnostics)
        try:
            store = self.store(dataset)
            destination = store.observe()
            keys = [u.key for u in source.units] if source and source.kind == "files" else []
            if bad := store.check_keys(keys):
                source, source_problems = None, bad[:_MOST_KEYS]
        except BatutaError as error:
            destination_problems = self._relative(error.diagnostics)
        feed: int | None = None
        try:
            feed = self._feed_bytes(dataset, source, destination)
        except BatutaError as error:
            source, source_problems = None, self._relative(error.diagnostics)
        seen = Seen(
            source=source, source_problems=source_problems, feed_bytes=feed,
            destination=destination, destination_problems=destination_problems,
        )  # fmt: skip
        return seen, kept

    def _feed_bytes(
        self, dataset: Dataset, source: SourceState | None, destination: DestinationState | None
    ) -> int | None:
        """Ask the source what changed since the commit, where rows may be merged by key."""
        rule, snapshot = dataset.incremental, destination.snapshot if destination else None
        if dataset.mode is not Mode.INCREMENTAL or rule is None or not rule.key:
            return None
        if source is None or snapshot is None or source.native_version is None:
            return None
        since = snapshot.entry.facts.source_version
        if since == source.version:
            return None
        told = self.changes(dataset.name, dataset.source, source, since)
        return None if told is None else sum(partition.size_bytes for partition in told)

    def changes(
        self, name: str, spec: SourceSpec, state: SourceState, since: str
    ) -> tuple[Partition, ...] | None:
        """Return the rows of a dataset's source that changed after version `since`.

        None where the source cannot tell.
        """
        if spec.address is None:
            return None
        access = self.connections.access(spec.address, spec.platform, name)
        look = self.errands.control(name, spec, access)
        request = PartitionsRequest(
            spec=replace(spec, version=state.native_version), access=look.access, inner=look.inner,
            state=replace(state, units=()), units=(), target_bytes=0, want="changes", since=since,
        )  # fmt: skip
        asked, what = Request(partitions=request), f"the changes of {spec.address}"
        answer = self._again(lambda: self.pool.answer(asked, what, look.errand))
        found: tuple[Partition, ...] | None = decoded(answer, _CHANGES, str(spec.address))
        return None if found is None else self.errands.partitions(found)

    def _relative(self, diagnostics: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
        """Name files as the manifests do: a plan says nothing of the machine that made it."""
        root = f"{self.connections.root}/"
        found = tuple(replace(d, detail=d.detail.replace(root, "")) for d in diagnostics)
        return found if self.in_workspace else typed_again(found)

    def source(self, dataset: Dataset, kept: dict[str, bytes]) -> SourceState:
        """Observe a dataset's source; what the cache should keep and has not is put into `kept`."""
        spec = source_spec(dataset)
        if spec.merge:
            states = [
                self._part(
                    dataset.name, self.opened(part, dataset.name), _part_key(dataset, i), kept
                )
                for i, part in enumerate(spec.merge)
            ]
            return united(spec, states)
        return self._part(dataset.name, self._opened(spec, dataset.name), _key(dataset), kept)

    def opened(self, part: SourcePart, name: str) -> Opened:
        """Open one source of the merge `name`; a folder with a log of batuta is read through it."""
        spec, log = part.spec, None
        if spec.address is not None:
            log = self.log_at(spec.address, spec.platform, name)
        if log is not None:
            return Opened(spec=spec, local=log)
        return self._opened(spec, name)

    def _opened(self, spec: SourceSpec, name: str) -> Opened:
        if spec.dataset is not None:
            return Opened(spec=spec, local=self.store(self.datasets[spec.dataset], name))
        assert spec.address is not None
        access, inner = self.connections.access(spec.address, spec.platform, name)
        return Opened(spec=spec, access=access, inner=inner)

    def log_at(self, address: Address, platform: str | None, name: str) -> DatasetStore | None:
        """Return the dataset whose log lies at an address, None where there is none.

        `name` is the dataset that it is looked at for.
        """
        if address.is_table or not self.connections.has_files(address):
            return None
        if address.scheme == "file" and not self._is_folder(address):
            return None  # one file, with nothing below it
        store = self.store_at(address, platform, name)
        return store if next(iter(store.files.list("_log/")), None) is not None else None

    def _is_folder(self, address: Address) -> bool:
        return (self.connections.root / Path(address.path).expanduser()).is_dir()

    def _part(self, name: str, opened: Opened, key: str, fresh: dict[str, bytes]) -> SourceState:
        """Observe one place for a dataset, with the label that what lies there has."""
        state = self._looked_at(name, opened, key, fresh)
        if self.at_rest is None:
            return state
        log = self._log_over(opened.spec, state, name) if opened.local is None else None
        return self.at_rest.labelled(opened.spec, state, log)

    def _log_over(self, spec: SourceSpec, state: SourceState, name: str) -> DatasetStore | None:
        """Return the dataset that what was observed lies in, None where it lies in none."""
        if spec.address is None or state.has_log is False:
            return None
        if spec.address.scheme != "file":
            return self.log_at(spec.address, spec.platform, name)
        assert self.at_rest is not None
        above = self.at_rest.local_log(spec.address)
        return self.store_at(above, spec.platform, name) if above is not None else None

    def _looked_at(
        self, name: str, opened: Opened, key: str, fresh: dict[str, bytes]
    ) -> SourceState:
        """Observe one place, through its log or in a control worker."""
        spec = opened.spec
        if opened.local is not None:
            return opened.local.source(dict(formats())).observe(spec, None)
        assert opened.access is not None
        kept = self.cache.get("source", key)
        look = self.errands.control(name, spec, (opened.access, opened.inner))
        request = ObserveRequest(
            spec=spec, access=look.access, inner=look.inner, known=_decoded(kept)
        )
        asked, what = Request(observe=request), f"source {spec.address}"

        def ask(told: Callable[[Reply], None]) -> None:
            self.pool.ask(asked, what, told, look.errand)

        state = self._again(lambda: answer_of(ask, lambda reply: reply.state, what))
        blob = msgspec.msgpack.encode(state)
        if blob != kept:
            fresh[key] = blob
        return state

    def _again(self, ask: Callable[[], _T]) -> _T:
        return retrying(ask, self.pool.stop, lambda _attempt, _wait_s, _reason: None)

    def store(self, dataset: Dataset, reader: str | None = None) -> DatasetStore:
        """Open the dataset that lies at a Dataset's destination, for itself or for a `reader`."""
        name = dataset.name if reader is None else reader
        return self.store_at(dataset.destination, dataset.destination_platform, name)

    def store_at_text(self, destination: str, platform: str | None, resource: str) -> DatasetStore:
        """Open the dataset of a resource at an address that stands in a record or a plan."""
        name = resource.partition("/")[2]
        return self.store_at(parse_address(destination), platform, name)

    def store_at(self, destination: Address, platform: str | None, name: str) -> DatasetStore:
        """Open the dataset that lies at an address; `name` says whose policies let us there."""
        files = self.connections.files(
            destination, platform, self._way_out(destination, platform, name), name
        )
        if not files.moves:  # requests over a network
            files = RetriedFiles(files, self.pool)
        opener = connectors()["alimentar"].dataset
        assert opener is not None
        if self.seals is None:
            return opener(files, NO_SEAL)
        return opener(files, self.seals.seal(str(destination), platform))

    def _way_out(
        self, place: Address, platform: str | None, name: str
    ) -> Callable[[], WayOut] | None:
        """Return how requests of this process leave it: by the gateway of the run that is on."""
        way = self.errands.own(name, place, platform)
        return None if way is None else self._by(way)

    def _by(self, way: Way) -> Callable[[], WayOut]:
        return lambda: self._gate().own(way)

    def _gate(self) -> Gate:
        gate = self.pool.warden.gate
        assert gate is not None, "a way out needs a run"
        return gate

    def _keys_out(
        self, place: Address, platform: str | None, dataset: str | None
    ) -> KeysOut | None:
        """Return how this process asks for keys that a Platform does not state."""
        if place.inner.scheme == "file":
            return None
        way = self.errands.keys(place, platform, dataset)

        def beside(host: str, port: int) -> AbstractContextManager[None]:
            return self._gate().beside(host, port)

        return KeysOut(self._by(way or CLOSED), beside)


def source_spec(dataset: Dataset) -> SourceSpec:
    """Return the source's spec; a dataset of `files` asks for files as they are."""
    opaque = dataset.format == "files" and not dataset.source.merge
    return replace(dataset.source, opaque=opaque)


def _key(dataset: Dataset) -> str:
    builtins = msgspec.to_builtins(source_spec(dataset))
    return digest([builtins, dataset.name])


def _part_key(dataset: Dataset, number: int) -> str:
    builtins = msgspec.to_builtins(dataset.source.merge[number])
    return digest([builtins, dataset.name, number])


def _decoded(kept: bytes | None) -> SourceState | None:
    if kept is None:
        return None
    try:
        return msgspec.msgpack.decode(kept, type=SourceState)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
