"""Rows on their way to a screen: in order, no more than asked for, each part found where it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.connectors.alimentar import CONNECTOR as ALIMENTAR
from batuta.connectors.alimentar.names import history_name
from batuta.connectors.local import CONNECTOR as LOCAL
from batuta.model.address import Address
from batuta.model.arrow import schema_of
from batuta.model.connector import Connection
from batuta.model.dataset import DatasetStore
from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.log import LogEntry
from batuta.model.table import TableSchema
from batuta.runtime.registry import formats
from batuta.runtime.showing import Showing, Wish
from batuta.runtime.worker.show import show
from batuta.runtime.worker.wire import Reply, ShowRequest, Style
from tests.unit.connectors.alimentar_bench import draft

SCHEMA = pa.schema([pa.field("id", pa.int64())])


def committed(folder: Path, parts: Sequence[pa.Table]) -> DatasetStore:
    """Import a folder of one Parquet file for each table, with three rows in a row group."""
    folder.mkdir()
    for number, table in enumerate(parts):
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=3)
    assert LOCAL.files is not None
    assert ALIMENTAR.dataset is not None
    store = ALIMENTAR.dataset(LOCAL.files(Connection(), Address("file", str(folder))))
    entry: LogEntry = draft(schema=None, format_name="parquet")

    def describe(_path: str) -> TableSchema:
        return schema_of(SCHEMA)

    store.adopt(describe, entry, write=True)
    return store


def ids(first: int, rows: int) -> pa.Table:
    return pa.table({"id": pa.array(range(first, first + rows), pa.int64())}, schema=SCHEMA)


@dataclass
class Worker:
    """Serves requests in this process; `before` is done before each, with its number."""

    before: Callable[[int], None] = lambda _number: None
    batches: int = 0
    asked: list[ShowRequest] = field(default_factory=list)

    def ask(self, request: ShowRequest, heard: Callable[[Reply], None]) -> None:
        self.asked.append(request)
        self.before(len(self.asked))
        for reply in show(request, formats()):
            self.batches += not reply.payload
            heard(reply)


def shown(
    store: DatasetStore, worker: Worker, limit: int | None = None, style: Style = "csv"
) -> str:
    pieces: list[bytes] = []
    Showing(
        dataset=store, snapshot=store.readable(None, dict(formats())),
        wish=Wish(style=style, limit=limit), ask=worker.ask, told=pieces.append,
    ).run(Event())  # fmt: skip
    return b"".join(pieces).decode("utf-8", "replace")  # cells are no text


@pytest.mark.parametrize(
    ("limit", "rows", "batches", "requests"),
    [
        (0, 0, 1, 1),
        (1, 1, 1, 1),
        (3, 3, 1, 1),
        (4, 4, 2, 1),
        (8, 8, 3, 2),
        (99, 12, 4, 2),
        (None, 12, 4, 2),
    ],
)
def test_a_limit_is_kept_across_parts_and_nothing_is_read_beyond_it(
    tmp_path: Path, limit: int | None, rows: int, batches: int, requests: int
) -> None:
    worker = Worker()

    text = shown(committed(tmp_path / "d", [ids(0, 6), ids(6, 6)]), worker, limit)

    assert text.splitlines() == ["id", *map(str, range(rows))]
    assert (worker.batches, len(worker.asked)) == (batches, requests)


def test_a_part_that_moves_to_history_before_it_is_read_is_found_there(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    store = committed(folder, [ids(0, 3), ids(3, 3)])
    snapshot = store.snapshot()
    assert snapshot is not None
    second = snapshot.parts[1]

    def move(number: int) -> None:
        if number == 2:
            place = folder / history_name(second.path, second.sha256)
            place.parent.mkdir(parents=True)
            (folder / second.path).rename(place)

    worker = Worker(move)

    assert shown(store, worker).splitlines() == ["id", *map(str, range(6))]
    assert len(worker.asked) == 3


def test_a_part_that_was_shown_in_part_is_not_shown_again(tmp_path: Path) -> None:
    store = committed(tmp_path / "d", [ids(0, 6)])
    lost = Diagnostic(code="WRK106", summary="s", detail="d", fix="f")
    tries: list[ShowRequest] = []
    pieces: list[bytes] = []

    def ask(request: ShowRequest, heard: Callable[[Reply], None]) -> None:
        tries.append(request)
        heard(Reply(payload=b"id\r\n0\r\n"))
        raise ConnectorError(lost, kind=Failure.TRANSIENT)

    with pytest.raises(ConnectorError) as caught:
        Showing(
            dataset=store, snapshot=store.readable(None, dict(formats())),
            wish=Wish(style="csv"), ask=ask, told=pieces.append,
        ).run(Event())  # fmt: skip

    assert caught.value.diagnostics == (lost,)
    assert len(tries) == len(pieces) == 1


def test_a_column_that_a_part_lacks_is_null_there(tmp_path: Path) -> None:
    assert rendered(tmp_path, [("id", "int64"), ("x", "string")]) == b'{"id": 7, "x": null}\n'


def test_a_value_that_does_not_fit_is_refused_and_not_told(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError) as caught:
        rendered(tmp_path, [("name", "int64")])

    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.code == "WRK217"
    assert "0.parquet" in diagnostic.detail
    assert "secret" not in diagnostic.detail


def test_a_struct_with_two_fields_of_one_name_is_named_and_not_a_fault(tmp_path: Path) -> None:
    twice = pa.StructArray.from_arrays([pa.array([7]), pa.array([8])], names=["a", "a"])
    table = pa.table({"pair": twice})
    store = committed(tmp_path / "d", [table])
    (source,) = store.inputs(store.readable(None, dict(formats())).parts)
    schema = schema_of(table.schema)
    request = ShowRequest(input=source, format="parquet", schema=schema, style="jsonl")

    with pytest.raises(ConnectorError) as caught:
        list(show(request, formats()))

    assert caught.value.diagnostics[0].code == "WRK217"


def rendered(tmp_path: Path, columns: list[tuple[str, str]]) -> bytes:
    """Show a part with an id and a name as a dataset of other columns."""
    store = committed(tmp_path / "d", [pa.table({"id": [7], "name": ["secret"]})])
    (source,) = store.inputs(store.readable(None, dict(formats())).parts)
    schema = schema_of(pa.schema(columns))
    request = ShowRequest(input=source, format="parquet", schema=schema, style="jsonl")
    return b"".join(reply.payload or b"" for reply in show(request, formats()))


@pytest.mark.parametrize("rows", [4, -1, 10**9])
def test_a_worker_that_sends_more_than_was_asked_for_is_not_listened_to(
    tmp_path: Path, rows: int
) -> None:
    store = committed(tmp_path / "d", [ids(0, 10)])
    worker = Worker()
    real = worker.ask

    def ask(request: ShowRequest, heard: Callable[[Reply], None]) -> None:
        heard(Reply(payload=b"x" * 100, rows=rows))
        real(request, heard)

    worker.ask = ask  # type: ignore[method-assign]  # somebody has taken it over
    with pytest.raises(ConnectorError, match="more than it was asked for"):
        shown(store, worker, limit=3)


def test_pieces_without_rows_do_not_go_on_for_ever(tmp_path: Path) -> None:
    store = committed(tmp_path / "d", [ids(0, 10)])
    worker = Worker()

    def ask(_request: ShowRequest, heard: Callable[[Reply], None]) -> None:
        for _ in range(1000):
            heard(Reply(payload=b"x" * 100))

    worker.ask = ask  # type: ignore[assignment, method-assign]  # likewise
    with pytest.raises(ConnectorError, match="more than it was asked for"):
        shown(store, worker, limit=3, style="cells")


def test_a_table_of_many_rows_is_shown_whole(tmp_path: Path) -> None:
    """Its cells come in more pieces than there are batches."""
    pq.write_table(ids(0, 30_000), tmp_path / "many.parquet", row_group_size=30_000)
    folder = tmp_path / "e"
    folder.mkdir()
    (tmp_path / "many.parquet").rename(folder / "0.parquet")
    assert LOCAL.files is not None
    assert ALIMENTAR.dataset is not None
    store = ALIMENTAR.dataset(LOCAL.files(Connection(), Address("file", str(folder))))
    entry: LogEntry = draft(schema=None, format_name="parquet")
    store.adopt(lambda _path: schema_of(SCHEMA), entry, write=True)

    assert shown(store, Worker(), limit=30_000, style="cells")
