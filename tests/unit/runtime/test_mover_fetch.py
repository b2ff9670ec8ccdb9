"""The byte mover brings exactly the planned bytes, or says what the server did instead."""

import hashlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.log import UnitRef
from batuta.model.transfer import CopyItem, Input
from batuta.runtime import mover, mover_http, mover_ranges
from batuta.runtime.mover_errors import SUMMARIES, retry_after_s
from tests.unit.runtime.mover_server import ETAG, Ask, Behave, Server, answer, plain, serving

PAGES = Path(__file__).parents[3] / "engine/batuta/cli/pages"
BIG = 40 * 1024 * 1024 + 12_345


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def _item(server: Server, name: str, size: int, **fields: Any) -> CopyItem:
    source = Input(
        key=name, url=f"{server.url}/{name}", size_bytes=size, **{"validator": ETAG, **fields}
    )
    return CopyItem(input=source, unit=UnitRef(name, "v1"), name=name, rows=3)


def _fails(server: Server, tmp_path: Path, behave: Behave, size: int = 3) -> ConnectorError:
    server.special["/x"] = behave
    server.objects["/x"] = b"abc"
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([_item(server, "x", size)], tmp_path)
    assert server.url not in str(caught.value)
    return caught.value


def _says(status: int, body: bytes = b"", **headers: Any) -> Behave:
    def behave(_server: Server, _ask: Ask, connection: socket.socket) -> bool:
        answer(connection, status, body, **headers)
        return True

    return behave


def _content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def test_every_size_arrives_whole_in_the_order_asked(server: Server, tmp_path: Path) -> None:
    sizes = [0, 1, 4096, 256 * 1024, 256 * 1024 + 1, 3_000_000, BIG, 0, 7]
    items = []
    for at, size in enumerate(sizes):
        server.objects[f"/o{at}"] = _content(size)
        items.append(_item(server, f"o{at}", size))
    told: list[int] = []
    parts = mover.fetch(items, tmp_path, on_progress=told.append)
    assert [p.path for p in parts] == [f"o{at}" for at in range(len(sizes))]
    for part, size in zip(parts, sizes, strict=True):
        assert (tmp_path / part.path).read_bytes() == _content(size)
        assert part.sha256 == hashlib.sha256(_content(size)).hexdigest()
        assert (part.size_bytes, part.rows, part.units) == (size, 3, (UnitRef(part.path, "v1"),))
    assert sum(told) == sum(sizes)


def test_many_small_objects_share_few_connections(server: Server, tmp_path: Path) -> None:
    for at in range(300):
        server.objects[f"/d/{at}"] = f"{at}".encode() * at
    items = [_item(server, f"d/{at}", len(f"{at}" * at)) for at in range(300)]
    parts = mover.fetch(items, tmp_path, threads=4)
    assert server.connections <= 4
    assert all((tmp_path / p.path).read_bytes() == server.objects[f"/{p.path}"] for p in parts)


def test_each_request_names_the_version(server: Server, tmp_path: Path) -> None:
    server.objects["/big"] = _content(BIG)
    mover.fetch([_item(server, "big", BIG)], tmp_path)
    assert len(server.asked) == -(-BIG // mover_ranges.PART_BYTES)
    assert all(ask.headers["if-match"] == ETAG for ask in server.asked)
    assert all("range" in ask.headers for ask in server.asked)


def test_a_resumed_copy_reads_only_the_rest(server: Server, tmp_path: Path) -> None:
    content = _content(BIG)
    server.objects["/big"] = content
    kept = 10 * 1024 * 1024 + 1
    (tmp_path / "big").write_bytes(content[:kept] + b"torn")
    told: list[int] = []
    (part,) = mover.fetch(
        [_item(server, "big", BIG)], tmp_path, resume_bytes=kept, on_progress=told.append
    )
    assert part.sha256 == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "big").read_bytes() == content
    assert sum(told) == BIG - kept


def test_a_copy_that_had_all_is_only_hashed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(_content(BIG))
    (part,) = mover.fetch([_item(server, "big", BIG)], tmp_path, resume_bytes=BIG)
    assert part.sha256 == hashlib.sha256(_content(BIG)).hexdigest()
    assert server.asked == []


