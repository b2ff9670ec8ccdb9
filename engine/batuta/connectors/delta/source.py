"""Delta tables as a source: one unit per active data file, pinned to one version of the table.

The version string is `<n>.<digest>`. The digest names the content: the table's id, its schema,
and every file with its deleted rows. `n` is the Delta version in which this content came to
be, found by going back over commits that touch neither files nor schema; so a commit that
changes nothing (a property, a streaming epoch, a re-run with no rows) gives the same string,
and a re-run over it is a no-op. The version that was opened stands in `native_version`. Where
more than 256 such commits follow each other, or the log was cleaned up below them, `n` may
differ between two machines that have no earlier answer; then a plan looks at the units and
finds them unchanged.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from batuta.connectors.delta import changes, layout
from batuta.connectors.delta.client import open_table
from batuta.connectors.delta.features import mapping_mode
from batuta.connectors.delta.footers import Footer, Looker
from batuta.connectors.delta.forms import Form, bind, form_of
from batuta.connectors.delta.layout import Extra, inner_address
from batuta.connectors.delta.pinned import Pinned, born, pin, unit_version
from batuta.connectors.delta.problems import problem
from batuta.connectors.delta.snapshot import DataFile, Table
from batuta.connectors.delta.types import table_schema
from batuta.connectors.delta.values import pack_ordinals
from batuta.model.address import Address
from batuta.model.arrow import to_arrow
from batuta.model.canonical import Json
from batuta.model.connector import Connection
from batuta.model.observed import SourceState, Unit
from batuta.model.resource import SourceSpec
from batuta.model.table import TableSchema
from batuta.model.transfer import Input, Partition

_READERS = 8


class DeltaSource:
    """Implements `model.connector.Source`, and `changes` where the table has a change feed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def observe(self, spec: SourceSpec, known: SourceState | None) -> SourceState:
        """Return the table at `spec.version` (default: the newest), its units oldest first.

        `spec.version` is a whole number or an RFC 3339 time. Units that `known` holds are not
        opened again. Each new file's footer is read, so that a missing file or a column that
        cannot become the table's is refused here, before anything is planned.

        Raises:
            ConnectorError: DLT101 to DLT110; only DLT109 can be tried again.
        """
        address = _address(spec)
        table = open_table(self._connection, address)
        version = _resolve(table, spec.version)
        pinned = pin(table, version)
        content = pinned.content
        if known is not None and known.version.rpartition(".")[2] == content:
            return replace(known, native_version=str(version))
        units, schemas, forms = self._units(pinned, known)
        rows = [unit.rows for unit in units]
        counted = [count for count in rows if count is not None]
        return SourceState(
            address=str(address),
            version=f"{born(pinned)}.{content}",
            native_version=str(version),
            kind="table",
            stable_units=False,
            schema=table_schema(pinned.nodes),
            schemas=schemas,
            units=units,
            size_bytes=sum(unit.size_bytes for unit in units),
            rows=sum(counted) if len(counted) == len(rows) else None,
            format="parquet",
            copyable=all(form.exact for form in forms)
            and not any(file.dropped for file in pinned.files),
        )

    def partitions(
        self, spec: SourceSpec, state: SourceState, units: Sequence[Unit], target_bytes: int
    ) -> Sequence[Partition]:
        """Return streams over the files of `units`, in their order.

        Files that need no more than renames, constants and a few dropped rows go to the
        worker's reader of Parquet, others to this connector's. A file is cut at row groups.
        """
        inputs = self.inputs(state, units)
        extras = [Extra.parse(unit.extra) for unit in units]
        target: tuple[tuple[str, Json], ...] = ()
        if not all(extra.for_files for extra in extras):
            head = open_table(self._connection, _address(spec)).snapshot(_native(state))
            target = layout.target_spec(head)
        placed = list(zip(units, extras, inputs, strict=True))
        return layout.partitions(placed, target, target_bytes)

    def inputs(self, state: SourceState, units: Sequence[Unit]) -> Sequence[Input]:
        """Return `file://` addresses with the stamp of the file, or signed ones for S3."""
        return self._inputs(state.address, [(u.key, u.size_bytes) for u in units])

    def changes(
        self, spec: SourceSpec, state: SourceState, since_version: str
    ) -> Sequence[Partition] | None:
        """Return the rows that changed from `since_version` to `state`, or None.

        None means that there is no feed for that range (it is off, the log or its files were
        cleaned up, the schema changed, or `since_version` is no version of this table); then
        units tell what changed. The one partition yields the table's columns and `_change`,
        `upsert` or `delete`, in the order of commits; of one commit deletions come first. The
        last word on a key is the true one. A range without a change gives no partition.
        """
        table = open_table(self._connection, _address(spec))
        since = re.fullmatch(r"(\d+)\.([0-9a-f]{16})", since_version)
        if since is None or state.native_version is None:
            return None
        first, last = int(since[1]), int(state.native_version)
        if first > last or table.commit(first) is None:
            return None
        before = pin(table, first)
        if before.content != since[2]:
            return None
        entries = changes.feed(table, before, last)
        if entries is None:
            return None
        if not entries:
            return ()
        looker = self._looker(before)
        files = {entry.file.key: entry.file for entry in entries}
        extras = {k: _unit(before, f, looker.look(f))[2] for k, f in files.items()}
        named = [(entry.file.key, entry.file.size_bytes) for entry in entries]
        inputs = self._inputs(state.address, named)
        placed = [(e, extras[e.file.key], i) for e, i in zip(entries, inputs, strict=True)]
        return (layout.feed_partition(before.head, last, placed),)

    def _inputs(self, address: str, files: Sequence[tuple[str, int]]) -> Sequence[Input]:
        inner = inner_address(address)
        if inner.scheme == "file":
            root = os.path.abspath(os.path.join(self._connection.root, inner.path))
            return [_local_input(root, key, size) for key, size in files]
        if self._connection.sign is None:
            raise problem("DLT107", f"{address}: this session cannot sign addresses of S3.")
        base = str(inner).rstrip("/")
        signed = self._connection.sign([(f"{base}/{key}", size, "") for key, size in files])
        return [replace(s, key=key) for s, (key, _) in zip(signed, files, strict=True)]

    def _looker(self, pinned: Pinned) -> Looker:
        return Looker(
            self._connection.formats["parquet"],
            pinned.table,
            pinned.nodes if mapping_mode(pinned.head) == "id" else None,
            pinned.head.partition_columns,
        )

    def _units(
        self, pinned: Pinned, known: SourceState | None
    ) -> tuple[tuple[Unit, ...], tuple[TableSchema, ...], list[Form]]:
        ordered = sorted(pinned.files, key=lambda f: (f.modified_ms, f.key))
        looker = self._looker(pinned)
        earlier = looker.earlier(known)
        new = [f for f in ordered if (f.key, f.size_bytes) not in earlier]
        if inner_address(pinned.head.uri).scheme == "file":
            seen = [looker.look(file) for file in new]
        else:
            with ThreadPoolExecutor(_READERS) as pool:
                seen = list(pool.map(looker.look, new))
        looked = earlier | {(f.key, f.size_bytes): s for f, s in zip(new, seen, strict=True)}
        schemas: dict[TableSchema, int] = {}
        units, forms = [], []
        for file in ordered:
            footer = looked[file.key, file.size_bytes]
            unit, form, _ = _unit(pinned, file, footer)
            forms.append(form)
            units.append(replace(unit, schema=schemas.setdefault(footer.schema, len(schemas))))
        return tuple(units), tuple(schemas), forms


