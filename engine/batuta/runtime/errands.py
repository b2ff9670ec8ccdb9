"""From one dataset's border and a piece of its work to the worker that may do it.

Datasets whose workers may do the same share postings: the folders of up to 256 of them are put
together, so that ten thousand small datasets need few workers. What shares a posting has one
tier, one clearance, one policy and one set of credentials.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from batuta.core.egress.policy import inspected, narrow
from batuta.core.egress.rules import MAX_CONNECTIONS
from batuta.model.address import Address, parse_address
from batuta.model.canonical import Json, digest
from batuta.model.diagnostic import BatutaError
from batuta.model.log import Snapshot
from batuta.model.plan import Plan, TransferAction
from batuta.model.resource import Dataset, SourcePart, SourceSpec
from batuta.model.transfer import Input, Partition
from batuta.runtime.borders import Border
from batuta.runtime.folder_batches import FolderBatches, Folders
from batuta.runtime.request_signer import RequestSigner
from batuta.runtime.sandbox import levels
from batuta.runtime.staging import WORK
from batuta.runtime.worker.posting import Errand, Posting, Role, Way
from batuta.runtime.worker.wire import Access

MIB = 1024 * 1024
Host = tuple[str, int]


class Look(NamedTuple):
    """A control worker's errand, and what it is handed to reach its source."""

    errand: Errand
    access: Access
    inner: Access | None


CONTROL_UPLOAD_BYTES = 512 * MIB
"""What a control worker may send in one run for one dataset: its requests.

How many files it will find is not known before: a footer each of 400,000 of them fits, with the
long addresses that session tokens make.
"""
_READ_UPLOAD_BYTES = 16 * MIB
_READ_REQUEST_BYTES = 4 * 1024
"""What the requests of one file take: two or three, each of 0.4 KiB, with a session token 1.2 KiB."""
_REQUEST_BYTES = 64 * 1024
_CONNECTIONS_OF_A_UNIT = 4
_MERGES = frozenset({"merge", "changes"})


