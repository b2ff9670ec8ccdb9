"""What each data file says of itself, read once per file: its columns, row groups, row count."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from batuta.connectors.delta.forms import names_by_id
from batuta.connectors.delta.problems import problem
from batuta.connectors.delta.snapshot import DataFile, Table
from batuta.connectors.delta.types import Node
from batuta.model.format import Format
from batuta.model.observed import Cut, SourceState
from batuta.model.table import TableSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What a file says. `rows` counts stored rows.

    `names` maps the table's stored names to this file's own where the table maps by id and
    they differ.
    """

    schema: TableSchema
    cuts: tuple[Cut, ...]
    rows: int | None
    names: tuple[tuple[str, str], ...] = ()


class Looker:
    """Reads footers through the Parquet format it was handed; may be used from several threads.

    `nodes` are the table's columns where it maps them by id, else None.
    """

    def __init__(
        self,
        format_: Format,
        table: Table,
        nodes: Sequence[Node] | None,
        partition_columns: Sequence[str],
    ) -> None:
        if format_.reader is None:
            raise ValueError("the Parquet format must be able to read")
        self._reader = format_.reader()
        self._table = table
        self._nodes = nodes
        self._partition_columns = partition_columns

    def look(self, file: DataFile) -> Footer:
        """Return the footer of `file`.

        Raises:
            ConnectorError: DLT105, the file is missing or has another size; DLT106, its
                columns have no ids in a table that maps by id; or the format's own error.
        """
        with self._table.open(file.key) as opened:
            if (size := opened.size()) != file.size_bytes:
                raise problem(
                    "DLT105", f"{file.key} has {size} bytes; the log says {file.size_bytes}."
                )
            found = self._reader.inspect(opened, {}, {})
            names = self._names(file.key, opened) if self._nodes is not None else {}
        return Footer(
            schema=found.schema,
            cuts=found.cuts,
            rows=found.rows,
            names=tuple(sorted(names.items())),
        )

    def _names(self, key: str, opened: pa.NativeFile) -> dict[str, str]:
        opened.seek(0)
        try:
            footer = pq.read_schema(opened)
        except pa.ArrowException as error:
            raise problem("DLT106", f"{key} is no Parquet file: {error}.") from None
        return names_by_id(key, footer, self._nodes or (), self._partition_columns)

    def earlier(self, known: SourceState | None) -> dict[tuple[str, int], Footer]:
        """Footers that an earlier state remembers, by path and size; none where ids count."""
        if known is None or self._nodes is not None:
            return {}
        return {
            (unit.key, unit.size_bytes): Footer(
                schema=known.schemas[unit.schema], cuts=unit.cuts, rows=_stored_rows(unit.cuts)
            )
            for unit in known.units
            if unit.schema is not None and "plain" in json.loads(unit.extra or "{}")
        }


def _stored_rows(cuts: Sequence[Cut]) -> int | None:
    rows = [cut.rows for cut in cuts]
    counted = [count for count in rows if count is not None]
    return sum(counted) if len(counted) == len(rows) else None
