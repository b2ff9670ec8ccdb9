"""What every place that a dataset can live in does alike: a folder, and a prefix of a real S3 server."""

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from batuta.connectors.aws.files import S3Files
from batuta.connectors.local.files import LocalFiles
from batuta.model.address import parse_address
from batuta.model.connector import Connection, Files
from batuta.model.diagnostic import ConnectorError, Failure
from batuta.runtime.mover import open_input
from tests.conftest import Place


@dataclass(frozen=True, slots=True)
class Store:
    """A connector's store, empty and not there yet, with the codes of what it refuses."""

    files: Files
    missing: str
    in_the_way: str


def _local(tmp_path: Path) -> Store:
    files = LocalFiles(Connection(root=str(tmp_path)), parse_address("data/orders/"))
    return Store(files, missing="LOC101", in_the_way="LOC118")


def _s3(place: Place) -> Store:
    server = place.server
    connection = Connection(
        platform="lake",
        type="aws",
        region=server.region,
        options={"endpoint": server.endpoint},
        secrets={"accessKeyId": server.access_key, "secretAccessKey": server.secret_key},
        open_input=open_input,
    )
    files = S3Files(connection, parse_address(place.url))
    return Store(files, missing="AWS104", in_the_way="AWS119")


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return _local(tmp_path) if request.param == "local" else _s3(request.getfixturevalue("bucket"))


@pytest.fixture
def files(store: Store) -> Files:
    return store.files


def _stage(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / "staged" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_of_sixteen_threads_that_create_one_key_one_wins(files: Files) -> None:
    files.prepare()
    gate = threading.Barrier(16)
    outcomes: list[int | None] = []

    def create(number: int) -> None:
        gate.wait()
        try:
            files.create("_log/0.json", f"{number}".encode() * 1000)
        except FileExistsError:
            outcomes.append(None)
        else:
            outcomes.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome is not None]
    assert len(outcomes) == 16
    assert len(winners) == 1
    assert files.read("_log/0.json") == f"{winners[0]}".encode() * 1000


def test_sizes_are_told_and_folders_below_are_left_out_when_asked(files: Files) -> None:
    for path in ("_staging/work/deep/x", "_staging/work/y", "_staging/z", "_stagings", "a"):
        files.create(path, path.encode())
    shallow = ["_staging/z"]
    assert [each.path for each in files.list("_staging/", recursive=False)] == shallow
    assert [each.path for each in files.list(recursive=False)] == ["_stagings", "a"]
    assert [each.path for each in files.list("_st", recursive=False)] == ["_stagings"]
    assert files.size("_staging/work/y") == len("_staging/work/y")
    assert [files.size(path) for path in ("b", "_staging", "a/b")] == [None, None, None]


def test_what_is_not_there_is_empty_and_what_was_made_is_read(files: Files) -> None:
    assert not files.exists()
    assert list(files.list()) == []
    files.prepare()
    with pytest.raises(FileNotFoundError):
        files.read("x")
    with pytest.raises(FileNotFoundError):
        files.open("x")
    files.create("empty", b"")
    assert files.exists()
    assert files.read("empty", 10) == b""
    files.create("x", b"abcdef")
    assert files.read("x", 3) == b"abc"
    with files.open("x") as file:
        assert file.read() == b"abcdef"


def test_publishing_twice_leaves_one_copy(files: Files, tmp_path: Path) -> None:
    pairs = [(_stage(tmp_path, f"{n}", b"abc" * n), f"deep/er/part-{n}") for n in range(5)]
    files.publish(pairs)
    files.publish(pairs)
    assert [(each.path, each.size_bytes) for each in files.list()] == [
        (f"deep/er/part-{n}", 3 * n) for n in range(5)
    ]


def test_a_file_of_another_size_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    store.files.create("part", b"longer")
    with pytest.raises(ConnectorError) as caught:
        store.files.publish([(_stage(tmp_path, "p", b"abc"), "part")])
    assert caught.value.diagnostics[0].code == store.in_the_way
    assert caught.value.kind is Failure.CONFLICT
    assert store.files.read("part") == b"longer"


def test_moving_and_deleting_twice_is_moving_and_deleting_once(files: Files) -> None:
    files.create("part", b"abc")
    for _ in range(2):
        files.move([("part", "_history/1/part é")])
    assert [each.path for each in files.list()] == ["_history/1/part é"]
    for _ in range(2):
        files.delete(["_history/1/part é", "never/there"])
    assert list(files.list()) == []


def test_moving_what_is_nowhere_is_an_error(store: Store) -> None:
    store.files.prepare()
    with pytest.raises(ConnectorError) as caught:
        store.files.move([("part", "_history/part")])
    assert caught.value.diagnostics[0].code == store.missing
