"""Looking into a dataset: its log, its rows, its integrity."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from batuta.core.case import same_place
from batuta.model.address import Address, parse_address
from batuta.model.dataset import DatasetStore, Verification
from batuta.model.diagnostic import BatutaError, Diagnostic, typed_again
from batuta.model.log import Head, LogEntry
from batuta.model.resource import Dataset, Origin
from batuta.model.state import ResourceRecord
from batuta.runtime.borders import Border, Borders
from batuta.runtime.clock import now_utc
from batuta.runtime.observe import Observer
from batuta.runtime.registry import formats
from batuta.runtime.showing import Showing, Wish
from batuta.runtime.state.store import StateStore, accept_head
from batuta.runtime.worker.wire import Reply, Request, ShowRequest

NAME_ONE = "Name a dataset of the manifests, or a folder that batuta wrote."
"""The way out of who named what is not there, and nothing near it either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A dataset that somebody named: by its name in the manifests, or by where it lies."""

    resource: str
    destination: Address
    platform: str | None
    dataset: DatasetStore
    record: ResourceRecord | None
    border: Border


@dataclass
class Datasets:
    """Opens datasets by name or place."""

    wanted: dict[str, Dataset]
    observer: Observer
    store: StateStore
    borders: Callable[[], Borders]

    def find(self, where: str) -> Place:
        """Return the dataset that `where` names: a resource, or an address.

        Raises:
            BatutaError: DAT101, nothing is there; EGR codes where no policy lets anybody look.
        """
        name = where.removeprefix("Dataset/")
        record = self.store.resource(f"Dataset/{name}")
        if name in self.wanted:
            dataset = self.wanted[name]
            destination, platform = dataset.destination, dataset.destination_platform
            border = self.borders().kept(name)
        elif record is not None:
            destination = parse_address(record.destination)
            platform = record.destination_platform
            border = self.borders().kept(name)
        else:
            destination, platform = _address(where), None
            record = self._recorded_at(destination)
            wanted = None if record else self._wanted_at(destination)
            name = record.address.partition("/")[2] if record else str(destination)
            if wanted is not None:
                name, platform = wanted.name, wanted.destination_platform
            border = self.borders().at(destination, platform)
        if border.refused:
            raise BatutaError(*border.refused)
        opened = self.observer.store_at(destination, platform, name)
        return Place(
            resource=f"Dataset/{name}", destination=destination, platform=platform,
            dataset=opened, record=record, border=border,
        )  # fmt: skip

    def name_of(self, where: str) -> str:
        """Return the name of the dataset that `where` names, as a resource or by its place.

        What is nobody's name and no recorded place comes back as it is, for the plan to refuse.

        Raises:
            BatutaError: DAT103, without a workspace the state of that place knows no dataset.
        """
        name = where.removeprefix("Dataset/")
        if name in self.wanted or self.store.resource(f"Dataset/{name}") is not None:
            return name
        try:
            place = parse_address(where)
        except ValueError:
            place = None
        record = self._recorded_at(place) if place is not None else None
        if record is not None:
            return record.address.partition("/")[2]
        if not self.observer.in_workspace:
            raise BatutaError(_no_state(where))
        wanted = self._wanted_at(place) if place is not None else None
        return wanted.name if wanted is not None else name

    def _recorded_at(self, destination: Address) -> ResourceRecord | None:
        wanted = str(destination).rstrip("/")
        for record in self.store.resources():
            if record.destination.rstrip("/") == wanted:
                return record
        return None

    def _wanted_at(self, destination: Address) -> Dataset | None:
        place = str(destination)
        return next((d for d in self.wanted.values() if same_place(place, d.destination)), None)

    def log(self, where: str) -> tuple[LogEntry, ...]:
        """Return all entries, oldest first."""
        place = self.committed(where)
        return place.dataset.entries()

    def show(self, where: str, wish: Wish, told: Callable[[bytes], None]) -> None:
        """Have a worker read rows in their order; `told` gets them, rendered, piece by piece.

        Raises:
            BatutaError: LOG codes, what is there has no rows; WRK codes, a part cannot be read.
        """
        place = self.committed(where)
        snapshot = place.dataset.readable(wish.version, dict(formats()))
        pool, errands = self.observer.pool, self.observer.errands
        name = place.resource.partition("/")[2]
        errand = errands.look_into(name, place.border, place.destination, snapshot)

        def ask(request: ShowRequest, heard: Callable[[Reply], None]) -> None:
            what = f"{request.input.key} of {place.resource}"
            pool.ask(Request(show=request), what, heard, errand)

        Showing(
            dataset=place.dataset, snapshot=snapshot, wish=wish, ask=ask, told=told
        ).run(pool.stop)  # fmt: skip

    def verify(
        self, where: str, accept: str | None, told: Callable[[int, int], None]
    ) -> Verification:
        """Hash everything; with `accept`, record why a rolled back head is accepted."""
        place = self.committed(where)
        head = place.dataset.snapshot()
        assert head is not None
        anchor = place.record.head if place.record else None
        destination = str(place.destination)
        if accept is not None:
            self.store.write([accept_head(destination, head.head.digest, accept, now_utc())])
        if head.head.digest in self.store.accepted_heads(destination):
            anchor = head.head
        return self.led_out(place, place.dataset.verify(anchor, told))

    def led_out(self, place: Place, found: Verification) -> Verification:
        """Return what was found with ways out that fit what made the dataset at `place`."""
        record = place.record
        by_command = record is not None and record.origin == Origin.COMMAND
        if self.observer.in_workspace and not by_command:
            return found
        return replace(found, problems=typed_again(found.problems))

    def committed(self, where: str) -> Place:
        """Return the dataset that `where` names, which has a log; DAT101 where it has none."""
        place = self.find(where)
        state = place.dataset.observe()
        if state.condition == "dataset" or (state.condition == "damaged" and state.snapshot):
            return place
        if state.condition == "damaged":
            raise BatutaError(*state.problems)
        raise BatutaError(self._nothing_at(where, place, state.condition))

    def way_to(self, where: str, place: Place) -> str | None:
        """Return what helps who named a dataset that has no log: it may be new, or misspelt."""
        name = place.resource.partition("/")[2]
        if place.record is not None:
            return (
                f"The state knows version {place.record.head.version} of {place.resource} there: its"
                " log was removed or is out of reach. Bring it back from a copy; without one move"
                " the folder away and read the source anew."
            )
        if name in self.wanted:
            return f"It was not applied yet: `batuta apply --select {name}`."
        known = [*self.wanted, *(r.address.partition("/")[2] for r in self.store.resources())]
        near = get_close_matches(where.removeprefix("Dataset/"), known, n=1)
        near = near or self._near_place(where, place)
        return f"Write `{near[0]}`, or a folder that batuta wrote." if near else None

    def _near_place(self, where: str, place: Place) -> list[str]:
        """The folder that was meant by the name of one that is not there."""
        if place.dataset.observe().condition != "absent":
            return []
        known = {
            *(str(dataset.destination) for dataset in self.wanted.values()),
            *(record.destination for record in self.store.resources()),
        }
        asked = where.removeprefix("./").rstrip("/")
        spelt = {each.removeprefix("./").rstrip("/"): each for each in sorted(known)}
        return [spelt[each] for each in get_close_matches(asked, spelt, n=1)]

    def _nothing_at(self, where: str, place: Place, condition: str) -> Diagnostic:
        fix = self.way_to(where, place)
        if condition == "foreign":
            fix = f"Adopt what lies there with `batuta import {where}`, or name another place."
        return Diagnostic(
            code="DAT101",
            summary="No dataset there",
            detail=f"`{where}` has no log of batuta ({condition}).",
            fix=fix or NAME_ONE,
        )

    def recorded_format(self, dataset: Dataset) -> str | None:
        """Return the format that a destination's log records; None where there is none to read."""
        if self.borders().at(dataset.destination, dataset.destination_platform).refused:
            return None  # nobody may look; the plan says why
        try:
            snapshot = self.observer.store(dataset).snapshot()
        except BatutaError:
            return None  # the plan says why
        return snapshot.entry.facts.format if snapshot is not None else None


def _address(where: str) -> Address:
    try:
        return parse_address(where)
    except ValueError as error:
        raise BatutaError(
            Diagnostic(
                code="DAT101",
                summary="No dataset there",
                detail=f"`{where}` is not an address: {error}.",
                fix=NAME_ONE,
            )
        ) from error


def _no_state(where: str) -> Diagnostic:
    return Diagnostic(
        code="DAT103",
        summary="No state knows a dataset there",
        detail=f"Nothing is recorded for `{where}` in this folder. Without a workspace there is a"
        " state for each folder that commands were typed in and each place as it was typed.",
        fix="Go to the folder in which it was made, and name one place as it was named then. If"
        " that state is lost, type the command that made it once more: it takes it up from the log.",
    )


def head_of(place: Place) -> Head | None:
    """The live head of a place."""
    snapshot = place.dataset.snapshot()
    return snapshot.head if snapshot else None
