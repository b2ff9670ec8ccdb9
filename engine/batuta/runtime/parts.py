"""What one open workspace is made of, each part made at its first use.

Commands differ in what they need: `validate` reads manifests alone, and starts in a third of the
time of one that imports what a run needs. So each part is imported where it is made.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from batuta.model.address import Address
from batuta.model.canonical import Json
from batuta.model.diagnostic import BatutaError
from batuta.model.event import ConnectionRefused, Event
from batuta.model.resource import Dataset, Desired, Platform, Site
from batuta.runtime.cache import Cache
from batuta.runtime.load import Loader
from batuta.runtime.state.store import StateStore
from batuta.runtime.workspace import WorkspacePlaces

if TYPE_CHECKING:
    from batuta.runtime.at_rest import AtRest
    from batuta.runtime.auditing import Auditor
    from batuta.runtime.borders import Border, Borders
    from batuta.runtime.connections import Connections
    from batuta.runtime.datasets import Datasets
    from batuta.runtime.egress_record import EgressRecord
    from batuta.runtime.egress_view import EgressView
    from batuta.runtime.errands import Errands
    from batuta.runtime.labels import Labels
    from batuta.runtime.observe import Observer, Seen
    from batuta.runtime.seals import Seals
    from batuta.runtime.worker.gate import Gate, Refusal
    from batuta.runtime.worker.pool import WorkerPool

Listen = Callable[[Event], None]
_OPENED = (
    "pool", "cache", "store", "observer", "borders", "egress", "datasets", "labels", "auditor",
)  # fmt: skip
"""What is closed, or made of what is: it is made anew at the next use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceOptions:
    """Where to look for a workspace and what was said about it on the command line.

    `keeps` is False for what only looks: without a workspace, it leaves no state where none was.
    `single` names the destination of a one-line command. `targets` overrules, by format, the
    Arrow size in bytes at which a part ends; parts of another size are other parts.
    """

    folder: Path
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    actor: str = ""
    single: str | None = None
    keeps: bool = True
    command: str = "batuta"
    targets: Mapping[str, int] = field(default_factory=dict)


