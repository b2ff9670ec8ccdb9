"""A folder as a store: exclusive creation, publishing, and nothing outside the folder."""

import os
import socket
import threading
from pathlib import Path

import pytest

from batuta.connectors.local import CONNECTOR, faults
from batuta.connectors.local.files import LocalFiles
from batuta.model.address import parse_address
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError
from batuta.model.log import UnitRef

PAGES = Path(__file__).parents[3] / "engine/batuta/cli/pages"


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles(Connection(root=str(tmp_path)), parse_address("data/orders/"))


def _code(error: ConnectorError) -> str:
    return error.diagnostics[0].code


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def _stage(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / "staged" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_the_connector_opens_both_ports(tmp_path: Path) -> None:
    assert CONNECTOR.files is not None
    assert CONNECTOR.source is not None
    connection = Connection(root=str(tmp_path))
    assert CONNECTOR.files(connection, parse_address("x")).moves
    assert CONNECTOR.source(connection) is not None


def test_create_leaves_no_draft_behind(files: LocalFiles) -> None:
    files.create("_log/0.json", b"one")
    with pytest.raises(FileExistsError):
        files.create("_log/0.json", b"two")
    assert [each.path for each in files.list()] == ["_log/0.json"]


def test_list_is_in_byte_order_of_whole_paths(files: LocalFiles, tmp_path: Path) -> None:
    names = ["a/b", "a-b", "a.b", "a0", "é", "z", "a/a/c", "b/_x", ".h"]
    for name in names:
        path = tmp_path / "data/orders" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert [each.path for each in files.list()] == sorted(names, key=str.encode)
    assert [each.path for each in files.list("a/")] == ["a/a/c", "a/b"]
    assert [each.path for each in files.list("a/a")] == ["a/a/c"]
    assert [each.path for each in files.list("nothing")] == []


def test_a_folder_that_is_not_there_has_the_room_of_the_one_above(files: LocalFiles) -> None:
    assert (files.free_bytes() or 0) > 0
    files.prepare()
    assert files.exists()


def test_what_is_published_is_staged_no_more(files: LocalFiles, tmp_path: Path) -> None:
    for _ in range(2):
        files.publish([(_stage(tmp_path, "0", b"abc"), "deep/er/part-0")])
        assert files.read("deep/er/part-0") == b"abc"
        assert list((tmp_path / "staged").iterdir()) == []


@pytest.mark.parametrize("verb", ["publish", "move"])
def test_another_content_of_the_same_size_is_in_the_way_and_the_staged_one_stays(
    files: LocalFiles, tmp_path: Path, verb: str
) -> None:
    files.create("part", b"abd")
    if verb == "publish":
        staged = Path(_stage(tmp_path, "p", b"abc"))
    else:
        files.create("kept", b"abc")
        staged = tmp_path / "data/orders/kept"
    with pytest.raises(ConnectorError) as caught:
        if verb == "publish":
            files.publish([(str(staged), "part")])
        else:
            files.move([("kept", "part")])
    assert _code(caught.value) == "LOC118"
    assert "another content" in caught.value.diagnostics[0].detail
    assert staged.read_bytes() == b"abc"
    assert files.read("part") == b"abd"


def test_publishing_from_another_file_system_copies(files: LocalFiles, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    staged = other / f"batuta-test-{os.getpid()}"
    staged.write_bytes(b"abc")
    files.publish([(str(staged), "part")])
    assert files.read("part") == b"abc"
    assert not staged.exists()
    assert [each.path for each in files.list()] == ["part"]


@pytest.mark.parametrize("path", ["", "../x", "a/../b", "/etc/x", "a//b", "a/./b", "a\0b", "a/"])
def test_unsafe_paths_are_refused(files: LocalFiles, path: str) -> None:
    files.prepare()
    with pytest.raises(ConnectorError) as caught:
        files.create(path, b"")
    assert _code(caught.value) == "LOC108"


def test_links_out_of_the_folder_are_refused(files: LocalFiles, tmp_path: Path) -> None:
    files.prepare()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("key")
    root = tmp_path / "data/orders"
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "file").symlink_to(tmp_path / "secret/key")
    for action in (
        lambda: files.read("out/key"),
        lambda: files.read("file"),
        lambda: files.create("out/new", b""),
        lambda: files.delete(["out/key"]),
        lambda: list(files.list()),
    ):
        with pytest.raises(ConnectorError) as caught:
            action()
        assert _code(caught.value) == "LOC106"
    assert (tmp_path / "secret/key").read_text() == "key"


def test_links_inside_the_folder_are_read(files: LocalFiles, tmp_path: Path) -> None:
    files.create("a/real", b"abc")
    (tmp_path / "data/orders/link").symlink_to("a/real")
    assert files.read("link") == b"abc"
    assert [each.path for each in files.list()] == ["a/real", "link"]


def test_special_files_and_loops_are_named(files: LocalFiles, tmp_path: Path) -> None:
    files.prepare()
    root = tmp_path / "data/orders"
    for name, make in {
        "pipe": os.mkfifo,
        "loop": lambda p: p.symlink_to("loop"),
        "up": lambda p: p.symlink_to("."),
        "gone": lambda p: p.symlink_to("nothing"),
        "sock": _make_socket,
    }.items():
        make(root / name)
        with pytest.raises(ConnectorError) as caught:
            list(files.list())
        assert _code(caught.value) == "LOC107"
        assert name in caught.value.diagnostics[0].detail
        (root / name).unlink()


def test_a_name_that_is_not_utf8_is_shown_and_refused(files: LocalFiles, tmp_path: Path) -> None:
    files.prepare()
    with open(os.fsencode(tmp_path / "data/orders") + b"/caf\xe9", "wb"):
        pass
    with pytest.raises(ConnectorError) as caught:
        list(files.list())
    assert _code(caught.value) == "LOC110"
    caught.value.diagnostics[0].detail.encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_says_so(files: LocalFiles, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(ConnectorError) as caught:
        files.prepare()
    assert _code(caught.value) == "LOC102"


def test_a_read_only_file_system_says_so() -> None:
    files = LocalFiles(Connection(root="/proc/sys/kernel"), parse_address("batuta"))
    with pytest.raises(ConnectorError) as caught:
        files.prepare()
    assert _code(caught.value) in {"LOC101", "LOC102", "LOC103"}
    assert "/proc/sys/kernel" in caught.value.diagnostics[0].detail


def test_a_file_in_the_folders_place_is_refused(files: LocalFiles, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/orders").write_text("")
    with pytest.raises(ConnectorError) as caught:
        files.prepare()
    assert _code(caught.value) == "LOC107"


def test_a_folder_that_is_made_meanwhile_is_a_folder(files: LocalFiles, tmp_path: Path) -> None:
    """Datasets that share a worker have their staging folders made by whoever is first."""
    root = tmp_path / "data" / "orders"
    root.parent.mkdir()
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            root.mkdir()
            root.rmdir()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        assert {files.exists() for _ in range(20_000)} <= {True, False}
    finally:
        over.set()
        other.join()


def test_inputs_carry_the_stamp_of_now(files: LocalFiles, tmp_path: Path) -> None:
    files.create("a b%/p?rt", b"abc")
    (one,) = files.inputs([("a b%/p?rt", 3, UnitRef("u", "1"))])
    status = (tmp_path / "data/orders/a b%/p?rt").stat()
    assert one.validator == f"3:{status.st_mtime_ns}:{status.st_ino}"
    assert one.url.endswith("/data/orders/a%20b%25/p%3Frt")
    with pytest.raises(ConnectorError) as caught:
        files.inputs([("gone", 3, UnitRef("u", "1"))])
    assert _code(caught.value) == "LOC101"


@pytest.mark.parametrize("code", sorted(faults.SUMMARIES))
def test_every_code_has_its_page(code: str) -> None:
    first, _, rest = (PAGES / f"{code}.md").read_text().partition("\n")
    assert first == f"# {code}: {faults.SUMMARIES[code]}"
    assert len(rest.strip().split("\n\n")) >= 2