def test_less_in_staging_than_recorded_is_an_error(server: Server, tmp_path: Path) -> None:
    server.objects["/big"] = _content(BIG)
    (tmp_path / "big").write_bytes(b"abc")
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([_item(server, "big", BIG)], tmp_path, resume_bytes=1000)
    assert caught.value.diagnostics[0].code == "WRK109"


def test_what_came_before_a_failure_is_durable_and_told(server: Server, tmp_path: Path) -> None:
    content = _content(BIG)
    server.objects["/big"] = content

    def behave(server: Server, ask: Ask, connection: socket.socket) -> bool:
        span = ask.span(BIG)
        assert span is not None
        return span[0] < 20_000_000 and plain(server, ask, connection)

    server.special["/big"] = behave
    durable: list[int] = []
    item = _item(server, "big", BIG)
    with pytest.raises(ConnectorError):
        mover.fetch([item], tmp_path, threads=2, on_durable=durable.append)
    assert durable
    assert (tmp_path / "big").read_bytes()[: durable[-1]] == content[: durable[-1]]
    del server.special["/big"]
    (part,) = mover.fetch([item], tmp_path, resume_bytes=durable[-1])
    assert part.sha256 == hashlib.sha256(content).hexdigest()


def _short(_server: Server, _ask: Ask, connection: socket.socket) -> bool:
    answer(connection, 200, b"ab", length=3)
    return False


def _reset(_server: Server, _ask: Ask, connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _gibberish(_server: Server, _ask: Ask, connection: socket.socket) -> bool:
    connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")
    return False


def _endless_head(_server: Server, _ask: Ask, connection: socket.socket) -> bool:
    connection.sendall(b"HTTP/1.1 200 x\r\n" + b"X: y\r\n" * 20_000)
    return False


@pytest.mark.parametrize("size", [3, 1_000_000])
@pytest.mark.parametrize("behave", [_short, _reset, _gibberish, _endless_head])
def test_a_broken_connection_may_be_tried_again(
    server: Server, tmp_path: Path, behave: Behave, size: int
) -> None:
    server.special["/x"] = behave
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([_item(server, "x", size)], tmp_path)
    error = caught.value
    if behave is _short and size > 3:
        assert error.kind is Failure.CHANGED
        return
    assert (error.diagnostics[0].code, error.kind) == ("WRK106", Failure.TRANSIENT)


@pytest.mark.parametrize(
    ("behave", "code", "kind"),
    [
        (_says(412), "WRK101", Failure.CHANGED),
        (_says(404), "WRK102", Failure.CHANGED),
        (_says(403, b"<Error><Code>AccessDenied</Code>"), "WRK104", Failure.AUTH),
        (_says(403, b"<Message>Request has expired</Message>"), "WRK103", Failure.EXPIRED),
        (_says(400, b"<Code>ExpiredToken</Code>"), "WRK103", Failure.EXPIRED),
        (_says(403, b"<Code>InvalidObjectState</Code>"), "WRK113", Failure.PERMANENT),
        (_says(429), "WRK105", Failure.THROTTLED),
        (_says(500), "WRK111", Failure.TRANSIENT),
        (_says(307, Location="http://elsewhere.test/"), "WRK107", Failure.PERMANENT),
        (_says(418), "WRK108", Failure.PERMANENT),
        (_says(200, b"abcd"), "WRK101", Failure.CHANGED),
        (_says(200, b"abc", ETag='"v2"'), "WRK101", Failure.CHANGED),
    ],
)
def test_each_refusal_has_its_code(
    server: Server, tmp_path: Path, behave: Behave, code: str, kind: Failure
) -> None:
    error = _fails(server, tmp_path, behave)
    assert (error.diagnostics[0].code, error.kind) == (code, kind)


def test_a_busy_server_says_for_how_long(server: Server, tmp_path: Path) -> None:
    error = _fails(server, tmp_path, _says(503, Retry_After="7"))
    assert (error.kind, error.retry_after_s) == (Failure.THROTTLED, 7.0)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (None, 0, 0),
        (b"0", 0, 0),
        (b"99999999", 300, 300),
        (b"-5", 0, 0),
        (b"soon", 0, 0),
        (b"Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        (b"Fri, 31 Dec 2999 23:59:59 GMT", 300, 300),
    ],
)
def test_retry_after_is_bounded(value: bytes | None, low: float, high: float) -> None:
    assert low <= retry_after_s(value) <= high


