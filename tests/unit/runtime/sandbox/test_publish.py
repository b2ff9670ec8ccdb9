"""Only a plain, finished file of staging is ever moved out of it."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from batuta.model.diagnostic import BatutaError
from batuta.runtime.sandbox.publish import opened_beneath, take
from tests.kernel import requires_kernel

pytestmark = requires_kernel("linux")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    return folder


def test_a_finished_file_is_moved_and_hashed(staging: Path, tmp_path: Path) -> None:
    (staging / "sub" / "part").write_bytes(b"rows" * 1000)

    taken = take(staging, "sub/part", tmp_path / "part", digest=True)

    assert taken.size_bytes == 4000
    assert taken.sha256 == hashlib.sha256(b"rows" * 1000).hexdigest()
    assert (tmp_path / "part").read_bytes() == b"rows" * 1000
    assert not (staging / "sub" / "part").exists()


def symlink(staging: Path) -> None:
    (staging / "part").symlink_to(staging.parent / "secret")


def folder_symlink(staging: Path) -> None:
    (staging / "sub").rmdir()
    (staging / "sub").symlink_to(staging.parent)


def hard_link(staging: Path) -> None:
    (staging / "part").hardlink_to(staging.parent / "secret")


def pipe(staging: Path) -> None:
    os.mkfifo(staging / "part")


def folder(staging: Path) -> None:
    (staging / "part").mkdir()


def nothing(_staging: Path) -> None: ...


@pytest.mark.parametrize(
    ("prepare", "name", "why"),
    [
        (symlink, "part", "symbolic link"),
        (folder_symlink, "sub/secret", "symbolic link"),
        (hard_link, "part", "2 names"),
        (pipe, "part", "plain file"),
        (folder, "part", "plain file"),
        (nothing, "part", "not there"),
        (nothing, "../secret", "leads out"),
        (nothing, "sub/../../secret", "leads out"),
        (nothing, "/etc/passwd", "leads out"),
        (nothing, "part\0", "name"),
        (nothing, "..", "name"),
        (nothing, "", "name"),
    ],
)
def test_anything_else_is_refused(
    staging: Path, prepare: "object", name: str, why: str, tmp_path: Path
) -> None:
    assert callable(prepare)
    prepare(staging)

    with pytest.raises(BatutaError) as refused:
        take(staging, name, tmp_path / "published")

    assert refused.value.diagnostics[0].code == "EGR204"
    assert why in refused.value.diagnostics[0].detail
    assert not (tmp_path / "published").exists()
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_socket_is_refused(staging: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(staging / "part"))

        with pytest.raises(BatutaError, match="EGR204"):
            take(staging, "part", tmp_path / "published")


def test_a_file_that_is_still_written_to_is_refused(staging: Path, tmp_path: Path) -> None:
    with (staging / "part").open("w") as writer:
        writer.write("half")
        writer.flush()

        with pytest.raises(BatutaError) as refused:
            take(staging, "part", tmp_path / "published")
    assert "open for writing" in refused.value.diagnostics[0].detail

    take(staging, "part", tmp_path / "published")
    assert (tmp_path / "published").read_text() == "half"


def test_a_descriptor_of_a_finished_file_reads_it(staging: Path) -> None:
    (staging / "part").write_text("rows")

    with opened_beneath(staging, "part") as opened:
        assert os.read(opened, 10) == b"rows"
