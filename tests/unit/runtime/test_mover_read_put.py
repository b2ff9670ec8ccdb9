"""Seekable reading through ranges, and sending staged files."""

import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.transfer import Input, UploadItem
from batuta.runtime import mover, mover_http, mover_read
from tests.unit.runtime.mover_server import ETAG, Ask, Server, answer, plain, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
    mover_http.IDLE.clear()


def _content(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def _input(server: Server, size: int) -> Input:
    return Input(key="x", url=f"{server.url}/x", size_bytes=size, validator=ETAG)


def test_any_reads_give_what_the_object_holds(server: Server) -> None:
    content = _content(9_000_000)
    server.objects["/x"] = content
    dice = random.Random(1)
    reader = mover_read.RangeReader(_input(server, len(content)))
    for _ in range(60):
        at = dice.randrange(len(content) + 10)
        size = dice.choice([0, 1, 100, 70_000, 5_000_000])
        reader.seek(at)
        assert reader.read(size) == content[at : at + size]
    assert reader.seek(-10, 2) == len(content) - 10
    assert reader.read() == content[-10:]
    assert reader.read(5) == b""
    reader.close()
    reader.close()


def test_reading_through_takes_few_requests_and_bounded_memory(server: Server) -> None:
    content = _content(70_000_000)
    server.objects["/x"] = content
    reader = mover_read.RangeReader(_input(server, len(content)))
    at = 0
    while piece := reader.read(1 << 20):
        assert piece == content[at : at + len(piece)]
        at += len(piece)
        assert sum(map(len, reader._spans.values())) <= mover_read.CACHE_BYTES
    assert at == len(content)
    assert len(server.asked) < 30
    assert all(ask.headers["if-match"] == ETAG for ask in server.asked)
    reader.close()


def test_a_footer_costs_little(server: Server) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": list(range(1_000_000))}), sink)
    content = sink.getvalue().to_pybytes()
    server.objects["/x"] = content
    with mover.open_input(_input(server, len(content))) as file:
        assert pq.ParquetFile(file, pre_buffer=False).metadata.num_rows == 1_000_000
        assert len(server.asked) == 1
    with mover.open_input(_input(server, len(content))) as file:
        assert pq.read_table(file)["a"].to_pylist()[-1] == 999_999


def test_many_files_one_after_another_take_one_connection(server: Server) -> None:
    """Each is a connection to the gateway, which a worker has a budget of."""
    content = _content(200_000)
    server.objects["/x"] = content
    for _ in range(50):
        with mover.open_input(_input(server, len(content))) as file:
            assert file.read() == content
    assert server.connections <= 2
    mover_http.IDLE.clear()
    with mover.open_input(_input(server, len(content))) as file:
        assert file.read() == content
    assert server.connections <= 4


def test_a_connection_with_an_unread_answer_is_no_next_readers(server: Server) -> None:
    server.objects["/x"] = _content(100_000)
    stale = mover_read.RangeReader(replace(_input(server, 100_000), validator='"other"'))
    with pytest.raises(ConnectorError):
        stale.read(10)
    stale.close()
    with mover.open_input(_input(server, 100_000)) as file:
        assert file.read() == server.objects["/x"]


def test_a_kept_connection_that_the_server_closed_costs_a_reader_nothing(server: Server) -> None:
    server.objects["/x"] = _content(100)

    def once(running: Server, ask: Ask, connection: socket.socket) -> bool:
        plain(running, ask, connection)
        return False

    server.special["/x"] = once
    for _ in range(5):
        with mover.open_input(_input(server, 100)) as file:
            assert file.read() == server.objects["/x"]


def test_an_object_replaced_while_it_is_read_is_an_error(server: Server) -> None:
    server.objects["/x"] = _content(1_000_000)
    reader = mover_read.RangeReader(_input(server, 1_000_000))
    reader.read(10)

    def replaced(_server: Server, _ask: Ask, connection: socket.socket) -> bool:
        answer(connection, 412)
        return True

    server.special["/x"] = replaced
    reader.seek(500_000)
    with pytest.raises(ConnectorError) as caught:
        reader.read(10)
    assert caught.value.kind is Failure.CHANGED
    reader.close()


def test_a_decoders_error_is_the_movers_own(server: Server) -> None:
    with (
        mover.open_input(_input(server, 100)) as file,
        pytest.raises(ConnectorError) as caught,
    ):
        file.read(10)
    assert caught.value.diagnostics[0].code == "WRK102"


def test_a_local_file_opens_only_as_it_was_planned(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    status = path.stat()
    stamp = f"3:{status.st_mtime_ns}:{status.st_ino}"
    good = Input(key="x", url=path.as_uri(), size_bytes=3, validator=stamp)
    with mover.open_input(good) as file:
        assert file.read() == b"abc"
    path.write_bytes(b"abcd")
    with pytest.raises(ConnectorError) as caught:
        mover.open_input(good)
    assert caught.value.diagnostics[0].code == "WRK101"


def _staged(tmp_path: Path, server: Server, count: int) -> list[UploadItem]:
    out = []
    for at in range(count):
        (tmp_path / f"p{at}").write_bytes(_content(at * 300_000))
        out.append(
            UploadItem(
                name=f"p{at}",
                url=f"{server.url}/p{at}?sig=1",
                size_bytes=at * 300_000,
                headers=(("x-amz-meta-a", "b"),),
            )
        )
    return out


def test_every_staged_file_is_sent_whole(server: Server, tmp_path: Path) -> None:
    told: list[int] = []
    items = _staged(tmp_path, server, 6)
    mover.put(items, tmp_path, threads=2, on_progress=told.append)
    assert server.connections <= 2
    assert sum(told) == sum(item.size_bytes for item in items)
    for item in items:
        path = "/" + item.url.rpartition("/")[2]
        assert server.objects[path] == (tmp_path / item.name).read_bytes()
    assert all(ask.headers["x-amz-meta-a"] == "b" for ask in server.asked)


def test_a_refused_upload_says_why_even_before_it_was_all_sent(
    server: Server, tmp_path: Path
) -> None:
    items = _staged(tmp_path, server, 2)

    def refuse(_server: Server, _ask: Ask, connection: socket.socket) -> bool:
        answer(connection, 403, b"<Error><Code>AccessDenied</Code></Error>")
        return False

    server.special["/p1?sig=1"] = refuse
    with pytest.raises(ConnectorError) as caught:
        mover.put(items, tmp_path)
    assert caught.value.diagnostics[0].code == "WRK104"
    assert "sig=1" not in str(caught.value)


def test_a_staged_file_that_shrank_is_not_sent_as_if_whole(server: Server, tmp_path: Path) -> None:
    items = _staged(tmp_path, server, 2)
    (tmp_path / "p1").write_bytes(b"abc")
    with pytest.raises(ConnectorError) as caught:
        mover.put(items, tmp_path)
    assert caught.value.diagnostics[0].code == "WRK109"
    assert "/p1?sig=1" not in server.objects


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    mover.put([], tmp_path)
    assert mover.fetch([], tmp_path) == []