def test_a_silent_server_is_not_waited_for_forever(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover_http, "IDLE_TIMEOUT_S", 0.2)

    def behave(_server: Server, _ask: Ask, _connection: socket.socket) -> bool:
        time.sleep(1)
        return False

    started = time.monotonic()
    error = _fails(server, tmp_path, behave)
    assert time.monotonic() - started < 0.9
    assert error.diagnostics[0].code == "WRK106"


def test_ranges_that_are_not_ranges_are_refused(server: Server, tmp_path: Path) -> None:
    server.objects["/big"] = _content(BIG)

    def whole(server: Server, ask: Ask, connection: socket.socket) -> bool:
        ask.headers.pop("range")
        return plain(server, ask, connection)

    def shifted(_server: Server, ask: Ask, connection: socket.socket) -> bool:
        low, high = ask.span(BIG) or (0, 0)
        where = f"bytes {low + 1}-{high}/{BIG}"
        answer(connection, 206, _content(high - low), Content_Range=where)
        return True

    for behave in (whole, shifted):
        server.special["/big"] = behave
        with pytest.raises(ConnectorError) as caught:
            mover.fetch([_item(server, "big", BIG)], tmp_path, threads=1)
        assert caught.value.diagnostics[0].code == "WRK108"


def test_content_that_is_not_the_planned_one_is_refused(server: Server, tmp_path: Path) -> None:
    server.objects["/x"] = b"abc"
    item = _item(server, "x", 3, sha256=hashlib.sha256(b"abd").hexdigest())
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([item], tmp_path)
    assert caught.value.diagnostics[0].code == "WRK101"


def test_the_callers_policy_decides_about_another_try(server: Server, tmp_path: Path) -> None:
    failures = 2

    def behave(server: Server, ask: Ask, connection: socket.socket) -> bool:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            answer(connection, 503)
            return True
        return plain(server, ask, connection)

    for name, size in (("small", 3), ("whole", 1_000_000), ("big", BIG)):
        failures = 2
        server.objects[f"/{name}"] = _content(size)
        server.special[f"/{name}"] = behave
        tries: list[int] = []

        def retry(_error: ConnectorError, count: int, tries: list[int] = tries) -> float:
            tries.append(count)
            return 0.0

        told: list[int] = []
        (part,) = mover.fetch(
            [_item(server, name, size)], tmp_path, threads=1, retry=retry, on_progress=told.append
        )
        assert part.sha256 == hashlib.sha256(_content(size)).hexdigest()
        assert tries == [1, 2]
        assert sum(told) == size


def test_a_policy_that_gives_up_ends_it(server: Server, tmp_path: Path) -> None:
    server.special["/x"] = _says(503)
    with pytest.raises(ConnectorError):
        mover.fetch([_item(server, "x", 3)], tmp_path, retry=lambda _e, n: 0.0 if n < 3 else None)
    assert len(server.asked) == 3


def test_a_connection_the_server_closed_meanwhile_is_no_failure(
    server: Server, tmp_path: Path
) -> None:
    def last(server: Server, ask: Ask, connection: socket.socket) -> bool:
        plain(server, ask, connection)
        return False  # without saying so

    items = []
    for at in range(20):
        server.objects[f"/{at}"] = b"abc"
        server.special[f"/{at}"] = last
        items.append(_item(server, f"{at}", 3))
    parts = mover.fetch(items, tmp_path, threads=1)
    assert len(parts) == 20


def test_one_failure_ends_all_threads(server: Server, tmp_path: Path) -> None:
    server.objects["/big"] = _content(BIG)
    server.special["/x"] = _says(404)
    items = [_item(server, "x", 1_000_000), *(_item(server, "big", BIG) for _ in range(3))]
    with pytest.raises(ConnectorError):
        mover.fetch(items, tmp_path, threads=4)
    assert not [t for t in threading.enumerate() if t.name.startswith("mover")]


@pytest.mark.parametrize(
    "url",
    ["ftp://x.test/a", "http://u:p@x.test/a", "http://x.test/a b", "http://x.test/a\r\nX: y", "x"],
)
def test_addresses_that_no_request_can_hold_are_refused(tmp_path: Path, url: str) -> None:
    source = Input(key="k", url=url, size_bytes=1, validator="")
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([CopyItem(input=source, unit=UnitRef("k", "1"), name="k")], tmp_path)
    assert caught.value.diagnostics[0].code == "WRK110"