class Parts:
    """What one open workspace is made of; what is opened is closed with `close`."""

    def __init__(self, options: WorkspaceOptions, places: WorkspacePlaces) -> None:
        self._options = options
        self._places = places
        self._environment = dict(os.environ)
        self.root = places.root
        self.in_workspace = places.declared
        self._planned: tuple[str, Mapping[str, Seen]] | None = None
        self._looking: Gate | None = None
        self.refused = 0

    def close(self) -> None:
        """End workers and close files; what was opened lazily is closed if it was."""
        if "pool" in self.__dict__:
            self.pool.end_ways()
        if self._looking is not None:
            if self.pool.warden.gate is self._looking:
                self.pool.warden.gate = None
            self._looking.close()
            self._looking = None
        for name in ("pool", "cache", "store"):
            if name in self.__dict__:
                getattr(self, name).close()
        for name in _OPENED:
            self.__dict__.pop(name, None)
        if self._places.lent is not None:
            shutil.rmtree(self._places.lent, ignore_errors=True)

    # -- what it is made of, each opened at first use ---------------------------------------

    @cached_property
    def cache(self) -> Cache:
        """The cache beside the state."""
        return Cache(self._places.cache)

    @cached_property
    def store(self) -> StateStore:
        """The state store of the chosen environment."""
        return StateStore(self._places.database(self._options.environment))

    @cached_property
    def pool(self) -> "WorkerPool":
        """The worker processes."""
        from batuta.runtime.heap import share_heap
        from batuta.runtime.worker.pool import WorkerPool

        share_heap()  # before there are threads that ask workers
        return WorkerPool()

    @cached_property
    def seals(self) -> "Seals":
        """Signs and judges logs with the workspace's keys, where it has any."""
        from batuta.runtime.seals import Seals

        said: dict[str, Json] = {"actor": self._options.actor}
        return Seals(self._places.keys, self.root, said)

    @cached_property
    def loader(self) -> Loader:
        """Reads the manifests."""
        return Loader(
            places=self._places, cache=lambda: self.cache, environment=self._options.environment,
            variables=self._options.variables, process=self._environment,
        )  # fmt: skip

    @cached_property
    def desired(self) -> Desired:
        """The desired state. Raises BatutaError with all diagnostics if there is none."""
        found = self.loader.load()
        if found.desired is None:
            raise BatutaError(*found.diagnostics)
        return found.desired

    @cached_property
    def observer(self) -> "Observer":
        """Looks at sources and destinations."""
        return self._observer(self.desired.platforms)

    def _observer(self, platforms: Sequence[Platform]) -> "Observer":
        from batuta.runtime.connections import Connections
        from batuta.runtime.observe import Observer

        connections = Connections(
            platforms={platform.name: platform for platform in platforms},
            environment=self._environment, root=self.root,
        )  # fmt: skip
        datasets = {dataset.name: dataset for dataset in self.desired.datasets}
        if self._looking is None:
            run = f"look-{secrets.token_hex(6)}"
            self._looking = self._gate(self.desired.workspace.site, run, lambda _event: None)
        if self.pool.warden.gate is None:
            self.pool.warden.gate = self._looking
        return Observer(
            connections, self.pool, self.cache, self._errands(connections, datasets),
            datasets,
            self.seals, self._at_rest, self.in_workspace,
        )  # fmt: skip

    @cached_property
    def borders(self) -> "Borders":
        """What the workers of each dataset may reach."""
        from batuta.runtime.borders import Borders

        records = tuple(self.store.resources())
        return Borders.of_desired(self.desired, self.observer.connections, records)

    @cached_property
    def egress(self) -> "EgressView":
        """Answers about egress."""
        from batuta.runtime.egress_view import EgressView

        names = frozenset(dataset.name for dataset in self.desired.datasets)
        return EgressView(self.borders, names, self._places.egress_log)

    def _gate(self, site: Site, run: str, listen: Listen) -> "Gate":
        from batuta.runtime.worker.gate import Gate

        def told(refusal: "Refusal") -> None:
            self.refused += 1
            listen(event_of(refusal))

        return Gate(
            run=run, audit=self._places.egress_log, told=told, proxy=site.proxy,
            ca_files=() if site.ca_file is None else (self.root / site.ca_file,),
        )  # fmt: skip

    @contextmanager
    def _way_out(self, site: Site, run: str, listen: Listen) -> "Iterator[Gate]":
        """Let workers of one run out through its gateway; afterwards nothing of it is open."""
        warden, before = self.pool.warden, self.pool.warden.gate
        self.pool.end_ways()
        gate = warden.gate = self._gate(site, run, listen)
        try:
            yield gate
        finally:
            self.pool.end_ways()
            gate.close()
            # What looked for the first time meanwhile goes on by the gate for looking.
            warden.gate = before or self._looking

    def _errands(self, connections: "Connections", datasets: Mapping[str, Dataset]) -> "Errands":
        from batuta.runtime.errands import Errands
        from batuta.runtime.request_signer import RequestSigner

        def place_of(name: str) -> Address | None:
            return datasets[name].destination if name in datasets else None

        def bounds(name: str) -> "Border":
            return self.borders.of(name)

        def beyond(place: Address, platform: str | None) -> "Border":
            return self.borders.at(place, platform)

        return Errands(
            bounds=bounds, beyond=beyond,
            root=self.root, scratch=self._places.scratch, place_of=place_of,
            signer=RequestSigner(connections),
        )  # fmt: skip

    @property
    def _at_rest(self) -> "AtRest":
        from batuta.runtime.at_rest import AtRest

        return AtRest(lambda: self.store, self.seals, self.root)

    @cached_property
    def datasets(self) -> "Datasets":
        """Opens datasets by name or place."""
        from batuta.runtime.datasets import Datasets

        wanted = {dataset.name: dataset for dataset in self.desired.datasets}
        return Datasets(wanted, self.observer, self.store, lambda: self.borders)

    @cached_property
    def labels(self) -> "Labels":
        """Shows, checks and decides about labels."""
        from batuta.runtime.labels import Labels

        return Labels(self.datasets, self.seals, self._options.actor)

    @cached_property
    def auditor(self) -> "Auditor":
        """Makes audits."""
        from batuta.runtime.auditing import Auditor

        return Auditor(self.datasets, self.seals, self.egress_log, self._options.actor)

    @property
    def egress_log(self) -> "EgressRecord":
        """The log of what workers tried to reach, and what is kept of it elsewhere."""
        from batuta.runtime.egress_record import EgressRecord

        own = self._places.database(self._options.environment)
        return EgressRecord(self._places.egress_log, self._places.databases, own)


def event_of(refusal: "Refusal") -> ConnectionRefused:
    """Return what is told of a refused connection while a run goes on."""
    row = refusal.row
    return ConnectionRefused(
        dataset=row.dataset, action=row.action, host=row.host, port=row.port, code=row.code,
        detail=refusal.diagnostic.detail, rule=row.rule, line=row.line,
    )  # fmt: skip
