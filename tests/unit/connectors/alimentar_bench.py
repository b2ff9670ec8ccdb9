"""What the tests of the dataset share: stores that can be made to die, drafts, and an oracle."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from batuta.connectors.alimentar.log import open_log
from batuta.connectors.alimentar.place import locate
from batuta.connectors.local.files import LocalFiles
from batuta.model.address import Address
from batuta.model.connector import Connection, FileInfo, Files, SignedPut
from batuta.model.log import Facts, Label, LogEntry, Part, Snapshot, SourceRef, UnitRef
from batuta.model.table import Column, TableSchema
from batuta.model.transfer import Input

SCHEMA = TableSchema((Column("id", "int64", nullable=False), Column("name", "string")))


class Died(Exception):
    """The process was killed here."""


class MemoryStore:
    """Objects by key; `staged` plays the part of the machine's own disk.

    `moves` False is an object store: a move is a copy and a deletion, each with a moment of
    its own. Every effect is one call of `moment`, before and after it.
    """

    def __init__(self, *, moves: bool) -> None:
        self.moves = moves
        self.location = "s3://bucket.test/orders"
        self.objects: dict[str, bytes] = {}
        self.times: dict[str, int] = {}
        self.staged: dict[str, bytes] = {}
        self.now_ns = 0
        self.moment: Callable[[], None] = lambda: None
        self.guard = threading.Lock()

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[FileInfo]:
        self.moment()
        for path in sorted(self.objects, key=str.encode):
            if path.startswith(prefix) and (recursive or "/" not in path[len(prefix) :]):
                yield FileInfo(path, len(self.objects[path]), self.times[path])

    def exists(self) -> bool:
        return bool(self.objects)

    def size(self, path: str) -> int | None:
        with self.guard:
            return len(self.objects[path]) if path in self.objects else None

    def read(self, path: str, limit: int | None = None) -> bytes:
        self.moment()
        with self.guard:
            if path not in self.objects:
                raise FileNotFoundError(path)
            return self.objects[path][:limit]

    def open(self, path: str) -> pa.NativeFile:
        with self.guard:
            if path not in self.objects:
                raise FileNotFoundError(path)
            return pa.BufferReader(self.objects[path])

    def create(self, path: str, content: bytes, *, check: Callable[[], None] | None = None) -> None:
        if check is not None:
            check()
        self.moment()
        with self.guard:
            if path in self.objects:
                raise FileExistsError(path)
            self._put(path, content)
        self.moment()

    def publish(self, staged: Sequence[tuple[str, str]]) -> None:
        for local, path in staged:
            self.moment()
            with self.guard:
                if local not in self.staged:
                    assert path in self.objects, f"{local} is neither staged nor published"
                    continue
                content = self.staged[local]
                if len(self.objects.get(path, b"")) != len(content) or path not in self.objects:
                    assert path not in self.objects, f"{path} is in the way"
                    self._put(path, content)
                if self.moves:
                    del self.staged[local]
            self.moment()

    def upload_inputs(self, staged: Sequence[tuple[str, str]]) -> Sequence[SignedPut] | None:
        return None

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        for old, new in pairs:
            self.moment()
            if old not in self.objects:
                if new not in self.objects:
                    raise FileNotFoundError(old)
                continue
            with self.guard:
                self._put(new, self.objects[old])
                if self.moves:
                    del self.objects[old]
            self.moment()
            with self.guard:
                self.objects.pop(old, None)
        self.moment()

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.moment()
            with self.guard:
                self.objects.pop(path, None)
        self.moment()

    def prepare(self) -> None:
        self.moment()

    def free_bytes(self) -> int | None:
        return None

    def inputs(self, parts: Sequence[tuple[str, int, UnitRef]]) -> Sequence[Input]:
        return [
            Input(key=path, url=f"https://bucket.test/{path}", size_bytes=size, validator='"e"')
            for path, size, _ in parts
        ]

    def stage(self, name: str, content: bytes) -> str:
        local = f"/scratch/run-1/{name}"
        self.staged[local] = content
        return local

    def _put(self, path: str, content: bytes) -> None:
        self.objects[path] = content
        self.times[path] = self.now_ns


class MortalFolder:
    """A real local folder; batches are handed on one by one, with a moment around each."""

    moves = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)
        self.moment: Callable[[], None] = lambda: None
        self.inner = LocalFiles(Connection(), Address("file", str(root)))

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[FileInfo]:
        return self.inner.list(prefix, recursive=recursive)

    def size(self, path: str) -> int | None:
        return self.inner.size(path)

    def exists(self) -> bool:
        return self.inner.exists()

    def read(self, path: str, limit: int | None = None) -> bytes:
        return self.inner.read(path, limit)

    def open(self, path: str) -> pa.NativeFile:
        return self.inner.open(path)

    def create(self, path: str, content: bytes, *, check: Callable[[], None] | None = None) -> None:
        self.moment()
        self.inner.create(path, content, check=check)
        self.moment()

    def publish(self, staged: Sequence[tuple[str, str]]) -> None:
        for pair in staged:
            self.moment()
            self.inner.publish([pair])
        self.moment()

    def upload_inputs(self, staged: Sequence[tuple[str, str]]) -> Sequence[SignedPut] | None:
        return None

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        for pair in pairs:
            self.moment()
            self.inner.move([pair])
        self.moment()

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.moment()
            self.inner.delete([path])
        self.moment()

    def prepare(self) -> None:
        self.inner.prepare()

    def free_bytes(self) -> int | None:
        return self.inner.free_bytes()

    def inputs(self, parts: Sequence[tuple[str, int, UnitRef]]) -> Sequence[Input]:
        return self.inner.inputs(parts)

    def stage(self, name: str, content: bytes) -> str:
        local = self.root / "_staging" / "run-1" / name
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(content)
        return str(local)


Bench = MemoryStore | MortalFolder


class Fuse:
    """Lets `after` moments pass, then the process dies, at every further moment as well."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.blown = False

    def __call__(self) -> None:
        if self.left <= 0:
            self.blown = True
            raise Died
        self.left -= 1


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def part(path: str, content: bytes, rows: int | None = None) -> Part:
    return Part(path=path, size_bytes=len(content), sha256=digest(content), rows=rows)