def test_a_full_staging_folder_says_so(server: Server) -> None:
    server.objects["/x"] = b"abc"
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([_item(server, "x", 3)], Path("/proc/nothing"))
    assert caught.value.diagnostics[0].code == "WRK109"


def _local(path: Path, **fields: Any) -> CopyItem:
    status = path.stat()
    stamp = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
    given = {"size_bytes": status.st_size, "validator": stamp, **fields}
    source = Input(key=path.name, url=path.as_uri(), **given)
    return CopyItem(input=source, unit=UnitRef(path.name, "1"), name=f"out/{path.name}")


def test_local_files_are_copied_and_hashed(tmp_path: Path) -> None:
    items = []
    for name, size in {"a b%#?é": 10, "empty": 0, "big": 3_000_001}.items():
        (tmp_path / name).write_bytes(_content(size))
        items.append(_local(tmp_path / name))
    staging = tmp_path / "staging"
    staging.mkdir()
    parts = mover.fetch(items, staging)
    for part, item in zip(parts, items, strict=True):
        content = (tmp_path / item.input.key).read_bytes()
        assert (staging / part.path).read_bytes() == content
        assert part.sha256 == hashlib.sha256(content).hexdigest()


def test_a_local_copy_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(_content(3_000_000))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_bytes(_content(1_000_000) + b"torn")
    told: list[int] = []
    (part,) = mover.fetch(
        [_local(tmp_path / "x")], tmp_path, resume_bytes=1_000_000, on_progress=told.append
    )
    assert part.sha256 == hashlib.sha256(_content(3_000_000)).hexdigest()
    assert sum(told) == 2_000_000


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda p: p.write_bytes(b"xyz"), "WRK101"),
        (lambda p: p.unlink(), "WRK102"),
        (_make_pipe, "WRK101"),
        (lambda p: (p.unlink(), p.mkdir()), "WRK101"),
    ],
)
def test_a_local_source_that_moved_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], code: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 1))
    item = _local(path)
    spoil(path)
    with pytest.raises(ConnectorError) as caught:
        mover.fetch([item], tmp_path)
    assert caught.value.diagnostics[0].code == code


@pytest.mark.parametrize("how", ["replaced", "truncated", "written"])
def test_a_local_source_that_moves_under_the_copy_is_refused(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(_content(6_000_000))
    os.utime(path, ns=(1, 1))

    def spoil(_count: int) -> None:
        if how == "replaced":
            (tmp_path / "y").write_bytes(_content(6_000_000))
            (tmp_path / "y").rename(path)
        elif how == "truncated":
            os.truncate(path, 100)
        else:
            path.write_bytes(b"z" * 6_000_000)

    with pytest.raises(ConnectorError) as caught:
        mover.fetch([_local(path)], tmp_path, on_progress=spoil)
    assert (caught.value.diagnostics[0].code, caught.value.kind) == ("WRK101", Failure.CHANGED)


@pytest.mark.parametrize("code", sorted(SUMMARIES))
def test_every_code_has_its_page(code: str) -> None:
    first = (PAGES / f"{code}.md").read_text().partition("\n")[0]
    assert first == f"# {code}: {SUMMARIES[code]}"


def _certificate(folder: Path) -> tuple[str, str]:
    files = (str(folder / "cert.pem"), str(folder / "key.pem"))
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_only_a_trusted_certificate_of_the_right_name_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def fetch(host: str, trusted: ssl.SSLContext) -> object:
        monkeypatch.setattr(mover_http, "tls_context", lambda _file: trusted)
        with serving(context) as server:
            server.objects["/big"] = _content(BIG)
            port = server.url.rpartition(":")[2]
            url = f"https://{host}:{port}/big"
            source = Input(key="big", url=url, size_bytes=BIG, validator=ETAG)
            item = CopyItem(input=source, unit=UnitRef("big", "1"), name="big")
            return mover.fetch([item], tmp_path, threads=2)[0].sha256

    trusting = ssl.create_default_context(cafile=cert)
    assert fetch("localhost", trusting) == hashlib.sha256(_content(BIG)).hexdigest()
    for host, trusted in (("127.0.0.1", trusting), ("localhost", ssl.create_default_context())):
        with pytest.raises(ConnectorError) as caught:
            fetch(host, trusted)
        assert caught.value.diagnostics[0].code == "WRK112"
