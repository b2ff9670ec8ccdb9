"""Objects of S3 as a source: one object or a prefix, opaque or as the table in them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from batuta.connectors.aws import faults
from batuta.connectors.aws.files import split
from batuta.connectors.aws.listing import Object
from batuta.connectors.aws.wire import Bucket
from batuta.model.address import parse_address
from batuta.model.connector import Connection
from batuta.model.diagnostic import BatutaError, ConnectorError, Failure, Severity
from batuta.model.format import Format, Inspection
from batuta.model.layout import (
    LayoutError,
    folder_note,
    format_of,
    is_hidden,
    own_filter,
    pattern_filter,
    refuse_other_log,
)
from batuta.model.observed import SourceState, Unit
from batuta.model.resource import SourceSpec
from batuta.model.transfer import Input, Partition
from batuta.model.units import Found, files_state, known_inspections, partitions_of, table_state

INSPECT_THREADS = 8
SHOWN = 5
LOG = "_log/"


class _Row(NamedTuple):
    """One object of a source; `key` is relative to the address."""

    key: str
    version: str
    size_bytes: int
    archived: bool

    @property
    def stamp(self) -> str:
        return f"{self.size_bytes}:{self.version}"


class S3Source:
    """Reads a bucket. A unit's version is its ETag, followed by `:` and a pinned version id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def observe(self, spec: SourceSpec, known: SourceState | None) -> SourceState:
        """Return the objects as one listing shows them; what `known` has unchanged is not read.

        A listing is no snapshot: each object is read later with `If-Match`. As a table, names
        that begin with `_` or `.` are left out and footers are read through `open_input`. Where
        batuta's log lies right under the address, its own folders are left out in any case.

        Raises:
            ConnectorError: AWS1xx, or the format's own about an object.
        """
        address = _address(spec)
        if spec.where is not None:
            raise faults.failure("AWS116", f"{address} holds files; `where` needs a platform.")
        bucket, base, every = self._rows(spec)
        address = f"s3://{bucket.name}/{base}"
        has_log = any(row.key.startswith(LOG) for row in every)
        wanted, copied = pattern_filter(spec.files), own_filter(row.key for row in every)
        rows = [row for row in every if wanted(row.key) and copied(row.key)]
        if not spec.opaque:
            try:
                refuse_other_log((row.key for row in every), address)
            except LayoutError as error:
                raise faults.of_layout(error, address) from error
            rows = [row for row in rows if len(rows) == 1 or not is_hidden(row.key)]
        _refuse_archived(address, rows)
        if spec.opaque:
            state = files_state(address, [_unit(row) for row in rows])
        else:
            state = self._table(bucket, base, rows, (spec, known))
        if spec.version not in {None, state.version, *(_version_id(row.version) for row in rows)}:
            detail = f"{address} is at version {state.version}, not {spec.version}."
            raise faults.failure("AWS115", detail, Failure.CHANGED)
        return replace(state, has_log=has_log)

    def partitions(
        self, spec: SourceSpec, state: SourceState, units: Sequence[Unit], target_bytes: int
    ) -> Sequence[Partition]:
        """Return streams over `units`, as `model.units.partitions_of` makes them."""
        return partitions_of(spec, state, units, target_bytes, self.inputs(state, units))

    def inputs(self, state: SourceState, units: Sequence[Unit]) -> Sequence[Input]:
        """Return one input per unit: an address signed for an hour, the ETag as its validator.

        The address of `state` tells a prefix, which ends in a slash, from an object.
        """
        name, path = split(parse_address(state.address))
        bucket = Bucket(self._connection, name)
        return [_input(bucket, path, unit.key, unit.version, unit.size_bytes) for unit in units]

    def _rows(self, spec: SourceSpec) -> tuple[Bucket, str, list[_Row]]:
        """Return what is at the address: the object itself, else what is below.

        The base is the object's key, or the prefix with its slash.
        """
        name, path = split(parse_address(_address(spec)))
        bucket = Bucket(self._connection, name)
        if path and not path.endswith("/"):
            if (row := _head(bucket, path, spec.version)) is not None:
                return bucket, path, [row]
            path += "/"
        found = bucket.objects(path)
        if not found:
            raise faults.failure("AWS104", f"No object lies at {_address(spec)}.")
        return bucket, path, [_row(each, path) for each in found if not _is_marker(each)]

    def _table(
        self,
        bucket: Bucket,
        base: str,
        rows: Sequence[_Row],
        asked: tuple[SourceSpec, SourceState | None],
    ) -> SourceState:
        spec, known = asked
        address = f"s3://{bucket.name}/{base}"
        try:
            format_ = format_of((row.key for row in rows), self._connection.formats)
            before = known_inspections(known)
            fresh = [r for r in rows if r.key not in before or before[r.key][0].stamp != r.stamp]
            read = dict(
                zip(
                    (r.key for r in fresh),
                    self._inspect((bucket, base), fresh, format_, spec),
                    strict=True,
                )
            )
            found = [
                Found(r.key, r.version, r.size_bytes, r.stamp, read.get(r.key) or before[r.key][1])
                for r in rows
            ]
            state = table_state(address, found, format_.name, dict(spec.types))
        except LayoutError as error:
            raise faults.of_layout(error, address) from error
        return _with_note(state, [row.key for row in rows])

    def _inspect(
        self, place: tuple[Bucket, str], rows: Sequence[_Row], format_: Format, spec: SourceSpec
    ) -> list[Inspection]:
        open_input = self._connection.open_input
        if open_input is None or format_.reader is None:
            raise AssertionError("a table's objects are read through the connection's open_input")
        reader = format_.reader()
        bucket, base = place
        options, types = dict(spec.options), dict(spec.types)

        def inspect(row: _Row) -> Inspection:
            source = _input(bucket, base, row.key, row.version, row.size_bytes)
            try:
                with open_input(source) as file:
                    return reader.inspect(file, options, types)
            except BatutaError as error:
                raise _named(error, f"s3://{bucket.name}/{_full_key(base, row.key)}") from error

        with ThreadPoolExecutor(INSPECT_THREADS, thread_name_prefix="inspect") as pool:
            return list(pool.map(inspect, rows))