def part_path(content: bytes, suffix: str = "ald") -> str:
    """The name of an encoded part: one content, one name."""
    return f"part-{digest(content)[:16]}.{suffix}"


def draft(
    added: Mapping[str, bytes] | Sequence[Part] = (),
    removed: Sequence[str] = (),
    *,
    action: str = "replace",
    schema: TableSchema | None = SCHEMA,
    format_name: str = "ald",
    written_at: str = "2026-03-01T12:00:00Z",
    tier: str = "PrivateCloud",
    protect: bool = False,
) -> LogEntry:
    parts = (
        tuple(part(path, content) for path, content in added.items())
        if isinstance(added, Mapping)
        else tuple(added)
    )
    return LogEntry(
        version=0,
        parent=None,
        written_at=written_at,
        batuta_version="0.1.0",
        action=action,
        resource="Dataset/orders",
        owner="Created",
        plan="0" * 64,
        facts=Facts(
            source="delta+s3://lake.test/orders",
            source_version="7",
            schema=schema,
            format=format_name,
            mode="Snapshot",
            tier=tier,
            tier_derived=False,
            protect=protect,
        ),
        source=SourceRef(address="delta+s3://lake.test/orders", version="7"),
        label=Label(confidentiality=tier, integrity=tier),
        added=parts,
        removed=tuple(removed),
        rows=None,
    )


def stage_all(files: Bench, contents: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Stage contents by path under names without folders, as the mover does."""
    return [
        (files.stage(digest(path.encode() + content)[:16], content), path)
        for path, content in contents.items()
    ]


def content_of(files: Files, snapshot: Snapshot) -> dict[str, bytes]:
    """Read a snapshot as a reader of the log does; every part must be what was committed."""
    found: dict[str, bytes] = {}
    for each, place in zip(snapshot.parts, locate(files, snapshot.parts), strict=True):
        with files.open(place) as file:
            found[each.path] = bytes(file.read())
        assert digest(found[each.path]) == each.sha256, each.path
    return found


def head_content(files: Files) -> dict[str, bytes] | None:
    log = open_log(files)
    return None if log is None else content_of(files, log.snapshot)
