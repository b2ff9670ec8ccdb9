"""Files of this machine as a source: one file or a folder, opaque or as the table in them."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from batuta.connectors.local import faults
from batuta.connectors.local.files import absolute, file_url
from batuta.connectors.local.walk import Entry, check_regular, stamp_of, walk
from batuta.model.address import parse_address
from batuta.model.connector import Connection
from batuta.model.diagnostic import BatutaError, ConnectorError, Failure, Severity
from batuta.model.format import Format, Inspection
from batuta.model.layout import (
    LayoutError,
    folder_note,
    format_of,
    own_filter,
    pattern_filter,
    refuse_other_log,
)
from batuta.model.observed import SourceState, Unit
from batuta.model.resource import SourceSpec
from batuta.model.transfer import Input, Partition
from batuta.model.units import Found, files_state, known_inspections, partitions_of, table_state

HASH_THREADS = 4
HASH_BLOCK_BYTES = 1024 * 1024
SETTLED_NS = 2_000_000_000
"""A file younger than this when it was read may change again within its time stamp's grain."""

_T = TypeVar("_T")
_R = TypeVar("_R")


class LocalSource:
    """Reads paths. A unit's version is the SHA-256 of its content, the same on every machine."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def observe(self, spec: SourceSpec, known: SourceState | None) -> SourceState:
        """Return the files as they are now; what `known` has with the same stamp is not opened.

        Where batuta's log lies right under the address, its own folders are left out.
        As a table, names that begin with `_` or `.` are left out, folders `name=value/` that all
        files share become columns, and every file must be of one format.

        Raises:
            ConnectorError: LOC1xx, or the format's own about a file.
        """
        address = _address(spec)
        if spec.where is not None:
            raise faults.failure("LOC116", f"{address} is a path; `where` needs a platform.")
        wanted = pattern_filter(spec.files)
        try:
            entries = [each for each in self._entries(spec) if wanted(each.key)]
            state = (
                self._files(address, entries, known)
                if spec.opaque
                else self._table(address, entries, spec, known)
            )
        except LayoutError as error:
            raise faults.of_layout(error, address) from error
        if spec.version is not None and spec.version != state.version:
            detail = f"{address} is at version {state.version}, not {spec.version}."
            raise faults.failure("LOC115", detail, Failure.CHANGED)
        return state

    def partitions(
        self, spec: SourceSpec, state: SourceState, units: Sequence[Unit], target_bytes: int
    ) -> Sequence[Partition]:
        """Return streams over `units`, as `model.units.partitions_of` makes them.

        Raises:
            ConnectorError: LOC1xx where a file is gone.
        """
        return partitions_of(spec, state, units, target_bytes, self.inputs(state, units))

    def inputs(self, state: SourceState, units: Sequence[Unit]) -> Sequence[Input]:
        """Return one input per unit, with the stamp that the version was read under.

        Raises:
            ConnectorError: LOC101 where a file is gone, LOC109 where it was written to since.
        """
        base = absolute(self._connection, parse_address(state.address))
        single = not os.path.isdir(base)
        out: list[Input] = []
        for unit in units:
            path = base if single else os.path.join(base, *unit.key.split("/"))
            with faults.told(path):
                status = os.stat(path)
            check_regular(status, path)
            stamp = stamp_of(status)
            if status.st_size != unit.size_bytes or (unit.stamp and stamp != unit.stamp):
                raise faults.failure("LOC109", f"{path} was written to since.", Failure.CHANGED)
            out.append(
                Input(
                    key=unit.key,
                    url=file_url(path),
                    size_bytes=unit.size_bytes,
                    validator=stamp,
                    sha256=unit.version,
                )
            )
        return out

    def _entries(self, spec: SourceSpec) -> list[Entry]:
        path = absolute(self._connection, parse_address(_address(spec)))
        with faults.told(path):
            status = os.stat(path)
        if os.path.isdir(path):
            entries = list(walk(path, hidden=spec.opaque))
            if spec.opaque:
                copied = own_filter(entry.key for entry in entries)
                return [entry for entry in entries if copied(entry.key)]
            with faults.told(path):
                refuse_other_log(_folders_of(path), _address(spec))
            return entries
        check_regular(status, path)
        return [Entry(os.path.basename(path), path, status)]

    def _files(
        self, address: str, entries: Sequence[Entry], known: SourceState | None
    ) -> SourceState:
        before = {unit.key: unit for unit in known.units} if known else {}

        def unit(entry: Entry) -> Unit:
            unit = before.get(entry.key)
            if unit is not None and unit.stamp == entry.stamp:
                return unit
            version, stamp = _read(entry)
            return Unit(
                key=entry.key, version=version, size_bytes=entry.status.st_size, stamp=stamp
            )

        fresh = [e for e in entries if not (e.key in before and before[e.key].stamp == e.stamp)]
        read = dict(zip((e.key for e in fresh), _parallel(unit, fresh), strict=True))
        return files_state(address, [read.get(e.key) or before[e.key] for e in entries])

    def _table(
        self,
        address: str,
        entries: Sequence[Entry],
        spec: SourceSpec,
        known: SourceState | None,
    ) -> SourceState:
        format_ = format_of((entry.key for entry in entries), self._connection.formats)
        before = known_inspections(known)
        fresh = [e for e in entries if not (e.key in before and before[e.key][0].stamp == e.stamp)]
        inspect = _Inspector(format_, spec)
        read = dict(zip((e.key for e in fresh), _parallel(inspect.found, fresh), strict=True))
        found = [read.get(e.key) or _again(*before[e.key]) for e in entries]
        state = table_state(address, found, format_.name, dict(spec.types))
        return _with_note(state, [entry.key for entry in entries])


class _Inspector:
    """Reads one file's version and inside, and checks that both are of the same content."""

    def __init__(self, format_: Format, spec: SourceSpec) -> None:
        if format_.reader is None:
            raise AssertionError("a format without a reader has no endings to be told by")
        self._reader = format_.reader()
        self._options = dict(spec.options)
        self._types = dict(spec.types)

    def found(self, entry: Entry) -> Found:
        version, stamp = _read(entry)
        inside = self._inspect(entry)
        with faults.told(entry.path):
            status = os.stat(entry.path)
        if stamp_of(status) != entry.stamp:
            raise _moved(entry)
        return Found(entry.key, version, entry.status.st_size, stamp, inside)

    def _inspect(self, entry: Entry) -> Inspection:
        import pyarrow as pa

        try:
            with faults.told(entry.path), pa.OSFile(entry.path, mode="r") as file:
                return self._reader.inspect(file, self._options, self._types)
        except BatutaError as error:
            first, *others = error.diagnostics
            named = replace(first, detail=f"{entry.path}: {first.detail}")
            if isinstance(error, ConnectorError):
                raise ConnectorError(named, kind=error.kind) from error
            raise BatutaError(named, *others) from error


