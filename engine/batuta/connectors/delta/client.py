"""The only importer of deltalake: answers become values, its errors become ours.

Rows are never read here.
The library keeps no order and reads no clock of ours; it never retries, since one layer of the
runtime owns retries. Where no key is given the store is asked anonymously, so that the library
does not go looking for credentials in the environment or at the instance's metadata address.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from batuta.connectors.delta import commits
from batuta.connectors.delta.problems import problem
from batuta.connectors.delta.snapshot import DataFile, TableVersion
from batuta.connectors.delta.values import partition_texts
from batuta.model.address import Address
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError, Failure

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TRACE = re.compile(r"\s*(\n\s*\d+: |\nBacktrace|\nstack backtrace).*", re.DOTALL)
_DENIED = re.compile(
    r"\b403\b|\b401\b|AccessDenied|Forbidden|SignatureDoesNotMatch|InvalidAccessKeyId"
    r"|ExpiredToken|InvalidToken|Unauthorized|permission denied",
    re.IGNORECASE,
)
_THROTTLED = re.compile(r"\b429\b|\b503\b|SlowDown|Throttl", re.IGNORECASE)
_NO_BUCKET = re.compile(r"NoSuchBucket|The specified bucket does not exist", re.IGNORECASE)
_FEATURE = re.compile(
    r"unsupported|not supported|Unsupported table features|catalog-managed", re.IGNORECASE
)
_ADD_COLUMNS = ("path", "size_bytes", "modification_time", "num_records", "partition")


def open_table(connection: Connection, address: Address) -> "DeltaClient":
    """Return the table at `address`, which is not touched before the first question.

    Raises:
        ConnectorError: DLT107, the inner address is neither local nor on S3, or holds a `%`
            or a backslash: the library would open another folder. No retry helps.
    """
    inner = address.inner
    if set("%\\") & set(inner.path + connection.root):
        raise problem("DLT107", f"The path of {address} holds a percent sign or a backslash.")
    match inner.scheme:
        case "file":
            root = os.path.abspath(os.path.join(connection.root, inner.path))
            return DeltaClient(address, Path(root).as_uri(), {}, root)
        case "s3":
            uri = f"s3://{inner.path.rstrip('/')}"
            return DeltaClient(address, uri, storage_options(connection), None)
        case scheme:
            raise problem("DLT107", f"{address} lies on `{scheme}`, which is not read yet.")


def storage_options(connection: Connection) -> dict[str, str]:
    """Return the library's spelling of an S3 connection's options and secrets."""
    options = {key: str(value) for key, value in connection.options.items() if value is not None}
    secrets = connection.secrets
    endpoint = options.get("endpoint") or next(iter(connection.endpoints), "")
    wanted = {
        "aws_endpoint_url": endpoint,
        "aws_region": connection.region or options.get("region") or "us-east-1",
        "aws_access_key_id": secrets.get("accessKeyId", ""),
        "aws_secret_access_key": secrets.get("secretAccessKey", ""),
        "aws_session_token": secrets.get("sessionToken", ""),
        "aws_allow_http": "true" if endpoint.startswith("http://") else "",
        "aws_virtual_hosted_style_request": "false" if _path_style(options, endpoint) else "true",
        "aws_skip_signature": "" if secrets.get("accessKeyId") else "true",
        "max_retries": "0",
        "timeout": "60s",
        "connect_timeout": "10s",
    }
    return {key: value for key, value in wanted.items() if value}


def _path_style(options: dict[str, str], endpoint: str) -> bool:
    stated = options.get("pathStyle")
    return bool(endpoint) if stated is None else stated.lower() == "true"


class DeltaClient:
    """Implements `snapshot.Table` over deltalake. One version is kept open at a time."""

    def __init__(
        self, address: Address, uri: str, options: dict[str, str], folder: str | None
    ) -> None:
        self._address = address
        self._uri = uri
        self._options = options
        self._folder = folder
        self._opened: Any = None

    def newest(self) -> int:
        self._opened = None
        return int(self._open(None).version())

    def version_at(self, time: str) -> int:
        wanted = _milliseconds(time)
        newest = self.newest()
        with _Vendor(self._address):
            if self._opened.metadata().configuration.get(commits.IN_COMMIT) == "true":
                return self._by_in_commit_time(wanted, newest, time)
            self._opened.load_as_version(time)
            found = int(self._opened.version())
        committed = commits.committed_ms(self.commit(found) or b"")
        if committed is not None and committed > wanted:
            raise problem("DLT102", f"{self._address} has no version as old as {time}.")
        return found

    def _by_in_commit_time(self, wanted: int, newest: int, time: str) -> int:
        """Search by the times inside the commits: those of the files do not survive a copy."""
        low, high = -1, newest
        while low < high:
            middle = (low + high + 1) // 2
            committed = commits.committed_ms(self.commit(middle) or b"")
            if committed is not None and committed > wanted:
                high = middle - 1
            else:
                low = middle
        if low < 0 or self.commit(low) is None:
            raise problem("DLT102", f"{self._address} has no version as old as {time}.")
        return low

    def snapshot(self, version: int) -> TableVersion:
        table = self._open(version)
        with _Vendor(self._address):
            protocol, metadata = table.protocol(), table.metadata()
            schema_json = str(table.schema().to_json())
            return TableVersion(
                uri=str(self._address),
                version=version,
                table_id=str(metadata.id),
                min_reader_version=int(protocol.min_reader_version),
                reader_features=frozenset(protocol.reader_features or ()),
                writer_features=frozenset(protocol.writer_features or ()),
                configuration=tuple(sorted(metadata.configuration.items())),
                schema_json=schema_json,
                partition_columns=tuple(metadata.partition_columns),
            )

    def files(self, version: int, *, deletions: bool) -> tuple[DataFile, ...]:
        table = self._open(version)
        with _Vendor(self._address):
            actions = pa.table(table.get_add_actions())
            dropped = self._dropped(table) if deletions else {}
        actions = actions.select([c for c in _ADD_COLUMNS if c in actions.column_names])
        found = tuple(
            self._data_file(row, dropped) for batch in actions.to_batches() for row in _rows(batch)
        )
        # A vector of no file, or a file named twice with two of them, would bring deleted rows
        # back without a word.
        twice = len(found) - len({file.key for file in found})
        if dropped or twice:
            name = next(iter(dropped), "")
            raise problem(
                "DLT104",
                f"{self._address}: {twice} active files are named twice; "
                f"{len(dropped)} deletion vectors belong to no active file {name}.",
            )
        return found

    def _data_file(self, row: "dict[str, Any]", dropped: dict[str, tuple[int, ...]]) -> DataFile:
        path = str(row["path"])
        key = unquote(path)
        if key.startswith("/") or re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*:", path):
            raise problem(
                "DLT103", f"{self._address} names {path}, a file outside the table (a clone)."
            )
        if ".." in key.split("/"):
            raise problem("DLT104", f"{self._address} names {path}, which leaves the table.")
        return DataFile(
            key=key,
            size_bytes=int(row["size_bytes"]),
            modified_ms=int(row["modification_time"]),
            rows=None if row.get("num_records") is None else int(row["num_records"]),
            partition=row["partition"],
            dropped=dropped.pop(key, ()),
        )

    def _dropped(self, table: Any) -> dict[str, tuple[int, ...]]:
        root = unquote(str(table.table_uri)).rstrip("/") + "/"
        found: dict[str, tuple[int, ...]] = {}
        for batch in pa.RecordBatchReader.from_stream(table.deletion_vectors()):
            for name, keep in zip(*batch.columns, strict=True):
                deleted = pa.compute.invert(keep.values)
                ordinals = pa.compute.indices_nonzero(deleted).to_pylist()
                found[unquote(name.as_py()).removeprefix(root)] = tuple(ordinals)
        return found

    def commit(self, version: int) -> bytes | None:
        name = f"_delta_log/{version:020}.json"
        try:
            with self._store().open_input_file(name) as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None

    def open(self, key: str) -> pa.NativeFile:
        try:
            if self._folder is not None:
                return pa.OSFile(os.path.join(self._folder, key))
            with _Vendor(self._address):
                return self._store().open_input_file(key)
        except FileNotFoundError:
            raise problem("DLT105", f"{self._address}: the file {key} is missing.") from None

    def size(self, key: str) -> int | None:
        if self._folder is not None:
            try:
                return os.stat(os.path.join(self._folder, key)).st_size
            except FileNotFoundError:
                return None
        with _Vendor(self._address):
            info = self._store().get_file_info(key)
            return int(info.size) if info.is_file else None

    def _store(self) -> Any:
        from deltalake.fs import DeltaStorageHandler
        from pyarrow.fs import PyFileSystem

        if self._opened is None:
            self._open(None)
        with _Vendor(self._address):
            return PyFileSystem(DeltaStorageHandler.from_table(self._opened._table))

    def _open(self, version: int | None) -> Any:
        from deltalake import DeltaTable

        if self._opened is not None and version == int(self._opened.version()):
            return self._opened
        if self._folder is not None and not os.path.isdir(self._folder):
            raise problem("DLT101", f"{self._address} is no folder.")
        with _Vendor(self._address, version):
            self._opened = DeltaTable(self._uri, version=version, storage_options=self._options)
        return self._opened


class _Vendor:
    """Turns what deltalake raises within a `with` block into a ConnectorError.

    A panic of its Rust core derives from BaseException and has no importable class, so it is
    known by its name.
    """

    def __init__(self, address: Address, version: int | None = None) -> None:
        self._address = address
        self._version = version

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from deltalake.exceptions import DeltaError

        if error is None or isinstance(error, ConnectorError | FileNotFoundError):
            return
        panic = kind is not None and kind.__name__ == "PanicException"
        if panic or isinstance(error, DeltaError | OSError | ValueError | pa.ArrowException):
            raise self._translated(error) from None

    def _translated(self, error: BaseException) -> ConnectorError:
        from deltalake.exceptions import TableNotFoundError

        said = clean(str(error))
        detail = f"{self._address}: {said}"
        if _DENIED.search(said):
            return problem("DLT110", detail, Failure.AUTH)
        absent = isinstance(error, TableNotFoundError)
        if _NO_BUCKET.search(said) or (absent and self._version is None):
            return problem("DLT101", f"{self._address} holds no Delta log.")
        if absent or "LogSegment end version" in said:
            return problem("DLT102", f"{self._address} has no version {self._version}.")
        if isinstance(error, OSError):
            throttled = bool(_THROTTLED.search(said))
            return problem("DLT109", detail, Failure.THROTTLED if throttled else Failure.TRANSIENT)
        return problem("DLT103" if _FEATURE.search(said) else "DLT104", detail)


def clean(message: str) -> str:
    """Return a library's message as one line, without colours and stack trace."""
    text = _TRACE.sub("", _ANSI.sub("", message)).replace("↳", " ")
    return " ".join(text.split())[:600]


def _rows(batch: pa.RecordBatch) -> "list[dict[str, Any]]":
    """The add actions of a batch; `partition` is turned to canonical texts column by column."""
    partitions = partition_texts(batch)
    columns = [n for n in batch.schema.names if n != "partition"]
    rows = batch.select(columns).to_pylist()
    return [{**row, "partition": texts} for row, texts in zip(rows, partitions, strict=True)]


def _milliseconds(time: str) -> int:
    moment = datetime.fromisoformat(time)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
