"""A dataset's folder on S3, over s3fs: exclusive creation, copies instead of renames.

Only the addresses that workers read and write through are signed here, by `wire`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from batuta.connectors.aws import client, faults
from batuta.connectors.aws.wire import Bucket
from batuta.model.address import Address
from batuta.model.connector import Connection, FileInfo, SignedPut
from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.log import UnitRef
from batuta.model.transfer import Input

if TYPE_CHECKING:
    import pyarrow as pa

THREADS = 4
DELETE_BATCH = 1000
MIB = 1024**2
SINGLE_PUT_BYTES = 4 * 1024 * MIB
PART_BYTES = 16 * MIB
PARTS_IN_MEMORY_BYTES = 64 * MIB
COPY_PART_BYTES = 1024 * MIB
MOST_PARTS = 10_000
_T = TypeVar("_T")


def split(address: Address) -> tuple[str, str]:
    """Return bucket and key of an address."""
    bucket, _, key = address.path.partition("/")
    return bucket, key


class S3Files:
    """A prefix of a bucket; all paths are relative to it. Calls may come from several threads.

    The library is loaded with the first request: a worker that only needs signed addresses
    never loads it.
    """

    moves = False

    def __init__(self, connection: Connection, address: Address) -> None:
        self.location = str(address)
        name, prefix = split(address)
        self._bucket = Bucket(connection, name)
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        self._open_input = connection.open_input
        self._way_out = connection.way_out

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[FileInfo]:
        """Yield objects under `prefix` in byte order of their paths; markers of folders aside.

        Without `recursive`, objects are left out whose keys have a `/` after the prefix.

        Raises:
            ConnectorError: AWS1xx.
        """
        bucket, under = self._bucket.name, self._prefix + prefix
        # Asked of the bucket, with a prefix, it is one request a page and never another name.
        found = self._ask(
            f"Listing s3://{bucket}/{under}",
            lambda system: system.find(bucket, prefix=under, detail=True),
        )
        start = len(bucket) + 1 + len(self._prefix)
        for name in sorted(found):
            if name[start:] and not name.endswith("/"):
                if not recursive and "/" in name[start + len(prefix) :]:
                    continue
                row = found[name]
                yield FileInfo(name[start:], row["size"], _ns(row.get("LastModified")))

    def exists(self) -> bool:
        """True where any object lies under the prefix.

        Raises:
            ConnectorError: AWS1xx, the bucket itself not being there included.
        """
        wanted = {"Bucket": self._bucket.name, "Prefix": self._prefix, "MaxKeys": 1}
        answer = self._call(f"Listing {self._url('')}", "list_objects_v2", wanted)
        return bool(answer.get("Contents"))

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes (None: all). FileNotFoundError where it is not there."""
        if limit == 0:
            return b""
        span = {} if limit is None else {"start": 0, "end": limit}

        def work(system: Any) -> bytes:
            try:
                # More than one at a time would ask for the size first.
                content: bytes = system.cat_file(self._name(path), max_concurrency=1, **span)
            except OSError as error:
                refusal = faults.refusal_of(error)
                if refusal is not None and refusal.status == 416:
                    return b""  # an empty object has no first byte
                raise
            return content

        try:
            return self._ask(f"Reading {self._url(path)}", work)
        except ConnectorError as error:
            raise self._missing(error, path) from None

    def size(self, path: str) -> int | None:
        """Return the size of one object in bytes, None where it is not there.

        Raises:
            ConnectorError: AWS1xx.
        """
        return None if (found := self._found(path)) is None else int(found["size"])

    def open(self, path: str) -> "pa.NativeFile":
        """Return a seekable file. FileNotFoundError where it is not there."""
        import pyarrow as pa

        if self._open_input is None:
            return pa.BufferReader(self.read(path))
        if (found := self._found(path)) is None:
            raise FileNotFoundError(self._url(path))
        return self._open_input(
            Input(
                key=path,
                url=self._bucket.sign("GET", self._prefix + path),
                size_bytes=found["size"],
                validator=found["ETag"],
            )
        )

    def create(self, path: str, content: bytes, *, check: Callable[[], None] | None = None) -> None:
        """Make `path` with `content`; FileExistsError where it is there already.

        Raises:
            ConnectorError: AWS1xx. After AWS107 it is not known whether the object was made.
        """
        if check is not None:
            check()
        try:
            self._ask(
                f"Creating {self._url(path)}",
                lambda system: system.pipe_file(self._name(path), content, mode="create"),
            )
        except ConnectorError as error:
            if error.diagnostics[0].code == "AWS109":
                raise FileExistsError(self._url(path)) from None
            raise

    def publish(self, staged: Sequence[tuple[str, str]]) -> None:
        """Send staged files to their final keys; those there with the same size are left alone.

        Raises:
            ConnectorError: AWS119 where another object has the key.
        """
        self._each(self._publish_one, staged)

    def _publish_one(self, pair: tuple[str, str]) -> None:
        source, path = pair
        wanted = os.path.getsize(source)
        if (found := self._found(path)) is not None:
            if found["size"] == wanted:
                return
            detail = f"{self._url(path)} has {found['size']} bytes, not {wanted}."
            raise faults.failure("AWS119", detail, Failure.CONFLICT)
        part = max(PART_BYTES, -(-wanted // MOST_PARTS))
        self._ask(
            f"Writing {self._url(path)}",
            lambda system: system.put_file(
                source,
                self._name(path),
                chunksize=part,
                max_concurrency=max(1, PARTS_IN_MEMORY_BYTES // part),
                ContentType="application/octet-stream",  # else this machine's tables guess it
            ),
        )

    def upload_inputs(self, staged: Sequence[tuple[str, str]]) -> Sequence[SignedPut] | None:
        """Return signed PUTs, or None where a file is too long for one: then `publish` is the way."""
        if any(os.path.getsize(source) > SINGLE_PUT_BYTES for source, _ in staged):
            return None
        return [SignedPut(url=self._bucket.sign("PUT", self._prefix + path)) for _, path in staged]

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Copy objects in the store, then delete the first ones; done pairs are passed over.

        Raises:
            ConnectorError: AWS1xx; AWS104 where neither of a pair is there.
        """
        self._each(self._copy_one, pairs)
        self.delete([old for old, _ in pairs])

    def _copy_one(self, pair: tuple[str, str]) -> None:
        old, new = pair
        try:
            self._ask(
                f"Copying {self._url(old)} to {self._url(new)}",
                lambda system: system.cp_file(
                    self._name(old), self._name(new), block=COPY_PART_BYTES
                ),
            )
        except ConnectorError as error:
            if error.diagnostics[0].code != "AWS104" or self._found(new) is None:
                raise

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects, a thousand a request; those that are gone already are done.

        Raises:
            ConnectorError: AWS1xx, with the first object that the store would not delete.
        """
        what = f"Deleting under {self.location}"
        for start in range(0, len(paths), DELETE_BATCH):
            objects = [{"Key": self._prefix + path} for path in paths[start : start + DELETE_BATCH]]
            wanted = {"Bucket": self._bucket.name, "Delete": {"Objects": objects, "Quiet": True}}
            answer = self._call(what, "delete_objects", wanted)
            for left in answer.get("Errors", ()):
                said = faults.Said(left.get("Code", ""), left.get("Message", ""))
                raise faults.of_error(f"{what}: `{left.get('Key')}`", 200, said, None)

    def prepare(self) -> None:
        """Check that the bucket is there; a prefix needs no making.

        Raises:
            ConnectorError: AWS103 and others.
        """
        self.exists()

    def free_bytes(self) -> int | None:
        """None: a bucket has no such figure."""
        return None

    def inputs(self, parts: Sequence[tuple[str, int, UnitRef]]) -> Sequence[Input]:
        """Return signed inputs; parts are immutable, so no ETag is asked for."""
        return [
            Input(
                key=path,
                url=self._bucket.sign("GET", self._prefix + path),
                size_bytes=size,
                validator="",
            )
            for path, size, _unit in parts
        ]

    def _url(self, path: str) -> str:
        return f"s3://{self._name(path)}"

    def _name(self, path: str) -> str:
        return f"{self._bucket.name}/{self._prefix}{path}"

    def _found(self, path: str) -> Any:
        """Return what the store says of an object; None where there is none of this very key."""
        try:
            found = self._ask(
                f"Asking for {self._url(path)}", lambda system: system.info(self._name(path))
            )
        except ConnectorError as error:
            if error.diagnostics[0].code == "AWS104":
                return None
            raise
        return found if found["type"] == "file" else None

    def _missing(self, error: ConnectorError, path: str) -> Exception:
        absent = error.diagnostics[0].code == "AWS104"
        return FileNotFoundError(self._url(path)) if absent else error

    def _call(self, what: str, method: str, wanted: Mapping[str, object]) -> Any:
        """Make one request of S3 itself.

        For what the file system's own verbs are quiet about: its `exists` takes refusals for
        absence, its `rm` says nothing of objects that the store would not delete.
        """
        return self._ask(what, lambda system: system.call_s3(method, **wanted))

    def _ask(self, what: str, work: Callable[[Any], _T]) -> _T:
        """Have the file system do something.

        Raises:
            ConnectorError: AWS1xx; AWS121 where the bucket is in another region.
        """
        try:
            return work(self._system())
        except client.file_system_errors() as error:
            refusal = faults.refusal_of(error)
            self._bucket.refuse_elsewhere(refusal.region if refusal is not None else None)
            raise faults.of_exception(what, error) from error

    def _system(self) -> Any:
        place = self._bucket
        return client.file_system(
            place.keys,
            None if self._way_out is None else self._way_out(),
            region=place.region,
            origin=place.endpoint.origin,
            by_path=place.endpoint.by_path,
            pays=place.pays,
        )

    def _each(self, action: Callable[[_T], None], things: Sequence[_T]) -> None:
        if len(things) == 1:
            action(things[0])
            return
        with ThreadPoolExecutor(THREADS, thread_name_prefix="s3") as pool:
            list(pool.map(action, things))


def _ns(modified: datetime | None) -> int:
    """Return a time in ns since 1970; 0 where the store says none."""
    return int(modified.timestamp() * 1000) * 1_000_000 if modified else 0