def _address(spec: SourceSpec) -> str:
    if spec.address is None:
        raise AssertionError("a source without an address is read through its Dataset")
    return str(spec.address)


def _full_key(base: str, key: str) -> str:
    """Return an object's whole key; `base` is a prefix with its slash, or the object's own key."""
    return base + key if not base or base.endswith("/") else base


def _is_marker(each: Object) -> bool:
    """True for the empty objects that stand for folders."""
    return each.key.endswith("/") and each.size_bytes == 0


def _row(each: Object, prefix: str) -> _Row:
    key = each.key[len(prefix) :]
    if not key or key.endswith("/"):
        raise faults.failure("AWS118", f"The key `{each.key}` ends in `/`.")
    return _Row(key, each.etag, each.size_bytes, each.archived)


def _head(bucket: Bucket, key: str, version: str | None) -> _Row | None:
    """Return the object with exactly this key, at a version id where one is pinned."""
    query = [("versionId", version)] if version else []
    answer = bucket.ask("HEAD", key, query=query)
    if answer.status in {400, 404, 405} and version:
        answer, version = bucket.ask("HEAD", key), None
    if answer.status == 404:
        return None
    bucket.expect(answer, f"Asking for s3://{bucket.name}/{key}", 200)
    etag = answer.headers.get("etag", "").strip('"')
    pinned = f"{etag}:{version}" if version else etag
    storage = answer.headers.get("x-amz-storage-class", "STANDARD")
    restored = 'ongoing-request="false"' in answer.headers.get("x-amz-restore", "")
    archived = storage in {"GLACIER", "DEEP_ARCHIVE"} and not restored
    size = int(answer.headers.get("content-length", "0"))
    return _Row(key.rpartition("/")[2], pinned, size, archived)


def _version_id(version: str) -> str:
    return version.partition(":")[2]


def _unit(row: _Row) -> Unit:
    return Unit(key=row.key, version=row.version, size_bytes=row.size_bytes, stamp=row.stamp)


def _input(bucket: Bucket, path: str, key: str, version: str, size: int) -> Input:
    etag, _, version_id = version.partition(":")
    query = [("versionId", version_id)] if version_id else []
    return Input(
        key=key,
        url=bucket.sign("GET", _full_key(path, key), query),
        size_bytes=size,
        validator=f'"{etag}"',
    )


def _refuse_archived(address: str, rows: Sequence[_Row]) -> None:
    names = [row.key for row in rows if row.archived]
    if names:
        shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise faults.failure("AWS105", f"Under {address}: {shown}{more}.")


def _named(error: BatutaError, name: str) -> BatutaError:
    first, *others = error.diagnostics
    named = replace(first, detail=f"{name}: {first.detail}")
    if isinstance(error, ConnectorError):
        return ConnectorError(named, kind=error.kind, retry_after_s=error.retry_after_s)
    return BatutaError(named, *others)


_NOTES = {"unread": ("AWS114", Severity.WARNING), "twice": ("AWS127", Severity.NOTE)}


def _with_note(state: SourceState, keys: Sequence[str]) -> SourceState:
    """Say that parts of keys which look like columns are not read as such, where that is so."""
    held = {column.name for schema in state.schemas for column in schema.columns}
    if (found := folder_note(keys, held)) is None:
        return state
    kind, detail = found
    code, severity = _NOTES[kind]
    note = replace(faults.diagnostic(code, detail), severity=severity)
    return replace(state, notes=(*state.notes, note))