@dataclass
class Errands:
    """The errands of one run. `bounds` answers by a dataset's name, KeyError for no dataset.

    `beyond` is the border of a place for which no dataset stands. `scratch` is where is staged
    what goes to an object store; `place_of` says where a Dataset lies that another one reads.
    `signer` has the stand-ins of workers that are held to the gateway; None: there are none.
    """

    bounds: Callable[[str], Border]
    beyond: Callable[[Address, str | None], Border]
    root: Path
    scratch: Path
    place_of: Callable[[str], Address | None]
    signer: RequestSigner | None = None
    _control: FolderBatches = field(default_factory=FolderBatches)
    _data: FolderBatches = field(default_factory=FolderBatches)
    _staged: dict[str, TransferAction] = field(default_factory=dict)
    _work: dict[str, TransferAction] = field(default_factory=dict)
    _salt: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    # -- what no worker does ----------------------------------------------------------------

    def own(self, name: str, place: Address, platform: str | None) -> Way | None:
        """Return the way of this process itself to a place, for its log, its commits, its files.

        It is that of the dataset `name` where its end lies there; else, that which a place has by
        itself. None: what lies on this machine needs none.
        """
        if place.inner.scheme == "file":
            return None
        there = border = self.beyond(place, platform)
        with suppress(KeyError):
            mine = self.bounds(name)
            # A place that the dataset has left is none of its ends any more.
            if set(there.destination) <= {*mine.source, *mine.destination}:
                border = mine
        policy = narrow(border.policy, (*border.source, *border.destination))
        return Way(policy=policy, whole=border.policy, keeps=True)

    def keys(self, place: Address, platform: str | None, name: str | None) -> Way | None:
        """Return the way of this process to what gives keys for a place, for the dataset `name`.

        None where they are on this machine, or stated: nobody is asked for them.
        """
        border = None
        if name is not None:
            with suppress(KeyError):
                border = self.bounds(name)
        there = self.beyond(place, platform)
        if there.keys is None:
            return None
        policy = border.keys if border is not None and border.keys is not None else there.keys
        return Way(policy=policy, whole=policy, keeps=True)

    # -- looking, listing and signing -------------------------------------------------------

    def gather(self, datasets: Iterable[Dataset]) -> None:
        """Let the control workers of these datasets be shared; what is not gathered is alone."""
        self._control.put(self._looked_at(datasets))

    def _looked_at(self, datasets: Iterable[Dataset]) -> Iterator[tuple[Hashable, Folders]]:
        for dataset in datasets:
            for part in dataset.source.merge or (dataset.source,):
                if part.address is not None and part.address.inner.scheme == "file":
                    kind = self._kind_of_look(dataset.name)
                    yield kind, Folders(read=(self.path_of(part.address),))

    def _kind_of_look(self, name: str) -> Hashable:
        return replace(self.bounds(name).need, local_ends=True)

    def control(self, name: str, spec: SourcePart, access: tuple[Access, Access | None]) -> Look:
        """Return the errand of looking at one source of a dataset, or listing and signing it.

        `access` is what the source is reached with. A worker behind walls is handed a stand-in
        where that has keys.
        """
        border = self.bounds(name)
        assert spec.address is not None
        posting = Posting(
            role=Role.CONTROL, need=border.need, clearance=border.need.tier.value,
            stop=border.stop,
        )  # fmt: skip
        if spec.address.inner.scheme == "file":
            own = Folders(read=(self.path_of(spec.address),))
            if spec.address.scheme == "file" and (same := self._at_work(name, own.read)):
                return Look(same, *access)
            whole = self._control.of(self._kind_of_look(name), own)
            near = replace(posting, read=whole.read, need=replace(border.need, local_ends=True))
            return Look(Errand(posting=near, dataset=name, uses=own.read), *access)
        way = self._way(border, border.source, ("GET", "HEAD"), CONTROL_UPLOAD_BYTES)
        stand_in = self._stand_in(name, spec, border)
        if way is None or self.signer is None or stand_in is None:
            # Nothing would hold it to the gateway: it lists and signs with the keys themselves.
            holder, way = self._holder(*access), replace(way, keeps=True) if way else None
        else:
            holder, hook = stand_in, self.signer.hook(stand_in)
            way = replace(way, policy=inspected(way.policy), credentials=hook)
            first, inner = access
            access = (
                self.signer.disguised(spec.address, first, stand_in),
                inner and self.signer.disguised(spec.address, inner, stand_in),
            )
        return Look(Errand(posting=replace(posting, way=way, holder=holder), dataset=name), *access)

    def _stand_in(self, name: str, part: SourcePart, border: Border) -> str | None:
        try:
            enforced = levels.choose(border.need).enforced
        except BatutaError:
            return None  # no worker will be started, and who starts it says why
        if not enforced or self.signer is None or part.address is None:
            return None
        return self.signer.stand_in(part.address, part.platform, name)

    def inputs(self, found: Iterable[Input]) -> tuple[Input, ...]:
        """Return what a control worker listed, signed for data workers. Raises as `signer`."""
        return tuple(found) if self.signer is None else self.signer.inputs(found)

    def partitions(self, found: Iterable[Partition]) -> tuple[Partition, ...]:
        """Return what a control worker cut, signed for data workers. Raises as `signer`."""
        return tuple(found) if self.signer is None else self.signer.partitions(found)

    def _at_work(self, name: str, read: tuple[str, ...]) -> Errand | None:
        """Return the errand of a dataset's data worker where that may list the source as well.

        It is about to read the same folder, and a list of files needs neither keys nor a way
        out; a second worker would see nothing that it does not see.
        """
        action = self._work.get(name)
        if action is None:
            return None
        errand = self.data(action)
        alone = errand.posting.way is None and errand.posting.need.local_ends
        return errand if alone and set(read) <= set(errand.uses) else None

    def _holder(self, access: Access, inner: Access | None) -> str:
        """Name a set of credentials, so that nothing can be learnt from the name."""
        hashed = hashlib.blake2b(key=self._salt)
        for end in (access, inner):
            if end is not None:
                hashed.update(repr((end.platform, sorted(end.secrets.items()))).encode())
        return hashed.hexdigest()[:16]

    # -- reading and writing ----------------------------------------------------------------

    def gather_work(self, plan: Plan) -> None:
        """Let the data workers of a plan's transfers be shared."""
        transfers = [a for a in plan.actions if isinstance(a, TransferAction)]
        self._data.put((self._kind_of_work(a), self._folders(a)) for a in transfers)
        self._staged = {str(self.staging(a)): a for a in transfers if _is_local(a)}
        self._work = {a.target.resource.partition("/")[2]: a for a in transfers}

    def data(self, action: TransferAction) -> Errand:
        """Return the errand of reading what an action reads and staging what it writes."""
        name = action.target.resource.partition("/")[2]
        border = self.bounds(name)
        own = self._folders(action)
        whole = self._data.of(self._kind_of_work(action), own)
        way = self._reading(action, border)
        out = way is not None or self._hosts(action, border)
        posting = Posting(
            role=Role.DATA, read=whole.read, write=whole.write, way=way, stop=border.stop,
            clearance=str(action.label.confidentiality),
            need=border.need if out else replace(border.need, local_ends=True),
        )  # fmt: skip
        return Errand(
            posting=posting, dataset=name, action=action.target.resource,
            uses=(*own.read, *own.write),
        )  # fmt: skip

    def look_into(self, name: str, border: Border, place: Address, snapshot: Snapshot) -> Errand:
        """Return the errand of reading what a dataset keeps at `place`, to show it to somebody."""
        posting = Posting(
            role=Role.DATA, need=border.need, stop=border.stop,
            clearance=str(snapshot.entry.label.confidentiality),
        )  # fmt: skip
        if place.scheme == "file":
            read = (self.path_of(place),)
            return Errand(posting=replace(posting, read=read), dataset=name, uses=read)
        requests = len(snapshot.parts) * _READ_REQUEST_BYTES + snapshot.size_bytes // 16
        bytes_up = _least_power(_READ_UPLOAD_BYTES + requests)
        way = self._way(border, border.destination, ("GET",), bytes_up)
        return Errand(posting=replace(posting, way=way), dataset=name)

    def siblings(self, action: TransferAction) -> dict[str, TransferAction]:
        """Return the local staging folders that the action's data worker has beside its own.

        They have to be there when it starts, or it will not see them.
        """
        whole = self._data.of(self._kind_of_work(action), self._folders(action))
        others = {path: self._staged.get(path) for path in whole.write}
        return {path: a for path, a in others.items() if a is not None and a is not action}

    def upload(self, action: TransferAction, size_bytes: int, files: int) -> Errand:
        """Return the errand of sending so many staged files to the destination, in one pass."""
        name = action.target.resource.partition("/")[2]
        border = self.bounds(name)
        bytes_up = _least_power(size_bytes + files * _REQUEST_BYTES)
        way = self._way(border, border.destination, ("PUT",), bytes_up)
        folder = str(self.staging(action).parent)
        posting = Posting(
            role=Role.UPLOAD, need=border.need, read=(folder,), way=way, stop=border.stop,
            clearance=str(action.label.confidentiality),
        )  # fmt: skip
        return Errand(posting=posting, dataset=name, action=action.target.resource, uses=(folder,))

    def _kind_of_work(self, action: TransferAction) -> Hashable:
        border = self.bounds(action.target.resource.partition("/")[2])
        way = self._reading(action, border)
        return border.need, border.stop, str(action.label.confidentiality), way

    def _hosts(self, action: TransferAction, border: Border) -> tuple[Host, ...]:
        """Return the hosts that an action reads from: none where all of it is on this machine."""
        places = [self._place(part) for part in _parts(action.transfer.source)]
        far = any(place is not None and place.inner.scheme != "file" for place in places)
        # Merging by key reads the parts that are there.
        own = border.destination if action.transfer.scope in _MERGES else ()
        return (*(border.source if far else ()), *own)

    def _reading(self, action: TransferAction, border: Border) -> Way | None:
        """Return the read policy: GET alone, the hosts of the plan, and no keys."""
        hosts, volume = self._hosts(action, border), action.volume
        files = volume.units_read + volume.units_kept
        requests = files * _READ_REQUEST_BYTES + volume.read_bytes // 16
        bytes_up = _least_power(_READ_UPLOAD_BYTES + requests)
        # A chunk of work is a file or more; what is long is read by several at once.
        pieces = files + volume.read_bytes // (64 * MIB)
        connections = 1 << (pieces * _CONNECTIONS_OF_A_UNIT).bit_length()
        return self._way(border, hosts, ("GET",), bytes_up, max(MAX_CONNECTIONS, connections))

    def _way(
        self, border: Border, hosts: Sequence[Host], methods: Sequence[str], bytes_up: int,
        connections: int = MAX_CONNECTIONS,
    ) -> Way | None:  # fmt: skip
        policy = narrow(
            border.policy, hosts, methods=methods, upload_bytes=bytes_up, connections=connections
        )
        return None if policy.closed else Way(policy=policy, whole=border.policy)

    def _folders(self, action: TransferAction) -> Folders:
        read = {
            self.path_of(place)
            for part in _parts(action.transfer.source)
            if (place := self._place(part)) is not None and place.inner.scheme == "file"
        }
        if action.transfer.scope in _MERGES and _is_local(action):
            read.add(self.path_of(parse_address(action.target.destination)))
        return Folders(read=tuple(sorted(read)), write=(str(self.staging(action)),))

    def _place(self, part: SourcePart) -> Address | None:
        return part.address if part.dataset is None else self.place_of(part.dataset)

    # -- places -----------------------------------------------------------------------------

    def path_of(self, address: Address) -> str:
        """Return the absolute path of a local address, whatever folder the command is typed in."""
        return os.path.abspath(self.root / os.path.expanduser(address.inner.path))

    def staging(self, action: TransferAction) -> Path:
        """Return the folder that the workers of an action's destination stage in."""
        destination = parse_address(action.target.destination)
        if destination.scheme == "file":
            return Path(self.path_of(destination)) / "_staging" / WORK
        border = self.bounds(action.target.resource.partition("/")[2])
        hosts = [f"{host}:{port}" for host, port in border.destination]
        kept: list[Json] = [*hosts, border.need.tier.value, str(action.label.confidentiality)]
        return self.scratch / digest(kept)[:16] / WORK


def _parts(source: SourceSpec) -> tuple[SourcePart, ...]:
    return source.merge or (source,)


def _is_local(action: TransferAction) -> bool:
    return parse_address(action.target.destination).scheme == "file"


def _least_power(size_bytes: int) -> int:
    """Return a power of two that is enough, so that work of about one size shares a posting."""
    return max(MIB, 1 << (size_bytes + size_bytes // 8 + 256 * 1024).bit_length())