def _read(entry: Entry) -> tuple[str, str]:
    """Return a file's SHA-256 and the stamp it can be trusted by later (empty: never)."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(min(HASH_BLOCK_BYTES, entry.status.st_size + 1)))
    with faults.told(entry.path), open(entry.path, "rb", buffering=0) as file:
        started_ns = time.time_ns()
        while count := file.readinto(block):
            digest.update(block[:count])
        status = os.fstat(file.fileno())
    if stamp_of(status) != entry.stamp:
        raise _moved(entry)
    settled = started_ns - status.st_mtime_ns > SETTLED_NS
    return digest.hexdigest(), entry.stamp if settled else ""


def _folders_of(root: str) -> Iterator[str]:
    """Yield the folders in and below `root`, with a slash at their ends; links are not followed."""
    for path, folders, _files in os.walk(root):
        inside = os.path.relpath(path, root).replace(os.sep, "/")
        above = "" if inside == "." else f"{inside}/"
        yield from (f"{above}{name}/" for name in folders)


def _moved(entry: Entry) -> ConnectorError:
    return faults.failure("LOC109", f"{entry.path} was written to meanwhile.", Failure.CHANGED)


def _again(unit: Unit, inside: Inspection) -> Found:
    return Found(unit.key, unit.version, unit.size_bytes, unit.stamp, inside)


def _parallel(action: Callable[[_T], _R], things: Sequence[_T]) -> list[_R]:
    if len(things) < 2:
        return [action(thing) for thing in things]
    with ThreadPoolExecutor(HASH_THREADS, thread_name_prefix="observe") as pool:
        return list(pool.map(action, things))


_NOTES = {"unread": ("LOC114", Severity.WARNING), "twice": ("LOC121", Severity.NOTE)}


def _with_note(state: SourceState, keys: Sequence[str]) -> SourceState:
    """Say that folders which look like columns are not read as such, where that is so."""
    held = {column.name for schema in state.schemas for column in schema.columns}
    if (found := folder_note(keys, held)) is None:
        return state
    kind, detail = found
    code, severity = _NOTES[kind]
    note = replace(faults.diagnostic(code, detail), severity=severity)
    return replace(state, notes=(*state.notes, note))


def _address(spec: SourceSpec) -> str:
    if spec.address is None:
        raise AssertionError("a source without an address is read through its Dataset")
    return str(spec.address)