def _unit(pinned: Pinned, file: DataFile, footer: Footer) -> tuple[Unit, Form, Extra]:
    partition_columns = pinned.head.partition_columns
    nodes = bind(pinned.nodes, dict(footer.names))
    form = form_of(file.key, to_arrow(footer.schema), nodes, partition_columns)
    if None not in (file.rows, footer.rows) and file.rows != footer.rows:
        raise problem("DLT105", f"{file.key} holds {footer.rows} rows; the log says {file.rows}.")
    stored_rows = file.rows if footer.rows is None else footer.rows
    extra = Extra(
        plain=form.plain,
        constants=file.partition + tuple((name, None) for name in form.missing),
        renames=form.renames,
        dropped=pack_ordinals(file.dropped),
    )
    unit = Unit(
        key=file.key,
        version=unit_version(file),
        size_bytes=file.size_bytes,
        rows=None if stored_rows is None else stored_rows - len(file.dropped),
        cuts=footer.cuts,
        extra=extra.text(),
    )
    return unit, form, extra


def _address(spec: SourceSpec) -> Address:
    if spec.address is None:
        raise problem("DLT107", "A Delta source needs an address.")
    return spec.address


def _native(state: SourceState) -> int:
    return int(state.native_version or state.version.partition(".")[0])


def _resolve(table: Table, wanted: str | None) -> int:
    if wanted is None:
        return table.newest()
    if re.fullmatch(r"[0-9]{1,18}", wanted):
        return int(wanted)
    try:
        zone = datetime.fromisoformat(wanted).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise problem("DLT108", f"The version {wanted!r} is neither a number nor a time.")
    return table.version_at(wanted)


def _local_input(root: str, key: str, size: int) -> Input:
    path = Path(root, key)
    try:
        status = path.stat()
    except OSError as error:
        raise problem("DLT105", f"The file {key} cannot be opened: {error.strerror}.") from None
    if status.st_size != size:
        raise problem("DLT105", f"{key} has {status.st_size} bytes; the log says {size}.")
    # The mover compares this with the file it opens.
    stamp = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
    return Input(key=key, url=path.as_uri(), size_bytes=size, validator=stamp)
